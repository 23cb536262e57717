//! The floors: what must hold between the rows of one run.
//!
//! A ratio is taken between samples of the same round, and the median of the rounds counts: what the
//! machine did to one round it did to both. The *cost* of a packet is the time that it takes beyond what
//! the generator itself costs: 1/rate less 1/rate of a bare XDP drop of the same generator. Of what should
//! make no difference the loss is told by the spread of the rounds before: one spread is not to be seen.

use serde::{Deserialize, Serialize};

use crate::result::{Direction, Row, Run};
use crate::statistics::Summary;
use crate::subject::Subject;

/// A floor and what was found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Floor {
    /// Its name: `udp-tc`.
    pub id: String,
    /// What it says, for readers.
    pub text: String,
    /// The row above the line, or the only one.
    pub numerator: String,
    /// The row below the line, where there is one.
    pub denominator: Option<String>,
    /// Whether the limit is the least or the most that may be.
    pub bound: Bound,
    /// The limit.
    pub limit: f64,
    /// What was found, if its rows were measured: the median of the rounds.
    pub value: Option<f64>,
    /// What each round would say by itself.
    pub rounds: Vec<f64>,
    /// Whether it holds, if its rows were measured.
    pub holds: Option<bool>,
}

/// Which side of the limit is the good one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The value must be the limit or more.
    AtLeast,
    /// The value must be the limit or less.
    AtMost,
}

/// Judges a run by every floor.
#[must_use]
pub fn judge(run: &Run) -> Vec<Floor> {
    TABLE.iter().map(|spec| spec.judge(run)).collect()
}

/// How a floor is found in the rows.
struct Spec {
    id: &'static str,
    text: &'static str,
    of: Of,
    bound: Bound,
    limit: f64,
}

/// What is compared with the limit.
enum Of {
    /// The quotient of two rows.
    Ratio(Pick, Pick),
    /// The quotient of two costs, the drop being that of [`DROP`].
    Costs(Pick, Pick),
    /// How far the median of the second row is below that of the first, by the spread of the first.
    Spreads(Pick, Pick),
    /// A row itself.
    Row(Pick),
}

