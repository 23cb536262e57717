//! A subject in its lab, with generator and receiver: what a scenario of packets measures with.
//!
//! ```text
//!   Rig::new ──► establish ──► flat_out ──► Measured
//!                  │              └─ packets/s, after a check of every packet and of who carried them
//!                  └─ sends the first packet of each flow until the receiver has seen all of them,
//!                     and remembers the outside endpoint that each was given
//! ```

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::HashSet;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::tc::TcAttachType;
use masq_bench_packet::settings::station;
use masq_bench_packet::{Numbering, Settings, SettingsFlags, Stream, Streams};

use crate::bench::Bench;
use crate::clock::Stopwatch;
use crate::cpu;
use crate::gateway::{Counters, Gateway, PUNTED, Setup, difference};
use crate::generator::Generator;
use crate::lab::{FIRST_HOST, GATEWAY_OUTSIDE, Lab, POOL, RECEIVER};
use crate::programs::{Programs, Tally};
use crate::result::{Direction, Sample};
use crate::subject::Subject;

/// What a rig is built for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many flows are told apart.
    pub flows: u32,
    /// What their numbers mean.
    pub numbering: Numbering,
    /// What the numbers of disturbing flows mean.
    pub disturbing: Numbering,
    /// How many processors carry packets.
    pub cpus: usize,
    /// How the gateway is set up.
    pub setup: Setup,
}

/// A subject in its lab.
#[derive(Debug)]
pub struct Rig {
    /// What stands in the middle.
    pub subject: Subject,
    /// The hosts.
    pub lab: Lab,
    /// The generator's and the receiver's programs.
    pub programs: Programs,
    /// The gateway.
    pub gateway: Gateway,
    settings: Settings,
    translates: bool,
    established: u32,
    cpus: Vec<usize>,
}

/// What was seen while packets were sent.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How many were sent.
    pub sent: u64,
    /// How many flows were seen for the first time.
    pub begun: u64,
    /// How many of them arrived and were right.
    pub received: u64,
    /// How many of these came after a later one of their flow.
    pub reordered: u64,
    /// How long it took.
    pub took: Duration,
    /// How far counters went.
    pub proof: Counters,
}

impl Plan {
    /// Flows from 64 hosts, 32,768 mappings and as many remote ports as it takes, carried by one
    /// processor through the gateway's own address.
    #[must_use]
    pub fn new(flows: u32) -> Self {
        let numbering = Numbering {
            first_host: FIRST_HOST.to_bits() + 256,
            host_bits: 6,
            first_port: 20_000,
            port_bits: 9,
            remote: RECEIVER.to_bits(),
            first_remote_port: 7,
        };
        let disturbing = Numbering { first_host: FIRST_HOST.to_bits() + 65_536, ..numbering };
        // A full table gives up flows that nobody has answered yet, so there is room to spare.
        let setup = Setup::new(flows + flows / 8);
        Self { flows, numbering, disturbing, cpus: 1, setup }
    }
}

