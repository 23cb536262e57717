//! Stand-in until masq-core has it.
use core::time::Duration;
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Instant(u64);
impl Instant {
    pub const fn from_nanos(n: u64) -> Self {
        Self(n)
    }
    pub const fn saturating_sub(self, o: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(o.0))
    }
}
impl core::ops::Add<Duration> for Instant {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0 + d.as_nanos() as u64)
    }
}
