//! The daemon's one clock.

use masq_core::Instant;
use rustix::time::{ClockId, clock_getres, clock_gettime};

/// Reads `CLOCK_MONOTONIC`, the clock by which the eBPF programs stamp records.
pub(crate) fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// How long one of the kernel's ticks is, in nanoseconds: that is what its coarse clocks resolve.
pub(crate) fn tick_ns() -> u64 {
    clock_getres(ClockId::MonotonicCoarse).tv_nsec as u64
}
