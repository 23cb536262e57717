//! Debian packages: asked for by name, installed together, explained when that fails.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{process, say};

/// Whether this system installs its packages with apt.
pub(crate) fn is_here() -> bool {
    process::find("apt-get").is_some()
}

/// The version that would be installed, from the package lists as they are.
pub(crate) fn candidate(package: &str) -> Option<String> {
    let text = process::output_of(&process::find("apt-cache")?, &["policy", package])?;
    let version = text.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Refreshes the package lists. A failure is only a warning: the lists at hand may be enough.
pub(crate) fn refresh() {
    say::status("Updating", "package lists (apt-get update)");
    if let Err(error) = process::run_quietly(apt_get().args(["-q", "update"])) {
        say::warning(&format!("{error}"));
    }
}

/// Installs packages, all in one go. The lists must be fresh.
///
/// # Errors
/// Not root, no apt, or apt fails: each says what to do.
pub(crate) fn install(packages: &[String]) -> Result<()> {
    may_install(packages)?;
    say::status("Installing", &packages.join(", "));
    process::run_quietly(
        apt_get().args(["-q", "-y", "--no-install-recommends", "install"]).args(packages),
    )
    .with_context(|| {
        format!(
            "some packages could not be installed; `apt-get install {}` by hand shows why \
             (is the network up, are the package sources complete?), then run this again",
            packages.join(" ")
        )
    })
}

/// Refuses early, before anything is changed, when packages cannot be installed.
///
/// # Errors
/// Not Debian-like, or not root.
pub(crate) fn may_install(packages: &[String]) -> Result<()> {
    let list = packages.join(" ");
    if !is_here() {
        bail!(
            "this system has no apt-get; install what Debian calls `{list}` with its own package \
             manager, then run this again"
        );
    }
    if !process::is_root() {
        bail!(
            "installing packages takes root; run this as root, or run \
             `sudo apt-get install --no-install-recommends {list}` and then this again"
        );
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("PATH", process::path())
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Another apt may be at work on a machine that was just started.
        .args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}
