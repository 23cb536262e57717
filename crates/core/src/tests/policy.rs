//! Policies that change, addresses that come and go, and a successor that takes over.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeSet;

use masq_flow::{Layout, Memory, Region, Secret, Writer, owned::Owned, owned::Shared};
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, make};

use super::net::{C1, Connection, Net, X, c1, c2, policy, s1, s2, x};
use crate::ports::PortSpace;
use crate::{
    DropReason, Duration, EndReason, Engine, Event, HostPort, Mapping, MemoryUse, Plan, PortRanges,
};

const Y: &str = "203.0.113.9";

fn end_reasons(net: &mut Net) -> Vec<EndReason> {
    let mut reasons = Vec::new();
    for event in net.events() {
        if let Event::SessionRemoved { reason, .. } = event {
            reasons.push(reason);
        }
    }
    reasons
}

#[test]
fn when_the_address_changes_unanswered_sessions_move_and_answered_ones_end() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    net.udp_in(s1(9), x(5000));
    Connection::begin(&mut net, c1(6000), s1(80));
    net.events();

    net.apply(|policy| policy.outsides[0].pool.addresses = vec![Y.parse().unwrap()]);

    assert_eq!(end_reasons(&mut net), [EndReason::AddressGone]);
    assert_eq!(net.sessions(), 1);
    assert_eq!(net.engine.stats().moved, 1);
    let again = make::tcp(c1(6000), s1(80), Flags::SYN, 1000, 0, b"");
    let seen = net.send_out(&again).outside();
    assert_eq!(seen.source(), make::at("203.0.113.9:6000"));
    let answer = make::tcp(s1(80), seen.source(), Flags::SYN | Flags::ACK, 1, 1001, b"");
    assert_eq!(net.send_in(&answer).inside().destination(), c1(6000));
}

#[test]
fn without_any_address_nothing_leaves_and_the_next_one_is_used() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    net.apply(|policy| policy.outsides[0].pool.addresses.clear());
    assert_eq!(net.sessions(), 0);
    let answer = net.send_out(&make::udp(c1(5000), s1(9), b""));
    assert_eq!(answer.drop_reason(), Some(DropReason::NoOutsideAddress));
    net.apply(|policy| policy.outsides[0].pool.addresses = vec![Y.parse().unwrap()]);
    assert_eq!(net.udp_out(c1(5000), s1(9)).addr.to_string(), Y);
}

#[test]
fn sessions_wait_for_an_outside_that_is_away_and_go_on_with_the_address_they_had() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    net.apply(|policy| policy.outsides[0].away = true);
    let segment = make::tcp(c1(6000), s1(80), Flags::ACK, 1001, 5001, b"");
    let answer = net.send_out(&segment);
    assert_eq!(answer.drop_reason(), Some(DropReason::NoOutsideAddress));
    let answer = net.send_out(&make::udp(c1(5000), s1(9), b""));
    assert_eq!(answer.drop_reason(), Some(DropReason::NoOutsideAddress));
    net.apply(|policy| policy.outsides[0].away = false);
    connection.works(&mut net);

    net.apply(|policy| policy.outsides[0].away = true);
    net.apply(|policy| {
        policy.outsides[0].away = false;
        policy.outsides[0].pool.addresses = vec![Y.parse().unwrap()];
    });
    assert_eq!(net.sessions(), 0, "it came back with another address");
}

#[test]
fn nothing_answers_for_an_outside_that_is_away() {
    let mut net = Net::new();
    let syn = make::tcp(s1(80), x(7000), Flags::SYN, 1, 0, b"");
    net.send_in(&syn).dropped(DropReason::InboundSyn);
    net.apply(|policy| policy.outsides[0].away = true);
    net.wait(10);
    net.send_in(&make::with_ttl(&syn, 1)).nothing();
}

#[test]
fn a_policy_that_changes_nothing_of_a_session_leaves_it_alone() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    net.apply(|policy| policy.timeouts.udp = Duration::from_secs(120));
    connection.works(&mut net);
    let slot = net.engine.table().slots().next().unwrap();
    assert_eq!(net.engine.table().session(slot).unwrap().epoch, 1);
    assert_eq!(net.engine.table().min_epoch(), 1);
}

#[test]
fn shorter_timeouts_reach_sessions_that_exist() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    net.wait(10);
    net.apply(|policy| policy.timeouts.udp = Duration::from_secs(30));
    net.wait(19);
    assert_eq!(net.sessions(), 1);
    net.wait(1);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn another_mapping_behaviour_keeps_the_endpoints_that_exist() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    net.udp_out(c1(5000), s2(9));
    net.apply(|policy| policy.outsides[0].pool.mapping = Mapping::AddressAndPortDependent);
    assert_eq!(net.udp_out(c1(5000), s1(9)), outside);
    assert_eq!(net.udp_out(c1(5000), s2(9)), outside);
    assert_ne!(net.udp_out(c1(5000), s2(10)), outside);
    net.apply(|policy| policy.outsides[0].pool.mapping = Mapping::EndpointIndependent);
    net.udp_out(c1(5000), s2(11));
    net.wait(400);
    assert_eq!((net.sessions(), net.engine.stats().mappings), (0, 0));
}

#[test]
fn a_host_that_is_not_inside_any_more_loses_its_sessions() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    net.udp_out(c2(5000), s1(9));
    net.events();
    net.apply(|policy| {
        policy.insides[0].networks = vec![crate::Prefix::v4(C1, 32)];
    });
    assert_eq!(end_reasons(&mut net), [EndReason::Policy]);
    assert_eq!(net.udp_in(s1(9), x(5000)), Some(c1(5000)));
}

