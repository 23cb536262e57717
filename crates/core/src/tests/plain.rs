//! Sessions whose packets leave as they arrive: between insides, and to where the kernel forwards.

use core::net::Ipv4Addr;

use masq_flow::{Direction, NextHopId, Slot, Writer};
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, make};

use super::net::{C1, C2, INSIDE, LAN, Net, S1, Table, X, c1, c2, s1, unreachable};
use crate::session::Kind;
use crate::tcp::State;
use crate::{
    DropReason, EndReason, Engine, Event, Inside, NextHop, NextHopState, PortId, PortRanges,
    Prefix, Route, TimeoutClass, Verdict,
};

/// An interface that is not served.
const TUNNEL: PortId = PortId(9);
/// Who is behind it.
const T: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 5);

#[test]
fn any_first_packet_between_insides_begins_a_session_that_is_the_fast_paths() {
    let segment = |flags| make::tcp(c1(5000), c2(80), flags, 7, 9, b"");
    let packets = [
        segment(Flags::SYN),
        segment(Flags::ACK),
        segment(Flags::SYN | Flags::ACK),
        segment(Flags::RST),
        make::udp(c1(5000), c2(9), b"datagram"),
        make::echo_request(c1(7), C2, 1, b"ping"),
        make::echo_reply(C1, c2(7), 1, b"pong"),
        make::ip(Protocol::GRE, C1, C2, b"generic"),
    ];
    for packet in packets {
        let mut net = Net::new();
        let seen = net.send_out(&packet).inside();
        assert_eq!(seen.next_hop(), Table::neighbour(C2));
        let tuple = seen.tuple();
        let (slot, session) = only(&net);
        assert_eq!((session.original, session.reply), (tuple, tuple.reversed()));
        assert_eq!(Kind::of(&session), Kind::Plain);
        assert!(net.is_fast(slot, Direction::Egress), "{tuple}");
        let stats = net.engine.stats();
        assert_eq!((stats.mappings, stats.between_insides.packets), (0, 1));
        assert_eq!(net.engine.sessions.hosts.usage(C1.into()), crate::limits::Usage::default());
    }
}

#[test]
fn answers_between_insides_are_of_the_same_session() {
    let mut net = Net::new();
    net.send_out(&make::udp(c1(5000), c2(9), b"question")).inside();
    let seen = net.send_out(&make::udp(c2(9), c1(5000), b"answer")).inside();
    assert_eq!((seen.source(), seen.destination()), (c2(9), c1(5000)));
    let (slot, _) = only(&net);
    assert!(Direction::ALL.into_iter().all(|direction| net.is_fast(slot, direction)));
    assert_eq!(net.engine.stats().between_insides.packets, 2);
}

#[test]
fn a_syn_between_insides_gives_both_directions_to_the_fast_path() {
    let mut net = Net::new();
    net.send_out(&make::tcp(c1(5000), c2(80), Flags::SYN, 7, 0, b"")).inside();
    let (slot, _) = only(&net);
    assert!(Direction::ALL.into_iter().all(|direction| net.is_fast(slot, direction)));
}

#[test]
fn the_same_socket_has_a_mapping_beside_its_plain_session() {
    let mut net = Net::new();
    net.send_out(&make::udp(c1(5000), c2(9), b"within")).inside();
    let outside = net.udp_out(c1(5000), s1(9));
    assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
    assert_eq!((net.sessions(), net.engine.stats().mappings), (2, 1));
    net.wait(301);
    assert_eq!((net.sessions(), net.engine.stats().mappings, net.engine.sessions.plain), (0, 0, 0));
}

#[test]
fn a_plain_session_lets_nobody_in_from_outside() {
    let mut net = Net::new();
    net.send_out(&make::udp(c1(5000), c2(9), b"within")).inside();
    net.send_in(&make::udp(c2(9), c1(5000), b"forged")).dropped(DropReason::Spoofed);
    let mut net = to_the_tunnel();
    net.send_out(&make::udp(c1(5000), tunnel(9), b"through")).local();
    let forged = make::udp(tunnel(9), c1(5000), b"forged");
    net.send_in(&forged).dropped(DropReason::InboundToInside);
}

