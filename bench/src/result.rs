//! What a run of the bench found: the model behind the table, the JSON and the plots.
//!
//! A *row* is one figure of one subject: a scenario, with its direction and parameters, and one sample
//! for each round. Subjects take turns within a round, so the samples of one round belong together: a
//! ratio is taken round by round, and the median of the ratios counts. Every sample comes with the
//! counters that prove who carried the packets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::floor::Floor;
use crate::subject::Subject;

/// A run of the bench.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Run {
    /// What it ran on.
    pub machine: Machine,
    /// The kernel's release.
    pub kernel: String,
    /// The commit of what was measured; with `+` if files had been changed since.
    pub commit: String,
    /// When, in UTC: `2026-01-31T12:00:00Z`.
    pub date: String,
    /// How many rounds were asked for.
    pub rounds: u32,
    /// Whether this was a smoke run, whose figures mean nothing.
    pub quick: bool,
    /// What was found.
    pub rows: Vec<Row>,
    /// What must hold, and whether it does.
    pub floors: Vec<Floor>,
    /// What readers of the whole run should know: scenarios that could not run, and why.
    pub notes: Vec<String>,
}

/// The machine, as far as it matters to the figures.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// How many processors the kernel offers.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
}

/// One figure of one subject.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Row {
    /// What was measured of whom.
    #[serde(flatten)]
    pub series: Series,
    /// One sample for each round, in the order of rounds.
    pub samples: Vec<f64>,
    /// Counters of all samples together: who carried the packets.
    pub proof: BTreeMap<String, u64>,
    /// What readers of this row should know; each said once.
    pub notes: Vec<String>,
}

/// What a row is about: rows with equal fields but for the subject are compared.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Series {
    /// The scenario's name, for filters and floors: `udp`.
    pub scenario: String,
    /// The same for readers: "60-byte UDP, 4,096 flows".
    pub title: String,
    /// What the samples count: `packets/s`.
    pub unit: String,
    /// Which way the packets went.
    pub direction: Direction,
    /// What distinguishes rows of one scenario: `flows` → 4096, `cpus` → 1.
    pub parameters: BTreeMap<String, u64>,
    /// Whose figure it is.
    pub subject: Subject,
}

/// Which way packets went.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From inside to outside.
    Egress,
    /// From outside to inside.
    Ingress,
    /// From one inside network to another.
    Across,
    /// Requests one way and answers the other.
    Both,
}

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The figure.
    pub value: f64,
    /// Counters that prove who carried the packets.
    pub proof: BTreeMap<String, u64>,
    /// What readers should know about it.
    pub notes: Vec<String>,
}

impl Sample {
    /// A figure with its proof.
    #[must_use]
    pub fn new(value: f64, proof: BTreeMap<String, u64>) -> Self {
        Self { value, proof, notes: Vec::new() }
    }

    /// With something that readers should know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl Direction {
    /// Its name in results.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
            Self::Across => "across",
            Self::Both => "both",
        }
    }
}

impl Series {
    /// A series of a scenario; parameters are added by [`Self::with`].
    #[must_use]
    pub fn new(
        scenario: &str,
        title: impl Into<String>,
        unit: &str,
        direction: Direction,
        subject: Subject,
    ) -> Self {
        Self {
            scenario: scenario.to_owned(),
            title: title.into(),
            unit: unit.to_owned(),
            direction,
            parameters: BTreeMap::new(),
            subject,
        }
    }

    /// With a parameter.
    #[must_use]
    pub fn with(mut self, parameter: &str, value: u64) -> Self {
        self.parameters.insert(parameter.to_owned(), value);
        self
    }
}

impl Run {
    /// Adds a sample to the row of its series, which begins with it if need be.
    pub fn add(&mut self, series: Series, sample: Sample) {
        let at = match self.rows.iter().position(|row| row.series == series) {
            Some(at) => at,
            None => {
                let row =
                    Row { series, samples: Vec::new(), proof: BTreeMap::new(), notes: Vec::new() };
                self.rows.push(row);
                self.rows.len() - 1
            }
        };
        let row = &mut self.rows[at];
        row.samples.push(sample.value);
        for (counter, count) in sample.proof {
            *row.proof.entry(counter).or_default() += count;
        }
        for note in sample.notes {
            if !row.notes.contains(&note) {
                row.notes.push(note);
            }
        }
    }

    /// The row of a scenario with these parameters (others may have any value), if it was measured.
    #[must_use]
    pub fn row(
        &self,
        scenario: &str,
        subject: Subject,
        direction: Direction,
        parameters: &[(&str, u64)],
    ) -> Option<&Row> {
        self.rows.iter().find(|Row { series, .. }| {
            series.scenario == scenario
                && series.subject == subject
                && series.direction == direction
                && parameters
                    .iter()
                    .all(|(name, value)| series.parameters.get(*name) == Some(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_series_come_together_and_their_proofs_add_up() {
        let mut run = empty();
        let series = Series::new("udp", "UDP", "packets/s", Direction::Egress, Subject::Nft);
        let series = series.with("flows", 4096);
        for value in [1.0, 3.0] {
            let proof = BTreeMap::from([("received".to_owned(), 10)]);
            run.add(series.clone(), Sample::new(value, proof).note("once"));
        }
        run.add(Series { subject: Subject::Forward, ..series }, Sample::new(5.0, BTreeMap::new()));

        assert_eq!(run.rows.len(), 2);
        let row = run.row("udp", Subject::Nft, Direction::Egress, &[("flows", 4096)]).unwrap();
        assert_eq!((&row.samples[..], row.proof["received"]), (&[1.0, 3.0][..], 20));
        assert_eq!(row.notes, ["once"]);
        assert!(run.row("udp", Subject::Nft, Direction::Egress, &[("flows", 1)]).is_none());
    }

    #[test]
    fn a_run_survives_its_json() {
        let mut run = empty();
        let series = Series::new("udp", "UDP", "packets/s", Direction::Ingress, Subject::MasqXdp);
        run.add(series, Sample::new(0.5, BTreeMap::from([("wrong".to_owned(), 0)])));
        let text = serde_json::to_string(&run).unwrap();
        assert!(text.contains(r#""subject":"masq-xdp""#), "{text}");
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
    }

    fn empty() -> Run {
        Run {
            machine: Machine::default(),
            kernel: String::new(),
            commit: String::new(),
            date: String::new(),
            rounds: 2,
            quick: true,
            rows: Vec::new(),
            floors: Vec::new(),
            notes: Vec::new(),
        }
    }
}
