//! `bench`: gateways side by side on one lab; and the engine alone.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::{ebpf, process, say};

/// Measures: `engine` and arguments for `cargo bench`, or arguments for the bench itself. Its exit
/// code becomes ours.
///
/// # Errors
/// Something does not build, or there is no right to make networks.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    match arguments.split_first() {
        Some((first, rest)) if first == "engine" => engine(root, rest),
        _ => gateways(root, arguments),
    }
}

/// How long the engine takes for a packet, and what it allocates.
fn engine(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    say::status("Measuring", &format!("the engine alone (crates/core/benches), {}", machine()));
    process::run(process::cargo(root).args(["bench", "--package", "masq-core"]).args(arguments))
        .context("the benches failed")?;
    Ok(ExitCode::SUCCESS)
}

/// Plain forwarding, the kernel's masquerade, masq, and the bare redirects, in turn.
fn gateways(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    if !process::is_root() {
        bail!(
            "the bench makes its own networks and loads programs into the kernel: run it as root"
        );
    }
    ebpf::run(root)?;
    say::status("Building", "masq and the bench, as they are released");
    process::run(process::cargo(root).args([
        "build",
        "--release",
        "--package",
        "masq",
        "--package",
        BENCH,
    ]))
    .context("the bench could not be built")?;
    let mut command = process::cargo(root);
    command.args(["run", "--quiet", "--release", "--package", BENCH, "--"]).args(arguments);
    if is_whole(arguments) {
        command.arg("--out").arg(root.join(RESULTS));
        say::status("Measuring", &format!("{}; results go to {RESULTS}", machine()));
    } else {
        say::status("Measuring", &machine());
    }
    let status = command.status().context("the bench could not be started")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Whether a run is one to keep: everything, in several rounds, and to nowhere else.
fn is_whole(arguments: &[String]) -> bool {
    match arguments {
        [] => true,
        [option, _] => option == "--rounds",
        [option] => option.starts_with("--rounds="),
        _ => false,
    }
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

const BENCH: &str = "masq-bench";
/// Where the results of whole runs are kept.
const RESULTS: &str = "docs/performance";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_runs_replace_the_results() {
        let whole =
            |text: &str| is_whole(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert!(whole("") && whole("--rounds 5") && whole("--rounds=5"));
        assert!(!whole("udp") && !whole("--quick") && !whole("udp --rounds 5"));
        assert!(!whole("--out elsewhere"));
    }
}
