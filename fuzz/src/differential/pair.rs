//! Two gateways, one with the programs and one without.

use core::fmt::Write as _;

use masq_core::{
    Duration, Engine, Event, Frame, Instant, NextHopState, PortId, Routes as _, Transmit, Verdict,
};
use masq_dataplane::rig::{self, Context, Rig, TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC};
use masq_flow::owned::Owned;
use masq_flow::punt::{PuntHeader, Return, ReturnHeader};
use masq_flow::{
    Direction, Layout, Memory, NextHopId, NextHopValue, Record, Region, Secret, Session, Slot,
    Ticket, Writer,
};
use masq_wire::{Packet, Tuple};
use zerocopy::IntoBytes as _;

use super::input::{Input, Shot, Step, policy_number};
use crate::place::{Ports, ROUTERS, Routing, transmitted};

/// The programs, which are loaded once for all cases.
pub(super) struct Kernel {
    rig: Rig,
    records: Region<Record>,
}

impl Kernel {
    pub(super) fn load(layout: Layout) -> Self {
        let mut rig = Rig::new(layout);
        rig.go_fast();
        let records = rig.records();
        Self { rig, records }
    }

    fn ports(&self) -> Ports {
        Ports { lan: PortId(self.rig.lan.index), wan: PortId(self.rig.wan.index) }
    }

    fn port(&self, outside: bool) -> rig::Port {
        if outside { self.rig.wan } else { self.rig.lan }
    }
}

/// Both gateways.
pub(super) struct Pair<'a> {
    kernel: &'a mut Kernel,
    /// The engine that sees every packet.
    alone: Engine,
    /// The engine that sees what the programs leave to it.
    behind: Engine,
    routing: Routing,
    policy: u8,
    now: Instant,
    /// What happened, for whoever has to understand a failure.
    log: String,
    carried: u32,
}

/// What leaves: the neighbour, or the host, and the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Left {
    Dropped(masq_core::DropReason),
    Held,
    Local(Vec<u8>),
    To(NextHopId, Vec<u8>),
}

/// What the programs did.
enum Did {
    Dropped,
    Passed,
    Punted(Vec<u8>, Option<Ticket>),
    Translated(Vec<u8>),
}

impl<'a> Pair<'a> {
    pub(super) fn new(kernel: &'a mut Kernel) -> Self {
        let ports = kernel.ports();
        let layout = kernel.rig.layout();
        let now = Instant::from_secs(1000);
        let secret = || Secret::new(11, 13);
        let engine = |memory, owned| {
            let table = Writer::format(memory, secret());
            let mut engine = Engine::new([5; 32], table, policy_number(0, ports), now);
            engine.attach_owned(owned);
            engine
        };
        let alone = engine(Memory::heap(layout), Region::<Owned>::heap(1));
        let behind = engine(kernel.rig.memory.clone(), kernel.rig.owned.clone());
        let routing = Routing::new(ports);
        let (policy, log, carried) = (0, String::new(), 0);
        let pair = Self { kernel, alone, behind, routing, policy, now, log, carried };
        pair.tell_next_hops();
        pair
    }

