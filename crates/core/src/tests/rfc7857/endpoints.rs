//! Sections 4 to 6 and 8 to 12: ports, addresses and identifications.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeSet;

use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, make};

use crate::tests::net::{C1, C2, Connection, Net, S1, Seen, X, c1, c2, s1, s2, unreachable, x};
use crate::{DropReason, Event, Filtering, PortRanges};

#[test]
fn rfc7857_s4_who_has_used_up_the_paired_address_is_not_moved_to_another() {
    let mut net = Net::with(|policy| {
        let outside = &mut policy.outsides[0];
        outside.pool.addresses = vec![X.into(), Ipv4Addr::new(203, 0, 113, 2).into()];
        outside.pool.ports = PortRanges(vec![2000..=2003]);
    });
    for protocol in [Protocol::UDP, Protocol::TCP] {
        let mut addresses = BTreeSet::new();
        for port in 2000..2004 {
            addresses.insert(answered(&mut net, protocol, c1(port)).addr);
        }
        assert_eq!(addresses.len(), 1);
        let packet = match protocol {
            Protocol::UDP => make::udp(c1(2004), s1(80), b""),
            _ => make::tcp(c1(2004), s1(80), Flags::SYN, 1000, 0, b""),
        };
        let answer = net.send_out(&packet);
        assert_eq!(answer.drop_reason(), Some(DropReason::PortsExhausted), "{protocol}");
        assert_eq!(answer.error().error().what(), (3, 13));
        // The other address has ports: somebody who is paired with it gets one.
        let other = (10..50)
            .map(|host| Endpoint::v4(Ipv4Addr::new(192, 168, 1, host), 2000))
            .map(|inside| net.send_out(&with_source(&packet, protocol, inside)).all())
            .find(|seen| seen.len() == 1 && !seen[0].is_error());
        let other = other.expect("nobody is paired with the other address");
        assert!(!addresses.contains(&other[0].source().addr));
    }
}

#[test]
fn rfc7857_s5_mappings_of_one_protocol_do_not_bind_another() {
    let mut net = Net::new();
    // The same port for two hosts, as long as the protocols differ.
    assert_eq!(net.flow_out(Protocol::TCP, c1(5000), s1(80)), x(5000));
    assert_eq!(net.flow_out(Protocol::UDP, c2(5000), s1(80)), x(5000));
    assert_eq!(net.flow_out(Protocol::ICMP, c1(5000), s1(0)), x(5000));
    let moved = net.flow_out(Protocol::TCP, c2(5000), s1(80));
    assert_ne!(moved, x(5000));
    assert_eq!(net.flow_out(Protocol::TCP, c2(5000), s2(81)), moved);
    assert_eq!(net.flow_out(Protocol::UDP, c2(5000), s2(81)), x(5000));
}

#[test]
fn rfc7857_s6_a_tcp_mapping_admits_no_udp_nor_the_other_way_round() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let tcp = Connection::open(&mut net, c1(5000), s1(80)).outside;
    let udp = net.udp_out(c1(6000), s1(80));
    let syn = |to| make::tcp(s2(80), to, Flags::SYN, 5000, 0, b"");
    net.send_in(&make::udp(s2(80), tcp, b"")).nothing_inside();
    net.send_in(&syn(udp)).nothing_inside();
    net.send_in(&make::echo_reply(S1, tcp, 1, b"")).nothing_inside();
    assert_eq!(net.udp_in(s2(80), udp), Some(c1(6000)));
    assert_eq!(net.send_in(&syn(tcp)).inside().destination(), c1(5000));
}

#[test]
fn rfc7857_s8_parity_is_kept_while_it_can_be_and_does_not_cost_a_port() {
    let mut net = Net::with(|policy| {
        policy.outsides[0].pool.ports = PortRanges(vec![2000..=2009]);
    });
    let ports: Vec<u16> =
        (0..5).map(|n| answered(&mut net, Protocol::UDP, c1(5000 + 2 * n)).port).collect();
    assert!(ports.iter().all(|port| port % 2 == 0), "{ports:?}");
    // Only odd ones are left.
    let odd: Vec<u16> =
        (5..10).map(|n| answered(&mut net, Protocol::UDP, c1(5000 + 2 * n)).port).collect();
    assert!(odd.iter().all(|port| port % 2 == 1), "{odd:?}");
}

#[test]
fn rfc7857_s9_ports_that_are_not_preserved_are_random() {
    let mut net = Net::with(|policy| policy.outsides[0].pool.preserve_ports = false);
    let ports: Vec<u16> = (0..10_000).map(|n| net.udp_out(c1(20_000 + n), s1(53)).port).collect();
    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
    assert!(ports.iter().all(|port| *port >= 1024));
    // Neighbours in time are no neighbours in number: chance makes about ten pairs so close.
    let steps = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 32).count();
    assert!(steps < 60, "{steps} of 10,000 are near the one before");
    // Sixteen equal parts of the range, 625 expected in each; parity halves the choice.
    let mut parts = [0_i32; 16];
    for port in &ports {
        parts[usize::from(port - 1024) * 16 / 64_512] += 1;
    }
    let chi_square: f64 = parts.iter().map(|count| f64::from((count - 625).pow(2)) / 625.0).sum();
    assert!(chi_square < 50.0, "chi-square {chi_square} with 15 degrees of freedom: {parts:?}");
}

