//! Which plots a run gives: from rows to pictures.
//!
//! A plot whose rows were not measured is left out. Every subject has the same colour and mark in all of
//! them.

use crate::result::{Direction, Row, Run, Series};
use crate::statistics::Summary;
use crate::subject::Subject;
use crate::svg::{Bars, Entry, Group, Lines, Value};

/// A picture in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// Its file's name.
    pub file: String,
    /// What it shows.
    pub title: String,
    /// The SVG document.
    pub svg: String,
}

/// Draws everything that there are rows for.
#[must_use]
pub fn draw(run: &Run) -> Vec<Plot> {
    let lines = LINES.iter().filter_map(|plan| plan.draw(run));
    lines.chain(BARS.iter().filter_map(|plan| plan.draw(run))).collect()
}

/// The files that [`draw`] may give.
pub fn files() -> impl Iterator<Item = &'static str> {
    LINES.iter().map(|plan| plan.file).chain(BARS.iter().map(|plan| plan.file))
}

/// The cost of a packet in each round: its time less that of a bare drop of the same generator.
///
/// The drop is that of as many flows, or else the one that was measured.
#[must_use]
pub fn costs(run: &Run, row: &Row) -> Option<Vec<f64>> {
    let Series { scenario, direction, parameters, .. } = &row.series;
    let parameters: Vec<(&str, u64)> =
        parameters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let drop = run
        .row(scenario, Subject::Drop, *direction, &parameters)
        .or_else(|| run.row(scenario, Subject::Drop, *direction, &[]))?;
    let rounds = row.samples.iter().zip(&drop.samples);
    Some(rounds.map(|(rate, drop)| 1.0 / rate - 1.0 / drop).collect())
}

/// Lines over a parameter.
struct LinePlan {
    file: &'static str,
    title: &'static str,
    scenario: &'static str,
    direction: Direction,
    parameter: &'static str,
    x_label: &'static str,
    y_label: &'static str,
    measure: Measure,
}

/// Bars in groups.
struct BarPlan {
    file: &'static str,
    title: &'static str,
    y_label: &'static str,
    decimals: usize,
    measure: Measure,
    groups: &'static [Pick],
}

/// Rows that stand together, one for each subject.
struct Pick {
    name: &'static str,
    scenario: &'static str,
    direction: Direction,
    parameters: &'static [(&'static str, u64)],
}

/// What is drawn of a row.
#[derive(Clone, Copy)]
enum Measure {
    /// Its samples, in other units.
    Samples(f64),
    /// The cost of a packet, in microseconds.
    Cost,
}

const LINES: &[LinePlan] = &[
    LinePlan {
        file: "udp-rate-out.svg",
        title: "60-byte UDP, inside to outside",
        scenario: "udp",
        direction: Direction::Egress,
        parameter: "flows",
        x_label: FLOWS,
        y_label: MPPS,
        measure: Measure::Samples(1e-6),
    },
    LinePlan {
        file: "udp-rate-in.svg",
        title: "60-byte UDP, outside to inside",
        scenario: "udp",
        direction: Direction::Ingress,
        parameter: "flows",
        x_label: FLOWS,
        y_label: MPPS,
        measure: Measure::Samples(1e-6),
    },
    LinePlan {
        file: "udp-cost.svg",
        title: "Cost of a packet by the number of sessions",
        scenario: "udp",
        direction: Direction::Egress,
        parameter: "flows",
        x_label: FLOWS,
        y_label: COST,
        measure: Measure::Cost,
    },
    LinePlan {
        file: "cpus.svg",
        title: "60-byte UDP by the number of processors that send",
        scenario: "cpus",
        direction: Direction::Egress,
        parameter: "cpus",
        x_label: "processors",
        y_label: MPPS,
        measure: Measure::Samples(1e-6),
    },
];

