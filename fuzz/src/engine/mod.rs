//! The engine on a bad network, against a simple model of a NAT.
//!
//! ```text
//!   hosts ──► network that loses, delays, ──► engine ──► network ──► remotes, which answer,
//!             turns around and doubles          ║                    and strangers
//!                                             model
//! ```
//!
//! Hosts talk to each other too, which passes as it is. UDP is judged by the [model](model::Model): which outside endpoint a packet leaves from, who is let
//! in, how long that lasts. TCP, echo and malformed packets go along with it, and of them and of
//! everything else it must hold that
//!
//! - nothing that leaves shows an inside address, and every checksum that was right is right;
//! - no outside endpoint is that of two inside endpoints, and no tuple that of two sessions;
//! - when all is over nothing is left.

mod model;

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Arbitrary, Unstructured};
use masq_core::{
    DropReason, Duration, EndReason, Engine, Event, Filtering, Frame, Instant, Kind, Mapping,
    PortRanges, Verdict,
};
use masq_flow::{Layout, Memory, Secret, Writer};
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Packet, Protocol, make};

use self::model::{In, Model, Out};
use crate::place::{LAN, OUTSIDE, PORTS, Routing, host, policy, remote, transmitted};

/// A case.
#[derive(Arbitrary, Debug)]
struct Input {
    seed: u64,
    mapping: u8,
    filtering: u8,
    /// Of 256 packets, so many are lost and so many come twice.
    lost: u8,
    doubled: u8,
    /// The longest delay, in units of 50 ms.
    delay: u8,
    /// Of 256 packets, so many are answered.
    answered: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    /// A host sends to a remote.
    Send {
        host: u8,
        port: u8,
        remote: u8,
        remote_port: u8,
        kind: u8,
    },
    /// Somebody sends to an outside endpoint.
    Stranger {
        remote: u8,
        remote_port: u8,
        port: u8,
        kind: u8,
    },
    /// Any bytes arrive as a packet.
    Bytes {
        outside: bool,
        bytes: [u8; 40],
    },
    Wait {
        seconds: u8,
    },
}

/// Runs a network.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut net = Net::new(&input);
    for step in &input.steps {
        net.step(*step);
    }
    net.run_out();
}

/// A packet under way.
struct UnderWay {
    outside: bool,
    bytes: Vec<u8>,
}

struct Net<'a> {
    input: &'a Input,
    engine: Engine,
    model: Model,
    routing: Routing,
    now: Instant,
    random: u64,
    /// What arrives at the gateway, and when; the number keeps those of one instant apart.
    under_way: BTreeMap<(Instant, u64), UnderWay>,
    sent: u64,
}

impl<'a> Net<'a> {
    fn new(input: &'a Input) -> Self {
        let mapping = [
            Mapping::EndpointIndependent,
            Mapping::AddressDependent,
            Mapping::AddressAndPortDependent,
        ][usize::from(input.mapping % 3)];
        let filtering = [
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ][usize::from(input.filtering % 3)];
        let model = Model::new(mapping, filtering);
        let mut policy = policy(PORTS);
        policy.timeouts.udp = model.timeout;
        policy.hold_down.duration = model.rest;
        let outside = &mut policy.outsides[0];
        outside.pool.mapping = mapping;
        outside.pool.filtering = filtering;
        outside.pool.ports = PortRanges(vec![model.ports.clone()]);
        let now = Instant::from_secs(1000);
        let table = Writer::format(Memory::heap(Layout::for_sessions(500)), Secret::new(7, 9));
        Self {
            input,
            engine: Engine::new([9; 32], table, policy, now),
            model,
            routing: Routing::new(PORTS),
            now,
            random: input.seed | 1,
            under_way: BTreeMap::new(),
            sent: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { host: number, port, remote: other, remote_port, kind } => {
                let from = Endpoint::v4(host(number), 2000 + u16::from(port % 6));
                // Some are for another host, and are not translated.
                let to = if other < 0xf0 { remote(other) } else { host(other) };
                let to = Endpoint::v4(to, 80 + u16::from(remote_port % 3));
                self.send(false, packet(kind, from, to, true));
            }
            Step::Stranger { remote: number, remote_port, port, kind } => {
                let from = Endpoint::v4(remote(number), 80 + u16::from(remote_port % 4));
                let to = Endpoint::v4(OUTSIDE, 2000 + u16::from(port % 12));
                self.send(true, packet(kind, from, to, false));
            }
            Step::Bytes { outside, bytes } => {
                let mut bytes = bytes.to_vec();
                // Few bytes are an IPv4 header by chance.
                bytes[0] = 0x45;
                bytes[2..4].copy_from_slice(&[0, 40]);
                make::fill_header_checksum(&mut bytes);
                self.send(outside, bytes);
            }
            Step::Wait { seconds } => self.advance(Duration::from_secs(seconds.into())),
        }
        self.advance(Duration::from_millis(50));
    }

