//! `demo`: `masq demo`, from nothing.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::{ebpf, process, say};

/// Sets up, builds, and runs the demo with the arguments given. Its exit code becomes ours.
///
/// # Errors
/// Set-up or build fail, or there is no right to make networks.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    if !process::is_root() {
        bail!("the demo makes its own networks and loads programs into the kernel: run it as root");
    }
    ebpf::run(root)?;
    say::status("Building", "masq");
    // The tests' profile: what one of the two commands has compiled, the other need not.
    process::run(process::cargo(root).args(["build", "--package", "masq"]))
        .context("masq could not be built")?;
    let status = process::cargo(root)
        .args(["run", "--quiet", "--package", "masq", "--", "demo"])
        .args(arguments)
        .status()
        .context("masq could not be started")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
