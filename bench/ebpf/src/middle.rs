//! What stands where a gateway would: redirects that translate nothing, and a drop.
//!
//! They set the scale. No gateway on XDP or on TC is cheaper than a redirect there, and a drop is what the
//! generator costs by itself.
//!
//! On TC a gateway that shares its address with its host must tell, where packets leave, its own from the
//! host's. So what the redirect sends out bears a mark, and a program on the outside's egress takes it off.

use aya_ebpf::bindings::xdp_action::XDP_DROP;
use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::programs::{TcContext, XdpContext};
use masq_bench_packet::settings::station;

use crate::{frame, maps};

/// From inside to outside.
#[inline(always)]
pub(crate) fn redirect_out(ctx: &XdpContext) -> u32 {
    redirect(ctx, [station::RECEIVER, station::GATEWAY_OUTSIDE], 0)
}

/// From outside to inside.
#[inline(always)]
pub(crate) fn redirect_in(ctx: &XdpContext) -> u32 {
    redirect(ctx, [station::SENDER, station::GATEWAY_INSIDE], 1)
}

/// From inside to outside, on TC.
#[inline(always)]
pub(crate) fn tc_redirect_out(ctx: &TcContext) -> i32 {
    ctx.set_mark(MARK);
    tc_redirect(ctx, [station::RECEIVER, station::GATEWAY_OUTSIDE], 0)
}

/// From outside to inside, on TC.
#[inline(always)]
pub(crate) fn tc_redirect_in(ctx: &TcContext) -> i32 {
    tc_redirect(ctx, [station::SENDER, station::GATEWAY_INSIDE], 1)
}

/// Takes the mark off; what has none goes on as it is.
#[inline(always)]
pub(crate) fn tc_leave(ctx: &TcContext) -> i32 {
    // SAFETY: the kernel passes a valid context; the verifier turns this into a checked load.
    if unsafe { (*ctx.skb.skb).mark } == MARK {
        ctx.set_mark(0);
    }
    TC_ACT_UNSPEC
}

/// The end of everything.
#[inline(always)]
pub(crate) fn drop() -> u32 {
    maps::count_dropped();
    XDP_DROP
}

#[inline(always)]
fn tc_redirect(ctx: &TcContext, [to, from]: [usize; 2], way: usize) -> i32 {
    let Some(settings) = maps::settings() else { return TC_ACT_SHOT as i32 };
    let addresses = [settings.station(to), settings.station(from)];
    if frame::write_packet(ctx, addresses).is_none() {
        return TC_ACT_SHOT as i32;
    }
    // SAFETY: the helper takes plain numbers.
    unsafe { bpf_redirect(settings.redirect[way], 0) as i32 }
}

#[inline(always)]
fn redirect(ctx: &XdpContext, [to, from]: [usize; 2], way: usize) -> u32 {
    let Some(settings) = maps::settings() else { return XDP_DROP };
    let addresses = [settings.station(to), settings.station(from)];
    if frame::write(ctx, addresses).is_none() {
        return XDP_DROP;
    }
    // SAFETY: the helper takes plain numbers.
    unsafe { bpf_redirect(settings.redirect[way], 0) as u32 }
}

/// The mark of what the redirect sent. Nobody else in the lab marks packets.
const MARK: u32 = 0x6265_6e63;
