//! Packets, sessions and further changes while a walk is under way.

use masq_flow::{Layout, Memory, Secret, Writer};
use masq_wire::icmp::error::Report;
use masq_wire::make;

use super::{FIRST, all_new, answered, fast, inside};
use crate::tests::net::{C1, Net, ROUTER, X, c1, c2, policy, s1, s2, x};
use crate::{DropReason, Duration, EndReason, Engine, Event, Mapping, Plan, PortRanges, Prefix};

const Y: &str = "203.0.113.9";

#[test]
fn an_equal_policy_touches_nothing() {
    let mut net = answered(10);
    let before: Vec<_> = net.engine.table().sessions().collect();
    let plan = net.apply(|_| ());
    assert_eq!(plan, Plan { kept: 10, ..Plan::default() });
    assert_eq!(net.engine.table().sessions().collect::<Vec<_>>(), before);
    assert_eq!((fast(&net), net.engine.table().min_epoch()), (20, 0));
}

#[test]
fn a_policy_that_is_not_about_sessions_touches_none() {
    let mut net = answered(10);
    let before: Vec<_> = net.engine.table().sessions().collect();
    net.begin_to_apply(|policy| {
        policy.reserved = PortRanges(vec![5000..=5004]);
        policy.hosts.sessions = 2;
        policy.carrier = true;
    });
    assert_eq!(net.engine.poll_plan(), Some(Plan { kept: 10, ..Plan::default() }));
    assert!(!net.walk_on(1), "there is nothing to do");
    assert_eq!(net.engine.table().sessions().collect::<Vec<_>>(), before);
    assert_eq!(fast(&net), 20);
}

#[test]
fn the_fast_path_has_every_session_all_the_while() {
    let mut net = answered(10);
    net.begin_to_apply(|policy| policy.timeouts.udp = Duration::from_secs(200));
    while net.walk_on(3) {
        assert_eq!(fast(&net), 20);
    }
    assert_eq!(fast(&net), 20);
    net.engine.handle_routes();
    while net.walk_on(3) {
        assert_eq!(fast(&net), 20);
    }
    assert_eq!(fast(&net), 20);
    assert!(all_new(&net));
}

#[test]
fn what_has_not_been_looked_at_is_judged_by_its_first_packet() {
    let mut net = answered(10);
    net.begin_to_apply(|policy| policy.insides[0].networks = vec![Prefix::v4(C1, 32)]);
    assert!(net.walk_on(1));
    assert_eq!(net.engine.poll_plan(), None, "it is not known yet");
    for number in 0..10 {
        let came = net.udp_in(s1(9), x(FIRST + number));
        assert_eq!(came, Some(inside(number)).filter(|inside| inside.addr == c1(0).addr));
    }
    let from_outsider = net.send_out(&make::udp(c2(FIRST + 1), s1(9), b""));
    assert_eq!(from_outsider.drop_reason(), Some(DropReason::Spoofed));
    net.walk();
    let ended = net
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::SessionRemoved { reason: EndReason::Policy, .. }));
    assert_eq!(ended.count(), 5);
    assert_eq!(net.engine.poll_plan(), Some(Plan { kept: 5, ended: 5, ..Plan::default() }));
}

#[test]
fn a_host_that_is_not_inside_any_more_cannot_be_reached_by_its_mapping() {
    let mut net = answered(4);
    net.apply(|policy| policy.outsides[0].pool.filtering = crate::Filtering::EndpointIndependent);
    net.begin_to_apply(|policy| policy.insides[0].networks = vec![Prefix::v4(C1, 32)]);
    let stranger = net.send_in(&make::udp(s2(7), x(FIRST + 1), b""));
    stranger.dropped(DropReason::Unsolicited);
    let neighbour = net.send_out(&make::udp(c1(7000), x(FIRST + 1), b""));
    assert!(neighbour.inside_if_any().is_none());
}

#[test]
fn an_error_about_a_session_that_has_to_end_is_for_nobody() {
    let mut net = answered(2);
    net.begin_to_apply(|policy| policy.insides[0].networks = vec![Prefix::v4(C1, 32)]);
    let left = make::udp(x(FIRST + 1), s1(9), b"");
    let error = make::icmp_error(ROUTER, X, Report::TTL_EXCEEDED, &left);
    assert!(net.send_in(&error).inside_if_any().is_none());
}

#[test]
fn unanswered_sessions_move_by_the_walk_or_by_a_packet() {
    let mut net = Net::new();
    for port in FIRST..FIRST + 4 {
        net.udp_out(c1(port), s1(9));
    }
    net.begin_to_apply(|policy| policy.outsides[0].pool.addresses = vec![Y.parse().unwrap()]);
    assert!(net.walk_on(1));
    let moved = net.udp_out(c1(FIRST + 3), s1(9));
    assert_eq!(moved.addr.to_string(), Y);
    assert_eq!(net.udp_in(s1(9), moved), Some(c1(FIRST + 3)));
    net.walk();
    assert_eq!(
        net.engine.poll_plan().map(|plan| (plan.kept, plan.moved, plan.ended)),
        Some((0, 4, 0))
    );
    assert_eq!(net.udp_out(c1(FIRST), s1(9)).addr.to_string(), Y);
}

