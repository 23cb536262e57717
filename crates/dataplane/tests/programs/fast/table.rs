//! The one table of packets: what the engine does with each, and whether the programs carry it.

use masq_core::DropReason;
use masq_flow::punt::PuntReason;
use masq_flow::{Flags, NextHopId, NextHopValue, PerDirection, Session};
use masq_wire::icmp::error::Report;
use masq_wire::icmp::kind;
use masq_wire::make::{self, at};
use masq_wire::tcp::Flags as TcpFlags;
use masq_wire::{Endpoint, Protocol, Tuple};

use crate::rig::{OUTSIDE, Port, SERVER, TO_SERVER, TO_WORKSTATION, UNRESOLVED};

/// A packet, the circumstances, and what must become of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) sessions: Vec<Session>,
    /// What came before, from outside or not; everybody carries it.
    pub(super) before: Vec<(bool, Vec<u8>)>,
    pub(super) outside: bool,
    pub(super) packet: Vec<u8>,
    /// The payload of each segment that the packet is still to be cut into.
    pub(super) segment: u32,
    /// The frame is so long.
    pub(super) filled_up: usize,
    /// What is different about the next hop to the server.
    pub(super) hop: Option<fn(&mut NextHopValue)>,
    pub(super) state: State,
    pub(super) engine: Engine,
    pub(super) tc: Fast,
    /// XDP does what TC does, but where it leaves that to TC.
    pub(super) xdp_too: bool,
}

/// How the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Usual,
    /// The fast path is off.
    Off,
    /// Sessions are of an earlier epoch.
    Stale,
    /// A packet of the session is with the engine.
    UnderWay,
}

/// What the engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Forwards,
    Drops(DropReason),
    Holds,
    Local,
    /// It drops the packet for a reason that `masq_wire` names.
    Malformed,
}

/// What the programs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fast {
    Carries,
    Punts(PuntReason),
}

impl Row {
    fn inside(self) -> Self {
        Self { outside: false, ..self }
    }

    fn outside(self) -> Self {
        Self { outside: true, ..self }
    }

    fn punted(self, why: PuntReason, engine: Engine) -> Self {
        Self { tc: Fast::Punts(why), engine, ..self }
    }

    fn with(self, change: impl FnOnce(&mut Session)) -> Self {
        let mut row = self;
        change(&mut row.sessions[0]);
        row
    }
}

/// Every row.
pub(super) fn rows(lan: Port, wan: Port) -> Vec<Row> {
    let scene = Scene { lan, wan };
    let mut rows = scene.carried();
    rows.extend(scene.carried_in_part());
    rows.extend(scene.of_the_record());
    rows.extend(scene.of_the_header());
    rows.extend(scene.of_the_transport());
    rows.extend(scene.of_the_way());
    rows.extend(scene.of_no_session());
    rows
}

struct Scene {
    lan: Port,
    wan: Port,
}

impl Scene {
    fn session(&self, protocol: Protocol, ends: [&str; 3]) -> Session {
        let [inside, outside, remote] = ends.map(at);
        Session {
            original: Tuple::new(protocol, inside, remote),
            reply: Tuple::new(protocol, remote, outside),
            flags: Flags::empty(),
            class: 0,
            state: 0,
            next_hops: PerDirection::new(TO_SERVER, TO_WORKSTATION),
            interfaces: PerDirection::new(self.lan.index, self.wan.index),
            epoch: 0,
            rule_path: 0,
            created: 0,
        }
    }

    fn usual(&self, protocol: Protocol) -> Session {
        let remote =
            if protocol == Protocol::ICMP { "203.0.113.178:0" } else { "203.0.113.178:53" };
        self.session(protocol, ["192.168.1.3:5353", "203.0.113.1:45000", remote])
    }

