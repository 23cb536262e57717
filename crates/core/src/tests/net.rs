//! A network in one thread and in virtual time, for tests that look at packets only.
//!
//! ```text
//!   C1 192.168.1.3 ─┐ INSIDE                         OUTSIDE ┌─ S1 198.51.100.1
//!   C2 192.168.1.4 ─┼─── 192.168.1.1 [ engine ] 203.0.113.1 ─┼─ S2 198.51.100.2
//!   … .254         ─┘                              (= X)     ├─ A  192.0.2.66, off every path
//!                                                            └─ the router, 203.0.113.254
//! ```
//!
//! A test sends packets as a host would, and sees what leaves on the other side. Every packet that
//! leaves is checked: it must be well-formed with right checksums, and what leaves to the outside must
//! show no inside address, neither as source nor inside an ICMP error. When a test fails, the last
//! packets are printed.

mod answer;
mod routes;
mod seen;
mod tcp;

use core::net::{IpAddr, Ipv4Addr};
use std::collections::VecDeque;

use masq_flow::{Direction, Flags, Layout, Memory, PerDirection, Secret, Slot, Total, Writer};
use masq_wire::{Endpoint, Packet, Protocol, make};

pub(super) use self::answer::Answer;
pub(super) use self::routes::Table;
pub(super) use self::seen::{Seen, Way, unreachable, whole};
pub(super) use self::tcp::Connection;
use crate::{
    DropReason, Duration, Engine, Event, Frame, Inside, Instant, NextHopId, NextHopState, Outside,
    Plan, Policy, PortId, Prefix, Transmit, Verdict,
};

pub(super) const INSIDE: PortId = PortId(1);
pub(super) const OUTSIDE: PortId = PortId(2);

pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
pub(super) const C1: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);
pub(super) const C2: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 4);
pub(super) const X: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(super) const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
pub(super) const S1: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(super) const S2: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub(super) const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);

/// The network that every inside host belongs to.
pub(super) const LAN: Prefix = Prefix::v4(Ipv4Addr::new(192, 168, 1, 0), 24);

pub(super) const fn c1(port: u16) -> Endpoint {
    Endpoint::v4(C1, port)
}

pub(super) const fn c2(port: u16) -> Endpoint {
    Endpoint::v4(C2, port)
}

pub(super) const fn s1(port: u16) -> Endpoint {
    Endpoint::v4(S1, port)
}

pub(super) const fn s2(port: u16) -> Endpoint {
    Endpoint::v4(S2, port)
}

pub(super) const fn a(port: u16) -> Endpoint {
    Endpoint::v4(A, port)
}

pub(super) const fn x(port: u16) -> Endpoint {
    Endpoint::v4(X, port)
}

/// The policy of the picture, with the defaults of the RFCs.
pub(super) fn policy() -> Policy {
    let inside = Inside { port: INSIDE, address: Some(GATEWAY.into()), networks: vec![LAN] };
    Policy::new(vec![inside], vec![Outside::new(OUTSIDE, vec![X.into()])])
}

/// A gateway with its hosts and its clock.
pub(super) struct Net {
    pub(super) engine: Engine,
    pub(super) routes: Table,
    now: Instant,
    policy: Policy,
    events: Vec<Event>,
    log: VecDeque<String>,
}

impl Net {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    /// A network whose policy differs from the usual one.
    pub(super) fn with(change: impl FnOnce(&mut Policy)) -> Self {
        Self::seeded(1, change)
    }

    pub(super) fn seeded(seed: u64, change: impl FnOnce(&mut Policy)) -> Self {
        const SESSIONS: u32 = 70_000;
        let mut policy = policy();
        change(&mut policy);
        let memory = Memory::heap(Layout::for_sessions(SESSIONS));
        let writer = Writer::format(memory, Secret::new(seed, 2));
        let now = Instant::from_secs(1000);
        Self {
            engine: Engine::new(Self::seed(seed), writer, policy.clone(), now),
            routes: Table::new(&policy),
            now,
            policy,
            events: Vec::new(),
            log: VecDeque::new(),
        }
    }

