//! Connections opened and closed each second.
//!
//! The stacks of the two ends do most of the work, and they share the machine with the gateway. What a
//! gateway adds is the beginning of each connection (its first packet makes a session), and the
//! handful of packets after that.

use core::time::Duration;

use anyhow::Result;

use super::Scenario;
use crate::bench::Bench;
use crate::ends::Connections;
use crate::gateway::{PUNTED, Setup};
use crate::result::{Direction, Sample, Series};
use crate::site::{Packets, Site};
use crate::subject::Subject;

/// Four clients that connect and close.
pub struct Connect;

impl Scenario for Connect {
    fn id(&self) -> &'static str {
        "connect"
    }

    fn about(&self) -> &'static str {
        "TCP connect and close per second, four clients"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let setup = Setup { config: LIMITS.to_owned(), ..Setup::new(SESSIONS) };
        let sites = Site::all(bench, &Subject::GATEWAYS, Packets::Complete, &setup)?;
        let connections = Connections { clients: CLIENTS, window: bench.lasting(WINDOW) };
        for _ in bench.rounds() {
            for site in &sites {
                let (done, mut proof) = site.watch(|ends| connections.run(ends))?;
                site.check_with_engine(&proof)?;
                proof.insert("connections".to_owned(), done.all);
                let punted = proof.get(PUNTED).map(|punted| *punted as f64 / done.all as f64);
                let mut sample = Sample::new(done.rate, proof);
                if let Some(punted) = punted {
                    sample = sample.note(format!("{punted:.1} packets of each to the engine"));
                }
                let title = "TCP connect and close, 4 clients";
                let series =
                    Series::new(self.id(), title, "connections/s", Direction::Both, site.subject);
                bench.add(series.with("clients", CLIENTS as u64), sample);
            }
        }
        Ok(())
    }
}

const CLIENTS: usize = 4;

/// How long a sample takes.
const WINDOW: Duration = Duration::from_secs(2);

/// One host stands for many.
const LIMITS: &str = "[limits]\nsessions-per-host = 1048576\nmappings-per-host = 65536\n\
    first-packets-per-second = 0\n";

/// Connections that ended stay in a gateway's table for minutes: room for those of all rounds.
const SESSIONS: u32 = 1 << 20;