    /// A packet from inside of the usual session, which all carry.
    fn row(&self, name: impl Into<String>, protocol: Protocol, packet: Vec<u8>) -> Row {
        Row {
            name: name.into(),
            sessions: vec![self.usual(protocol)],
            before: Vec::new(),
            outside: false,
            packet,
            segment: 0,
            filled_up: 0,
            hop: None,
            state: State::Usual,
            engine: Engine::Forwards,
            tc: Fast::Carries,
            xdp_too: true,
        }
    }

    fn udp(&self, name: impl Into<String>, packet: Vec<u8>) -> Row {
        self.row(name, Protocol::UDP, packet)
    }

    fn tcp(&self, name: impl Into<String>, packet: Vec<u8>) -> Row {
        self.row(name, Protocol::TCP, packet)
    }

    fn carried(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (name, payload) in [
            ("nothing", &b""[..]),
            ("an odd byte", b"x"),
            ("a word", b"four"),
            ("much", &[7; 1400]),
        ] {
            rows.push(self.udp(format!("a datagram with {name}"), datagram(payload)));
            let bare = make::udp_without_checksum(INSIDE, REMOTE, payload);
            rows.push(self.udp(format!("a datagram with {name} and no checksum"), bare));
            let back = make::udp(REMOTE, MAPPED, payload);
            rows.push(self.udp(format!("an answer with {name}"), back).outside());
            rows.push(self.tcp(format!("a segment with {name}"), segment(TcpFlags::ACK, payload)));
            let back = make::tcp(REMOTE, MAPPED, TcpFlags::ACK, 1, 2, payload);
            rows.push(self.tcp(format!("a segment back with {name}"), back).outside());
            let ping = make::echo_request(INSIDE, SERVER, 7, payload);
            rows.push(self.row(format!("a ping with {name}"), Protocol::ICMP, ping));
            let pong = make::echo_reply(SERVER, MAPPED, 7, payload);
            let pong = self.row(format!("its answer with {name}"), Protocol::ICMP, pong);
            rows.push(pong.outside());
        }
        for flags in [
            TcpFlags::SYN | TcpFlags::ACK,
            TcpFlags::FIN | TcpFlags::ACK,
            TcpFlags::PSH | TcpFlags::ACK,
            TcpFlags::RST,
            TcpFlags::RST | TcpFlags::ACK,
        ] {
            rows.push(self.tcp(format!("a segment with {flags:?}"), segment(flags, b"")));
        }
        let options = [2, 4, 5, 0xb4, 1, 1, 1, 0];
        let packet = make::tcp_with_options(INSIDE, REMOTE, TcpFlags::ACK, 1, 2, &options, b"x");
        rows.push(self.tcp("a segment with options of its own", packet));
        let usual = datagram(b"payload");
        for (name, packet) in [
            ("a class of service", make::with_tos(&usual, 0xb8)),
            ("a fragment's number though it is none", make::with_identification(&usual, 0xffff)),
            ("the wish to stay whole", make::with_dont_fragment(&usual)),
            ("two hops to go", make::with_ttl(&usual, 2)),
            ("all hops to go", make::with_ttl(&usual, 255)),
            ("a wrong checksum", changed(&usual, 27, 0x55)),
        ] {
            rows.push(self.udp(format!("a datagram with {name}"), packet));
        }
        rows.push(self.udp("a datagram whose checksum comes out as ones", comes_out_as_ones()));
        rows.push(self.udp("a datagram with a part that its length leaves out", {
            let mut packet = datagram(b"options");
            packet[25] -= 4;
            packet
        }));
        let anywhere = self.udp("any interface will do", usual);
        rows.push(anywhere.with(|session| session.interfaces = PerDirection::new(0, 0)));
        rows
    }