#[test]
fn rfc7857_s9_another_seed_gives_other_ports() {
    let ports = |seed| {
        let mut net = Net::seeded(seed, |policy| policy.outsides[0].pool.preserve_ports = false);
        (0..100).map(|n| net.udp_out(c1(20_000 + n), s1(53)).port).collect::<Vec<u16>>()
    };
    assert_eq!(ports(1), ports(1));
    assert_ne!(ports(1), ports(2));
}

#[test]
fn rfc7857_s9_with_preservation_only_a_port_that_is_taken_is_replaced() {
    let mut net = Net::new();
    let mut replaced = BTreeSet::new();
    for port in 20_000..20_100 {
        assert_eq!(net.udp_out(c2(port), s1(53)), x(port));
        let outside = net.udp_out(c1(port), s1(53)).port;
        replaced.insert(outside.wrapping_sub(port));
    }
    assert!(replaced.len() > 90, "the distance is nearly always another one");
}

#[test]
fn rfc7857_s10_fragments_of_two_hosts_get_different_identifications() {
    let mut net = Net::new();
    let mut identifications = BTreeSet::new();
    for _ in 0..500 {
        for inside in [c1(5000), c2(6000)] {
            let packet = make::with_identification(&make::udp(inside, s1(9), &[1; 2500]), 7);
            let pieces = make::fragments(&packet, 1500);
            let sent: Vec<Seen> =
                pieces.iter().flat_map(|piece| net.send_out(piece).all()).collect();
            assert_eq!(sent.len(), 2);
            assert_eq!(sent[0].identification(), sent[1].identification());
            assert!(identifications.insert(sent[0].identification()), "given twice");
        }
    }
}

#[test]
fn rfc7857_s10_what_we_cut_ourselves_gets_one_and_what_nobody_cut_keeps_its_own() {
    let mut net = Net::new();
    let whole = make::with_identification(&make::udp(c1(5000), s1(9), b"short"), 7);
    assert_eq!(net.send_out(&whole).outside().identification(), 7);
    net.routes.outside_mtu = 1000;
    let mut identifications = BTreeSet::new();
    for inside in [c1(5000), c2(6000)].repeat(100) {
        let long = make::with_identification(&make::udp(inside, s1(9), &[1; 1400]), 7);
        let sent = net.send_out(&long).all();
        assert_eq!(sent.len(), 2);
        assert!(identifications.insert(sent[0].identification()), "given twice");
    }
}

#[test]
fn rfc7857_s11_a_query_mapping_goes_with_its_last_session() {
    let mut net = Net::new();
    let outside = net.ping_out(c1(7), S1);
    net.wait(30);
    assert_eq!(net.ping_out(c1(7), crate::tests::net::S2), outside);
    net.events();
    net.wait(30);
    let removed = |events: &[Event]| {
        events.iter().filter(|event| matches!(event, Event::MappingRemoved { .. })).count()
    };
    assert_eq!((net.sessions(), removed(&net.events())), (1, 0));
    net.wait(30);
    assert_eq!((net.sessions(), removed(&net.events())), (0, 1));
    assert_eq!(net.engine.stats().mappings, 0);
}

#[test]
fn rfc7857_s12_a_hairpinned_error_shows_outside_addresses_only() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let two = net.udp_out(c2(6000), s1(9));
    let arrived = net.send_out(&make::udp(c1(5000), two, b"hello")).inside();
    let error = make::icmp_error(C2, X, unreachable(3), arrived.bytes());
    let seen = net.send_out(&error).inside();
    assert_eq!(seen.addresses(), (X, C1));
    assert!(!seen.bytes().windows(4).any(|bytes| bytes == C2.octets()), "{seen:?}");
    // What the host itself has sent is in it, and is no secret from it.
    assert!(seen.bytes().windows(4).any(|bytes| bytes == C1.octets()));
}

/// A flow that the remote has answered, which nobody may take the port from.
#[track_caller]
fn answered(net: &mut Net, protocol: Protocol, inside: Endpoint) -> Endpoint {
    let remote = s1(80);
    if protocol == Protocol::TCP {
        return Connection::open(net, inside, remote).outside;
    }
    let outside = net.udp_out(inside, remote);
    assert_eq!(net.udp_in(remote, outside), Some(inside));
    outside
}

fn with_source(packet: &[u8], protocol: Protocol, inside: Endpoint) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let mut view = masq_wire::Packet::parse(&mut packet).unwrap();
    assert_eq!(view.protocol(), protocol);
    assert!(matches!(inside.addr, IpAddr::V4(_)));
    view.rewrite_source(inside);
    packet
}