/// Names a row.
#[derive(Clone, Copy)]
struct Pick {
    scenario: &'static str,
    subject: Subject,
    direction: Direction,
    parameter: Option<(&'static str, u64)>,
}

const fn udp(subject: Subject, flows: u64) -> Pick {
    let parameter = Some(("flows", flows));
    Pick { scenario: "udp", subject, direction: Egress, parameter }
}

const fn egress(attached: u64) -> Pick {
    let parameter = Some(("attached", attached));
    Pick { scenario: "egress", subject: MasqTc, direction: Egress, parameter }
}

const fn insides(subject: Subject) -> Pick {
    let parameter = Some(("flows", 4096));
    Pick { scenario: "insides", subject, direction: Direction::Across, parameter }
}

const fn bulk(subject: Subject, direction: Direction) -> Pick {
    Pick { scenario: "tcp-bulk", subject, direction, parameter: Some(("streams", 1)) }
}

const fn connect(subject: Subject) -> Pick {
    let parameter = Some(("clients", 4));
    Pick { scenario: "connect", subject, direction: Direction::Both, parameter }
}

const fn alone(scenario: &'static str, subject: Subject) -> Pick {
    Pick { scenario, subject, direction: Egress, parameter: None }
}

const fn both(scenario: &'static str, subject: Subject) -> Pick {
    Pick { scenario, subject, direction: Direction::Both, parameter: None }
}

const DROP: Pick = udp(Subject::Drop, 4096);

const fn at_least(id: &'static str, text: &'static str, of: Of, limit: f64) -> Spec {
    Spec { id, text, of, bound: Bound::AtLeast, limit }
}

const fn at_most(id: &'static str, text: &'static str, of: Of, limit: f64) -> Spec {
    Spec { id, text, of, bound: Bound::AtMost, limit }
}

use Direction::{Egress, Ingress};
use Subject::{BareRedirect, BareTcRedirect, Forward, MasqTc, MasqXdp, Nft};

const TABLE: &[Spec] = &[
    at_least(
        "udp-tc",
        "60-byte UDP, 4,096 flows, packets/s: TC over nft",
        Of::Ratio(udp(MasqTc, 4096), udp(Nft, 4096)),
        1.4,
    ),
    at_least(
        "udp-xdp",
        "60-byte UDP, 4,096 flows, packets/s: XDP over nft",
        Of::Ratio(udp(MasqXdp, 4096), udp(Nft, 4096)),
        2.5,
    ),
    at_least(
        "udp-xdp-bare",
        "60-byte UDP, 4,096 flows, packets/s: XDP over the bare XDP redirect",
        Of::Ratio(udp(MasqXdp, 4096), udp(BareRedirect, 4096)),
        0.9,
    ),
    at_least(
        "udp-tc-bare",
        "60-byte UDP, 4,096 flows, packets/s: TC over the bare TC redirect",
        Of::Ratio(udp(MasqTc, 4096), udp(BareTcRedirect, 4096)),
        0.95,
    ),
    at_most(
        "egress",
        "what the program where packets leave costs, by the spread of rounds without it",
        Of::Spreads(egress(0), egress(1)),
        1.0,
    ),
    at_least(
        "insides-tc",
        "60-byte UDP between insides, 4,096 flows, packets/s: TC over plain forwarding",
        Of::Ratio(insides(MasqTc), insides(Forward)),
        1.0,
    ),
    at_least(
        "insides-xdp",
        "60-byte UDP between insides, 4,096 flows, packets/s: XDP over plain forwarding",
        Of::Ratio(insides(MasqXdp), insides(Forward)),
        3.0,
    ),
    at_least(
        "cost-xdp",
        "cost of a packet: nft over XDP",
        Of::Costs(udp(Nft, 4096), udp(MasqXdp, 4096)),
        5.0,
    ),
    at_least(
        "cost-tc",
        "cost of a packet: nft over TC",
        Of::Costs(udp(Nft, 4096), udp(MasqTc, 4096)),
        1.6,
    ),
    at_least(
        "udp-xdp-many",
        "60-byte UDP: XDP with 262,144 flows over nft with 4,096",
        Of::Ratio(udp(MasqXdp, 262_144), udp(Nft, 4096)),
        2.1,
    ),
    at_least(
        "bulk-tc-out",
        "TCP bulk, one stream, outwards: TC over nft",
        Of::Ratio(bulk(MasqTc, Egress), bulk(Nft, Egress)),
        0.97,
    ),
    at_least(
        "bulk-tc-in",
        "TCP bulk, one stream, inwards: TC over nft",
        Of::Ratio(bulk(MasqTc, Ingress), bulk(Nft, Ingress)),
        0.97,
    ),
    at_least(
        "bulk-tc-out-plain",
        "TCP bulk, one stream, outwards: TC over plain forwarding",
        Of::Ratio(bulk(MasqTc, Egress), bulk(Forward, Egress)),
        0.97,
    ),
    at_least(
        "bulk-tc-in-plain",
        "TCP bulk, one stream, inwards: TC over plain forwarding",
        Of::Ratio(bulk(MasqTc, Ingress), bulk(Forward, Ingress)),
        0.97,
    ),
    at_least(
        "connect-tc",
        "TCP connect and close, 4 clients, per second: TC over nft",
        Of::Ratio(connect(MasqTc), connect(Nft)),
        1.1,
    ),
    at_least(
        "connect-tc-plain",
        "TCP connect and close, 4 clients, per second: TC over plain forwarding",
        Of::Ratio(connect(MasqTc), connect(Forward)),
        1.0,
    ),
    at_least(
        "new-flows",
        "new UDP flows per second, 32 outside addresses: masq over nft",
        Of::Ratio(alone("new-flows", MasqTc), alone("new-flows", Nft)),
        1.5,
    ),
    at_least(
        "exhausted",
        "share of established packets delivered while new flows find no port",
        Of::Row(alone("exhausted", MasqTc)),
        0.99,
    ),
    at_most(
        "memory",
        "bytes of memory per IPv4 session at 1 million, all of it",
        Of::Row(alone("memory", MasqTc)),
        200.0,
    ),
    at_most(
        "kill",
        "packets of established flows lost over kill -9, 10 s of absence and restart",
        Of::Row(both("kill", MasqTc)),
        0.0,
    ),
    at_most(
        "apply-lost",
        "packets of established flows lost when an equal policy is applied",
        Of::Row(both("apply-lost", MasqTc)),
        0.0,
    ),
    at_most(
        "apply-moved",
        "packets of established flows moved to the slow path when an equal policy is applied",
        Of::Row(both("apply-moved", MasqTc)),
        0.0,
    ),
];

impl Spec {
    fn judge(&self, run: &Run) -> Floor {
        let (numerator, denominator, rounds) = match &self.of {
            Of::Ratio(over, under) => (over, Some(under), ratio(run, over, under)),
            Of::Costs(over, under) => (over, Some(under), costs(run, over, under)),
            Of::Spreads(before, after) => (before, Some(after), spreads(run, before, after)),
            Of::Row(row) => (row, None, find(run, row).map(|row| row.samples.clone())),
        };
        let mut rounds = rounds.unwrap_or_default();
        // Nothing received in a round is no ratio.
        rounds.retain(|round| round.is_finite());
        let value = Summary::of(&rounds).map(|summary| summary.median);
        let holds = value.map(|value| match self.bound {
            Bound::AtLeast => value >= self.limit,
            Bound::AtMost => value <= self.limit,
        });
        Floor {
            id: self.id.to_owned(),
            text: self.text.to_owned(),
            numerator: numerator.name(),
            denominator: denominator.map(Pick::name),
            bound: self.bound,
            limit: self.limit,
            value,
            rounds,
            holds,
        }
    }
}

impl Pick {
    fn name(&self) -> String {
        let Self { scenario, subject, direction, parameter } = self;
        let parameter = parameter.map(|(name, value)| format!(" {name}={value}"));
        format!("{scenario} {subject} {}{}", direction.id(), parameter.unwrap_or_default())
    }
}

fn find<'a>(run: &'a Run, pick: &Pick) -> Option<&'a Row> {
    run.row(pick.scenario, pick.subject, pick.direction, pick.parameter.as_slice())
}