    /// What XDP leaves to TC, and what a frame has beside its packet. Segments that fit while they
    /// are still one show on real devices only (`wire`): in a test run the kernel cannot tell how
    /// long each will be.
    fn carried_in_part(&self) -> Vec<Row> {
        let short = || datagram(b"x");
        let filled = |name: &str, filled_up| Row { filled_up, ..self.udp(name, short()) };
        let lan = self.lan.index;
        let begun = Session {
            flags: Flags::HAIRPIN | Flags::ANSWERED,
            next_hops: PerDirection::new(TO_WORKSTATION, TO_WORKSTATION),
            interfaces: PerDirection::new(lan, lan),
            original: Tuple::new(Protocol::UDP, at("192.168.1.5:1000"), at("203.0.113.1:41000")),
            reply: Tuple::new(Protocol::UDP, at("192.168.1.6:2000"), at("203.0.113.1:42000")),
            ..self.usual(Protocol::UDP)
        };
        // The mapping that it leads to.
        let ends = ["192.168.1.6:2000", "203.0.113.1:41000", "203.0.113.178:53"];
        let target = self.session(Protocol::UDP, ends);
        let hairpin = |packet, from, to| Row {
            sessions: vec![begun, target],
            ..self.udp(format!("a hairpin from {from} to {to}"), packet)
        };
        let there = make::udp(at("192.168.1.5:1000"), at("203.0.113.1:41000"), b"hairpin");
        let back = make::udp(at("192.168.1.6:2000"), at("203.0.113.1:42000"), b"hairpin");
        vec![
            filled("a frame filled up to its least length", 60),
            Row { xdp_too: false, ..filled("a frame filled up beyond that", 61) },
            Row {
                hop: Some(|hop| hop.layer3 = true),
                xdp_too: false,
                ..self.udp("an interface without link-layer header", short())
            },
            hairpin(there, "one", "another"),
            hairpin(back, "the other", "the one"),
        ]
    }

    fn of_the_record(&self) -> Vec<Row> {
        let udp = |name: &str| self.udp(name, datagram(b"payload"));
        let (lan, wan) = (self.lan.index, self.wan.index);
        vec![
            udp("a session whose packets come elsewhere")
                .punted(PuntReason::Interface, Engine::Forwards)
                .with(|session| session.interfaces = PerDirection::new(wan, lan)),
            udp("a session that is the engine's")
                .punted(PuntReason::Session, Engine::Forwards)
                .with(|session| session.flags = Flags::PUNT),
            Row { state: State::Stale, ..udp("a session of an earlier epoch") }
                .punted(PuntReason::Stale, Engine::Forwards),
            Row { state: State::UnderWay, ..udp("a packet behind another") }
                .punted(PuntReason::Order, Engine::Forwards),
            Row { state: State::Off, ..udp("from inside, with the fast path off") }
                .punted(PuntReason::Inside, Engine::Forwards),
            Row {
                packet: make::udp(REMOTE, MAPPED, b"answer"),
                state: State::Off,
                ..udp("from outside, with the fast path off")
            }
            .outside()
            .punted(PuntReason::Owned, Engine::Forwards),
        ]
    }

    fn of_the_header(&self) -> Vec<Row> {
        let usual = datagram(b"payload");
        let mut rows = Vec::new();
        for (name, options, engine) in [
            ("nothing", &[1, 1, 1, 0][..], Engine::Forwards),
            ("a path", &[7, 7, 4, 0, 0, 0, 0, 0], Engine::Drops(DropReason::AddressOption)),
            ("an alert", &[148, 4, 0, 0], Engine::Forwards),
        ] {
            let packet = make::with_options(&usual, options);
            let row = self.udp(format!("options that say {name}"), packet);
            rows.push(row.punted(PuntReason::Options, engine));
        }
        for (name, at, to, right) in [
            ("a wrong header checksum", 10, 0x99, false),
            ("a length beyond the frame", 3, 200, true),
            ("a length within the header", 3, 19, true),
            ("a length within the transport header", 3, 27, true),
            ("a UDP length beyond the packet", 25, 36, true),
            ("a UDP length within its header", 25, 7, true),
        ] {
            let mut packet = changed(&usual, at, to);
            if right {
                make::fill_header_checksum(&mut packet);
            }
            rows.push(self.udp(name, packet).punted(PuntReason::Malformed, Engine::Malformed));
        }
        for ttl in [0, 1] {
            let row = self.udp(format!("{ttl} hops to go"), make::with_ttl(&usual, ttl));
            rows.push(row.punted(PuntReason::Ttl, Engine::Drops(DropReason::TtlExpired)));
        }
        rows
    }

