//! `setup`: everything that building, testing and the demo need, installed when it is not there.
//!
//! Nothing is asked of the network, and no package manager is started, while nothing is missing:
//! whether a thing is there is read off the file system.

use core::time::Duration;
use std::path::Path;

use anyhow::Result;

use crate::toolchain::{self, Toolchain};
use crate::{apt, say, tools};

/// Installs what is missing and returns the toolchain for the eBPF programs.
///
/// # Errors
/// Something is missing and cannot be installed; the message says what to do.
pub(crate) fn run(root: &Path) -> Result<Toolchain> {
    let tools = tools::missing();
    if let (true, Some(toolchain)) = (tools.is_empty(), toolchain::find(root)) {
        return Ok(toolchain);
    }

    say::status("Setting up", "what this machine lacks; only the first time takes long");
    if !tools.is_empty() {
        apt::may_install(&tools)?;
        apt::refresh();
        apt::install(&tools)?;
    }
    let toolchain = match toolchain::find(root) {
        Some(toolchain) => toolchain,
        None => toolchain::install(root, &tools)?,
    };
    say::status("Ready", "everything is installed");
    Ok(toolchain)
}

/// A time as people say it: `about a minute`.
pub(crate) fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=89 => format!("about {seconds} seconds"),
        seconds => format!("about {} minutes", seconds.div_ceil(60)),
    }
}
