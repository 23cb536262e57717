//! 60-byte UDP carried by one processor and by two: generator, gateway and receiver on each of them, with
//! queues and flows of its own.

use core::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::cpu;
use crate::result::{Direction, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct Cpus;

impl Scenario for Cpus {
    fn id(&self) -> &'static str {
        "cpus"
    }

    fn about(&self) -> &'static str {
        "60-byte UDP, 4,096 flows, carried by one and by two processors"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let there = cpu::all().len();
        if there < 2 {
            bench.note("cpus is left out: there is one processor only");
            return Ok(());
        }
        let flows = if bench.options.quick { 256 } else { 4096 };
        let lasting = bench.lasting(Duration::from_secs(1));
        let mut rigs = Vec::new();
        let subjects = bench.subjects(&Subject::ALL);
        for (subject, cpus) in subjects.into_iter().flat_map(|it| [(it, 1), (it, 2)]) {
            let plan = Plan { cpus, ..Plan::new(flows) };
            let mut rig = Rig::new(subject, &plan, &bench.options.masq)?;
            rig.establish(flows)?;
            rig.answer(flows)?;
            rigs.push((rig, cpus));
        }
        for _ in bench.rounds() {
            for (rig, cpus) in &mut rigs {
                rig.flat_out(Direction::Egress, flows, lasting / 10)?;
                let measured = rig.flat_out(Direction::Egress, flows, lasting)?;
                rig.gateway.check(&measured.proof, measured.received)?;
                let title = "60-byte UDP, 4,096 flows, by processors";
                let direction = Direction::Egress;
                let series = Series::new(self.id(), title, "packets/s", direction, rig.subject);
                bench.add(series.with("cpus", *cpus as u64), measured.sample());
            }
        }
        Ok(())
    }
}
