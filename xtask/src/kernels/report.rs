//! What the machine says of its tests, told as it comes, and counted.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::say;

/// The tests of one kernel so far.
#[derive(Debug)]
pub(crate) struct Report {
    /// What was heard, whole.
    log: File,
    /// What the test that runs has printed, if it is known to have failed.
    printed: Vec<String>,
    running: Option<String>,
    expected: usize,
    passed: usize,
    skipped: usize,
    /// The names of those that failed.
    failed: Vec<String>,
    complaints: Vec<String>,
}

impl Report {
    /// Begins one of so many tests, with a log.
    ///
    /// # Errors
    /// The log cannot be written.
    pub(crate) fn begin(expected: usize, log: &Path) -> Result<Self> {
        Ok(Self {
            log: File::create(log).with_context(|| format!("{}", log.display()))?,
            printed: Vec::new(),
            running: None,
            expected,
            passed: 0,
            skipped: 0,
            failed: Vec::new(),
            complaints: Vec::new(),
        })
    }

    /// Takes in a line of the machine.
    pub(crate) fn hear(&mut self, line: &str) {
        let _ = writeln!(self.log, "{line}");
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "UP" => {
                let (release, seconds) = rest.split_once(' ').unwrap_or((rest, "?"));
                say::status(
                    "Running",
                    &format!("the tests; Linux {release} was up after {seconds} s"),
                );
            }
            "START" => self.running = Some(rest.to_owned()),
            "LOG" => self.printed.push(rest.to_owned()),
            "RESULT" => self.ended(rest),
            "KERNEL" => self.complaints.push(rest.to_owned()),
            // What the kernel lacks is for the log, and what is empty for nobody.
            _ => {}
        }
    }

    /// `pass 3.2 scenarios::masq_on_tc::ping_is_answered reason`.
    fn ended(&mut self, text: &str) {
        let mut words = text.splitn(4, ' ');
        let [verdict, seconds, name, reason] = core::array::from_fn(|_| words.next().unwrap_or(""));
        self.running = None;
        let printed = core::mem::take(&mut self.printed);
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        say::line_of_output(&format!("{verdict:<4} {seconds:>6} s  {name}{reason}"));
        match verdict {
            "pass" => self.passed += 1,
            "skip" => self.skipped += 1,
            _ => {
                for line in telling(&printed) {
                    say::line_of_output(&format!("        {line}"));
                }
                self.failed.push(name.to_owned());
            }
        }
    }

    /// The test that was running, for a machine that ended too soon.
    pub(crate) fn running(&self) -> Option<&str> {
        self.running.as_deref()
    }

    /// Says how it went in all; whether all is well.
    pub(crate) fn sum_up(&self, kernel: &str) -> bool {
        for line in &self.complaints {
            say::warning(&format!("the kernel said: {line}"));
        }
        let missing = self.expected - self.passed - self.skipped - self.failed.len();
        let not_run = if missing > 0 { format!(", {missing} not run") } else { String::new() };
        let text = format!(
            "{kernel}: {} passed, {} failed, {} skipped{not_run}",
            self.passed,
            self.failed.len(),
            self.skipped
        );
        say::status(if self.is_well() { "Passed" } else { "Failed" }, &text);
        for name in &self.failed {
            say::status("", name);
        }
        self.is_well()
    }

    fn is_well(&self) -> bool {
        self.failed.is_empty() && self.passed + self.skipped == self.expected
    }
}

/// The part of a failed test's output that says why: from the panic on, else the end.
fn telling(printed: &[String]) -> &[String] {
    const LINES: usize = 12;
    let panic = printed.iter().position(|line| line.contains("panicked at"));
    let from = panic.unwrap_or_else(|| printed.len().saturating_sub(LINES));
    let shown = &printed[from..printed.len().min(from + LINES)];
    let end = shown.iter().position(|line| line.starts_with("note: run with `RUST_BACKTRACE"));
    &shown[..end.unwrap_or(shown.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(expected: usize, lines: &[&str]) -> Report {
        let mut report = Report::begin(expected, Path::new("/dev/null")).unwrap();
        lines.iter().for_each(|line| report.hear(line));
        report
    }

    #[test]
    fn all_is_well_when_every_test_has_passed_or_said_why_not() {
        let report = heard(
            2,
            &["UP 6.1 7.2", "RESULT pass 3.2 a::b ", "RESULT skip 0.1 a::c no XDP", "END 9"],
        );
        assert_eq!((report.passed, report.skipped), (1, 1));
        assert!(report.is_well());
    }

    #[test]
    fn a_test_that_failed_or_was_not_run_is_not_well() {
        assert!(!heard(1, &["LOG thread x panicked at y", "RESULT FAIL 3.2 a::b "]).is_well());
        let cut = heard(1, &["START a::b"]);
        assert!(!cut.is_well());
        assert_eq!(cut.running(), Some("a::b"));
    }

    #[test]
    fn what_is_shown_of_a_failure_begins_with_the_panic() {
        let printed: Vec<String> =
            ["before", "thread panicked at z", "because"].map(str::to_owned).to_vec();
        assert_eq!(telling(&printed), &printed[1..]);
        assert_eq!(telling(&printed[..1]), &printed[..1]);
    }
}
