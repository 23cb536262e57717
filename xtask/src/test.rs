//! `test`: every test, in a way that none can be skipped.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{ebpf, process, say};

/// Sets up, builds the programs, runs the tests, and checks the generated documents.
///
/// # Errors
/// The first of these that fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    ebpf::run(root)?;
    if !process::is_root() {
        say::warning("without root the lab cannot make its networks; those tests will fail");
    }
    process::run(
        process::cargo(root)
            .args(["test", "--workspace"])
            .args(arguments)
            // Where networks cannot be made, a lab test fails. It must not pass by doing nothing.
            .env("MASQ_REQUIRE_NETNS", "1"),
    )
    .context("some tests failed")?;
    say::status("Passed", "all tests");
    Ok(())
}
