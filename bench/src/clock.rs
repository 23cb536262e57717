//! The only clock of the bench.

use core::time::Duration;
use std::thread;
use std::time::Instant;

/// Time since it was started.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    start: Instant,
}

impl Stopwatch {
    /// Starts one.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "measuring is reading the clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The time since.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Sleeps until so much time has passed since the start; not at all if it has.
    pub fn wait_until(&self, elapsed: Duration) {
        if let Some(left) = elapsed.checked_sub(self.elapsed()) {
            thread::sleep(left);
        }
    }
}
