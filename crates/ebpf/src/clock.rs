//! The time.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use masq_flow::Header;

/// Nanoseconds of `CLOCK_MONOTONIC`, to a tick, at the price of a load.
#[inline(always)]
pub(crate) fn now(header: &Header) -> u64 {
    header.clock.now(ticks, exact)
}

/// The same by a call, for what is not done for every packet.
#[inline(always)]
pub(crate) fn asked() -> u64 {
    // SAFETY: the helper only reads the clock.
    unsafe { bpf_ktime_get_coarse_ns() }
}

#[inline(always)]
fn ticks() -> u64 {
    // SAFETY: the helper only reads a number.
    unsafe { bpf_jiffies64() }
}

#[inline(always)]
fn exact() -> u64 {
    // SAFETY: the helper only reads the clock.
    unsafe { bpf_ktime_get_ns() }
}
