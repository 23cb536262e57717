//! `masq check`: judge a file and change nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use masq_config::{Judged, Overrides, Report, Severity, Source, judge};
use serde::Serialize;

use crate::cli;
use crate::output;

pub(crate) fn check(check: &cli::Check) -> Result<()> {
    if check.sample {
        return output::print(masq_config::SAMPLE);
    }
    let source = read(&check.file)?;
    let judged = judge(source, &Overrides::default());
    if check.output.json {
        output::pretty_json(&Verdict::new(&check.file, &judged))?;
        // The report is on standard output already, for a program to read.
        return judged.map(|_| ()).map_err(|_| anyhow!("{} cannot be used", check.file.display()));
    }
    match judged {
        Ok(Judged { warnings, .. }) => {
            let warnings = warnings.map(|report| format!("{report}\n")).unwrap_or_default();
            output::print(&format!("{warnings}{} can be used\n", check.file.display()))
        }
        Err(report) => Err(anyhow!(report)),
    }
}

/// # Errors
///
/// When there is no such file, with what can be done without one.
pub(crate) fn read(path: &Path) -> Result<Source> {
    let text = fs::read_to_string(path).with_context(|| {
        let hint = if path == Path::new(cli::DEFAULT_CONFIG) {
            "\nmasq runs without a file too: `masq run --inside IF --outside IF`; a complete file \
             is printed by `masq check --sample`\nthe cause"
        } else {
            ""
        };
        format!("cannot read {}{hint}", path.display())
    })?;
    Ok(Source { name: path.display().to_string(), text })
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Verdict {
    file: String,
    usable: bool,
    problems: Vec<ProblemView>,
}

#[derive(Debug, Serialize)]
struct ProblemView {
    severity: &'static str,
    line: Option<usize>,
    column: Option<usize>,
    message: String,
    help: Option<String>,
}

impl Verdict {
    fn new(file: &Path, judged: &Result<Judged, Report>) -> Self {
        let (usable, report) = match judged {
            Ok(judged) => (true, judged.warnings.as_ref()),
            Err(report) => (false, Some(report)),
        };
        let problems = report.map(problems).unwrap_or_default();
        Self { file: file.display().to_string(), usable, problems }
    }
}

fn problems(report: &Report) -> Vec<ProblemView> {
    let view = |problem: &masq_config::Problem| {
        let place = report.place(problem);
        ProblemView {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    };
    report.problems().iter().map(view).collect()
}
