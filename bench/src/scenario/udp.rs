//! 60-byte UDP of established flows, as many packets as one processor carries.
//!
//! Generator, gateway and receiver share the processor, so a packet takes the sum of what each costs it. What
//! a bare XDP drop at the gateway's first interface takes is the generator's part; a subject's cost is the
//! rest, with the way to the receiver in it. Flows take turns in a scattered order.

use core::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::result::{Direction, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct Udp;

impl Scenario for Udp {
    fn id(&self) -> &'static str {
        "udp"
    }

    fn about(&self) -> &'static str {
        "60-byte UDP of 1 to 1 million established flows, packets/s and cost of a packet"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let flows = flows(bench);
        let most = flows.iter().copied().max().unwrap_or(1);
        let mut rigs = Rig::all(bench, &SUBJECTS, &Plan::new(most))?;
        for flows in flows {
            for rig in &mut rigs {
                rig.establish(flows)?;
                rig.answer(flows.min(rig.programs.capacity()))?;
            }
            for _ in bench.rounds() {
                for direction in [Direction::Egress, Direction::Ingress] {
                    round(bench, &mut rigs, direction, flows)?;
                }
            }
        }
        Ok(())
    }
}

/// One turn for each subject.
fn round(bench: &mut Bench, rigs: &mut [Rig], direction: Direction, flows: u32) -> Result<()> {
    let lasting = bench.lasting(Duration::from_secs(1));
    for rig in rigs {
        // The first packets after a pause find cold caches.
        rig.flat_out(direction, flows, lasting / 10)?;
        let measured = rig.flat_out(direction, flows, lasting)?;
        rig.gateway
            .check(&measured.proof, measured.received)
            .with_context(|| rig.gateway.report())?;
        let title = format!("60-byte UDP, {} flows", grouped(flows));
        let series = Series::new("udp", title, "packets/s", direction, rig.subject);
        bench.add(series.with("flows", flows.into()), measured.sample());
    }
    Ok(())
}

fn flows(bench: &Bench) -> Vec<u32> {
    if !bench.options.flows.is_empty() {
        return bench.options.flows.clone();
    }
    match (bench.options.quick, bench.options.huge) {
        (true, _) => vec![1, 256],
        (false, false) => vec![1, 4096, 262_144, 1_000_000],
        (false, true) => vec![1, 4096, 262_144, 1_000_000, 10_000_000],
    }
}

/// `262,144`.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const SUBJECTS: [Subject; 8] = [
    Subject::Drop,
    Subject::Forward,
    Subject::Nft,
    Subject::NftFlowtable,
    Subject::MasqTc,
    Subject::MasqXdp,
    Subject::BareTcRedirect,
    Subject::BareRedirect,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [1, 999, 1000, 262_144, 10_000_000].map(grouped),
            ["1", "999", "1,000", "262,144", "10,000,000"]
        );
    }
}
