//! New UDP flows per second: the table is empty, every packet begins a flow of another inside endpoint,
//! and 32 outside addresses have ports for two million of them.
//!
//! A flow counts when its packet arrives, translated, at the receiver; flows whose packet is lost on the way
//! do not. The generator sends flat out on its processor; the gateway's worker, where there is one, has
//! the other.

use core::time::Duration;

use anyhow::{Result, ensure};
use masq_bench_packet::{Numbering, SettingsFlags, Stream, Streams};

use crate::bench::Bench;
use crate::gateway::{KERNEL_FORWARDED, PUNTED, Setup};
use crate::result::{Direction, Sample, Series};
use crate::rig::{Plan, Rig};
use crate::scenario::Scenario;
use crate::subject::Subject;

/// The scenario.
#[derive(Debug)]
pub struct NewFlows;

impl Scenario for NewFlows {
    fn id(&self) -> &'static str {
        "new-flows"
    }

    fn about(&self) -> &'static str {
        "new UDP flows per second, from as many inside endpoints, to 32 outside addresses"
    }

    fn run(&self, bench: &mut Bench) -> Result<()> {
        for _ in bench.rounds() {
            for subject in bench.subjects(&SUBJECTS) {
                let sample = measure(bench, subject)?;
                let title = "new UDP flows, 32 outside addresses";
                let series = Series::new(self.id(), title, "flows/s", Direction::Egress, subject);
                bench.add(series, sample);
            }
        }
        Ok(())
    }
}

fn measure(bench: &Bench, subject: Subject) -> Result<Sample> {
    let most = if bench.options.quick { 65_536 } else { FLOWS };
    let plan = plan(most);
    let mut rig = Rig::new(subject, &plan, &bench.options.masq)?;
    rig.set_flags(SettingsFlags::TRANSLATED | SettingsFlags::LEARN)?;
    let cpu = rig.cpu();
    let main = Stream::in_order(0, most, 0);
    rig.programs.set_streams(&[(cpu, Streams { main, ..Streams::default() })])?;
    let lasting = bench.lasting(Duration::from_secs(2));
    let measured = rig.measure(|rig| {
        let took = rig.generator(Direction::Egress)?.flat_out(&[cpu], lasting)?;
        Ok((rig.programs.streams(cpu)?.main.sent.into(), took))
    })?;
    let seen = rig.check_endpoints()?;
    ensure!(seen as u64 >= measured.begun, "{} flows were seen, {seen} known", measured.begun);
    let carrier = if subject.is_masq() { PUNTED } else { KERNEL_FORWARDED };
    let carried = measured.proof.get(carrier).copied().unwrap_or(0);
    ensure!(carried >= measured.begun, "{carrier} counts only {carried}: {:?}", measured.proof);
    let rate = measured.begun as f64 / measured.took.as_secs_f64();
    let mut sample = Sample::new(rate, measured.proof);
    sample.proof.insert("flows".to_owned(), measured.begun);
    if measured.sent > u64::from(most) {
        sample = sample.note("some flows were offered twice: the gateway has no more ports");
    }
    Ok(sample)
}

/// 4,096 hosts with 512 ports each, to one remote.
fn plan(flows: u32) -> Plan {
    let plan = Plan::new(flows);
    let numbering = Numbering { host_bits: 12, port_bits: 9, ..plan.numbering };
    let setup = Setup { outsides: 32, sessions: flows, ..plan.setup };
    Plan { numbering, setup, ..plan }
}

/// The ports of 32 addresses, less what a gateway leaves to its host.
const FLOWS: u32 = 32 * 60_000;

const SUBJECTS: [Subject; 3] = [Subject::Nft, Subject::MasqTc, Subject::MasqXdp];
