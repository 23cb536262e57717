//! Packets of established flows lost while the daemon is killed, away for ten seconds, and started again.
//!
//! 100,000 sessions send 50,000 packets a second, half of the sessions outwards and the others inwards, from
//! before the kill until after the new daemon says that it is ready. Every packet is counted.

use core::time::Duration;
use std::thread;

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::gateway::Gateway;
use crate::result::{Direction, Sample, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct Away;

impl Scenario for Away {
    fn id(&self) -> &'static str {
        "kill"
    }

    fn about(&self) -> &'static str {
        "packets of established flows lost over kill -9, 10 s of absence and restart"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let flows = if bench.options.quick { 1000 } else { FLOWS };
        let absence = bench.lasting(ABSENCE);
        let around = bench.lasting(AROUND);
        let mut rigs = Rig::all(bench, &[Subject::MasqTc, Subject::MasqXdp], &Plan::new(flows))?;
        for rig in &mut rigs {
            rig.establish(flows)?;
            rig.answer(flows)?;
        }
        for _ in bench.rounds() {
            for rig in &mut rigs {
                let away = |gateway: &mut Gateway| {
                    let daemon = gateway.daemon().context("there is no daemon to kill")?;
                    thread::sleep(around);
                    daemon.kill()?;
                    thread::sleep(absence);
                    daemon.restart()?;
                    thread::sleep(around);
                    Ok(())
                };
                let (measured, ()) = rig.steadily(flows, RATE, away)?;
                let title = "packets lost over kill -9, absence and restart";
                let series = Series::new(self.id(), title, "packets", Direction::Both, rig.subject);
                let lost = measured.sent.saturating_sub(measured.received) as f64;
                bench.add(series.with("flows", flows.into()), Sample::new(lost, measured.proof));
            }
        }
        Ok(())
    }
}

const FLOWS: u32 = 100_000;
/// Packets a second, both ways together.
const RATE: u32 = 50_000;
const ABSENCE: Duration = Duration::from_secs(10);
/// How long packets are watched before and after.
const AROUND: Duration = Duration::from_secs(1);
