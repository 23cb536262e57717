//! When something runs out: ports, records, patience.

use masq_flow::{Layout, Memory, Secret, Writer};
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, make};

use super::net::{C1, Connection, Net, c1, c2, policy, s1, s2};
use crate::limits::Limit;
use crate::{DropReason, EndReason, Engine, Event, PortRanges};

fn few_ports(count: u16) -> Net {
    Net::with(|policy| policy.outsides[0].pool.ports = PortRanges(vec![2000..=2000 + count - 1]))
}

fn answered(net: &mut Net, from: Endpoint, to: Endpoint) -> Endpoint {
    let outside = net.udp_out(from, to);
    net.udp_in(to, outside);
    outside
}

#[test]
fn the_oldest_session_that_nobody_answered_gives_up_its_port() {
    let mut net = few_ports(3);
    answered(&mut net, c1(5000), s1(9));
    let oldest = net.udp_out(c1(5001), s1(9));
    let younger = net.udp_out(c1(5002), s1(9));
    assert_eq!(net.udp_out(c2(5000), s1(9)), oldest);
    assert_eq!(net.udp_out(c2(5001), s1(9)), younger);
    assert_eq!(net.engine.stats().reclaimed, 2);
}

#[test]
fn a_connection_that_is_over_gives_up_its_port_after_those() {
    let mut net = few_ports(2);
    let mut over = Connection::open(&mut net, c1(6000), s1(80));
    over.close(&mut net);
    let open = Connection::open(&mut net, c1(6001), s1(80));
    let next = Connection::open(&mut net, c2(6000), s1(80));
    assert_eq!(next.outside, over.outside);
    let refused = net.send_out(&make::tcp(c2(6001), s1(80), Flags::SYN, 1, 0, b""));
    assert_eq!(refused.drop_reason(), Some(DropReason::PortsExhausted));
    assert!(open.lets_in(&mut net) && next.lets_in(&mut net));
}

#[test]
fn exhaustion_is_told_to_the_sender_and_once_an_interval_to_the_watcher() {
    let mut net = few_ports(1);
    answered(&mut net, c1(5000), s1(9));
    net.events();
    for port in 0..5 {
        let answer = net.send_out(&make::udp(c2(5000 + port), s1(9), b""));
        assert_eq!(answer.drop_reason(), Some(DropReason::PortsExhausted));
        assert_eq!(answer.error().error().what(), (3, 13));
    }
    let told = |net: &mut Net| {
        let events = net.events();
        events.iter().filter(|event| matches!(event, Event::PortsExhausted { .. })).count()
    };
    assert_eq!(told(&mut net), 1);
    net.wait(60);
    net.send_out(&make::udp(c2(5000), s1(9), b""));
    assert_eq!(told(&mut net), 1);
    assert_eq!(net.engine.stats().exhausted, 6);
}

#[test]
fn a_carrier_says_host_unreachable() {
    let mut net = few_ports(1);
    net.apply(|policy| policy.carrier = true);
    answered(&mut net, c1(5000), s1(9));
    let answer = net.send_out(&make::udp(c2(5000), s1(9), b""));
    assert_eq!(answer.error().error().what(), (3, 1));
}

#[test]
fn a_host_at_its_limit_does_not_hinder_others() {
    let mut net = Net::with(|policy| policy.hosts.mappings = 3);
    for port in 5000..5003 {
        net.udp_out(c1(port), s1(9));
    }
    net.udp_out(c1(5000), s2(9));
    let refused = net.send_out(&make::udp(c1(5003), s1(9), b""));
    assert_eq!(refused.drop_reason(), Some(DropReason::HostMappings));
    let reached = Event::LimitReached { host: C1.into(), limit: Limit::Mappings };
    assert!(net.events().contains(&reached));
    net.udp_out(c2(5003), s1(9));
}

#[test]
fn a_full_table_gives_up_what_was_never_answered() {
    let mut net = Net::new();
    let layout = Layout::for_sessions(64);
    let writer = Writer::format(Memory::heap(layout), Secret::new(1, 2));
    net.engine = Engine::new(1_u64, writer, policy(), net.now());
    let kept = answered(&mut net, c1(4000), s1(9));
    for port in 0..1000 {
        net.send_out(&make::udp(c1(5000 + port), s1(9), b""));
        net.advance(crate::Duration::from_millis(50));
    }
    assert_eq!(net.udp_in(s1(9), kept), Some(c1(4000)));
    let stats = net.engine.stats();
    assert!(stats.reclaimed > 500, "{}", stats.reclaimed);
    assert!(stats.sessions as u32 <= layout.slots);
}

#[test]
fn endpoints_that_open_another_connection_begin_anew() {
    let mut net = Net::new();
    let mut first = Connection::open(&mut net, c1(6000), s1(80));
    first.close(&mut net);
    net.events();
    let mut again = Connection::open(&mut net, c1(6000), s1(80));
    assert_eq!(again.outside, first.outside);
    let reopened = net
        .events()
        .into_iter()
        .any(|event| matches!(event, Event::SessionRemoved { reason: EndReason::Reopened, .. }));
    assert!(reopened);
    net.wait(7000);
    again.works(&mut net);
    assert_eq!((net.sessions(), net.engine.stats().mappings), (1, 1));
    net.wait(2 * 7440);
    assert_eq!((net.sessions(), net.engine.stats().mappings), (0, 0));
}
