//! The engine's time: nanoseconds of `CLOCK_MONOTONIC`, handed in by whoever has a clock.
//!
//! The same clock stamps records on the fast path, to a tick of the kernel's ([`masq_flow::Clock`]), so
//! stamps and instants compare directly. A stamp may be later than the engine's `now`, which is sampled
//! once per batch, and by less than a tick later than it was: subtraction therefore saturates.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

pub use core::time::Duration;

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The machine's start.
    pub const ZERO: Self = Self(0);
    /// Later than every other.
    pub const FOREVER: Self = Self(u64::MAX);

    /// The instant so many nanoseconds after the machine's start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant so many seconds after the machine's start.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the machine's start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the machine's start.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Time since `earlier`; zero if that is later.
    #[must_use]
    pub const fn saturating_sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.as_secs(), self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::FOREVER + Duration::from_secs(1), Instant::FOREVER);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        let (early, late) = (Instant::from_secs(1), Instant::from_secs(3));
        assert_eq!(late.saturating_sub(early), Duration::from_secs(2));
        assert_eq!(early.saturating_sub(late), Duration::ZERO);
    }

    #[test]
    fn it_prints_as_the_kernel_log_does() {
        assert_eq!(Instant::from_nanos(1_000_000_002).to_string(), "1.000000002");
    }
}
