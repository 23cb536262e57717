//! Routes that change under sessions which the fast path carries.

use masq_flow::{Direction, NextHopId, Slot};
use masq_wire::tcp::Flags;

use super::{all_new, answered, fast};
use crate::tests::net::{C1, Connection, INSIDE, Net, OUTSIDE, S1, Table, c1, s1, x};
use crate::{DropReason, EndReason, Event, NextHop, NextHopState, PortId, Route};

fn only(net: &Net) -> Slot {
    let mut slots = net.engine.table().slots();
    let slot = slots.next().unwrap();
    assert_eq!(slots.next(), None);
    slot
}

fn hop(net: &Net, direction: Direction) -> NextHopId {
    net.engine.table().session(only(net)).unwrap().next_hops[direction]
}

fn by(id: u16, port: PortId) -> Route {
    let state = NextHopState::Ready;
    Route::Unicast(NextHop { id: NextHopId(id), port, mtu: 1500, state })
}

#[test]
fn a_better_way_is_taken_without_a_packet() {
    let mut net = answered(1);
    assert_eq!(hop(&net, Direction::Egress), Table::ROUTER);
    net.routes.set(S1, by(77, OUTSIDE));
    net.routes.set(C1, by(88, INSIDE));
    net.engine.handle_routes();
    net.walk();
    assert_eq!(hop(&net, Direction::Egress), NextHopId(77));
    assert_eq!(hop(&net, Direction::Ingress), NextHopId(88));
    assert_eq!(fast(&net), 2);
    assert!(all_new(&net));
}

#[test]
fn without_a_way_the_engine_says_so_and_finds_the_next_one() {
    let mut net = answered(1);
    net.routes.set(S1, Route::Unreachable);
    net.engine.handle_routes();
    net.walk();
    assert!(!net.is_fast(only(&net), Direction::Egress));
    assert!(net.is_fast(only(&net), Direction::Ingress));
    let answer = net.send_out(&masq_wire::make::udp(super::inside(0), s1(9), b""));
    assert_eq!(answer.drop_reason(), Some(DropReason::Unreachable));
    net.routes.unset(S1);
    net.engine.handle_routes();
    net.walk();
    net.udp_out(super::inside(0), s1(9));
    assert_eq!(fast(&net), 2);
}

#[test]
fn a_session_whose_way_is_gone_ends_with_its_next_packet() {
    let mut net = answered(1);
    net.routes.set(S1, by(7, PortId(77)));
    net.engine.handle_routes();
    net.walk();
    assert_eq!((net.sessions(), fast(&net)), (1, 1), "the way may come back");
    net.send_out(&masq_wire::make::udp(super::inside(0), s1(9), b"")).local();
    let ended = net
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::SessionRemoved { reason: EndReason::Rerouted, .. }));
    assert_eq!(ended.count(), 1);
}

#[test]
fn an_outside_that_is_away_has_its_sessions_wait_at_the_engine() {
    let mut net = answered(1);
    net.apply(|policy| policy.outsides[0].away = true);
    assert!(!net.is_fast(only(&net), Direction::Egress));
    net.apply(|policy| policy.outsides[0].away = false);
    assert_eq!(net.udp_out(super::inside(0), s1(9)), x(super::FIRST));
    assert_eq!(fast(&net), 2);
}

#[test]
fn an_interface_that_is_on_the_other_side_now_is_believed_nothing() {
    let mut net = answered(1);
    net.apply(|policy| policy.insides[0].port = PortId(5));
    assert_eq!(fast(&net), 0);
}

#[test]
fn a_packet_before_the_walk_does_all_that_the_walk_would() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    net.routes.set(S1, by(77, OUTSIDE));
    net.routes.set(C1, by(88, INSIDE));
    net.engine.handle_routes();
    connection.egress(&mut net, Flags::ACK, b"");
    assert_eq!(hop(&net, Direction::Egress), NextHopId(77));
    assert_eq!(hop(&net, Direction::Ingress), NextHopId(88));
    net.routes.asked();
    net.walk();
    assert_eq!(net.routes.asked(), 0);
}

#[test]
fn idle_sessions_let_go_of_their_next_hops_and_get_them_back() {
    let mut net = answered(1);
    net.wait(100);
    net.engine.handle_routes();
    net.walk();
    assert_eq!(fast(&net), 2);
    net.wait(30);
    net.routes.asked();
    net.engine.handle_routes();
    net.walk();
    assert_eq!((net.routes.asked(), fast(&net)), (0, 0));
    assert_eq!(net.udp_out(super::inside(0), s1(9)), x(super::FIRST));
    assert_eq!(fast(&net), 1);
    net.udp_in(s1(9), x(super::FIRST));
    assert_eq!(fast(&net), 2);
}

#[test]
fn a_direction_that_was_never_seen_gets_no_next_hop() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    net.engine.handle_routes();
    net.walk();
    assert!(!net.is_fast(only(&net), Direction::Ingress));
}
