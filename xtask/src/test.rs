//! `test`: every test, in a way that none can be skipped.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{ebpf, process, requirements, say};

/// Sets up, builds the programs, runs the tests, and checks the generated documents.
///
/// # Errors
/// The first of these that fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    ebpf::run(root)?;
    if !process::is_root() {
        say::warning("without root the lab cannot make its networks; those tests will fail");
    }
    // The lab runs the program itself, which `cargo test` alone may leave unbuilt or old.
    process::run(process::cargo(root).args(["build", "--workspace"]))?;
    let (passed, outcomes) = process::run_tests(
        process::cargo(root)
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(arguments)
            // Where networks cannot be made, a lab test fails. It must not pass by doing nothing.
            .env("MASQ_REQUIRE_NETNS", "1"),
    )?;
    if !passed {
        bail!("some tests failed");
    }
    // With arguments only some tests ran, which says nothing of the page.
    if arguments.is_empty() {
        requirements::check(root, &outcomes)?;
    }
    say::status("Passed", "all tests");
    Ok(())
}
