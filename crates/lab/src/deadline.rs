//! Waiting: always for a condition, always with an end.
//!
//! Tests that sleep are slow when all is well and wrong when the machine is busy. Everything here
//! asks again until the answer is yes, or says what was awaited when time is up.

use core::fmt::Display;
use core::time::Duration;
use std::sync::LazyLock;
use std::time::Instant;
use std::{env, thread};

use crate::{Error, Result};

/// What a busy machine with two cores may need for anything that should be immediate.
pub const SOON: Patience = Patience(10);

/// For transfers and programs that do real work.
pub const LATER: Patience = Patience(60);

/// For a gateway that starts.
pub(crate) const READY: Patience = Patience(20);

/// Seconds on an ordinary machine; `$MASQ_TEST_PATIENCE` times as many where it is set, since an emulated
/// processor is slow. Bounds that are part of what a test shows are plain durations, and are what they are.
#[derive(Clone, Copy, Debug)]
pub struct Patience(u32);

impl Patience {
    /// How long that is on this machine.
    ///
    /// # Panics
    ///
    /// When `$MASQ_TEST_PATIENCE` is no number from 1 to 100.
    #[must_use]
    pub fn allowed(self) -> Duration {
        Duration::from_secs(1) * self.0 * *FACTOR
    }
}

impl From<Patience> for Duration {
    fn from(patience: Patience) -> Self {
        patience.allowed()
    }
}

static FACTOR: LazyLock<u32> =
    LazyLock::new(|| factor(env::var("MASQ_TEST_PATIENCE").ok().as_deref()));

fn factor(said: Option<&str>) -> u32 {
    let Some(said) = said else { return 1 };
    let number = said.parse().ok().filter(|number| (1..=100).contains(number));
    number.unwrap_or_else(|| panic!("MASQ_TEST_PATIENCE is a number from 1 to 100, not `{said}`"))
}

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
    pub fn after(allowed: impl Into<Duration>) -> Self {
        Self { start: Instant::now(), allowed: allowed.into() }
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
    allowed: impl Into<Duration>,
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
    allowed: impl Into<Duration>,
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
    fn patience_is_as_many_times_as_long_as_the_environment_says() {
        assert_eq!([None, Some("1"), Some("4")].map(factor), [1, 1, 4]);
        for nonsense in ["", "0", "four", "1000"] {
            assert!(std::panic::catch_unwind(|| factor(Some(nonsense))).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_missed_deadline_says_what_was_awaited() {
        let missed = wait_until("pigs fly", Duration::from_millis(3), || false).unwrap_err();
        assert_eq!(missed.to_string(), "waited 3ms in vain until pigs fly");
    }
}