    fn of_the_transport(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for offset in [0, 4, 15] {
            let packet = changed(&segment(TcpFlags::ACK, b"payload"), 32, offset << 4);
            let row = self.tcp(format!("a data offset of {offset}"), packet);
            rows.push(row.punted(PuntReason::Malformed, Engine::Malformed));
        }
        let mut half = segment(TcpFlags::ACK, b"");
        half.truncate(32);
        half[3] = 32;
        make::fill_header_checksum(&mut half);
        let half = self.tcp("half a TCP header", half);
        rows.push(half.punted(PuntReason::Malformed, Engine::Malformed));

        let opening = self.tcp("a segment that opens", segment(TcpFlags::SYN, b""));
        rows.push(opening.punted(PuntReason::Opening, Engine::Forwards));
        let mut ones = segment(TcpFlags::ACK, b"payload");
        ones[36..38].fill(0xff);
        let ones = self.tcp("a TCP checksum of ones", ones);
        rows.push(ones.punted(PuntReason::Zero, Engine::Forwards));

        // What counts is the number that the other side has acknowledged (RFC 7857 §2.2).
        let acknowledged = make::tcp(REMOTE, MAPPED, TcpFlags::ACK, 1, 7000, b"");
        for (name, number) in [("before", 6999), ("beyond", 7001), ("with", 7000)] {
            let reset = make::tcp(INSIDE, REMOTE, TcpFlags::RST, number, 0, b"");
            let row = self.tcp(format!("a reset {name} the number that counts"), reset);
            let row = Row { before: vec![(true, acknowledged.clone())], ..row };
            let counts = number == 7000;
            rows.push(if counts { row.punted(PuntReason::Reset, Engine::Forwards) } else { row });
        }

        for payload in [&[][..], &[0; 56]] {
            let to_zero = Row {
                sessions: vec![self.session(
                    Protocol::ICMP,
                    ["192.168.1.3:0", "203.0.113.1:77", "203.0.113.178:0"],
                )],
                ..self.row(
                    format!("an answer of nothing but {} zeros", payload.len()),
                    Protocol::ICMP,
                    make::echo_reply(SERVER, at("203.0.113.1:77"), 0, payload),
                )
            };
            rows.push(to_zero.outside().punted(PuntReason::Zero, Engine::Forwards));
        }
        for (kind, engine) in [
            (kind::TIMESTAMP_REQUEST, Engine::Forwards),
            (kind::MASK_REQUEST, Engine::Forwards),
            (kind::INFORMATION_REQUEST, Engine::Drops(DropReason::IcmpType)),
        ] {
            let rest = [0x14, 0xe9, 0, 1];
            let query = make::icmp(INSIDE.addr, SERVER, kind, 0, rest, &[0; 12]);
            let row = self.row(format!("a query of type {kind}"), Protocol::ICMP, query);
            rows.push(row.punted(PuntReason::Protocol, engine));
        }
        let gre = Row {
            sessions: vec![
                self.session(Protocol::GRE, ["192.168.1.3:0", "203.0.113.1:0", "203.0.113.178:0"]),
            ],
            ..self.udp("a tunnel", make::ip(Protocol::GRE, INSIDE.addr, SERVER, b"tunnel"))
        };
        rows.push(gre.punted(PuntReason::Protocol, Engine::Forwards));
        rows
    }

