//! The daemon's one clock.

use masq_core::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Reads `CLOCK_MONOTONIC`, the clock by which the eBPF programs stamp records.
pub(crate) fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
