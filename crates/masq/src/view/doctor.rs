//! `masq doctor`: what was looked at, and what to do.

use core::fmt::Write;

use masq_api::{DoctorReport, Outcome};

pub(crate) fn text(report: &DoctorReport) -> String {
    let width = report.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in &report.checks {
        let mark = match check.outcome {
            Outcome::Ok => "  ok",
            Outcome::Warning => "note",
            Outcome::Failure => "FAIL",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{mark}  {:<width$}  {}", check.name, check.found);
        if let Some(remedy) = &check.remedy {
            for line in remedy.lines() {
                let _ = writeln!(text, "      {:<width$}  -> {line}", "");
            }
        }
    }
    let verdict = match report.outcome() {
        Outcome::Ok => "This host is fit to run masq.",
        Outcome::Warning => "This host can run masq; the notes above are worth reading.",
        Outcome::Failure => "This host cannot run masq until the failures above are mended.",
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}

#[cfg(test)]
mod tests {
    use masq_api::Check;

    use super::*;

    #[test]
    fn findings_and_remedies_line_up() {
        let check = |name: &str, outcome, found: &str, remedy: Option<&str>| Check {
            name: name.into(),
            outcome,
            found: found.into(),
            remedy: remedy.map(Into::into),
        };
        let report = DoctorReport {
            checks: vec![
                check("kernel", Outcome::Ok, "Linux 6.1.0", None),
                check("bpffs", Outcome::Failure, "not mounted", Some("mount it\nor ask")),
            ],
        };
        insta::assert_snapshot!(text(&report), @r"
          ok  kernel  Linux 6.1.0
        FAIL  bpffs   not mounted
                      -> mount it
                      -> or ask

        This host cannot run masq until the failures above are mended.
        ");
    }
}
