//! What applying an equal policy costs the flows that are there: by `masq reload` of the same file, and by
//! SIGHUP.
//!
//! 100,000 sessions send 50,000 packets a second both ways meanwhile. Two figures: packets that did not
//! arrive, and packets that took the slow path.

use core::time::Duration;
use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::bench::Bench;
use crate::gateway::{Gateway, PUNTED};
use crate::result::{Direction, Sample, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct Apply;

impl Scenario for Apply {
    fn id(&self) -> &'static str {
        "apply"
    }

    fn about(&self) -> &'static str {
        "packets of established flows lost, and moved to the slow path, when an equal policy is applied"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let flows = if bench.options.quick { 1000 } else { FLOWS };
        let around = bench.lasting(AROUND);
        for subject in bench.subjects(&[Subject::MasqTc, Subject::MasqXdp]) {
            let mut rig = Rig::new(subject, &Plan::new(flows), &bench.options.masq)?;
            rig.establish(flows)?;
            rig.answer(flows)?;
            for _ in bench.rounds() {
                let reload = |gateway: &mut Gateway| {
                    let daemon = gateway.daemon().context("there is no daemon to reload")?;
                    thread::sleep(around);
                    daemon.ask(&["reload"])?;
                    thread::sleep(around);
                    daemon.process().context("it has ended")?.signal(Signal::HUP)?;
                    thread::sleep(around);
                    Ok(())
                };
                let (measured, ()) = rig.steadily(flows, RATE, reload)?;
                let lost = measured.sent.saturating_sub(measured.received);
                let moved = measured.proof.get(PUNTED).copied().unwrap_or(0);
                for (id, title, count, proof) in [
                    (
                        "apply-lost",
                        "packets lost as an equal policy is applied",
                        lost,
                        measured.proof,
                    ),
                    (
                        "apply-moved",
                        "packets on the slow path as an equal policy is applied",
                        moved,
                        BTreeMap::new(),
                    ),
                ] {
                    let series = Series::new(id, title, "packets", Direction::Both, subject);
                    bench.add(series.with("flows", flows.into()), Sample::new(count as f64, proof));
                }
            }
        }
        Ok(())
    }
}

const FLOWS: u32 = 100_000;
/// Packets a second, both ways together.
const RATE: u32 = 50_000;
/// How long packets are watched before and after each.
const AROUND: Duration = Duration::from_millis(700);