impl Rig {
    /// Builds the lab and starts the subject.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub fn new(subject: Subject, plan: &Plan, masq: &Path) -> Result<Self> {
        let cpus = cpu::all();
        ensure!(plan.cpus <= cpus.len(), "{} processors are wanted of {}", plan.cpus, cpus.len());
        let lab = Lab::new(plan.cpus)?;
        let mut programs = Programs::load(&lab, plan.flows)?;
        let gateway = Gateway::start(&lab, subject, &plan.setup, masq)
            .with_context(|| format!("starting {}", subject.title()))?;
        match subject {
            Subject::BareTcRedirect => {
                let (out, back) = (TcAttachType::Egress, TcAttachType::Ingress);
                let gateway = &lab.gateway;
                programs.attach_tc("bench_tc_redirect_out", gateway, "lan", back)?;
                programs.attach_tc("bench_tc_redirect_in", gateway, "wan", back)?;
                programs.attach_tc("bench_tc_leave", gateway, "wan", out)?;
            }
            Subject::BareRedirect => {
                programs.attach_to_gateway("bench_redirect_out", &lab.gateway, &lab.lan)?;
                programs.attach_to_gateway("bench_redirect_in", &lab.gateway, &lab.wan)?;
            }
            Subject::Drop => {
                programs.attach_to_gateway("bench_drop", &lab.gateway, &lab.lan)?;
                programs.attach_to_gateway("bench_drop", &lab.gateway, &lab.wan)?;
            }
            Subject::Forward
            | Subject::Nft
            | Subject::NftFlowtable
            | Subject::MasqTc
            | Subject::MasqXdp => {}
        }
        let translates = subject.translates() && !plan.setup.between_insides;
        let settings = settings(&lab, subject, translates, plan);
        programs.set(&settings)?;
        let path = vec![cpu::of_path(&cpus)];
        let cpus = if plan.cpus == 1 { path } else { cpus.into_iter().take(plan.cpus).collect() };
        Ok(Self { subject, lab, programs, gateway, settings, translates, established: 0, cpus })
    }

    /// Builds one for each subject that is wanted and can run here.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub fn all(bench: &mut Bench, subjects: &[Subject], plan: &Plan) -> Result<Vec<Self>> {
        let subjects = bench.subjects(subjects);
        let rig = |subject| Self::new(subject, plan, &bench.options.masq);
        subjects.into_iter().map(rig).collect()
    }

    /// Begins the flows up to this number that have not begun.
    ///
    /// # Errors
    ///
    /// When one does not get through, or two were given the same outside endpoint towards one remote.
    pub fn establish(&mut self, flows: u32) -> Result<()> {
        if self.translates {
            self.set_flags(SettingsFlags::TRANSLATED | SettingsFlags::LEARN)?;
            while self.established < flows {
                let next = flows.min(self.established + WINDOW);
                self.establish_window(self.established, next)?;
                self.established = next;
            }
            self.set_flags(SettingsFlags::TRANSLATED)?;
            self.check_endpoints()?;
        }
        self.established = self.established.max(flows);
        self.check_packets()
    }

    /// Sends packets of the first flows both ways, as many at a time as a worker can take, until the fast path
    /// carries them: whoever wants to see an answer first has seen it then.
    ///
    /// # Errors
    ///
    /// When packets are wrong, or their gateway goes on looking at them one by one.
    pub fn answer(&mut self, flows: u32) -> Result<()> {
        let few = u64::from(flows / 1000);
        let mut window = WINDOW;
        for _ in 0..PASSES {
            let before = self.gateway.counters(&self.lab)?;
            for direction in [Direction::Ingress, Direction::Egress] {
                for first in (0..flows).step_by(window as usize) {
                    self.window(direction, first, window.min(flows - first))?;
                }
            }
            self.check_packets()?;
            let after = self.gateway.counters(&self.lab)?;
            if difference(&before, &after).get(PUNTED).is_none_or(|punted| *punted <= few) {
                return Ok(());
            }
            // By now most of them are carried without a worker.
            window = WINDOW * 8;
        }
        bail!("flows do not get onto the fast path of {}", self.subject.title())
    }

    /// Sends one packet of each of some flows, and waits for them for a while.
    ///
    /// # Errors
    ///
    /// When the kernel does not send.
    pub fn window(&mut self, direction: Direction, first: u32, count: u32) -> Result<()> {
        let cpu = self.cpus[0];
        let main = Stream::in_order(first, count, 0);
        self.programs.set_streams(&[(cpu, Streams { main, ..Streams::default() })])?;
        let before = self.programs.tally()?.received;
        self.generator(direction)?.burst(cpu, count)?;
        let watch = Stopwatch::start();
        while self.subject.is_masq()
            && self.programs.tally()?.received - before < u64::from(count)
            && watch.elapsed() < ROUND_TRIP
        {
            watch.wait_until(watch.elapsed() + POLL);
        }
        Ok(())
    }

    /// Sends packets of the first flows in turn, as fast as it goes.
    ///
    /// # Errors
    ///
    /// When a packet was wrong, or somebody else than the subject carried them.
    pub fn flat_out(
        &mut self,
        direction: Direction,
        flows: u32,
        lasting: Duration,
    ) -> Result<Measured> {
        let share = (flows / self.cpus.len() as u32).max(1);
        let stream = |(number, cpu): (usize, &usize)| {
            let main = Stream::scattered(share * number as u32, share, 0);
            (*cpu, Streams { main, ..Streams::default() })
        };
        let streams: Vec<_> = self.cpus.iter().enumerate().map(stream).collect();
        self.programs.set_streams(&streams)?;
        let cpus = self.cpus.clone();
        self.measure(|rig| {
            let took = rig.generator(direction)?.flat_out(&cpus, lasting)?;
            let mut sent = 0;
            for cpu in &cpus {
                sent += u64::from(rig.programs.streams(*cpu)?.main.sent);
            }
            Ok((sent, took))
        })
    }

    /// Watches while something is sent; `send` returns how many packets were, and how long it took.
    ///
    /// # Errors
    ///
    /// Those of `send`, and when a packet was wrong.
    pub fn measure(
        &mut self,
        send: impl FnOnce(&mut Self) -> Result<(u64, Duration)>,
    ) -> Result<Measured> {
        let (counters, tally) = (self.gateway.counters(&self.lab)?, self.programs.tally()?);
        let (sent, took) = send(self)?;
        let (now, seen) = self.settled()?;
        self.check_packets()?;
        let received = if self.subject == Subject::Drop {
            seen.dropped - tally.dropped
        } else {
            seen.received - tally.received
        };
        let reordered = seen.reordered - tally.reordered;
        let begun = seen.learnt - tally.learnt;
        let mut proof = difference(&counters, &now);
        proof.insert("sent".to_owned(), sent);
        proof.insert("received".to_owned(), received);
        proof.insert("wrong".to_owned(), seen.wrong);
        proof.insert("reordered".to_owned(), reordered);
        Ok(Measured { sent, begun, received, reordered, took, proof })
    }

    /// A generator at the end where a direction begins.
    ///
    /// # Errors
    ///
    /// When its program is not there.
    pub fn generator(&self, direction: Direction) -> Result<Generator<'_>> {
        generator(&self.lab, &self.programs, direction)
    }

    /// Sends packets of the first flows both ways, evenly, while `work` does something to the gateway: flows
    /// below the middle go out, the others come in. A packet that does not arrive is lost for good.
    ///
    /// # Errors
    ///
    /// Those of `work`, and when a packet was wrong.
    pub fn steadily<T: Send>(
        &mut self,
        flows: u32,
        rate: u32,
        work: impl FnOnce(&mut Gateway) -> Result<T> + Send,
    ) -> Result<(Measured, T)> {
        let cpus = cpu::all();
        let (there, back) = (cpu::of_path(&cpus), cpu::of_worker(&cpus));
        ensure!(there != back, "two directions need two processors");
        let half = flows / 2;
        let streams = |main| Streams { main, ..Streams::default() };
        self.programs.set_streams(&[
            (there, streams(Stream::scattered(0, half, 0))),
            (back, streams(Stream::scattered(half, flows - half, 0))),
        ])?;
        self.programs.forget_order();
        self.set_flags(self.settings.flags | SettingsFlags::ORDERED)?;
        let mut worked = None;
        let measured = self.measure(|rig| {
            let over = AtomicBool::new(false);
            let Self { lab, programs, gateway, .. } = rig;
            let (lab, programs) = (&*lab, &*programs);
            let send = |direction, cpu| {
                let over = &over;
                move || {
                    let until = |_| over.load(Ordering::Relaxed);
                    generator(lab, programs, direction)?.paced(cpu, rate / 2, until)
                }
            };
            let (out, inwards) = thread::scope(|scope| {
                let out = scope.spawn(send(Direction::Egress, there));
                let inwards = scope.spawn(send(Direction::Ingress, back));
                worked = Some(work(gateway));
                over.store(true, Ordering::Relaxed);
                (out.join(), inwards.join())
            });
            let (out, inwards) =
                (out.expect("a generator does not panic")?, inwards.expect("nor does this one")?);
            Ok((out.0 + inwards.0, out.1.max(inwards.1)))
        })?;
        self.set_flags(self.settings.flags & !SettingsFlags::ORDERED)?;
        Ok((measured, worked.context("nothing was done")??))
    }

    /// Changes how the programs go about it.
    ///
    /// # Errors
    ///
    /// When the map refuses it.
    pub fn set_flags(&mut self, flags: u32) -> Result<()> {
        self.settings.flags = flags;
        self.programs.set(&self.settings)
    }

    /// The processor that carries packets; the first of them.
    #[must_use]
    pub fn cpu(&self) -> usize {
        self.cpus[0]
    }

    /// Fails if any packet was ever wrong.
    fn check_packets(&self) -> Result<()> {
        let Tally { wrong, .. } = self.programs.tally()?;
        if wrong > 0 {
            let complaint = self.programs.complaint()?;
            bail!("{}: {complaint}\n{}", self.subject.title(), self.gateway.report());
        }
        Ok(())
    }

    /// Sends first packets until all are through. What was lost on the way to a worker is sent again.
    fn establish_window(&mut self, from: u32, to: u32) -> Result<()> {
        let watch = Stopwatch::start();
        let mut missing = vec![(from, to - from)];
        while !missing.is_empty() {
            ensure!(
                watch.elapsed() < PATIENCE,
                "{} flows from number {from} do not begin",
                missing.iter().map(|(_, count)| count).sum::<u32>()
            );
            let before = self.programs.tally()?.learnt;
            let cpu = self.cpus[0];
            for (first, count) in &missing {
                let main = Stream::in_order(*first, *count, 0);
                self.programs.set_streams(&[(cpu, Streams { main, ..Streams::default() })])?;
                self.generator(Direction::Egress)?.burst(cpu, *count)?;
            }
            let sent: u32 = missing.iter().map(|(_, count)| count).sum();
            let round = Stopwatch::start();
            while self.programs.tally()?.learnt - before < u64::from(sent)
                && round.elapsed() < ROUND_TRIP
            {
                round.wait_until(round.elapsed() + POLL);
            }
            missing = self.unseen(from, to);
        }
        Ok(())
    }

    /// The runs of flows that have not been seen: the first, and how many.
    fn unseen(&self, from: u32, to: u32) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for flow in (from..to).filter(|flow| self.programs.learnt(*flow).is_none()) {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == flow => *count += 1,
                _ => runs.push((flow, 1)),
            }
        }
        runs
    }

    /// No two flows to one remote look alike from outside. Says how many have been seen there.
    ///
    /// # Errors
    ///
    /// When two do.
    pub fn check_endpoints(&self) -> Result<usize> {
        let mut seen = HashSet::with_capacity(self.programs.capacity() as usize);
        for flow in 0..self.programs.capacity() {
            let Some(learnt) = self.programs.learnt(flow) else { continue };
            let remote_port = self.settings.numberings[0].ends(flow).remote_port;
            ensure!(
                seen.insert((learnt.to_word(), remote_port)),
                "flow {flow} was given the outside endpoint of another"
            );
        }
        Ok(seen.len())
    }

    /// Counters once nothing more arrives.
    fn settled(&self) -> Result<(Counters, Tally)> {
        let mut tally = self.programs.tally()?;
        loop {
            let watch = Stopwatch::start();
            watch.wait_until(QUIET);
            let now = self.programs.tally()?;
            if now.received == tally.received && now.disturbing == tally.disturbing {
                return Ok((self.gateway.counters(&self.lab)?, now));
            }
            tally = now;
        }
    }
}

