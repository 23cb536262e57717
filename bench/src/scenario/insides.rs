//! 60-byte UDP between two inside networks, which nobody translates: as many packets as one processor carries.
//!
//! The same lab, but the receiver is inside as well, and the gateway's outside is an interface on which
//! nothing happens. The counters show that it is the fast path that was asked for.

use core::time::Duration;

use anyhow::{Result, ensure};

use crate::bench::Bench;
use crate::gateway::{KERNEL_FORWARDED, Setup};
use crate::result::{Direction, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::scenario::udp::grouped;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct Insides;

impl Scenario for Insides {
    fn id(&self) -> &'static str {
        "insides"
    }

    fn about(&self) -> &'static str {
        "60-byte UDP between two inside networks, 4,096 flows, packets/s"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let flows = if bench.options.quick { 256 } else { 4096 };
        let lasting = bench.lasting(Duration::from_secs(1));
        let plan = Plan::new(flows);
        // What is not translated gets half of a table at most.
        let sessions = 4 * plan.setup.sessions;
        let setup = Setup { between_insides: true, sessions, ..plan.setup };
        let mut rigs = Rig::all(bench, &SUBJECTS, &Plan { setup, ..plan })?;
        for rig in &mut rigs {
            rig.establish(flows)?;
            rig.answer(flows)?;
        }
        for _ in bench.rounds() {
            for rig in &mut rigs {
                rig.flat_out(Direction::Across, flows, lasting / 10)?;
                let measured = rig.flat_out(Direction::Across, flows, lasting)?;
                let kernel = measured.proof.get(KERNEL_FORWARDED).copied().unwrap_or(0);
                ensure!(
                    !rig.subject.is_masq() || kernel == 0,
                    "the kernel forwarded {kernel} packets for {}",
                    rig.subject.title()
                );
                rig.gateway.check(&measured.proof, measured.received)?;
                let sample = measured.sample();
                let title = format!("60-byte UDP, {} flows", grouped(flows));
                let direction = Direction::Across;
                let series = Series::new(self.id(), title, "packets/s", direction, rig.subject);
                bench.add(series.with("flows", flows.into()), sample);
            }
        }
        Ok(())
    }
}

const SUBJECTS: [Subject; 3] = [Subject::Forward, Subject::MasqTc, Subject::MasqXdp];
