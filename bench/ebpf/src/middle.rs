//! What stands where a gateway would: a redirect that translates nothing, and a drop.
//!
//! They set the scale. No gateway on XDP is cheaper than a redirect, and a drop is what the generator
//! costs by itself.

use aya_ebpf::bindings::xdp_action::XDP_DROP;
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::programs::XdpContext;
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

/// The end of everything.
#[inline(always)]
pub(crate) fn drop() -> u32 {
    maps::count_dropped();
    XDP_DROP
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