#[test]
fn what_the_kernel_forwards_is_named_as_the_hosts() {
    let mut net = to_the_tunnel();
    net.send_out(&make::udp(c1(5000), tunnel(9), b"through")).local();
    let (slot, session) = only(&net);
    assert_eq!(session.next_hops.egress, NextHopId::HOST);
    assert_eq!(session.next_hops.ingress, NextHopId::NONE);
    assert_eq!(session.interfaces.ingress, 0);

    net.engine.handle_routes();
    net.walk();
    assert_eq!(net.engine.table().session(slot).unwrap().next_hops.egress, NextHopId::HOST);
}

#[test]
fn a_plain_session_whose_way_leads_outside_gets_a_mapping() {
    let mut net = to_the_tunnel();
    net.send_out(&make::udp(c1(5000), tunnel(9), b"through")).local();
    net.routes.unset(T);
    net.engine.handle_routes();
    net.walk();
    let seen = net.send_out(&make::udp(c1(5000), tunnel(9), b"outside")).outside();
    assert_eq!(seen.source().addr, X);
    assert_eq!(Kind::of(&only(&net).1), Kind::Mapped);
}

#[test]
fn a_mapped_session_whose_way_leads_past_us_becomes_a_plain_one() {
    let mut net = Net::new();
    net.udp_out(c1(5000), tunnel(9));
    net.routes.set(T, way_to_the_tunnel());
    net.send_out(&make::udp(c1(5000), tunnel(9), b"through")).local();
    assert_eq!(only(&net).1.next_hops.egress, NextHopId::HOST);
    assert_eq!(net.engine.stats().mappings, 0);
}

#[test]
fn a_plain_session_ends_when_an_end_is_inside_no_more() {
    let mut net = Net::new();
    net.send_out(&make::udp(c1(5000), c2(9), b"within")).inside();
    net.events();
    net.apply(|policy| {
        let half = Prefix::v4(Ipv4Addr::new(192, 168, 1, 0), 30);
        policy.insides = vec![Inside { networks: vec![half], ..policy.insides[0].clone() }];
    });
    let ended =
        |event: &Event| matches!(event, Event::SessionRemoved { reason: EndReason::Policy, .. });
    assert!(net.events().iter().any(ended));
    assert_eq!((net.sessions(), net.engine.sessions.plain), (0, 0));
}

#[test]
fn another_outside_address_leaves_plain_sessions_alone() {
    let mut net = Net::new();
    net.send_out(&make::udp(c1(5000), c2(9), b"within")).inside();
    let plan = net.apply(|policy| policy.outsides[0].pool.addresses.clear());
    assert_eq!((plan.kept, plan.moved, plan.ended), (1, 0, 0));
    assert_eq!(net.sessions(), 1);
}

#[test]
fn errors_about_plain_packets_pass_as_they_are() {
    let mut net = Net::new();
    let packet = make::udp(c1(5000), c2(9), b"within");
    let seen = net.send_out(&packet).inside();
    let error = make::icmp_error(C2, C1, unreachable(3), seen.bytes());
    let passed = net.send_out(&error).inside();
    assert_eq!(passed.addresses(), (C2, C1));
    assert_eq!(passed.error().quoted[..28], seen.bytes()[..28]);
    net.send_in(&make::icmp_error(S1, C1, unreachable(3), seen.bytes()))
        .dropped(DropReason::IcmpErrorForNobody);
}

