//! The time.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use masq_flow::Header;

/// Nanoseconds of `CLOCK_MONOTONIC`, to a tick, at the price of a load.
#[inline(always)]
pub(crate) fn now(header: &Header) -> u64 {
    // SAFETY: the helper only reads a number.
    let ticks = unsafe { bpf_jiffies64() };
    header.clock.now(ticks, asked)
}

/// The same by a call, for what is not done for every packet.
#[inline(always)]
pub(crate) fn asked() -> u64 {
    // SAFETY: the helper only reads the clock.
    unsafe { bpf_ktime_get_coarse_ns() }
}