    /// A packet sets out for the gateway.
    fn send(&mut self, outside: bool, bytes: Vec<u8>) {
        if self.chance(self.input.lost / 2) {
            return;
        }
        let copies = if self.chance(self.input.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.next() % (u64::from(self.input.delay) + 1);
            let at = self.now + Duration::from_millis(50 * delay);
            self.sent += 1;
            self.under_way.insert((at, self.sent), UnderWay { outside, bytes: bytes.clone() });
        }
    }

    /// Time passes: timers fire and packets arrive, each when it is due.
    fn advance(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut rounds = 0;
        loop {
            let arrival = self.under_way.keys().next().map(|(at, _)| *at);
            let timer = self.engine.poll_timeout();
            let Some(due) = [arrival, timer].into_iter().flatten().min().filter(|due| *due <= end)
            else {
                break;
            };
            self.now = self.now.max(due);
            self.model.pass(self.now);
            if timer.is_some_and(|due| due <= self.now) {
                self.engine.handle_timeout(self.now);
                self.drain();
            }
            while let Some(entry) = self.under_way.first_entry().filter(|it| it.key().0 <= self.now)
            {
                let packet = entry.remove();
                self.arrive(&packet);
                self.drain();
            }
            rounds += 1;
            assert!(rounds < 100_000, "the engine asks to be woken again and again");
        }
        self.now = end;
        self.model.pass(end);
    }

    /// A packet has come to the gateway.
    fn arrive(&mut self, packet: &UnderWay) {
        let mut arrived = packet.bytes.clone();
        let intact = verifies(&packet.bytes);
        let tuple = Packet::parse(&mut arrived).ok().and_then(|packet| packet.tuple());
        let ttl_expires = packet.bytes.get(8).is_some_and(|ttl| *ttl <= 1);
        let port = if packet.outside { PORTS.wan } else { PORTS.lan };
        let mut bytes = packet.bytes.clone();
        let length = bytes.len();
        let mut frame = Frame::new(&mut bytes, length);
        let verdict = self.engine.process(self.now, &self.routing, port, &mut frame);
        let left = frame.packet().to_vec();
        self.take_given_up();
        if let Verdict::Forward(egress) = verdict {
            self.check(egress.port == PORTS.wan, &left, intact);
        }
        let known = tuple.filter(|tuple| {
            tuple.protocol == Protocol::UDP && !ttl_expires && is_ordinary(&packet.bytes)
        });
        if let Some(tuple) = known {
            let (from, to) = (tuple.source, tuple.destination);
            if packet.outside {
                self.judge_in(from, to, verdict, &left)
            } else if LAN.contains(to.addr) {
                assert!(matches!(verdict, Verdict::Forward(_)), "{from} to {to}: {verdict:?}");
                assert_eq!(self::tuple(&left), tuple, "between two hosts");
            } else {
                self.judge_out(from, to, verdict, &left)
            }
        }
        if let Verdict::Forward(_) = verdict
            && !packet.outside
            && self.chance(self.input.answered)
        {
            self.answer(left);
        }
        self.check_table();
    }

    fn judge_out(&mut self, from: Endpoint, to: Endpoint, verdict: Verdict, left: &[u8]) {
        let judged = self.model.judge_out(from, to);
        let Verdict::Forward(_) = verdict else {
            let refused = matches!(
                verdict,
                Verdict::Drop(DropReason::PortsExhausted | DropReason::TupleTaken)
            );
            let refusable = judged == Out::New { refusable: true };
            assert!(refused && refusable, "{from} to {to}: {verdict:?}, and not {judged:?}");
            return;
        };
        let tuple = tuple(left);
        assert_eq!(tuple.destination, to, "where it was sent");
        let outside = tuple.source;
        match judged {
            Out::From(expected) => assert_eq!(outside, expected, "the mapping of {from}"),
            Out::New { .. } => {
                assert!(self.model.ports.contains(&outside.port), "{outside}");
                let owner = self.model.owner(outside);
                assert!(owner.is_none(), "{outside} of {owner:?} is given to {from}");
            }
        }
        self.model.went_out(self.now, [from, outside, to]);
    }

