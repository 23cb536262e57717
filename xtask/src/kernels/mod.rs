//! `kernels`: the lab's scenarios and the programs' tests on Debian's own kernels, each test by itself, in qemu.
//!
//! ```text
//!   packages ──► modules ──┐
//!   tests ──► userland ────┼──► boot ──► report      one kernel after the other
//!        └──► job ─────────┘
//! ```

mod archive;
mod boot;
mod job;
mod modules;
mod packages;
mod report;
mod tests;
mod userland;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use self::packages::{KERNELS, Kernel};
use self::report::Report;
use self::tests::Test;
use crate::tools::Tool;
use crate::{apt, ebpf, say, tools};

const USAGE: &str = "\
Runs tests on Debian's own kernels in qemu, which emulates the processor where it has no KVM.

Usage: cargo xtask kernels [--small | --list] [VERSION]… [WORD]…

Versions (6.1 and 6.12 unless some are named; they are downloaded once, and not installed):";

const USAGE_OF_WORDS: &str = "
Words choose the tests that have one of them in their name, such as scenarios::masq_on_tc::ping_is_answered,
programs::fast::order:: or dataplane::attach::. Without words, all tests are run on 6.1 and 6.12, in an hour
or so for each.

  --small   the few tests that `.ci/run` runs, in five minutes
  --list    say which tests would be run

The results of each test are printed as it ends; what a failed one has printed is in target/kernels/VERSION-tests.log.";

/// What this takes beyond what building and testing take.
const TOOLS: &[Tool] = &[
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" },
    Tool { program: "busybox", package: "busybox" },
    Tool { program: "modprobe", package: "kmod" },
    Tool { program: "xz", package: "xz-utils" },
    Tool { program: "zstd", package: "zstd" },
    Tool { program: "strip", package: "binutils" },
    // Links that the scenarios lay.
    Tool { program: "wg", package: "wireguard-tools" },
    Tool { program: "pppd", package: "ppp" },
    Tool { program: "pppoe-server", package: "pppoe" },
];

/// The tests of `--small`: what differs between kernels, which is how programs are attached, what the verifier
/// takes, and what becomes of packets that other kernels made.
const SMALL: &[&str] = &[
    "programs::fast::same::",
    "programs::wire::",
    "scenarios::masq_on_tc::ping_is_answered",
    "scenarios::masq_on_tc::udp_is_echoed",
    "scenarios::daemon::a_crash_fails_closed_and_restarting_costs_no_connection",
    "scenarios::daemon::detaching_removes_every_trace",
    "scenarios::links::an_inside_on_a_vlan_is_served",
    "scenarios::fast::a_connection_goes_on_while_the_daemon_is_dead",
];

/// What was asked for.
#[derive(Debug, Default)]
struct Arguments<'a> {
    kernels: Vec<&'static Kernel>,
    words: Vec<&'a str>,
    list: bool,
}

/// Builds, boots each kernel, and runs the tests that were asked for. The exit code says whether all passed.
///
/// # Errors
/// Something that is needed cannot be had; or a machine ended before its tests.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help" | "help")) {
        say::usage(&usage());
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse(arguments)?;
    ebpf::run(root)?;
    let (masq, programs) = tests::build(root)?;
    if arguments.list {
        for kernel in &arguments.kernels {
            for test in tests::list(&programs, arguments.words(kernel))? {
                say::line_of_output(&format!("{} {}", kernel.name, test.name));
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    install()?;
    let below = root.join("target/kernels");
    fs::create_dir_all(&below).with_context(|| format!("{} cannot be made", below.display()))?;
    let userland = below.join("userland.cpio");
    userland::write(&masq, &programs, &userland)?;
    let mut all_well = true;
    for kernel in &arguments.kernels {
        let tests = tests::list(&programs, arguments.words(kernel))?;
        if tests.is_empty() {
            bail!(
                "no test has one of {:?} in its name; --list without words shows all",
                arguments.words
            );
        }
        all_well &= run_on(kernel, &tests, &userland, &below)?;
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs tests on a kernel; whether all is well.
fn run_on(kernel: &Kernel, tests: &[Test], userland: &Path, below: &Path) -> Result<bool> {
    let unpacked = kernel.unpack(below)?;
    let file = |ending: &str| below.join(format!("{}-{ending}", kernel.name));
    let (modules, job) = (file("modules.cpio"), file("job.cpio"));
    modules::write(&unpacked, &modules)?;
    job::write(tests, &job)?;
    let console = below.join(kernel.name).join("console");
    say::status("Booting", &format!("Linux {}, for {} tests", unpacked.release, tests.len()));
    let mut report = Report::begin(tests.len(), &file("tests.log"))?;
    let done =
        boot::run(&unpacked, &[userland, &modules, &job], &console, |line| report.hear(line));
    let is_well = report.sum_up(kernel.name);
    done.with_context(|| match report.running() {
        Some(test) => format!("Linux {} did not come to the end of {test}", unpacked.release),
        None => format!("Linux {} did not come to the end of its tests", unpacked.release),
    })?;
    Ok(is_well)
}

fn install() -> Result<()> {
    let missing = tools::missing_of(TOOLS);
    if missing.is_empty() {
        return Ok(());
    }
    apt::may_install(&missing)?;
    apt::refresh();
    apt::install(&missing)
}

fn usage() -> String {
    let kernels = KERNELS.iter().map(|kernel| format!("\n  {:<8}{}", kernel.name, kernel.about));
    format!("{USAGE}{}\n{USAGE_OF_WORDS}", kernels.collect::<String>())
}

impl<'a> Arguments<'a> {
    fn parse(arguments: &'a [String]) -> Result<Self> {
        let mut parsed = Self::default();
        for argument in arguments {
            let known = KERNELS.iter().find(|kernel| kernel.name == argument);
            match (argument.as_str(), known) {
                (_, Some(kernel)) => parsed.kernels.push(kernel),
                ("--list", None) => parsed.list = true,
                ("--small", None) => parsed.words.extend_from_slice(SMALL),
                (option, None) if option.starts_with('-') => {
                    bail!("unknown option `{option}`; --help says more")
                }
                (number, None) if number.starts_with(|first: char| first.is_ascii_digit()) => {
                    let names: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name).collect();
                    bail!("there is no kernel `{number}` here; there are {}", names.join(", "));
                }
                (word, None) => parsed.words.push(word),
            }
        }
        if parsed.kernels.is_empty() {
            parsed.kernels = KERNELS.iter().take(2).collect();
        }
        Ok(parsed)
    }

    fn words(&self, kernel: &Kernel) -> &[&'a str] {
        if self.words.is_empty() { kernel.usual } else { &self.words }
    }
}

#[cfg(test)]
mod tests_of_arguments {
    use super::*;

    fn parse(text: &str) -> Result<(Vec<&'static str>, usize, bool)> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let parsed = Arguments::parse(&words)?;
        let kernels = parsed.kernels.iter().map(|kernel| kernel.name).collect();
        Ok((kernels, parsed.words.len(), parsed.list))
    }

    #[test]
    fn versions_and_words_are_told_apart() {
        assert_eq!(parse("").unwrap(), (vec!["6.1", "6.12"], 0, false));
        assert_eq!(parse("full masq_on_tc ping --list").unwrap(), (vec!["full"], 2, true));
        assert_eq!(parse("--small").unwrap().1, SMALL.len());
        assert!(parse("6.7").unwrap_err().to_string().contains("6.12"));
        assert!(parse("--tiny").is_err());
    }
}
