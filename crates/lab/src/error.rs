//! What can go wrong while a lab is built or used, each with what was tried.

use core::time::Duration;
use std::io;

/// A result of the lab.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why the lab could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call or a file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A program ended with failure.
    #[error("`{command}` in {place} failed ({status})\n{output}")]
    Program {
        /// The command line.
        command: String,
        /// The host it ran on.
        place: String,
        /// Its exit status.
        status: String,
        /// What it printed, standard error last.
        output: String,
    },
    /// Something awaited did not happen in time.
    #[error("waited {waited:?} in vain until {what}{detail}")]
    Deadline {
        /// The condition, as a clause.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen at the end, with its own line break before it.
        detail: String,
    },
    /// A peer got something else than what was sent to it.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// What was compared.
        what: String,
        /// What should have come.
        expected: String,
        /// What came.
        got: String,
    },
    /// An address or a packet left that should have stayed inside.
    #[error("inside addresses were seen outside:\n{0}")]
    Leak(String),
    /// This system cannot carry a lab.
    #[error("{0}")]
    Unavailable(String),
}

/// Adds to a failed system call what it was for.
pub(crate) trait Context<T> {
    /// Names the attempt; called only upon failure.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source: source.into() })
    }
}