    /// Has everything happen, and compares; how many packets the fast path carried.
    pub(super) fn judge(mut self, input: &Input) -> u32 {
        let outcome = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            self.apply(input.policy);
            for step in &input.steps {
                self.step(step);
            }
            self.compare_tables();
            self.run_out();
        }));
        if let Err(panic) = outcome {
            self.show();
            std::panic::resume_unwind(panic);
        }
        self.carried
    }

    #[expect(clippy::print_stderr, reason = "for whoever has to understand a failure")]
    fn show(&self) {
        eprintln!("{}\n{}", self.log, self.now);
    }

    fn step(&mut self, step: &Step) {
        let _ = writeln!(self.log, "{} {step:?}", self.now);
        match step {
            Step::Packet(shot) => self.shoot(shot, false),
            Step::Answer(shot) => self.shoot(shot, true),
            Step::Wait(pause) => self.wait(pause.duration()),
            Step::Policy(number) => self.apply(*number),
            Step::Route { router, narrow } => {
                self.routing.router = usize::from(*router);
                self.routing.mtu = if *narrow { 576 } else { 1500 };
                self.tell_next_hops();
                self.alone.handle_routes();
                self.behind.handle_routes();
                self.walk();
            }
            Step::Neighbour { which, state } => self.neighbour(*which, *state),
        }
        self.compare_sent();
    }

    fn shoot(&mut self, shot: &Shot, answer: bool) {
        let sessions: Vec<_> = self
            .alone
            .table()
            .sessions()
            .map(|(slot, session)| {
                let activity = self.alone.table().activity(slot).unwrap_or_default();
                (session, Direction::ALL.map(|side| activity[side].tcp.acknowledgement))
            })
            .collect();
        let Some(made) = shot.make(&sessions, answer, self.routing.mtu) else { return };
        for packet in made.packets {
            self.arrive(made.outside, &packet, shot.padding, shot.xdp);
            self.compare_sent();
        }
    }

    /// A packet arrives at both.
    fn arrive(&mut self, outside: bool, packet: &[u8], padding: Option<u8>, xdp: bool) {
        let port = self.kernel.port(outside);
        let mut frame = port.frame(packet);
        if let Some(padding) = padding {
            frame.resize(frame.len().max(60 + usize::from(padding % 8)), 0xee);
        }
        let _ = writeln!(
            self.log,
            "    {} bytes {:02x?}",
            packet.len(),
            &packet[..packet.len().min(48)]
        );
        let tuple = tuple(packet);
        let before = tuple.and_then(|tuple| self.behind.table().lookup(&tuple));
        let seen = before.map(|(slot, direction)| self.stamp_of(slot, direction));
        let did = self.kernel.arrive(port, &frame, xdp);
        let arrived = &frame[14..];
        match did {
            Did::Dropped => {}
            Did::Passed => {
                let session = tuple.and_then(|tuple| self.alone.table().lookup(&tuple));
                assert_eq!(session, None, "left to the host, and of a session");
            }
            Did::Punted(bytes, ticket) => {
                assert_eq!(bytes, arrived, "punted as it came");
                let port = PortId(port.index);
                let expected = process(&mut self.alone, self.now, &self.routing, port, arrived);
                let left = process(&mut self.behind, self.now, &self.routing, port, arrived);
                assert_eq!(left, expected, "both engines see it");
                let _ = writeln!(self.log, "    punted: {}", name(&left));
                self.give_back(&left, ticket);
            }
            Did::Translated(bytes) => {
                self.carried += 1;
                let _ = writeln!(self.log, "    translated");
                let port = PortId(port.index);
                let expected = process(&mut self.alone, self.now, &self.routing, port, arrived);
                let Left::To(id, expected) = expected else {
                    panic!("the fast path carried what the engine would have {expected:?}");
                };
                self.assert_same(id, &expected, &bytes);
                let (slot, direction) = before.expect("what is carried is of a session");
                if seen != Some(self.stamp_of(slot, direction)) {
                    let record = &self.kernel.records[slot.index() as usize];
                    record.activity.stamp_several(self.now.as_nanos(), direction, 0, 0, None);
                }
            }
        }
    }

    fn stamp_of(&self, slot: Slot, direction: Direction) -> u64 {
        self.kernel.records[slot.index() as usize].activity.last_seen(direction)
    }

    /// A frame of the programs is the packet of the engine, on its way to the same neighbour.
    fn assert_same(&self, id: NextHopId, expected: &[u8], frame: &[u8]) {
        let hop = self.value(id);
        let addresses = [&hop.destination[..], &hop.source, &[8, 0]].concat();
        assert_eq!(frame[..14], addresses, "to the neighbour that the engine chose");
        let length = total_len(expected);
        assert_eq!(&frame[14..14 + length], &expected[..length], "the same bytes");
        assert!(frame.len() == 14 + length || frame.len() == 60, "and no more than a frame needs");
    }

    /// Gives a punted packet back as the worker would.
    fn give_back(&mut self, left: &Left, ticket: Option<Ticket>) {
        match left {
            Left::Dropped(_) | Left::Held => {}
            Left::Local(bytes) => {
                let ifindex = self.kernel.rig.wan.index;
                let _ = self
                    .kernel
                    .give_back(ReturnHeader::new(Return::Local { ifindex }, ticket), bytes);
            }
            Left::To(id, bytes) => {
                let link = self.routing.next_hop(*id).port.0 as u16;
                let to = Return::Forward { next_hop: *id, link };
                let frame = self.kernel.give_back(ReturnHeader::new(to, ticket), bytes);
                if self.routing.next_hop_state(*id) == NextHopState::Ready {
                    let length = total_len(bytes);
                    self.assert_same(*id, &bytes[..length], &frame[..14 + length]);
                }
            }
        }
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut wakings = 0;
        loop {
            let due = [&self.alone, &self.behind].map(Engine::poll_timeout).into_iter().flatten();
            let Some(due) = due.min().filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            for engine in [&mut self.alone, &mut self.behind] {
                if engine.poll_timeout().is_some_and(|due| due <= self.now) {
                    engine.handle_timeout(self.now);
                }
            }
            self.compare_sent();
            wakings += 1;
            assert!(wakings < 100_000, "an engine asks to be woken again and again");
        }
        self.now = end;
    }

    fn apply(&mut self, number: u8) {
        self.policy = number;
        for engine in [&mut self.alone, &mut self.behind] {
            engine.apply(policy_number(number, self.routing.ports));
        }
        self.walk();
    }

    fn walk(&mut self) {
        for engine in [&mut self.alone, &mut self.behind] {
            while engine.walk(self.now, &self.routing, 64) {}
            let _ = engine.poll_plan();
        }
    }

    fn neighbour(&mut self, which: u8, state: u8) {
        let mut neighbours = Routing::neighbours();
        let Some(id) = neighbours.nth(usize::from(which) % 10) else { return };
        let states = [NextHopState::Ready, NextHopState::Resolving, NextHopState::Failed];
        let state = states[usize::from(state) % states.len()];
        self.routing.states.insert(id, state);
        self.tell_next_hops();
        for engine in [&mut self.alone, &mut self.behind] {
            engine.handle_next_hop(self.now, id, state);
        }
    }

    /// Writes the next hops where the programs see them.
    fn tell_next_hops(&self) {
        for id in Routing::neighbours() {
            self.kernel.rig.next_hops[usize::from(id.0)].store(&self.value(id));
        }
    }

    fn value(&self, id: NextHopId) -> NextHopValue {
        let hop = self.routing.next_hop(id);
        let port = self.kernel.port(ROUTERS.contains(&id));
        let state = match hop.state {
            NextHopState::Ready => masq_flow::NextHopState::Ready,
            NextHopState::Resolving => masq_flow::NextHopState::Resolving,
            NextHopState::Failed => masq_flow::NextHopState::Failed,
        };
        let [high, low] = id.0.to_be_bytes();
        let destination = [2, 0, 0, 9, high, low];
        NextHopValue { mtu: hop.mtu, destination, ..rig::next_hop(&port, state) }
    }

    /// What the engines send by themselves, and what they tell.
    fn compare_sent(&mut self) {
        loop {
            let expected = transmitted(&mut self.alone, self.now, &self.routing);
            let sent = transmitted(&mut self.behind, self.now, &self.routing);
            assert_eq!(sent, expected, "what the engines send by themselves");
            let Some((way, bytes)) = sent else { break };
            let left = match way {
                Transmit::Forward(egress) => Left::To(egress.next_hop, bytes),
                Transmit::Local(_) => Left::Local(bytes),
            };
            self.give_back(&left, None);
        }
        let [expected, told] = [&mut self.alone, &mut self.behind].map(events);
        assert_eq!(told, expected, "what the engines tell");
    }

    /// The same sessions with the same counts.
    fn compare_tables(&self) {
        let sessions = |engine: &Engine| {
            let mut all: Vec<_> = engine
                .table()
                .sessions()
                .map(|(slot, session)| {
                    let activity = engine.table().activity(slot).unwrap_or_default();
                    let (original, reply) = (session.original, session.reply);
                    (format!("{original} {reply}"), session.created, activity)
                })
                .collect();
            all.sort_by(|one, other| one.0.cmp(&other.0));
            all
        };
        assert_eq!(sessions(&self.behind), sessions(&self.alone));
        let stats = |engine: &Engine| {
            let stats = engine.stats();
            (stats.sessions, stats.mappings)
        };
        assert_eq!(stats(&self.behind), stats(&self.alone));
    }

    /// Every session ends, at the same time in both: each end is told, and compared.
    fn run_out(&mut self) {
        self.wait(Duration::from_secs(3 * 3600));
        self.compare_tables();
        assert_eq!(self.alone.table().len(), 0, "some sessions never end");
    }
}

