//! The eBPF programs: which packets are the gateway's, and their way to the worker and back.
//!
//! ```text
//!   inside ──► masq_xdp ──► masq_ingress ──┐                             ┌──► out of the next hop's interface
//!                 │             │          ├─► punt port ─► worker ─► masq_return
//!  outside ──► masq_xdp ──► masq_ingress ──┘   masq_bulk_xdp  │          └──► the host itself (Local)
//!                 │             │                             └─ many at once, by XDP ─► masq_bulk_xdp
//!                 │             │
//!                 │             ├──► the kernel, untouched: whatever is not the gateway's
//!                 └─────────────┴──► fast path: out of the next hop's interface
//!
//!   the kernel, and TC's redirects ──► masq_egress ──► out of an outside interface
//! ```
//!
//! This file holds the entry points only. All decisions about a packet that concerns the gateway are
//! the engine's; the programs decide whether it concerns the gateway, and repeat for packets of a
//! session what the engine has decided about it. They fail closed: a packet that should be translated
//! and cannot reach the worker is dropped and counted, never forwarded as it is.
#![no_std]
#![no_main]

mod between;
mod bulk;
mod bytes;
mod clock;
mod counters;
mod egress;
mod fast;
mod host;
mod ingress;
mod maps;
mod parse;
mod punt;
mod reinject;
mod rewrite;
mod skb;
mod sockets;
mod table;
mod tc;
mod tokens;
mod transport;
mod xdp;

use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};

use crate::skb::Skb;

/// On the ingress of every inside and outside interface (TC).
#[classifier]
fn masq_ingress(ctx: TcContext) -> i32 {
    ingress::handle(Skb::new(&ctx))
}

/// On the egress of every outside interface (TC): what may leave, and whose it is.
#[classifier]
fn masq_egress(ctx: TcContext) -> i32 {
    egress::handle(Skb::new(&ctx))
}

/// Where packets of an inside or outside interface are complete, before anything else (XDP).
#[xdp]
fn masq_xdp(ctx: XdpContext) -> u32 {
    xdp::handle(&ctx)
}

/// On the ingress of both ends of the punt port (TC): what the worker sends back.
#[classifier]
fn masq_return(ctx: TcContext) -> i32 {
    reinject::handle(Skb::new(&ctx))
}

/// On the punt port's second end (XDP): hands punted frames to the worker's socket.
#[xdp]
fn masq_punt_xdp(ctx: XdpContext) -> u32 {
    punt::deliver(&ctx)
}

/// The same, and sends what the worker has for many devices at once (XDP, Linux 5.18).
#[xdp]
fn masq_bulk_xdp(ctx: XdpContext) -> u32 {
    if bulk::is_of_ours(&ctx) { bulk::next(&ctx) } else { punt::deliver(&ctx) }
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
