//! `fuzz`: inputs that nobody thought of, for a bounded time.
//!
//! libFuzzer needs no toolchain of its own: the instrumentation is LLVM's, and stable Rust passes the
//! flags on. A sanitizer would need more, and looks for what safe code does not do.
//!
//! What is found goes to `fuzz/regressions/TARGET`, where the test `regressions` runs it from then on;
//! the corpus is only an accelerator and stays below `target/`.

use core::time::Duration;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{apt, ebpf, process, say};

/// The targets, and what each is about.
const TARGETS: [(&str, &str); 5] = [
    ("config", "any text as masq.toml"),
    ("differential", "the engine alone against the engine behind the eBPF programs; needs root"),
    ("engine", "the engine on a bad network against a simple model"),
    ("table", "damaged flow tables are adopted"),
    ("wire", "any bytes as a packet"),
];

/// How long a target runs unless told otherwise.
const USUAL: Duration = Duration::from_secs(60);

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    targets: Vec<&'static str>,
    each: Duration,
    input: Option<PathBuf>,
}

/// Builds the targets and runs one or all of them; or runs one input.
///
/// # Errors
/// They do not build, or something was found.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let arguments = Arguments::parse(arguments)?;
    if process::find("c++").is_none() {
        // libFuzzer itself is C++ and is built from source.
        let packages = ["g++".to_owned()];
        apt::may_install(&packages)?;
        apt::refresh();
        apt::install(&packages)?;
    }
    ebpf::run(root)?;
    let programs = build(root)?;
    if let Some(input) = &arguments.input {
        let [target] = arguments.targets[..] else {
            bail!("an input belongs to one target: `cargo xtask fuzz TARGET FILE`");
        };
        say::status("Running", &format!("{target} on {}", input.display()));
        return process::run(std::process::Command::new(programs.join(target)).arg(input));
    }
    for target in arguments.targets {
        fuzz(root, &programs, target, arguments.each)?;
    }
    Ok(())
}

/// Builds all targets with instrumentation; gives the folder of the programs.
fn build(root: &Path) -> Result<PathBuf> {
    say::status("Building", "the fuzz targets");
    let folder = root.join("target/fuzz");
    // What cargo-fuzz passes, without a sanitizer.
    let flags = [
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
        "-Ccodegen-units=1",
        "--cfg=fuzzing",
    ];
    let target = host(root)?;
    process::run(
        process::cargo(root)
            .args(["build", "--release", "--quiet", "--bins", "--target", &target])
            .arg("--manifest-path")
            .arg(root.join("fuzz/libfuzzer/Cargo.toml"))
            .arg("--target-dir")
            .arg(&folder)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR"),
    )
    .context("the fuzz targets could not be built")?;
    Ok(folder.join(target).join("release"))
}

/// The compiler's own target; naming it keeps the flags from build scripts and macros.
fn host(root: &Path) -> Result<String> {
    let mut rustc = std::process::Command::new("rustc");
    let output = rustc.current_dir(root).arg("-vV").output().context("rustc cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say which host it is for")?.to_owned())
}

fn fuzz(root: &Path, programs: &Path, target: &str, time: Duration) -> Result<()> {
    if target == "differential" && !process::is_root() {
        say::warning("differential loads eBPF programs, which takes root: skipped");
        return Ok(());
    }
    say::status("Fuzzing", &format!("{target} for {} seconds", time.as_secs()));
    let corpus = root.join("target/fuzz/corpus").join(target);
    let regressions = root.join("fuzz/regressions").join(target);
    for folder in [&corpus, &regressions] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let found = process::run(
        std::process::Command::new(programs.join(target))
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-artifact_prefix={}/", regressions.display()))
            // A case that takes seconds has found a loop.
            .args(["-timeout=20", "-max_len=4096", "-print_final_stats=1", "-verbosity=1"])
            .args([&corpus, &regressions])
            .env("PATH", process::path()),
    );
    found.with_context(|| {
        format!(
            "{target} found something; the input is the newest file in fuzz/regressions/{target}, \
             and `cargo xtask fuzz {target} FILE` runs it again"
        )
    })
}

impl Arguments {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut targets = Vec::new();
        let (mut each, mut input) = (USUAL, None);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let known = TARGETS.iter().find(|(name, _)| name == argument);
            match (argument.as_str(), known) {
                (_, Some((name, _))) => targets.push(*name),
                ("--seconds", None) => {
                    let seconds = rest.next().context("--seconds wants a number")?;
                    let number = seconds.parse().with_context(|| format!("{seconds} seconds?"))?;
                    each = Duration::from_secs(number);
                }
                (file, None) if Path::new(file).is_file() => input = Some(PathBuf::from(file)),
                (other, None) => {
                    let known = TARGETS.map(|(name, about)| format!("  {name:<14}{about}"));
                    bail!("there is no fuzz target `{other}`; there are:\n{}", known.join("\n"));
                }
            }
        }
        if targets.is_empty() {
            targets = TARGETS.map(|(name, _)| name).to_vec();
        }
        Ok(Self { targets, each, input })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn without_arguments_every_target_runs_for_the_usual_time() {
        let arguments = parse("").unwrap();
        assert_eq!((arguments.targets.len(), arguments.each), (TARGETS.len(), USUAL));
    }

    #[test]
    fn a_target_a_time_and_an_input() {
        let arguments = parse("wire --seconds 5").unwrap();
        assert_eq!((&arguments.targets[..], arguments.each.as_secs()), (&["wire"][..], 5));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(parse(&format!("wire {file}")).unwrap().input, Some(file.into()));
        assert!(parse("wires").unwrap_err().to_string().contains("differential"));
        assert!(parse("--seconds").is_err() && parse("--seconds x").is_err());
    }

    #[test]
    fn every_target_has_its_program() {
        let manifest = include_str!("../../fuzz/libfuzzer/Cargo.toml");
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")));
        }
    }
}
