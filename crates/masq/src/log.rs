//! Logs, on standard error.
//!
//! Fields, not formatted text; addresses not above DEBUG; a packet at TRACE only. Under systemd lines
//! carry no time, because the journal has its own.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use masq_config::Report;
use tracing_subscriber::EnvFilter;

pub(crate) fn start(filter: &str) -> Result<()> {
    let filter: EnvFilter = filter.parse().with_context(|| {
        format!("--log {filter}: write a level or a filter: info, masq_core=trace")
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.without_time().init();
    } else {
        lines.init();
    }
    Ok(())
}

/// A configuration's warnings, a line each.
pub(crate) fn warnings(report: &Report) {
    for problem in report.problems() {
        let line = report.place(problem).map(|(line, _)| line);
        tracing::warn!(line, help = problem.help, "configuration: {}", problem.message);
    }
}