#[test]
fn sessions_that_begin_meanwhile_are_of_the_new_policy() {
    let mut net = answered(6);
    net.begin_to_apply(|policy| policy.timeouts.udp = Duration::from_secs(30));
    assert!(net.walk_on(2));
    net.udp_out(c1(7000), s1(9));
    net.walk();
    assert_eq!(net.engine.poll_plan().map(|plan| plan.kept), Some(6), "it is none of those");
    assert!(all_new(&net));
    net.wait(30);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn a_change_in_the_middle_reaches_everybody_within_one_turn() {
    let mut net = answered(10);
    net.begin_to_apply(|policy| policy.timeouts.udp = Duration::from_secs(200));
    assert!(net.walk_on(7));
    net.begin_to_apply(|policy| policy.timeouts.udp = Duration::from_secs(30));
    // Each slot once more, and the end of the table is no session.
    assert!(net.walk_on(10));
    assert!(net.engine.table().sessions().all(|(_, session)| session.epoch == 2));
    assert!(!net.walk_on(1));
    assert!(all_new(&net));
    assert_eq!(net.engine.poll_plan(), Some(Plan { kept: 10, ..Plan::default() }));
    net.wait(30);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn however_often_routes_change_every_session_is_looked_at() {
    let mut net = answered(10);
    net.begin_to_apply(|policy| policy.insides[0].networks = vec![Prefix::v4(C1, 32)]);
    for _ in 0..4 {
        assert!(net.walk_on(3));
        net.engine.handle_routes();
    }
    assert_eq!(net.sessions(), 5);
}

#[test]
fn an_address_that_comes_back_at_once_finds_its_ports_taken() {
    let mut net = answered(10);
    net.begin_to_apply(|policy| policy.outsides[0].pool.addresses = vec![Y.parse().unwrap()]);
    assert!(net.walk_on(2));
    net.begin_to_apply(|policy| policy.outsides[0].pool.addresses = vec![X.into()]);
    let other = net.udp_out(c2(FIRST + 8), s2(9));
    assert_ne!(other, x(FIRST + 8), "another host's session has it");
    net.walk();
    assert_eq!(net.engine.poll_plan().map(|plan| (plan.kept, plan.ended)), Some((8, 2)));
    assert_eq!(net.udp_in(s1(9), x(FIRST + 8)), Some(c1(FIRST + 8)));
    let ports = &net.engine.sessions.ports;
    assert!(ports.spaces().all(|(address, _)| address == X), "the other is forgotten");
}

#[test]
fn mappings_that_are_filed_anew_keep_their_endpoints() {
    let mut net = Net::new();
    for port in FIRST..FIRST + 10 {
        net.udp_out(c1(port), s1(9));
        net.udp_out(c1(port), s2(9));
    }
    for mapping in
        [Mapping::AddressAndPortDependent, Mapping::AddressDependent, Mapping::EndpointIndependent]
    {
        net.begin_to_apply(|policy| policy.outsides[0].pool.mapping = mapping);
        for port in FIRST..FIRST + 10 {
            net.walk_on(1);
            assert_eq!(net.udp_out(c1(port), s1(9)), x(port));
            assert_eq!(net.udp_out(c1(port), s2(9)), x(port));
        }
        net.walk();
        assert_eq!(net.engine.stats().mappings, 10, "{mapping:?}");
    }
    for port in FIRST..FIRST + 10 {
        assert_eq!(net.udp_out(c1(port), s2(99)), x(port), "found by its inside endpoint");
    }
    net.wait(400);
    assert_eq!((net.sessions(), net.engine.stats().mappings), (0, 0));
}

#[test]
fn a_successor_looks_at_the_ways_of_what_it_found() {
    let mut net = answered(4);
    net.engine.handle_routes();
    assert!(net.walk_on(2), "the predecessor dies in the middle of a walk");
    let memory = net.engine.table().memory().clone();
    let (writer, _) = Writer::adopt(memory, net.now().as_nanos()).unwrap();
    net.engine = Engine::new(7_u64, writer, policy(), net.now());
    net.routes.asked();
    assert_eq!(fast(&net), 8);
    net.walk();
    assert_eq!(net.routes.asked(), 8);
    assert_eq!(fast(&net), 8);
    assert!(all_new(&net));
}

/// A burst of flows that begin after the walk did is passed faster than it could go on.
#[test]
fn sessions_that_are_new_already_take_few_places_of_a_slice() {
    const OLD: usize = 10;
    const NEW: usize = 800;
    let mut net = answered(OLD as u16);
    net.engine.handle_routes();
    for number in 0..NEW as u16 {
        net.udp_out(c1(20_000 + number), s1(9));
    }
    let mut slices = 1;
    while net.walk_on(1) {
        slices += 1;
    }
    assert!(all_new(&net));
    // A place for each old one, and one for eight that are new; that of the last is begun twice.
    assert!(slices <= OLD + NEW / 8 + 2, "{slices} slices");
}

#[test]
fn when_the_number_of_a_walk_begins_at_zero_again_nothing_is_believed_too_long() {
    let mut net = Net::new();
    let memory = Memory::heap(Layout::for_sessions(64));
    let mut writer = Writer::format(memory, Secret::new(1, 2));
    writer.set_min_epoch(u32::MAX);
    net.engine = Engine::new(7_u64, writer, policy(), net.now());
    net.udp_out(c1(5000), s1(9));
    net.udp_out(c1(5001), s1(9));
    assert_eq!(fast(&net), 2);
    net.engine.handle_routes();
    assert!(net.walk_on(1));
    assert_eq!(fast(&net), 1, "the engine sees to the one that was looked at");
    assert_eq!(net.udp_out(c1(5000), s1(9)), x(5000));
    net.walk();
    assert_eq!((fast(&net), net.engine.table().min_epoch()), (2, 0));
}
