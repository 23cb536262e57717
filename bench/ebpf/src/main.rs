//! The bench's programs, all of them XDP but for those of the bare TC redirect.
//!
//! ```text
//!   sender                     gateway                     receiver
//!   bench_send_egress ───────► lan  subject  wan ───────► bench_receive_outside
//!   bench_receive_inside ◄──── lan  subject  wan ◄─────── bench_send_ingress
//!
//!   where a subject is one of ours:
//!                        lan: bench_redirect_out, bench_tc_redirect_out, bench_drop
//!                                         wan: bench_redirect_in, bench_tc_redirect_in, bench_drop
//!                                         and, for what leaves there: bench_tc_leave
//! ```
//!
//! The senders are attached to nothing: the kernel runs them on frames of its own making and sends what
//! they return (`BPF_PROG_TEST_RUN` with live frames), which takes no system call and no allocation a
//! packet.
#![no_std]
#![no_main]

mod frame;
mod maps;
mod middle;
mod receive;
mod send;

use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};

/// Writes the next packet from inside.
#[xdp]
fn bench_send_egress(ctx: XdpContext) -> u32 {
    send::egress(&ctx)
}

/// Writes the next packet from outside, to where its flow is known to be reached.
#[xdp]
fn bench_send_ingress(ctx: XdpContext) -> u32 {
    send::ingress(&ctx)
}

/// Counts, checks and drops what arrives outside.
#[xdp]
fn bench_receive_outside(ctx: XdpContext) -> u32 {
    receive::outside(&ctx)
}

/// Counts, checks and drops what arrives inside.
#[xdp]
fn bench_receive_inside(ctx: XdpContext) -> u32 {
    receive::inside(&ctx)
}

/// Sends everything on from inside to outside.
#[xdp]
fn bench_redirect_out(ctx: XdpContext) -> u32 {
    middle::redirect_out(&ctx)
}

/// Sends everything on from outside to inside.
#[xdp]
fn bench_redirect_in(ctx: XdpContext) -> u32 {
    middle::redirect_in(&ctx)
}

/// Sends everything on from inside to outside, on TC.
#[classifier]
fn bench_tc_redirect_out(ctx: TcContext) -> i32 {
    middle::tc_redirect_out(&ctx)
}

/// Sends everything on from outside to inside, on TC.
#[classifier]
fn bench_tc_redirect_in(ctx: TcContext) -> i32 {
    middle::tc_redirect_in(&ctx)
}

/// Lets everything leave, as what the redirect sent or as the host's.
#[classifier]
fn bench_tc_leave(ctx: TcContext) -> i32 {
    middle::tc_leave(&ctx)
}

/// Counts and drops everything.
#[xdp]
fn bench_drop(_ctx: XdpContext) -> u32 {
    middle::drop()
}

/// Nothing here panics: the linker removes this, and the verifier would refuse the loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel offers some helpers to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
