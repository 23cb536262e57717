//! Three judges of one [table](super::table): the engine says what becomes of each packet, and the TC
//! and the XDP program do the same to it, byte for byte, or leave it to the engine for the reason
//! that the table names.

use core::net::{IpAddr, Ipv4Addr};

use masq_core::{
    DropReason, Engine, Frame, Inside, Instant, NextHop, NextHopState, Outside, Policy, PortId,
    Prefix, Route, RouteQuery, Routes, Verdict,
};
use masq_flow::punt::PuntReason;
use masq_flow::{Memory, NextHopId, Secret, Writer};
use masq_wire::{Packet, Protocol};

use super::table::{self, Fast, Row, State};
use crate::in_network;
use crate::rig::{
    Became, Context, GATEWAY_INSIDE, OUTSIDE, Port, Rig, TO_SERVER, TO_WORKSTATION, UNRESOLVED,
    next_hop, settings,
};

#[test]
fn the_engine_and_both_programs_agree_on_every_packet() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.go_fast();
        for row in table::rows(rig.lan, rig.wan) {
            let mut is_judged_so = || {
                let judged = core::panic::AssertUnwindSafe(|| judge(&mut rig, &row));
                std::panic::catch_unwind(judged).is_ok()
            };
            // What is under way is waited for an eighth of a second, and a slow machine takes longer to ask.
            let tries = if matches!(row.state, State::UnderWay) { 5 } else { 1 };
            assert!((0..tries).any(|_| is_judged_so()), "{}", row.name);
        }
    });
}

#[test]
fn every_reason_to_punt_has_a_packet_in_the_table() {
    in_network(|| {
        let rig = Rig::new();
        let rows = table::rows(rig.lan, rig.wan);
        for why in PuntReason::ALL {
            assert!(
                rows.iter().any(|row| row.tc == Fast::Punts(why)),
                "none that is punted: {why}"
            );
        }
        let names: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
        assert_eq!(names.len(), rows.len(), "each row has a name of its own");
    });
}

fn judge(rig: &mut Rig, row: &Row) {
    prepare(rig, row);
    let mut reference = Reference::new(rig, row);
    for (outside, packet) in &row.before {
        let port = port(rig, *outside);
        assert!(matches!(reference.judge(port, packet), (Verdict::Forward(_), _)));
        let outcome = rig.arrive_frame(Context::at(port), &port.frame(packet));
        assert_eq!(outcome.became, Became::Translated, "what came before");
    }
    let from = port(rig, row.outside);
    let expected = reference.expect(from, row);
    let mut frame = from.frame(&row.packet);
    frame.resize(frame.len().max(row.filled_up), 0xee);
    judge_xdp(rig, row, from, &frame, expected.as_deref());
    let context = Context { segment: row.segment, ..Context::at(from) };
    let outcome = rig.arrive_frame(context, &frame);
    match row.tc {
        Fast::Punts(why) => assert_eq!(outcome.became, Became::Punted(why)),
        Fast::Carries => {
            assert_eq!(outcome.became, Became::Translated);
            let expected = expected.expect("who carries it does as the engine");
            let start = if is_layer3(row) { 14 } else { 0 };
            assert_eq!(
                outcome.frame[start..],
                expected[start..],
                "TC makes of it what the engine does"
            );
        }
    }
}

fn judge_xdp(rig: &mut Rig, row: &Row, from: Port, frame: &[u8], expected: Option<&[u8]>) {
    let carried = rig.arrive_xdp(from, frame);
    if row.tc != Fast::Carries || !row.xdp_too {
        assert_eq!(carried, None, "XDP leaves it to TC");
        // It may have taken a ticket, or begun to wait; here TC is to see the same as XDP.
        prepare_sessions(rig, row);
        return replay(rig, row);
    }
    let (carried, expected) = (carried.expect("XDP carries it"), expected.expect("as the engine"));
    let length = expected.len();
    assert_eq!(carried[..length], *expected, "XDP makes of it what the engine does");
    assert_eq!(carried.len(), length.max(row.filled_up), "and sends no more than came");
}

fn replay(rig: &mut Rig, row: &Row) {
    for (outside, packet) in &row.before {
        let port = port(rig, *outside);
        rig.arrive_frame(Context::at(port), &port.frame(packet));
    }
}

/// Puts the gateway into the row's state.
fn prepare(rig: &mut Rig, row: &Row) {
    for (id, port, state) in [
        (TO_WORKSTATION, rig.lan, masq_flow::NextHopState::Ready),
        (TO_SERVER, rig.wan, masq_flow::NextHopState::Ready),
        (UNRESOLVED, rig.wan, masq_flow::NextHopState::Resolving),
    ] {
        let mut hop = next_hop(&port, state);
        if let (TO_SERVER, Some(change)) = (id, row.hop) {
            change(&mut hop);
        }
        rig.next_hops[usize::from(id.0)].store(&hop);
    }
    rig.set(settings());
    rig.set_fast(row.state != State::Off);
    prepare_sessions(rig, row);
}

