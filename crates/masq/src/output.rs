//! The one place that writes to standard output.
//!
//! A reader that goes away (`masq flows | head`) has had enough: a broken pipe ends the program with
//! success.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// Standard output was closed by its reader.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct Closed;

/// Prints text as it is and shows it at once.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Prints one value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string(value).context("cannot encode JSON")?;
    text.push('\n');
    print(&text)
}

/// Prints one value as JSON for people who asked for JSON.
pub(crate) fn pretty_json(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("cannot encode JSON")?;
    text.push('\n');
    print(&text)
}

pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints what failed, in one message: what was tried, why it failed, what to do.
#[expect(clippy::print_stderr, reason = "the one place that writes to standard error")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("masq: {error:#}");
}