impl Measured {
    /// Packets a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.received as f64 / self.took.as_secs_f64()
    }

    /// The rate as a sample.
    #[must_use]
    pub fn sample(self) -> Sample {
        Sample::new(self.rate(), self.proof)
    }
}

fn generator<'a>(
    lab: &'a Lab,
    programs: &'a Programs,
    direction: Direction,
) -> Result<Generator<'a>> {
    let (host, port) = match direction {
        Direction::Egress | Direction::Across | Direction::Both => (&lab.sender, lab.inside),
        Direction::Ingress => (&lab.receiver, lab.outside),
    };
    Ok(Generator { host, interface: port.index, program: programs.sender(direction)? })
}

fn settings(lab: &Lab, subject: Subject, translates: bool, plan: &Plan) -> Settings {
    let mut stations = [[0; 8]; 4];
    for (place, port) in [
        (station::SENDER, lab.inside),
        (station::GATEWAY_INSIDE, lab.lan),
        (station::GATEWAY_OUTSIDE, lab.wan),
        (station::RECEIVER, lab.outside),
    ] {
        stations[place][..6].copy_from_slice(&port.mac);
    }
    let routed = subject.is_router();
    let outside = if plan.setup.outsides == 1 { GATEWAY_OUTSIDE } else { POOL };
    Settings {
        numberings: [plan.numbering, plan.disturbing],
        outside: outside.to_bits(),
        outsides: plan.setup.outsides,
        redirect: [lab.wan.index, lab.lan.index],
        flows: plan.flows,
        ttl: u32::from(masq_bench_packet::frame::TTL) - u32::from(routed),
        flags: if translates { SettingsFlags::TRANSLATED } else { 0 },
        stations,
    }
}

/// Flows that are begun at once: fewer than a punt port holds.
const WINDOW: u32 = 1024;
/// How often each flow may send both ways until it is on the fast path.
const PASSES: u32 = 12;
/// How long first packets may take through a worker.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// How often it is looked whether something has arrived.
const POLL: Duration = Duration::from_micros(200);
/// How long nothing must arrive until everything is taken to have arrived or to be lost.
const QUIET: Duration = Duration::from_millis(25);
/// How long a window of flows may take to begin.
const PATIENCE: Duration = Duration::from_secs(20);
