//! Runs the bench. `cargo xtask bench` builds what it needs and calls this.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use masq_bench::bench::{Bench, Options, progress};
use masq_bench::conntrack::Conntrack;
use masq_bench::result::Run;
use masq_bench::scenario::{self, Scenario};
use masq_bench::subject::Subject;
use masq_bench::{floor, host, page, report};
use masq_lab::Namespace;

/// Measures gateways side by side, in network namespaces of its own
#[derive(Debug, Parser)]
#[command(name = "masq-bench")]
struct Arguments {
    /// Only scenarios whose name contains this
    filter: Option<String>,

    /// Rounds of each scenario; single TCP streams with offloads take at least 15
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// A moment of everything, to see that it works; the figures mean nothing
    #[arg(long)]
    quick: bool,

    /// With ten million flows as well
    #[arg(long)]
    huge: bool,

    /// Only these numbers of flows, where a scenario has several
    #[arg(long, value_name = "N", value_delimiter = ',')]
    flows: Vec<u32>,

    /// Only these subjects, by their names in results
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = subject)]
    subjects: Vec<Subject>,

    /// Where to write the results: JSON, plots, and the page that shows them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// The program to measure [default: `masq` beside this one]
    #[arg(long, value_name = "FILE", env = "MASQ_BIN")]
    masq: Option<PathBuf>,

    /// Fail if a floor does not hold
    #[arg(long)]
    strict: bool,

    /// Only names the scenarios
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well: every scenario ran, and with `--strict` every floor holds that was measured.
fn run(arguments: Arguments) -> Result<bool> {
    let wanted = |scenario: &&&dyn Scenario| {
        arguments.filter.as_ref().is_none_or(|filter| scenario.id().contains(filter))
    };
    let scenarios: Vec<_> = scenario::ALL.iter().filter(wanted).collect();
    if scenarios.is_empty() {
        bail!("no scenario's name contains `{}`", arguments.filter.unwrap_or_default());
    }
    if arguments.list {
        for scenario in scenarios {
            say(&format!("{:12} {}\n", scenario.id(), scenario.about()))?;
        }
        return Ok(true);
    }
    let masq = match arguments.masq {
        Some(masq) => masq.canonicalize().with_context(|| format!("looking for {masq:?}"))?,
        None => masq_lab::masq_binary().context("there is no program `masq` beside this one")?,
    };
    let run = new_run(arguments.rounds, arguments.quick);
    let Arguments { rounds, quick, huge, flows, subjects, strict, out, .. } = arguments;
    let options = Options { rounds, quick, huge, flows, subjects, masq };
    // The table's size is a matter of the host's own network; everything else happens beside it.
    let connections = if options.huge { 12_000_000 } else { 2_200_000 };
    let _room = (!options.quick).then(|| Conntrack::widen(connections));
    let mut bench = Bench { options, run };
    let failed = Namespace::new()?.run(|| {
        let mut failed = 0;
        for scenario in scenarios {
            progress(&format!("── {}: {}", scenario.id(), scenario.about()));
            if let Err(error) = scenario.run(&mut bench) {
                // What others found is not lost for that.
                bench.note(format!("scenario {} failed: {error:#}", scenario.id()));
                failed += 1;
            }
        }
        failed
    });
    let mut run = bench.run;
    run.floors = floor::judge(&run);
    say(&report::text(&run))?;
    if let Some(folder) = out {
        page::publish(&run, &folder)?;
    }
    let broken = run.floors.iter().any(|floor| floor.holds == Some(false));
    Ok(failed == 0 && !(strict && broken))
}

fn new_run(rounds: u32, quick: bool) -> Run {
    Run {
        machine: host::machine(),
        kernel: host::kernel(),
        commit: host::commit(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))),
        date: host::date(),
        rounds: if quick { 1 } else { rounds },
        quick,
        rows: Vec::new(),
        floors: Vec::new(),
        notes: Vec::new(),
    }
}

fn subject(name: &str) -> Result<Subject, String> {
    let mut all = Subject::ALL.into_iter();
    all.find(|subject| subject.id() == name)
        .ok_or_else(|| format!("one of {}", Subject::ALL.map(Subject::id).join(", ")))
}

/// Standard output is for results.
fn say(text: &str) -> Result<()> {
    use std::io::Write as _;
    std::io::stdout().write_all(text.as_bytes()).context("printing")
}