fn ratio(run: &Run, over: &Pick, under: &Pick) -> Option<Vec<f64>> {
    let (over, under) = (find(run, over)?, find(run, under)?);
    Some(over.samples.iter().zip(&under.samples).map(|(over, under)| over / under).collect())
}

fn spreads(run: &Run, before: &Pick, after: &Pick) -> Option<Vec<f64>> {
    let (before, after) = (find(run, before)?, find(run, after)?);
    let Summary { median, lowest, highest, .. } = Summary::of(&before.samples)?;
    let below = |rate: &f64| (median - rate) / (highest - lowest);
    Some(after.samples.iter().map(below).collect())
}

fn costs(run: &Run, over: &Pick, under: &Pick) -> Option<Vec<f64>> {
    let (over, under, drop) = (find(run, over)?, find(run, under)?, find(run, &DROP)?);
    let cost = |rate: f64, drop: f64| 1.0 / rate - 1.0 / drop;
    let rounds = over.samples.iter().zip(&under.samples).zip(&drop.samples);
    let ratio =
        |((over, under), drop): ((&f64, &f64), &f64)| cost(*over, *drop) / cost(*under, *drop);
    Some(rounds.map(ratio).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::result::{Machine, Sample, Series};

    #[test]
    fn a_ratio_is_taken_within_rounds() {
        // The machine was slow in the second round, for both.
        let run = run(&[(MasqTc, &[3.0, 1.5, 3.0]), (Nft, &[2.0, 1.0, 2.0])]);
        let floor = floor(&run, "udp-tc");
        assert_eq!((floor.value, floor.holds), (Some(1.5), Some(true)));
    }

    #[test]
    fn a_cost_is_what_the_drop_does_not_have() {
        // 1 µs, 2 µs and 6 µs a packet: 1 and 5 µs more than the drop.
        let run = run(&[(Subject::Drop, &[1e6]), (MasqXdp, &[5e5]), (Nft, &[1e6 / 6.0])]);
        let floor = floor(&run, "cost-xdp");
        assert!((floor.value.unwrap() - 5.0).abs() < 1e-9, "{floor:?}");
    }

    #[test]
    fn a_loss_is_told_by_the_spread_of_what_was_before() {
        let mut run = run(&[]);
        for (attached, samples) in [(0, [98.0, 102.0, 100.0]), (1, [97.0, 98.0, 99.0])] {
            let series = Series::new("egress", "UDP", "packets/s", Egress, MasqTc);
            for value in samples {
                let series = series.clone().with("attached", attached);
                run.add(series, Sample::new(value, BTreeMap::new()));
            }
        }
        let floor = floor(&run, "egress");
        assert_eq!((floor.value, floor.holds), (Some(0.5), Some(true)));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let run = run(&[(MasqTc, &[3.0])]);
        let floor = floor(&run, "udp-tc");
        assert_eq!((floor.value, floor.holds), (None, None));
    }

    #[test]
    fn every_floor_has_a_name_of_its_own() {
        let ids: std::collections::BTreeSet<_> = TABLE.iter().map(|spec| spec.id).collect();
        assert_eq!(ids.len(), TABLE.len());
    }

    fn floor(run: &Run, id: &str) -> Floor {
        judge(run).into_iter().find(|floor| floor.id == id).unwrap()
    }

    fn run(rows: &[(Subject, &[f64])]) -> Run {
        let mut run = Run {
            machine: Machine::default(),
            kernel: String::new(),
            commit: String::new(),
            date: String::new(),
            rounds: 1,
            quick: false,
            rows: Vec::new(),
            floors: Vec::new(),
            notes: Vec::new(),
        };
        for (subject, samples) in rows {
            let series = Series::new("udp", "UDP", "packets/s", Egress, *subject);
            for value in *samples {
                run.add(series.clone().with("flows", 4096), Sample::new(*value, BTreeMap::new()));
            }
        }
        run
    }
}