    fn of_the_way(&self) -> Vec<Row> {
        let sized = |length: usize| datagram(&vec![7; length - 28]);
        let narrow =
            |name: &str, packet| Row { hop: Some(|hop| hop.mtu = 1280), ..self.udp(name, packet) };
        let usual = || datagram(b"payload");
        let to = |name: &str, hop: NextHopId, engine| {
            self.udp(name, usual())
                .punted(PuntReason::NextHop, engine)
                .with(|session| session.next_hops = PerDirection::new(hop, hop))
        };
        vec![
            narrow("as much as the way takes", sized(1280)),
            narrow("more than the way takes", sized(1281)).punted(PuntReason::Mtu, Engine::Holds),
            narrow("more than the way takes, and to stay whole", {
                make::with_dont_fragment(&sized(1281))
            })
            .punted(PuntReason::Mtu, Engine::Drops(DropReason::CannotFragment)),
            Row {
                segment: 1461,
                xdp_too: false,
                ..self.tcp("segments of which each is too long", segment(TcpFlags::ACK, &[7; 2922]))
            }
            .punted(PuntReason::Mtu, Engine::Holds),
            to("a neighbour that is being asked for", UNRESOLVED, Engine::Holds),
            to("no neighbour", NextHopId::NONE, Engine::Forwards),
            to("a neighbour that nobody has named", NextHopId(100), Engine::Forwards),
            to("a neighbour beyond all", NextHopId(60_000), Engine::Forwards),
        ]
    }

    fn of_no_session(&self) -> Vec<Row> {
        let whole = datagram(&[7; 2000]);
        let mut rows = Vec::new();
        for (i, piece) in make::fragments(&whole, 1500).into_iter().enumerate() {
            let row = self.udp(format!("fragment {i}"), piece);
            rows.push(row.punted(PuntReason::Fragment, Engine::Holds));
        }
        let error = make::icmp_error(
            INSIDE.addr,
            SERVER,
            Report::TTL_EXCEEDED,
            &make::udp(REMOTE, INSIDE, b"payload"),
        );
        let error = self.udp("an error about a session's packet", error);
        rows.push(error.punted(PuntReason::IcmpError, Engine::Forwards));
        let stranger = make::udp(at("192.168.1.4:9"), REMOTE, b"payload");
        let stranger = self.udp("a flow that begins", stranger);
        rows.push(stranger.punted(PuntReason::Inside, Engine::Forwards));
        let to_mapping = make::udp(at("192.168.1.4:9"), MAPPED, b"payload");
        let to_mapping = self.udp("a hairpin that begins", to_mapping);
        rows.push(to_mapping.punted(PuntReason::Hairpin, Engine::Drops(DropReason::Filtered)));
        let miss = make::udp(REMOTE, Endpoint::v4(OUTSIDE, 41_000), b"payload");
        let miss = self.udp("from outside, to a port that is ours and nobody's", miss);
        rows.push(miss.outside().punted(PuntReason::Miss, Engine::Local));
        let through = make::udp(REMOTE, at("192.168.1.3:9"), b"payload");
        let through = self.udp("from outside, to an inside address", through);
        let engine = Engine::Drops(DropReason::InboundToInside);
        rows.push(through.outside().punted(PuntReason::NotLocal, engine));
        rows.into_iter().map(|row| if row.outside { row } else { row.inside() }).collect()
    }
}

fn datagram(payload: &[u8]) -> Vec<u8> {
    make::udp(INSIDE, REMOTE, payload)
}

fn segment(flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
    make::tcp(INSIDE, REMOTE, flags, 1, 2, payload)
}

fn changed(packet: &[u8], at: usize, to: u8) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[at] = to;
    packet
}

/// A datagram whose checksum is all ones when it has been translated: zero would say that there is
/// none (RFC 768).
fn comes_out_as_ones() -> Vec<u8> {
    let leaving = |word: u16| make::udp(MAPPED, REMOTE, &word.to_be_bytes());
    let word = (0..=u16::MAX).find(|word| leaving(*word)[26..28] == [0xff; 2]).unwrap();
    datagram(&word.to_be_bytes())
}

const INSIDE: Endpoint = Endpoint::v4(crate::rig::WORKSTATION, 5353);
const MAPPED: Endpoint = Endpoint::v4(OUTSIDE, 45_000);
const REMOTE: Endpoint = Endpoint::v4(SERVER, 53);
