//! What masq's program on the egress of the outside costs a packet that the fast path redirects there.
//!
//! Two gateways alike carry established masquerade on TC; from one of them the program has been taken away
//! after its sessions began. So the difference is the program's, for each packet that leaves.

use core::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::result::{Direction, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::scenario::udp::grouped;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct Egress;

impl Scenario for Egress {
    fn id(&self) -> &'static str {
        "egress"
    }

    fn about(&self) -> &'static str {
        "60-byte UDP, 4,096 flows, on TC: with the program where packets leave, and without it"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let flows = if bench.options.quick { 256 } else { 4096 };
        let lasting = bench.lasting(Duration::from_secs(1));
        let mut rigs = Vec::new();
        for attached in [true, false] {
            for mut rig in Rig::all(bench, &[Subject::MasqTc], &Plan::new(flows))? {
                rig.establish(flows)?;
                rig.answer(flows)?;
                if !attached {
                    rig.gateway.detach_egress(&rig.lab)?;
                }
                rigs.push((rig, attached));
            }
        }
        for _ in bench.rounds() {
            for (rig, attached) in &mut rigs {
                rig.flat_out(Direction::Egress, flows, lasting / 10)?;
                let measured = rig.flat_out(Direction::Egress, flows, lasting)?;
                rig.gateway
                    .check(&measured.proof, measured.received)
                    .with_context(|| rig.gateway.report())?;
                let state = if *attached { "attached" } else { "detached" };
                let title = format!("60-byte UDP, {} flows, masq_egress {state}", grouped(flows));
                let direction = Direction::Egress;
                let series = Series::new(self.id(), title, "packets/s", direction, rig.subject);
                let series =
                    series.with("flows", flows.into()).with("attached", (*attached).into());
                bench.add(series, measured.sample());
            }
        }
        Ok(())
    }
}