    fn judge_in(&mut self, from: Endpoint, to: Endpoint, verdict: Verdict, left: &[u8]) {
        let judged = self.model.judge_in(from, to);
        match judged {
            In::To(inside) => {
                if let Verdict::Drop(DropReason::TupleTaken) = verdict {
                    // Another mapping of the host already speaks to this remote.
                    assert!(self.model.mapping != Mapping::EndpointIndependent);
                    return;
                }
                assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}, and not {judged:?}");
                let tuple = tuple(left);
                assert_eq!((tuple.source, tuple.destination), (from, inside));
                self.model.went_in(self.now, [inside, to, from]);
            }
            In::Filtered => assert_eq!(verdict, Verdict::Drop(DropReason::Filtered)),
            // The address is the host's too.
            In::Nobody => assert_eq!(verdict, Verdict::Local),
        }
    }

    /// The remote sends the packet back, to whom it says it is from.
    fn answer(&mut self, left: Vec<u8>) {
        let tuple = tuple(&left);
        let answer = match tuple.protocol {
            Protocol::UDP => make::udp(tuple.destination, tuple.source, b"answered"),
            Protocol::TCP => {
                make::tcp(tuple.destination, tuple.source, Flags::SYN | Flags::ACK, 5000, 1001, b"")
            }
            Protocol::ICMP => make::echo_reply(tuple.destination.addr, tuple.source, 1, b"ping"),
            _ => return,
        };
        let within = LAN.contains(tuple.destination.addr);
        self.send(!within, answer);
    }

    /// What the engine sends by itself leaves nothing to be seen either.
    fn drain(&mut self) {
        while let Some((way, bytes)) = transmitted(&mut self.engine, self.now, &self.routing) {
            if let masq_core::Transmit::Forward(egress) = way {
                self.check(egress.port == PORTS.wan, &bytes, true);
            }
        }
        self.take_given_up();
    }

    /// Learns which sessions ended because others needed their room; the model cannot know.
    fn take_given_up(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            let Event::SessionRemoved { session, reason: EndReason::Reclaimed, .. } = event else {
                continue;
            };
            let mapped = Kind::of(&session) == Kind::Mapped;
            if mapped && session.original.protocol == Protocol::UDP {
                let (inside, remote) = (session.original.source, session.original.destination);
                self.model.give_up(inside, remote, self.now);
            }
        }
    }

    /// What holds of every packet that leaves.
    fn check(&self, to_outside: bool, bytes: &[u8], intact: bool) {
        let mut copy = bytes.to_vec();
        let mut packet = Packet::parse(&mut copy).expect("what leaves is well-formed");
        if intact && !packet.is_fragment() {
            assert!(verifies(bytes), "wrong checksum: {packet}");
        }
        if !to_outside {
            return;
        }
        assert_eq!(packet.source(), OUTSIDE, "an inside address leaks: {packet}");
        if packet.fragment_offset() == 0
            && let Ok(Some(quoted)) = packet.quoted()
        {
            assert_eq!(quoted.destination(), OUTSIDE, "an inside address leaks in an error");
        }
    }

    /// What holds of the table at any time.
    fn check_table(&self) {
        let mut arriving = BTreeSet::new();
        let mut owners = BTreeMap::new();
        for (_, session) in self.engine.table().sessions() {
            assert!(arriving.insert(session.original), "{} twice", session.original);
            assert!(arriving.insert(session.reply), "{} twice", session.reply);
            if Kind::of(&session) == Kind::Plain {
                assert_eq!(session.original, session.reply.reversed());
                assert!(LAN.contains(session.reply.source.addr));
                continue;
            }
            let (protocol, inside) = (session.original.protocol, session.original.source);
            let outside = session.reply.destination;
            assert_eq!(outside.addr, IpAddr::V4(OUTSIDE));
            if protocol.has_ports() {
                let owner = *owners.entry((protocol, outside)).or_insert(inside);
                assert_eq!(owner, inside, "two inside endpoints share {outside}");
            }
        }
    }

    fn run_out(&mut self) {
        self.advance(Duration::from_secs(3 * 3600));
        assert!(self.model.flows().is_empty());
        assert_eq!(self.engine.table().len(), 0, "some sessions never end");
        assert_eq!(self.engine.stats().mappings, 0);
    }

    fn chance(&mut self, of_256: u8) -> bool {
        self.next() % 256 < of_256.into()
    }

    /// Marsaglia's xorshift.
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }
}

fn packet(kind: u8, from: Endpoint, to: Endpoint, request: bool) -> Vec<u8> {
    let tcp = |flags| make::tcp(from, to, flags, 1000, 5000, b"");
    match kind % 16 {
        0 => tcp(Flags::SYN),
        1 => tcp(Flags::ACK),
        2 => tcp(Flags::FIN | Flags::ACK),
        3 => tcp(Flags::RST),
        4 if request => make::echo_request(from, to.addr, 1, b"ping"),
        4 => make::echo_reply(from.addr, to, 1, b"ping"),
        5 => make::ip(Protocol::GRE, from.addr, to.addr, b"generic"),
        6 => make::udp_without_checksum(from, to, b"datagram"),
        7 => make::with_ttl(&make::udp(from, to, b"datagram"), 2),
        _ => make::udp(from, to, b"datagram"),
    }
}

/// Whether a packet is one of [`packet`]'s, and not of any bytes.
fn is_ordinary(bytes: &[u8]) -> bool {
    verifies(bytes) && bytes.len() == 36
}

fn verifies(bytes: &[u8]) -> bool {
    Packet::parse(&mut bytes.to_vec()).is_ok_and(|packet| {
        packet.is_fragment() || make::checksums_verify(&packet.bytes()[..packet.total_len()])
    })
}

fn tuple(bytes: &[u8]) -> masq_wire::Tuple {
    let mut bytes = bytes.to_vec();
    let packet = Packet::parse(&mut bytes).expect("what leaves is well-formed");
    packet.tuple().expect("what is answered or judged has ends")
}