    fn seed(number: u64) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        seed
    }

    /// A network with another kind of filtering.
    pub(super) fn filtering(filtering: crate::Filtering) -> Self {
        Self::with(|policy| policy.outsides[0].pool.filtering = filtering)
    }

    pub(super) const fn now(&self) -> Instant {
        self.now
    }

    /// Sessions alive.
    pub(super) fn sessions(&self) -> u64 {
        self.engine.stats().sessions
    }

    pub(super) fn drops(&self, reason: DropReason) -> u64 {
        self.engine.stats().drops(reason)
    }

    /// What was translated since the table was made.
    pub(super) fn totals(&self) -> PerDirection<Total> {
        self.engine.table().totals().read()
    }

    /// Whether the fast path carries packets of a session's direction: it honours the record's
    /// epoch, may have its packets, and knows where they go.
    pub(super) fn is_fast(&self, slot: Slot, direction: Direction) -> bool {
        let table = self.engine.table();
        table.session(slot).is_some_and(|session| {
            session.epoch >= table.min_epoch()
                && !session.flags.contains(Flags::PUNT)
                && session.next_hops[direction].is_some()
        })
    }

    /// What happened since this was asked last.
    pub(super) fn events(&mut self) -> Vec<Event> {
        self.fetch_events();
        core::mem::take(&mut self.events)
    }

    /// Gives the engine another policy, and has all sessions looked at; routes stay.
    pub(super) fn apply(&mut self, change: impl FnOnce(&mut Policy)) -> Plan {
        self.begin_to_apply(change);
        self.walk();
        self.engine.poll_plan().expect("all sessions have been looked at")
    }

    /// Gives the engine another policy.
    pub(super) fn begin_to_apply(&mut self, change: impl FnOnce(&mut Policy)) {
        change(&mut self.policy);
        self.engine.apply(self.policy.clone());
    }

    /// Looks at sessions until there is no cause to.
    pub(super) fn walk(&mut self) {
        let everybody = usize::MAX;
        assert!(!self.walk_on(everybody));
    }

    /// Looks at some sessions; whether there are more.
    pub(super) fn walk_on(&mut self, most: usize) -> bool {
        self.engine.walk(self.now, &self.routes, most)
    }

    /// Says that a next hop has been found, or has not; returns what leaves because of that.
    pub(super) fn next_hop(&mut self, id: NextHopId, state: NextHopState) -> Vec<Seen> {
        self.routes.set_state(id, state);
        self.engine.handle_next_hop(self.now, id, state);
        self.transmitted()
    }

    /// Lets time pass. The engine is woken whenever it asks for it, and whatever it sends is
    /// returned.
    pub(super) fn advance(&mut self, duration: Duration) -> Vec<Seen> {
        let end = self.now + duration;
        let mut sent = Vec::new();
        let mut wakings = 0;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            let before = self.now;
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
            sent.extend(self.transmitted());
            wakings = if self.now == before { wakings + 1 } else { 0 };
            assert!(wakings < 10_000, "the engine asks to be woken again and again");
        }
        self.now = end;
        self.fetch_events();
        self.note(&format!("--- {} s pass", duration.as_secs_f64()));
        sent
    }

    /// Lets whole seconds pass, in which nothing is sent.
    pub(super) fn wait(&mut self, seconds: u64) {
        let sent = self.advance(Duration::from_secs(seconds));
        assert!(sent.is_empty(), "something was sent meanwhile: {sent:?}");
    }

    /// An inside host sends a packet.
    pub(super) fn send_out(&mut self, packet: &[u8]) -> Answer {
        self.send(INSIDE, packet)
    }

    /// An outside host sends a packet.
    pub(super) fn send_in(&mut self, packet: &[u8]) -> Answer {
        self.send(OUTSIDE, packet)
    }

    /// A packet arrives at an interface; the answer is what leaves at once.
    pub(super) fn send(&mut self, port: PortId, packet: &[u8]) -> Answer {
        let name = self.name(port);
        self.note(&format!("{name} > {}", seen::line(packet)));
        let intact = make_verifies(packet);
        let mut bytes = packet.to_vec();
        let length = bytes.len();
        let mut frame = Frame::new(&mut bytes, length);
        let verdict = self.engine.process(self.now, &self.routes, port, &mut frame);
        let length = frame.len();
        bytes.truncate(length);

        let mut seen = Vec::new();
        match verdict {
            Verdict::Drop(reason) => self.note(&format!("    dropped: {reason}")),
            Verdict::Held => self.note("    held"),
            Verdict::Forward(egress) => {
                let forwarded = Seen::new(Way::of(egress.port), egress.next_hop, bytes);
                self.check(&forwarded, intact);
                seen.push(forwarded);
            }
            Verdict::Local => {
                assert_eq!(bytes, packet, "what is the host's own must not be changed");
                seen.push(Seen::new(Way::Local, NextHopId(0), bytes));
                self.note("    given to the host");
            }
        }
        seen.extend(self.transmitted());
        Answer::new(verdict, seen)
    }

    /// An inside host sends a datagram; returns the outside endpoint that it has.
    #[track_caller]
    pub(super) fn udp_out(&mut self, from: Endpoint, to: Endpoint) -> Endpoint {
        let seen = self.send_out(&make::udp(from, to, b"out")).outside();
        assert_eq!(seen.destination(), to);
        seen.source()
    }

    /// An outside host sends a datagram; returns the inside endpoint that gets it, if any does.
    #[track_caller]
    pub(super) fn udp_in(&mut self, from: Endpoint, to: Endpoint) -> Option<Endpoint> {
        let seen = self.send_in(&make::udp(from, to, b"in")).inside_if_any()?;
        assert_eq!(seen.source(), from);
        Some(seen.destination())
    }

    /// An inside host sends an echo request whose identifier is the port; returns the outside one.
    #[track_caller]
    pub(super) fn ping_out(&mut self, from: Endpoint, to: Ipv4Addr) -> Endpoint {
        let seen = self.send_out(&make::echo_request(from, to, 1, b"ping")).outside();
        assert_eq!(seen.destination().addr, IpAddr::V4(to));
        seen.source()
    }

    /// An outside host answers an echo request; returns who gets that, if anybody does.
    #[track_caller]
    pub(super) fn ping_in(&mut self, from: Ipv4Addr, to: Endpoint) -> Option<Endpoint> {
        let reply = make::echo_reply(from, to, 1, b"ping");
        Some(self.send_in(&reply).inside_if_any()?.destination())
    }

    /// An inside host opens a flow of a protocol; returns its outside endpoint.
    #[track_caller]
    pub(super) fn flow_out(
        &mut self,
        protocol: Protocol,
        from: Endpoint,
        to: Endpoint,
    ) -> Endpoint {
        match protocol {
            Protocol::TCP => tcp::syn_out(self, from, to),
            Protocol::UDP => self.udp_out(from, to),
            Protocol::ICMP => match to.addr {
                IpAddr::V4(to) => self.ping_out(from, to),
                IpAddr::V6(_) => panic!("only IPv4 is simulated"),
            },
            _ => panic!("{protocol} is not simulated"),
        }
    }

    /// What the engine sends by itself.
    pub(super) fn transmitted(&mut self) -> Vec<Seen> {
        let mut sent = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let mut frame = Frame::empty(&mut buffer);
            let transmit = self.engine.poll_transmit(self.now, &self.routes, &mut frame);
            let bytes = frame.packet().to_vec();
            let seen = match transmit {
                None => break,
                Some(Transmit::Forward(egress)) => {
                    Seen::new(Way::of(egress.port), egress.next_hop, bytes)
                }
                Some(Transmit::Local(_)) => Seen::new(Way::Local, NextHopId(0), bytes),
            };
            self.check(&seen, true);
            sent.push(seen);
            assert!(sent.len() < 100_000, "the engine never stops to send");
        }
        self.fetch_events();
        sent
    }

    fn fetch_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.events.push(event);
        }
    }

    /// What holds of every packet that leaves.
    fn check(&mut self, seen: &Seen, intact: bool) {
        self.note(&format!("    > {seen:?}"));
        let mut bytes = seen.bytes().to_vec();
        let mut packet = Packet::parse(&mut bytes).expect("what leaves is well-formed");
        if intact && !packet.is_fragment() {
            assert!(make_verifies(seen.bytes()), "wrong checksum: {seen:?}");
        }
        if seen.way() != Way::Outside {
            return;
        }
        let shared = &self.policy.outsides[0].pool.addresses;
        assert!(shared.contains(&packet.source().into()), "an inside source leaks: {seen:?}");
        if packet.fragment_offset() == 0
            && let Ok(Some(quoted)) = packet.quoted()
        {
            let inside = shared.contains(&quoted.destination().into());
            assert!(inside, "an inside address leaks in an error: {seen:?}");
        }
    }

    fn name(&self, port: PortId) -> &'static str {
        match self.policy.realm(port) {
            Some(crate::Realm::Inside) => "inside ",
            Some(crate::Realm::Outside) => "outside",
            None => "nowhere",
        }
    }

    fn note(&mut self, line: &str) {
        const MOST: usize = 60;
        if self.log.len() == MOST {
            self.log.pop_front();
        }
        self.log.push_back(format!("{} {line}", self.now));
    }
}

impl Drop for Net {
    #[expect(clippy::print_stderr, reason = "the test runner shows it when the test has failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last packets:");
            for line in &self.log {
                eprintln!("  {line}");
            }
        }
    }
}

/// Whether a whole packet has right checksums; a fragment has none of its own.
fn make_verifies(packet: &[u8]) -> bool {
    let mut bytes = packet.to_vec();
    Packet::parse(&mut bytes).is_ok_and(|packet| {
        packet.is_fragment() || make::checksums_verify(&packet.bytes()[..packet.total_len()])
    })
}