#[test]
fn a_connection_of_which_one_side_is_seen_lives_by_its_acknowledgements() {
    let mut net = to_the_tunnel();
    let mut send = |flags, sequence| {
        net.send_out(&make::tcp(c1(5000), tunnel(80), flags, sequence, 9, b"")).local();
        let (slot, session) = only(&net);
        State::of(&session, &net.engine.table().activity(slot).unwrap())
    };
    assert_eq!(send(Flags::SYN, 7).class(), TimeoutClass::TcpOpening);
    assert_eq!(send(Flags::ACK, 8).class(), TimeoutClass::TcpEstablished);
    assert_eq!(send(Flags::FIN | Flags::ACK, 8).class(), TimeoutClass::TcpClosing);
    net.wait(4 * 60 + 1);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn a_connection_between_insides_goes_through_the_states() {
    let mut net = Net::new();
    let mut send = |from, to, flags| {
        net.send_out(&make::tcp(from, to, flags, 7, 9, b"")).inside();
        let (slot, session) = only(&net);
        State::of(&session, &net.engine.table().activity(slot).unwrap())
    };
    assert_eq!(send(c1(5000), c2(80), Flags::SYN), State::Init);
    assert_eq!(send(c2(80), c1(5000), Flags::SYN | Flags::ACK), State::Established);
    assert_eq!(send(c1(5000), c2(80), Flags::FIN | Flags::ACK), State::ClientFinRcv);
    assert_eq!(send(c2(80), c1(5000), Flags::FIN | Flags::ACK), State::BothFin);
}

#[test]
fn a_scan_between_insides_costs_no_other_flow_its_session() {
    let mut net = Net::with(|policy| policy.outsides[0].pool.ports = PortRanges(vec![2000..=2001]));
    let outside = net.udp_out(c1(5000), s1(9));
    net.udp_in(s1(9), outside);
    net.send_out(&make::udp(c1(5000), c2(9), b"within")).inside();
    net.send_out(&make::udp(c2(9), c1(5000), b"answer")).inside();
    let slots = net.engine.table().layout().slots as usize;
    for number in 0..(slots / 2) as u16 + 5000 {
        if number % 5000 == 0 {
            // Longer than a freed record rests.
            net.wait(2);
        }
        net.send_out(&make::udp(c1(6000), c2(number + 1), b"scan")).inside();
    }
    assert_eq!(net.engine.sessions.plain, slots / 2);
    assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
    let (within, _) = net
        .engine
        .table()
        .sessions()
        .find(|(_, session)| session.original.source == c1(5000) && session.reply.source == c2(9))
        .expect("a flow that was answered stays");
    assert!(net.is_fast(within, Direction::Egress));
}

#[test]
fn a_successor_takes_plain_sessions_over() {
    let mut net = to_the_tunnel();
    net.send_out(&make::udp(c1(5000), tunnel(9), b"through")).local();
    net.send_out(&make::udp(c1(5000), c2(9), b"within")).inside();
    let (policy, now) = (net.engine.policy().clone(), net.now());
    let memory = net.engine.table().memory().clone();
    let (writer, adoption) = Writer::adopt(memory, now.as_nanos()).unwrap();
    assert_eq!((adoption.kept, adoption.damaged), (2, 0));
    net.engine = Engine::new([9; 32], writer, policy, now);
    net.walk();
    assert_eq!((net.engine.stats().adopted, net.engine.sessions.plain), (2, 2));
    let hops: Vec<_> =
        net.engine.table().sessions().map(|(_, session)| session.next_hops.egress).collect();
    assert!(hops.contains(&NextHopId::HOST) && hops.contains(&Table::neighbour(C2)));
}

#[test]
fn what_has_no_room_for_a_session_is_forwarded_without_one() {
    let mut net = Net::new();
    let own = make::udp(c1(5000), c1(5000), b"to itself");
    let answer = net.send_out(&own);
    assert!(matches!(answer.verdict(), Verdict::Forward(_)));
    assert_eq!(net.sessions(), 0);
}

fn only(net: &Net) -> (Slot, masq_flow::Session) {
    let sessions: Vec<_> = net.engine.table().sessions().collect();
    assert_eq!(sessions.len(), 1);
    sessions[0]
}

fn tunnel(port: u16) -> Endpoint {
    Endpoint::v4(T, port)
}

fn way_to_the_tunnel() -> Route {
    let state = NextHopState::Ready;
    Route::Unicast(NextHop { id: NextHopId(77), port: TUNNEL, mtu: 1400, state })
}

fn to_the_tunnel() -> Net {
    assert!(!LAN.contains(T.into()) && INSIDE != TUNNEL);
    let mut net = Net::new();
    net.routes.set(T, way_to_the_tunnel());
    net
}
