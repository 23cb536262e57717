//! Next hops whose address is not known, and ways that are not ours.

use masq_wire::{Protocol, make};

use super::net::{A, C1, C2, Net, S1, Table, c1, c2, s1, x};
use crate::{DropReason, Event, NextHop, NextHopId, NextHopState, PortId, Route, Verdict};

const ROUTER: NextHopId = Table::ROUTER;

#[test]
fn packets_wait_until_their_next_hop_is_found() {
    let mut net = Net::new();
    net.routes.set_state(ROUTER, NextHopState::Resolving);
    for payload in [b"one", b"two"] {
        let answer = net.send_out(&make::udp(c1(5000), s1(9), payload));
        assert_eq!(answer.verdict(), Verdict::Held);
        answer.nothing();
    }
    let asked = net.events().into_iter().filter(|event| *event == Event::ResolveNextHop(ROUTER));
    assert_eq!(asked.count(), 1);
    let sent = net.next_hop(ROUTER, NextHopState::Ready);
    let data: Vec<_> = sent.iter().map(|seen| (seen.source(), seen.ttl(), seen.data())).collect();
    assert_eq!(data, [(x(5000), 63, b"one".to_vec()), (x(5000), 63, b"two".to_vec())]);
    assert_eq!(net.totals().egress.packets, 2);
}

#[test]
fn a_next_hop_that_does_not_answer_is_reported_to_the_sender() {
    let mut net = Net::new();
    let sent = make::udp(c1(5000), s1(9), b"one");
    net.routes.set_state(ROUTER, NextHopState::Resolving);
    net.send_out(&sent).nothing();
    let errors = net.next_hop(ROUTER, NextHopState::Failed);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].error().what(), (3, 1));
    assert_eq!(errors[0].error().quoted, sent);
    let again = net.send_out(&sent);
    assert_eq!(again.drop_reason(), Some(DropReason::NeighbourFailed));
    assert_eq!(again.error().error().what(), (3, 1));
}

#[test]
fn nobody_waits_for_ever() {
    let mut net = Net::new();
    net.routes.set_state(ROUTER, NextHopState::Resolving);
    net.send_out(&make::udp(c1(5000), s1(9), b"one")).nothing();
    let errors = net.advance(crate::Duration::from_secs(4));
    assert_eq!(errors.len(), 1);
    assert_eq!(net.drops(DropReason::HeldTooLong), 1);
}

#[test]
fn a_flood_to_an_absent_neighbour_delays_nobody_else() {
    let mut net = Net::new();
    let absent = NextHop {
        id: NextHopId(500),
        port: super::net::OUTSIDE,
        mtu: 1500,
        state: NextHopState::Resolving,
    };
    net.routes.set(A, Route::Unicast(absent));
    for port in 0..5000 {
        net.send_out(&make::udp(c1(port + 1024), super::net::a(9), b"flood")).nothing();
    }
    net.udp_out(c2(5000), s1(9));
    assert!(net.drops(DropReason::ResolvingTooMany) > 4000);
}

#[test]
fn a_way_that_is_neither_inside_nor_outside_is_the_hosts() {
    let mut net = Net::new();
    let other =
        NextHop { id: NextHopId(7), port: PortId(77), mtu: 1500, state: NextHopState::Ready };
    net.routes.set(S1, Route::Unicast(other));
    net.send_out(&make::udp(c1(5000), s1(9), b"")).local();
    assert_eq!(net.engine.stats().mappings, 0);
}

#[test]
fn a_session_whose_way_out_is_gone_ends_and_the_packet_is_judged_anew() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    let other =
        NextHop { id: NextHopId(7), port: PortId(77), mtu: 1500, state: NextHopState::Ready };
    net.routes.set(S1, Route::Unicast(other));
    net.send_out(&make::udp(c1(5000), s1(9), b"")).local();
    assert_eq!(net.engine.stats().mappings, 0);
}

#[test]
fn a_protocol_without_ports_belongs_to_one_host_for_each_remote() {
    let mut net = Net::new();
    let gre = |from| make::ip(Protocol::GRE, from, S1, b"tunnel");
    let seen = net.send_out(&gre(C1)).outside();
    assert_eq!(seen.addresses(), (super::net::X, S1));
    let refused = net.send_out(&gre(C2));
    assert_eq!(refused.drop_reason(), Some(DropReason::RemoteTaken));
    let back = net.send_in(&make::ip(Protocol::GRE, S1, super::net::X, b"tunnel")).inside();
    assert_eq!(back.addresses(), (S1, C1));
    net.wait(600);
    net.send_out(&gre(C2)).outside();
}

#[test]
fn a_route_that_refuses_is_reported() {
    for (route, what) in [
        (Route::NoRoute, Some((3, 0))),
        (Route::Unreachable, Some((3, 1))),
        (Route::Prohibited, Some((3, 13))),
        (Route::Blackhole, None),
    ] {
        let mut net = Net::new();
        net.routes.set(S1, route);
        let answer = net.send_out(&make::udp(c1(5000), s1(9), b""));
        match what {
            Some(what) => assert_eq!(answer.error().error().what(), what),
            None => answer.dropped(DropReason::Blackhole),
        }
        assert_eq!(net.sessions(), 0);
    }
}
