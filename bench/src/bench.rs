//! A run in progress: what was asked for, and what has been found.

use core::time::Duration;
use std::io::{self, Write as _};

use crate::gateway::Gateway;
use crate::result::{Run, Sample, Series};
use crate::statistics::Summary;
use crate::subject::Subject;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rounds of each scenario.
    pub rounds: u32,
    /// As little as shows that everything works.
    pub quick: bool,
    /// With ten million flows as well, which takes memory and minutes.
    pub huge: bool,
    /// Only these numbers of flows; any if empty.
    pub flows: Vec<u32>,
    /// Only these subjects; all if empty.
    pub subjects: Vec<Subject>,
    /// The program that is measured.
    pub masq: std::path::PathBuf,
}

/// A run in progress.
#[derive(Debug)]
pub struct Bench {
    /// What was asked for.
    pub options: Options,
    /// What has been found.
    pub run: Run,
}

impl Bench {
    /// How long to measure once: `usual`, or a moment in a smoke run.
    #[must_use]
    pub fn lasting(&self, usual: Duration) -> Duration {
        if self.options.quick { usual.min(Duration::from_millis(60)) } else { usual }
    }

    /// The rounds of a scenario, numbered from 0.
    pub fn rounds(&self) -> core::ops::Range<u32> {
        0..if self.options.quick { 1 } else { self.options.rounds }
    }

    /// The same of a scenario whose figures differ so much from round to round that it takes so many.
    pub fn rounds_at_least(&self, least: u32) -> core::ops::Range<u32> {
        0..if self.options.quick { 1 } else { self.options.rounds.max(least) }
    }

    /// The subjects of these that are wanted and can run here. Tells about those that cannot.
    pub fn subjects(&mut self, of: &[Subject]) -> Vec<Subject> {
        let wanted = self.options.subjects.clone();
        let wanted = |subject: &&Subject| wanted.is_empty() || wanted.contains(subject);
        let mut able = Vec::new();
        for subject in of.iter().filter(wanted) {
            match Gateway::unavailable(*subject) {
                Some(why) => self.note(format!("{} is left out: {why}", subject.title())),
                None => able.push(*subject),
            }
        }
        able
    }

    /// Takes a sample over, and says so.
    pub fn add(&mut self, series: Series, sample: Sample) {
        let parameters: String =
            series.parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        progress(&format!(
            "{} {:<13} {}{parameters}: {:.4e} {}",
            series.scenario,
            series.subject,
            series.direction.id(),
            sample.value,
            series.unit
        ));
        self.run.add(series, sample);
    }

    /// Tells the readers of the whole run something, once.
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        progress(&note);
        if !self.run.notes.contains(&note) {
            self.run.notes.push(note);
        }
    }

    /// The median of a row that has been measured.
    #[must_use]
    pub fn median(&self, series: &Series) -> Option<f64> {
        let row = self.run.rows.iter().find(|row| row.series == *series)?;
        Summary::of(&row.samples).map(|summary| summary.median)
    }
}

/// A line for who waits.
pub fn progress(line: &str) {
    // That nobody reads it is no reason to stop.
    let _ = writeln!(io::stderr(), "{line}");
}