fn prepare_sessions(rig: &mut Rig, row: &Row) {
    rig.table = Writer::format(rig.memory.clone(), Secret::new(77, 99));
    for session in &row.sessions {
        if row.state == State::UnderWay {
            // A session begins with a packet missing.
            rig.table.insert(super::stamps::monotonic(), session).unwrap();
        } else {
            rig.enter(session);
        }
    }
    if row.state == State::Stale {
        rig.table.set_min_epoch(1);
    }
}

fn port(rig: &Rig, outside: bool) -> Port {
    if outside { rig.wan } else { rig.lan }
}

fn is_layer3(row: &Row) -> bool {
    let mut hop = masq_flow::NextHopValue::default();
    if let Some(change) = row.hop {
        change(&mut hop);
    }
    hop.layer3
}

/// The engine, which sees every packet.
struct Reference {
    engine: Engine,
    routes: Ways,
    now: Instant,
}

impl Reference {
    fn new(rig: &Rig, row: &Row) -> Self {
        let (lan, wan) = (PortId(rig.lan.index), PortId(rig.wan.index));
        let lan_prefix = Prefix::v4(Ipv4Addr::new(192, 168, 1, 0), 24);
        let inside =
            Inside { port: lan, address: Some(GATEWAY_INSIDE.into()), networks: vec![lan_prefix] };
        let policy = Policy::new(vec![inside], vec![Outside::new(wan, vec![OUTSIDE.into()])]);
        let mut table = Writer::format(Memory::heap(rig.layout()), Secret::new(77, 99));
        for session in &row.sessions {
            table.insert(1, session).unwrap();
        }
        let hop = rig.next_hops[usize::from(TO_SERVER.0)].load().unwrap();
        let unresolved = row.sessions.iter().any(|session| session.next_hops.egress == UNRESOLVED);
        let to_server = if unresolved { UNRESOLVED } else { TO_SERVER };
        let now = Instant::from_secs(10);
        let routes = Ways { lan, wan, to_server, mtu: hop.mtu };
        Self { engine: Engine::new([1; 32], table, policy, now), routes, now }
    }

    /// Judges a row's packet, and gives the frame that leaves.
    fn expect(&mut self, from: Port, row: &Row) -> Option<Vec<u8>> {
        let whole = self.routes.clone();
        let (verdict, _) = if row.segment == 0 {
            self.judge(from, &row.packet)
        } else {
            // Whoever sees it cut sees this first.
            self.judge(from, &first_segment(&row.packet, row.segment))
        };
        let said = match (row.engine, verdict) {
            (table::Engine::Forwards, Verdict::Forward(_))
            | (table::Engine::Holds, Verdict::Held)
            | (table::Engine::Local, Verdict::Local)
            | (table::Engine::Malformed, Verdict::Drop(DropReason::Malformed(_))) => true,
            (table::Engine::Drops(why), Verdict::Drop(reason)) => why == reason,
            _ => false,
        };
        assert!(said, "the engine says {verdict:?}, and not {:?}", row.engine);
        // What is cut later is translated as if it were whole.
        self.routes = Ways {
            mtu: whole.mtu.max(row.packet.len() as u32 * u32::from(row.segment != 0)),
            ..whole
        };
        let (verdict, bytes) = self.judge(from, &row.packet);
        let Verdict::Forward(egress) = verdict else { return None };
        let to = if egress.port == self.routes.wan { 2 } else { 1 };
        let (near, far) = ([2, 0, 0, 0, to, 1], [2, 0, 0, 0, to, 2]);
        Some([&far[..], &near, &[8, 0], &bytes].concat())
    }

    fn judge(&mut self, from: Port, packet: &[u8]) -> (Verdict, Vec<u8>) {
        let mut bytes = packet.to_vec();
        let length = bytes.len();
        let mut frame = Frame::new(&mut bytes, length);
        let port = PortId(from.index);
        let verdict = self.engine.process(self.now, &self.routes, port, &mut frame);
        (verdict, bytes)
    }
}

/// A TCP segment as it is cut off first.
fn first_segment(packet: &[u8], size: u32) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let tuple = Packet::parse(&mut bytes).unwrap().tuple().unwrap();
    assert_eq!(tuple.protocol, Protocol::TCP);
    let payload = vec![7; size as usize];
    let flags = masq_wire::tcp::Flags::ACK;
    masq_wire::make::tcp(tuple.source, tuple.destination, flags, 1, 2, &payload)
}

/// The workstation is a neighbour inside, and everything else is behind the server.
#[derive(Clone)]
struct Ways {
    lan: PortId,
    wan: PortId,
    to_server: NextHopId,
    mtu: u32,
}

impl Routes for Ways {
    fn route(&self, query: &RouteQuery) -> Route {
        let IpAddr::V4(destination) = query.destination else { return Route::NoRoute };
        let (id, port, mtu) = match destination {
            GATEWAY_INSIDE | OUTSIDE => return Route::Local,
            _ if destination.octets()[..3] == [192, 168, 1] => (TO_WORKSTATION, self.lan, 1500),
            _ => (self.to_server, self.wan, self.mtu),
        };
        Route::Unicast(NextHop { id, port, mtu, state: self.next_hop_state(id) })
    }

    fn next_hop_state(&self, id: NextHopId) -> NextHopState {
        if id == UNRESOLVED { NextHopState::Resolving } else { NextHopState::Ready }
    }
}
