//! More flows than ports: what becomes of the established ones.
//!
//! Every one of 60,000 ports of the only outside address is taken, towards one remote port, by flows that were
//! answered. Of these, 40,000 go on with 50,000 packets a second, while another host offers 300,000 packets a second of
//! flows for which there is no port. Generator and path share a processor: a gateway that spends its time on
//! hopeless flows keeps established packets from being sent in their time, and those count as lost, as on
//! a network card whose queue overflows.

use core::time::Duration;
use std::collections::HashSet;

use anyhow::{Result, ensure};
use masq_bench_packet::{Numbering, SettingsFlags, Stream, Streams};

use crate::bench::Bench;
use crate::gateway::Setup;
use crate::lab::FIRST_HOST;
use crate::result::{Direction, Sample, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct Exhausted;

impl Scenario for Exhausted {
    fn id(&self) -> &'static str {
        "exhausted"
    }

    fn about(&self) -> &'static str {
        "share of established packets that arrive while 300,000 packets/s of new flows find no port"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        let subjects = [Subject::Nft, Subject::MasqTc, Subject::MasqXdp];
        let ports = if bench.options.quick { 6000 } else { PORTS };
        let mut rigs = Rig::all(bench, &subjects, &plan(ports))?;
        rigs.iter_mut().try_for_each(|rig| exhaust(rig, ports))?;
        for _ in bench.rounds() {
            for rig in &mut rigs {
                let sample = measure(rig, ports / 3 * 2, bench.lasting(Duration::from_secs(2)))?;
                let title = "established flows while others find no port";
                let direction = Direction::Egress;
                let series = Series::new(self.id(), title, "share", direction, rig.subject);
                bench.add(series, sample);
            }
        }
        Ok(())
    }
}

/// Takes every port, a few flows at a time, each answered before the next, until all are refused, or one is
/// given what another has: that one, which nobody had answered yet, was given up. A gateway that looks for
/// free ports by chance may refuse some flows long before, and leave a few ports.
fn exhaust(rig: &mut Rig, ports: u32) -> Result<()> {
    let established = ports / 3 * 2;
    rig.establish(established)?;
    rig.answer(established)?;
    rig.set_flags(SettingsFlags::TRANSLATED | SettingsFlags::LEARN)?;
    let mut taken: HashSet<_> =
        (0..established).filter_map(|flow| rig.programs.learnt(flow)).collect();
    for first in (established..ports).step_by(FEW as usize) {
        rig.window(Direction::Egress, first, FEW)?;
        let given: Vec<_> =
            (first..first + FEW).filter_map(|flow| rig.programs.learnt(flow)).collect();
        let refused = rig.subject.is_masq() && given.is_empty();
        if refused || !given.into_iter().all(|endpoint| taken.insert(endpoint)) {
            break;
        }
        rig.window(Direction::Ingress, first, FEW)?;
    }
    rig.set_flags(SettingsFlags::TRANSLATED)?;
    // Of an address that it shares, the host keeps a few thousand.
    let least = ports as usize - ports as usize / 10;
    ensure!(taken.len() > least, "only {} of {ports} ports are taken", taken.len());
    Ok(())
}

fn measure(rig: &mut Rig, established: u32, lasting: Duration) -> Result<Sample> {
    let cpu = rig.cpu();
    let main = Stream::scattered(0, STRANGERS, 1);
    let other = Stream::scattered(0, established, 0);
    let every = (STRANGERS_RATE + RATE) / RATE;
    rig.programs.set_streams(&[(cpu, Streams { main, other, every, since: 0 })])?;
    let measured = rig.measure(|rig| {
        let generator = rig.generator(Direction::Egress)?;
        let (sent, took) =
            generator.paced(cpu, STRANGERS_RATE + RATE, |elapsed| elapsed >= lasting)?;
        Ok((sent, took))
    })?;
    let due = measured.took.as_secs_f64() * f64::from(RATE);
    let share = measured.received as f64 / due;
    Ok(Sample::new(share.min(1.0), measured.proof))
}

fn plan(ports: u32) -> Plan {
    let plan = Plan::new(ports);
    let numbering = Numbering { host_bits: 6, port_bits: 10, ..plan.numbering };
    let disturbing = Numbering {
        first_host: FIRST_HOST.to_bits() + 65_536,
        host_bits: 0,
        port_bits: 15,
        ..numbering
    };
    let ports = Some([FIRST_PORT, (u32::from(FIRST_PORT) + ports - 1) as u16]);
    let setup = Setup { ports, ..plan.setup };
    Plan { numbering, disturbing, setup, ..plan }
}

/// Flows that ask for a port at once.
const FEW: u32 = 16;
/// Ports of the outside address that flows may be given.
const PORTS: u32 = 60_000;
/// The first of them.
const FIRST_PORT: u16 = 1024;
/// Flows that come too late.
const STRANGERS: u32 = 32_768;
/// Packets of the established flows, a second.
const RATE: u32 = 50_000;
/// Packets of those that come too late, a second.
const STRANGERS_RATE: u32 = 300_000;