#[test]
fn a_plan_says_what_would_happen_and_changes_nothing() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    net.udp_in(s1(9), x(5000));
    net.udp_out(c1(5001), s1(9));
    let mut other = policy();
    other.outsides[0].pool.addresses = vec![Y.parse().unwrap()];
    let plan = net.engine.plan(&other);
    let expected = Plan {
        kept: 0,
        moved: 1,
        ended: 1,
        addresses_added: vec![Y.parse().unwrap()],
        addresses_removed: vec![X.into()],
    };
    assert_eq!(plan, expected);
    assert_eq!(net.sessions(), 2);
}

#[test]
fn ports_of_the_hosts_sockets_are_not_given_out() {
    let mut net = Net::new();
    let listening = HostPort { protocol: Protocol::UDP, port: 5000 };
    net.engine.handle_sockets(BTreeSet::from([listening]));
    assert_ne!(net.udp_out(c1(5000), s1(9)).port, 5000);
    assert_eq!(Connection::begin(&mut net, c1(5000), s1(80)).outside.port, 5000, "only UDP");
    net.engine.handle_sockets(BTreeSet::new());
    assert_eq!(net.udp_out(c2(5000), s1(9)).port, 5000);
}

#[test]
fn reserved_ports_are_not_given_out() {
    let mut net = Net::with(|policy| policy.reserved = PortRanges(vec![5000..=5099]));
    let port = net.udp_out(c1(5000), s1(9)).port;
    assert!(!(5000..=5099).contains(&port), "{port}");
}

#[test]
fn the_fast_path_is_told_what_is_ours() {
    let mut net = Net::with(|policy| policy.reserved = PortRanges(vec![40_000..=40_999]));
    let owned = Region::<Owned>::heap(1);
    net.engine.attach_owned(owned.clone());
    assert!(owned[0].has_port(Shared::Tcp, 5000) && !owned[0].has_port(Shared::Tcp, 40_500));
    assert!(!owned[0].has_protocol(Protocol::GRE));
    net.send_out(&make::ip(Protocol::GRE, C1, super::net::S1, b"gre"));
    assert!(owned[0].has_protocol(Protocol::GRE));
    let listening = HostPort { protocol: Protocol::TCP, port: 5000 };
    net.engine.handle_sockets(BTreeSet::from([listening]));
    assert!(!owned[0].has_port(Shared::Tcp, 5000) && owned[0].has_port(Shared::Udp, 5000));
    net.wait(600);
    assert!(!owned[0].has_protocol(Protocol::GRE));
}

#[test]
fn a_successor_takes_the_sessions_over() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    net.udp_out(c1(5000), s1(9));
    let second = net.udp_out(c2(5000), s1(9));
    net.udp_out(c1(5000), s2(9));
    net.wait(10);

    let (writer, adoption) =
        Writer::adopt(net.engine.table().memory().clone(), net.now().as_nanos()).unwrap();
    assert!(adoption.is_clean());
    net.engine = Engine::new(7_u64, writer, policy(), net.now());

    assert_eq!(net.engine.stats().adopted, 4);
    assert_eq!(net.engine.stats().mappings, 3);
    connection.works(&mut net);
    assert_eq!(net.udp_out(c1(5000), s2(10)), x(5000));
    assert_eq!(net.udp_in(s1(9), second), Some(c2(5000)));
    assert!(net.engine.sessions.ports.in_use(X.into(), PortSpace::Udp, second.port));
    net.wait(3 * 3600);
    assert_eq!((net.sessions(), net.engine.stats().mappings), (0, 0));
    assert!(net.engine.sessions.hosts.list().is_empty());
}

#[test]
fn a_successor_with_another_address_ends_what_it_cannot_keep() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    let (writer, _) = Writer::adopt(net.engine.table().memory().clone(), 0).unwrap();
    let mut other = policy();
    other.outsides[0].pool.addresses = vec![Y.parse().unwrap()];
    let engine = Engine::new(7_u64, writer, other, net.now());
    assert_eq!((engine.stats().adopted, engine.stats().sessions), (0, 0));
}

#[test]
fn memory_of_a_million_sessions_stays_in_its_budget() {
    let pool = |last| IpAddr::from([203, 0, 113, last]);
    let mut net =
        Net::with(|policy| policy.outsides[0].pool.addresses = (1..=32).map(pool).collect());
    let memory = Memory::heap(Layout::for_sessions(1 << 20));
    let writer = Writer::format(memory, Secret::new(1, 2));
    net.engine = Engine::new(1_u64, writer, net.engine.policy().clone(), net.now());
    let before = net.engine.memory();
    for n in 0..10_000 {
        let host = Ipv4Addr::new(192, 168, 1, 3 + (n % 250) as u8);
        net.udp_out(Endpoint::v4(host, 2000 + n / 250), s1(9));
        net.events();
    }
    assert_eq!(net.sessions(), 10_000);
    let after = net.engine.memory();
    let each = after.total() / (1 << 20);
    assert!(each <= 200, "{each} bytes a session: {after:?}");
    // All was taken at the start, but what hosts and outside addresses have.
    let shares = MemoryUse { hosts: before.hosts, reclaim: before.reclaim, events: 0, ..after };
    assert_eq!(shares, before);
    assert!(after.reclaim - before.reclaim <= 1024, "a few lists for each address");
}
