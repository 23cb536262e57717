//! `bench`: how long the engine takes for a packet, and what it allocates.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{process, say};

/// Runs the benches; arguments go to `cargo bench`.
///
/// # Errors
/// They do not build, or one fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    say::status("Measuring", &format!("the engine alone (crates/core/benches), {}", machine()));
    process::run(process::cargo(root).args(["bench", "--package", "masq-core"]).args(arguments))
        .context("the benches failed")
}

/// What the figures belong to: without the machine they say nothing.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    format!("on {cores} × {model}, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}
