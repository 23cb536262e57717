//! TCP bulk: what streams carry.
//!
//! With offloads on, as veth interfaces are made, segments of up to 64 KiB cross the gateway uncut with
//! checksums that somebody else will complete. XDP cannot take such packets, so its figures come from a
//! lab whose hosts send complete packets, beside those of the others in that lab.
//!
//! With offloads the gateway is a fiftieth of the work, and rounds differ by more than that. So a single
//! stream with offloads takes more rounds than anything else: what floors are judged by is their median.

use core::time::Duration;

use anyhow::Result;

use super::Scenario;
use crate::bench::Bench;
use crate::ends::{Bulk, Way};
use crate::gateway::Setup;
use crate::result::{Direction, Sample, Series};
use crate::site::{Packets, Site};
use crate::subject::Subject;

/// Streams with offloads on.
pub struct Offloaded;

/// Streams of complete packets.
pub struct Complete;

impl Scenario for Offloaded {
    fn id(&self) -> &'static str {
        "tcp-bulk"
    }

    fn about(&self) -> &'static str {
        "TCP bulk, one and eight streams, both directions, offloads on"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let subjects = [Subject::Forward, Subject::Nft, Subject::NftFlowtable, Subject::MasqTc];
        measure(bench, self.id(), "TCP bulk", &subjects, Packets::Offloaded, ROUNDS)
    }
}

impl Scenario for Complete {
    fn id(&self) -> &'static str {
        "tcp-complete"
    }

    fn about(&self) -> &'static str {
        "the same with complete packets of at most 1,500 bytes"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        measure(
            bench,
            self.id(),
            "TCP bulk, complete packets",
            &Subject::GATEWAYS,
            Packets::Complete,
            1,
        )
    }
}

fn measure(
    bench: &mut Bench,
    id: &str,
    title: &str,
    subjects: &[Subject],
    packets: Packets,
    least_rounds: u32,
) -> Result<()> {
    let sites = Site::all(bench, subjects, packets, &Setup::new(SESSIONS))?;
    let usual = bench.rounds();
    for round in bench.rounds_at_least(least_rounds) {
        let ways = [(1, Way::Up), (1, Way::Down), (8, Way::Up), (8, Way::Down)];
        let ways = ways.into_iter().filter(|(streams, _)| *streams == 1 || usual.contains(&round));
        for (streams, way) in ways {
            let bulk = Bulk { streams, way, window: bench.lasting(WINDOW) };
            for site in &sites {
                let (rate, proof) = site.watch(|ends| bulk.run(ends))?;
                site.check(&proof)?;
                let direction = match way {
                    Way::Up => Direction::Egress,
                    Way::Down => Direction::Ingress,
                };
                let plural = if streams == 1 { "one stream" } else { "eight streams" };
                let title = format!("{title}, {plural}");
                let series = Series::new(id, title, "bit/s", direction, site.subject);
                bench.add(series.with("streams", streams as u64), Sample::new(rate, proof));
            }
        }
    }
    Ok(())
}

/// How long a sample takes.
const WINDOW: Duration = Duration::from_secs(2);

const SESSIONS: u32 = 65_536;

/// The least rounds of a single stream with offloads.
const ROUNDS: u32 = 15;