impl Kernel {
    fn arrive(&mut self, port: rig::Port, frame: &[u8], xdp: bool) -> Did {
        if xdp
            && frame.len() >= 14
            && let Some(translated) = self.rig.run_xdp_bare(port, frame)
        {
            return Did::Translated(translated);
        }
        let ran = self.rig.run_bare("masq_ingress", Context::at(port), frame);
        match ran.action {
            TC_ACT_SHOT => Did::Dropped,
            TC_ACT_UNSPEC => {
                assert_eq!(ran.frame, frame, "left to the host as it was");
                Did::Passed
            }
            TC_ACT_REDIRECT => match PuntHeader::split(&ran.frame) {
                Some((header, rest)) => {
                    assert_eq!(header.ifindex(), port.index);
                    let packet = &rest[14..];
                    assert_eq!(usize::from(header.length()), packet.len());
                    Did::Punted(packet.to_vec(), header.ticket())
                }
                None => Did::Translated(ran.frame),
            },
            other => panic!("an action that no program has: {other}"),
        }
    }

    fn give_back(&mut self, header: ReturnHeader, packet: &[u8]) -> Vec<u8> {
        let frame = [header.as_bytes(), &[8, 0], packet].concat();
        let context =
            Context { ifindex: self.rig.lan.index, outside: false, ..Context::at(self.rig.lan) };
        self.rig.run_bare("masq_return", context, &frame).frame
    }
}

