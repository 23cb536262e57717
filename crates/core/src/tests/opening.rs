//! A TCP connection costs the engine its SYN; the fast path has the rest, and the engine learns of it
//! from what was stamped.

use masq_flow::{Direction, Slot, TcpMark};
use masq_wire::make;
use masq_wire::tcp::Flags;

use super::net::{C1, Connection, Net, Table, c1, c2, s1, s2, x};
use crate::tcp::State;
use crate::{Filtering, NextHopState};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);
const FIN_ACK: Flags = Flags::FIN.union(Flags::ACK);

#[test]
fn what_follows_a_syn_is_the_fast_paths_both_ways() {
    let mut net = Net::new();
    Connection::begin(&mut net, c1(6000), s1(80));
    assert_eq!(fast(&net), [true, true]);
}

#[test]
fn the_answer_to_a_syn_from_outside_is_the_fast_paths_too() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = net.udp_out(c1(8080), s1(9));
    assert_eq!(outside, x(8080));
    let first = Connection::begin(&mut net, c1(8081), s1(80)).outside;
    net.events();
    net.send_in(&make::tcp(s2(4000), first, Flags::SYN, 5000, 0, b"")).inside();
    assert_eq!(fast(&net), [true, true]);
}

#[test]
fn an_answer_that_goes_to_a_neighbour_nobody_knows_comes_to_the_engine() {
    let mut net = Net::new();
    for unknown in [NextHopState::Resolving, NextHopState::Failed] {
        net.routes.set_state(Table::neighbour(C1), unknown);
        Connection::begin(&mut net, c1(6000), s1(80 + unknown as u16));
        assert_eq!(fast(&net), [true, false], "{unknown:?}");
    }
}

#[test]
fn an_answer_that_has_no_way_back_comes_to_the_engine() {
    let mut net = Net::new();
    net.routes.set(C1, crate::Route::Blackhole);
    Connection::begin(&mut net, c1(6000), s1(80));
    assert_eq!(fast(&net), [true, false]);
}

#[test]
fn a_datagram_says_nothing_of_what_else_is_under_way() {
    let mut net = Net::new();
    net.udp_out(c1(6000), s1(9));
    assert_eq!(fast(&net), [true, false]);
}

#[test]
fn a_segment_of_an_older_connection_is_no_beginning() {
    let mut net = Net::new();
    net.send_out(&make::tcp(c1(6000), s1(80), Flags::ACK, 1000, 5000, b"")).outside();
    assert_eq!(fast(&net), [true, false]);
}

#[test]
fn the_other_end_of_a_hairpin_lets_it_in_by_its_own_packets() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = Connection::begin(&mut net, c1(8080), s1(80)).outside;
    net.events();
    net.send_out(&make::tcp(c2(6000), outside, Flags::SYN, 1000, 0, b"")).inside();
    assert_eq!(fast(&net), [true, false]);
}

#[test]
fn a_connection_that_only_the_fast_path_saw_open_lives_as_long_as_any() {
    let mut net = Net::new();
    let mut connection = Connection::begin(&mut net, c1(6000), s1(80));
    let opened = [(Direction::Ingress, SYN_ACK), (Direction::Egress, Flags::ACK)];
    stamp(&net, &opened, &connection);
    net.wait(7200);
    assert_eq!(net.sessions(), 1);
    (connection.client, connection.server) = (1001, 5001);
    connection.works(&mut net);
    net.wait(7440);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn a_connection_that_only_the_fast_path_saw_end_is_over() {
    let mut net = Net::new();
    let connection = Connection::begin(&mut net, c1(6000), s1(80));
    let whole = [
        (Direction::Ingress, SYN_ACK),
        (Direction::Egress, Flags::ACK),
        (Direction::Egress, FIN_ACK),
        (Direction::Ingress, FIN_ACK),
    ];
    stamp(&net, &whole, &connection);
    net.wait(239);
    assert_eq!(net.sessions(), 1);
    net.wait(1);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn a_reset_ends_a_connection_that_only_the_fast_path_saw_open() {
    let mut net = Net::new();
    let mut connection = Connection::begin(&mut net, c1(6000), s1(80));
    let opened = [(Direction::Ingress, SYN_ACK), (Direction::Egress, Flags::ACK)];
    stamp(&net, &opened, &connection);
    (connection.client, connection.server) = (1001, 5001);
    let foreign = connection.try_ingress(&mut net, Flags::RST, 4000, b"");
    assert_eq!(foreign.all().len(), 1, "it is for the receiver to judge");
    assert_eq!(net.engine.table().session(only(&net)).map(|s| s.state), Some(2), "established");
    connection.ingress(&mut net, Flags::RST, b"");
    assert_eq!(state(&net), State::Trans);
    net.wait(240);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn a_refused_connection_was_never_open() {
    let mut net = Net::new();
    let mut connection = Connection::begin(&mut net, c1(6000), s1(80));
    connection.server = 0;
    connection.ingress(&mut net, Flags::RST | Flags::ACK, b"");
    assert_eq!(state(&net), State::Init);
    net.wait(240);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn a_reset_does_not_reset_what_the_fast_path_saw_end() {
    let mut net = Net::new();
    let mut connection = Connection::begin(&mut net, c1(6000), s1(80));
    let whole = [
        (Direction::Ingress, SYN_ACK),
        (Direction::Egress, FIN_ACK),
        (Direction::Ingress, FIN_ACK),
    ];
    stamp(&net, &whole, &connection);
    (connection.client, connection.server) = (1002, 5001);
    connection.ingress(&mut net, Flags::RST, b"");
    assert_eq!(state(&net), State::BothFin);
}

/// Stamps segments as the fast path does; each acknowledges what the other side's first two take.
fn stamp(net: &Net, segments: &[(Direction, Flags)], connection: &Connection) {
    let (slot, now) = (only(net), net.now().as_nanos());
    for (direction, flags) in segments {
        let acknowledgement = match direction {
            Direction::Egress => connection.server + 1,
            Direction::Ingress => connection.client,
        };
        let mark = TcpMark { flags: flags.bits(), acknowledgement };
        net.engine.table().stamp(now, slot, *direction, 40, Some(mark));
    }
}

fn state(net: &Net) -> State {
    let slot = only(net);
    let session = net.engine.table().session(slot).unwrap();
    State::from_number(session.state).unwrap()
}

/// The only session.
fn only(net: &Net) -> Slot {
    let slots: Vec<Slot> = net.engine.table().slots().collect();
    assert_eq!(slots.len(), 1);
    slots[0]
}

/// Whether the fast path has the egress and the ingress packets of the latest session.
fn fast(net: &Net) -> [bool; 2] {
    let slot = net.engine.table().slots().last().unwrap();
    [Direction::Egress, Direction::Ingress].map(|direction| net.is_fast(slot, direction))
}
