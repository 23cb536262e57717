//! Waiting: always for a condition, always with an end.
//!
//! Tests that sleep are slow when all is well and wrong when the machine is busy. Everything here
//! asks again until the answer is yes, or says what was awaited when time is up.

use core::fmt::Display;
use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::{Error, Result};

/// What a busy machine with two cores may need for anything that should be immediate.
pub const SOON: Duration = Duration::from_secs(10);

/// For transfers and programs that do real work.
pub const LATER: Duration = Duration::from_secs(60);

/// A moment by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    allowed: Duration,
}

impl Deadline {
    /// A deadline `allowed` from here.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the lab waits for real programs in real time")]
    pub fn after(allowed: Duration) -> Self {
        Self { start: Instant::now(), allowed }
    }

    /// The time since the deadline was set.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time that is left, or `None` when it has passed.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.allowed.checked_sub(self.elapsed()).filter(|left| !left.is_zero())
    }

    /// The failure to report when the time is up.
    pub fn missed(&self, what: impl Display, detail: impl Display) -> Error {
        let detail = detail.to_string();
        let detail = if detail.is_empty() { detail } else { format!("\n{detail}") };
        Error::Deadline { what: what.to_string(), waited: self.allowed, detail }
    }
}

/// Asks until there is an answer.
///
/// # Errors
///
/// When there is none within `allowed`. `what` says for what was waited, as a clause: "the
/// gateway answers".
pub fn wait_for<T>(
    what: impl Display,
    allowed: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Deadline::after(allowed);
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        let Some(left) = deadline.left() else { return Err(deadline.missed(what, "")) };
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Waits until a condition holds.
///
/// # Errors
///
/// When it does not within `allowed`.
pub fn wait_until(
    what: impl Display,
    allowed: Duration,
    mut holds: impl FnMut() -> bool,
) -> Result<()> {
    wait_for(what, allowed, || holds().then_some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_the_waiting() {
        let mut asked = 0;
        let answer = wait_for("it was asked three times", SOON, || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn a_missed_deadline_says_what_was_awaited() {
        let missed = wait_until("pigs fly", Duration::from_millis(3), || false).unwrap_err();
        assert_eq!(missed.to_string(), "waited 3ms in vain until pigs fly");
    }
}