const BARS: &[BarPlan] = &[
    BarPlan {
        file: "packet-cost.svg",
        title: "Cost of a packet: 60-byte UDP, 4,096 flows",
        y_label: COST,
        decimals: 2,
        measure: Measure::Cost,
        groups: &[
            Pick {
                name: "inside to outside",
                scenario: "udp",
                direction: Direction::Egress,
                parameters: &[("flows", 4096)],
            },
            Pick {
                name: "outside to inside",
                scenario: "udp",
                direction: Direction::Ingress,
                parameters: &[("flows", 4096)],
            },
        ],
    },
    BarPlan {
        file: "tcp-bulk.svg",
        title: "TCP bulk",
        y_label: "Gbit/s",
        decimals: 1,
        measure: Measure::Samples(1e-9),
        groups: &[
            tcp("tcp-bulk", "1 stream out", Direction::Egress, &[("streams", 1)]),
            tcp("tcp-bulk", "1 stream in", Direction::Ingress, &[("streams", 1)]),
            tcp("tcp-bulk", "8 streams out", Direction::Egress, &[("streams", 8)]),
            tcp("tcp-bulk", "8 streams in", Direction::Ingress, &[("streams", 8)]),
        ],
    },
    BarPlan {
        file: "tcp-bulk-complete.svg",
        title: "TCP bulk, packets complete and cut by their senders (no offloads)",
        y_label: "Gbit/s",
        decimals: 1,
        measure: Measure::Samples(1e-9),
        groups: &[
            tcp("tcp-complete", "1 stream out", Direction::Egress, &[("streams", 1)]),
            tcp("tcp-complete", "1 stream in", Direction::Ingress, &[("streams", 1)]),
        ],
    },
    BarPlan {
        file: "new-flows.svg",
        title: "New UDP flows, a pool of 32 outside addresses",
        y_label: "thousand flows per second",
        decimals: 0,
        measure: Measure::Samples(1e-3),
        groups: &[Pick {
            name: "",
            scenario: "new-flows",
            direction: Direction::Egress,
            parameters: &[],
        }],
    },
    BarPlan {
        file: "connect.svg",
        title: "TCP connect and close, 4 clients",
        y_label: "thousand connections per second",
        decimals: 1,
        measure: Measure::Samples(1e-3),
        groups: &[Pick {
            name: "",
            scenario: "connect",
            direction: Direction::Both,
            parameters: &[("clients", 4)],
        }],
    },
    BarPlan {
        file: "latency.svg",
        title: "Request and response, alone",
        y_label: MICROSECONDS,
        decimals: 1,
        measure: Measure::Samples(1.0),
        groups: &[
            latency("UDP, p50", &[("udp", 1), ("percentile", 50), ("load", 0)]),
            latency("UDP, p99", &[("udp", 1), ("percentile", 99), ("load", 0)]),
            latency("TCP, p50", &[("udp", 0), ("percentile", 50), ("load", 0)]),
            latency("TCP, p99", &[("udp", 0), ("percentile", 99), ("load", 0)]),
        ],
    },
    BarPlan {
        file: "latency-load.svg",
        title: "Request and response beside other traffic",
        y_label: MICROSECONDS,
        decimals: 1,
        measure: Measure::Samples(1.0),
        groups: &[
            latency("UDP, p50", &[("udp", 1), ("percentile", 50), ("load", 1)]),
            latency("UDP, p99", &[("udp", 1), ("percentile", 99), ("load", 1)]),
            latency("TCP, p50", &[("udp", 0), ("percentile", 50), ("load", 1)]),
            latency("TCP, p99", &[("udp", 0), ("percentile", 99), ("load", 1)]),
        ],
    },
];

const FLOWS: &str = "established flows";
const MPPS: &str = "million packets per second";
const COST: &str = "µs per packet, less that of a drop";
const MICROSECONDS: &str = "µs from request to answer";

const fn tcp(
    scenario: &'static str,
    name: &'static str,
    direction: Direction,
    parameters: &'static [(&'static str, u64)],
) -> Pick {
    Pick { name, scenario, direction, parameters }
}

const fn latency(name: &'static str, parameters: &'static [(&'static str, u64)]) -> Pick {
    Pick { name, scenario: "latency", direction: Direction::Both, parameters }
}

impl LinePlan {
    fn draw(&self, run: &Run) -> Option<Plot> {
        let rows = |subject: Subject| {
            run.rows.iter().filter(move |Row { series, .. }| {
                series.scenario == self.scenario
                    && series.direction == self.direction
                    && series.subject == subject
            })
        };
        let point = |row: &Row| {
            let x = *row.series.parameters.get(self.parameter)?;
            Some((x as f64, self.measure.of(run, row)?))
        };
        let series: Vec<_> = Subject::ALL
            .into_iter()
            .map(|subject| (entry(subject), rows(subject).filter_map(point).collect::<Vec<_>>()))
            .filter(|(_, points)| !points.is_empty())
            .collect();
        if series.is_empty() {
            return None;
        }
        let lines = Lines {
            title: self.title.to_owned(),
            x_label: self.x_label.to_owned(),
            y_label: self.y_label.to_owned(),
            series,
        };
        Some(Plot { file: self.file.to_owned(), title: lines.title.clone(), svg: lines.draw() })
    }
}

impl BarPlan {
    fn draw(&self, run: &Run) -> Option<Plot> {
        let value = |pick: &Pick, subject: Subject| {
            let row = run.row(pick.scenario, subject, pick.direction, pick.parameters)?;
            self.measure.of(run, row)
        };
        let subjects: Vec<Subject> = Subject::ALL
            .into_iter()
            .filter(|subject| self.groups.iter().any(|pick| value(pick, *subject).is_some()))
            .collect();
        let groups: Vec<Group> = self
            .groups
            .iter()
            .map(|pick| Group {
                name: pick.name.to_owned(),
                values: subjects.iter().map(|subject| value(pick, *subject)).collect(),
            })
            .filter(|group| group.values.iter().any(Option::is_some))
            .collect();
        if groups.is_empty() {
            return None;
        }
        let bars = Bars {
            title: self.title.to_owned(),
            y_label: self.y_label.to_owned(),
            decimals: self.decimals,
            series: subjects.into_iter().map(entry).collect(),
            groups,
        };
        Some(Plot { file: self.file.to_owned(), title: bars.title.clone(), svg: bars.draw() })
    }
}

impl Measure {
    fn of(self, run: &Run, row: &Row) -> Option<Value> {
        match self {
            Self::Samples(factor) => value(&row.samples, factor),
            Self::Cost if row.series.subject == Subject::Drop => None,
            Self::Cost => value(&costs(run, row)?, 1e6),
        }
    }
}

fn value(samples: &[f64], factor: f64) -> Option<Value> {
    let Summary { median, lowest, highest, .. } = Summary::of(samples)?;
    Some(Value { median, lowest, highest }.scaled(factor))
}

fn entry(subject: Subject) -> Entry {
    let style = Subject::ALL.iter().position(|one| *one == subject).unwrap_or_default();
    Entry { name: subject.title().to_owned(), style }
}

const _: () = assert!(Subject::ALL.len() <= crate::svg::STYLES);