fn process(
    engine: &mut Engine,
    now: Instant,
    routing: &Routing,
    port: PortId,
    packet: &[u8],
) -> Left {
    let mut bytes = packet.to_vec();
    let length = bytes.len();
    let mut frame = Frame::new(&mut bytes, length);
    let verdict = engine.process(now, routing, port, &mut frame);
    let bytes = frame.packet().to_vec();
    match verdict {
        Verdict::Drop(reason) => Left::Dropped(reason),
        Verdict::Forward(egress) => Left::To(egress.next_hop, bytes),
        Verdict::Held => Left::Held,
        Verdict::Local => {
            assert_eq!(bytes, packet, "what is the host's own must not be changed");
            Left::Local(bytes)
        }
    }
}

/// What an engine tells, but for what only its own bookkeeping shows.
fn events(engine: &mut Engine) -> Vec<String> {
    let ends = |session: &Session| format!("{} {}", session.original, session.reply);
    core::iter::from_fn(|| engine.poll_event())
        .map(|event| match event {
            Event::SessionCreated { session, .. } => format!("created {}", ends(&session)),
            Event::SessionRemoved { session, reason, .. } => {
                format!("removed {} {reason:?}", ends(&session))
            }
            other @ (Event::AddressChanged { .. }
            | Event::LimitReached { .. }
            | Event::MappingCreated { .. }
            | Event::MappingRemoved { .. }
            | Event::PortsExhausted { .. }
            | Event::ResolveNextHop(_)
            | Event::TableFull
            | _) => format!("{other:?}"),
        })
        .collect()
}

fn name(left: &Left) -> String {
    match left {
        Left::Dropped(reason) => format!("dropped, {}", reason.as_str()),
        Left::Held => "held".to_owned(),
        Left::Local(_) => "local".to_owned(),
        Left::To(id, _) => format!("to {id}"),
    }
}

fn tuple(packet: &[u8]) -> Option<Tuple> {
    Packet::parse(&mut packet.to_vec()).ok()?.tuple()
}

fn total_len(packet: &[u8]) -> usize {
    Packet::parse(&mut packet.to_vec()).map_or(packet.len(), |packet| packet.total_len())
}
