//! Addresses that lie: martians, land, the wrong side, the port shadow, hairpin loops.

use core::net::Ipv4Addr;

use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, make};

use crate::tests::net::{A, C1, C2, Connection, GATEWAY, Net, S1, Table, X, a, c1, c2, s1, s2, x};
use crate::{DropReason, Filtering, HostPort};

#[test]
fn attack_martian_sources_are_dropped_on_both_sides() {
    let martians = [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
    ];
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = net.udp_out(c1(5000), s1(9));
    for martian in martians {
        let source = Endpoint::v4(martian.parse().unwrap(), 9);
        net.send_in(&make::udp(source, outside, b"")).dropped(DropReason::MartianSource);
        net.send_out(&make::udp(source, s1(9), b"")).dropped(DropReason::MartianSource);
    }
    assert_eq!(net.udp_in(a(9), outside), Some(c1(5000)));
    assert_eq!(net.sessions(), 2);
}

#[test]
fn attack_martian_destinations_are_not_forwarded() {
    let mut net = Net::new();
    for martian in ["0.1.2.3", "127.0.0.1", "169.254.1.1", "240.0.0.1"] {
        let destination = Endpoint::v4(martian.parse().unwrap(), 9);
        for answer in [
            net.send_out(&make::udp(c1(5000), destination, b"")),
            net.send_in(&make::udp(s1(9), destination, b"")),
        ] {
            answer.dropped(DropReason::MartianDestination);
        }
    }
    assert_eq!(net.sessions(), 0);
}

#[test]
fn attack_an_inside_address_from_outside_reaches_no_flow() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let two = net.udp_out(c2(6000), s1(9));
    // As if it were a hairpin of C1, or a talk between inside hosts.
    net.send_in(&make::udp(c1(5000), two, b"")).dropped(DropReason::Spoofed);
    net.send_in(&make::udp(c1(5000), c2(6000), b"")).dropped(DropReason::Spoofed);
    net.send_in(&make::udp(Endpoint::v4(GATEWAY, 53), two, b"")).dropped(DropReason::Spoofed);
    // From inside it is one.
    net.send_out(&make::udp(c1(5000), two, b"")).inside();
}

#[test]
fn attack_an_outside_address_from_inside_gets_no_session() {
    let mut net = Net::new();
    for source in [S1, A, Ipv4Addr::new(10, 0, 0, 1), X, GATEWAY] {
        let packet = make::udp(Endpoint::v4(source, 5000), s1(9), b"");
        net.send_out(&packet).dropped(DropReason::Spoofed);
        let syn = make::tcp(Endpoint::v4(source, 5000), s1(9), Flags::SYN, 1, 0, b"");
        net.send_out(&syn).dropped(DropReason::Spoofed);
    }
    assert_eq!(net.sessions(), 0);
    net.udp_out(c1(5000), s1(9));
}

#[test]
fn attack_an_inside_host_is_not_reached_by_its_own_address() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    net.udp_out(c1(5000), s1(9));
    for source in [s1(9), a(9)] {
        let packet = make::udp(source, c1(5000), b"");
        net.send_in(&packet).dropped(DropReason::InboundToInside);
    }
    let pieces = make::fragments(&make::udp(a(9), c1(5000), &[0; 2500]), 1000);
    for piece in pieces {
        net.send_in(&piece).dropped(DropReason::InboundToInside);
    }
}

#[test]
fn attack_land_from_either_side() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = Connection::open(&mut net, c1(6000), s1(80)).outside;
    let land = make::tcp(outside, outside, Flags::SYN, 1, 0, b"");
    net.send_in(&land).dropped(DropReason::Spoofed);
    net.send_out(&land).dropped(DropReason::Spoofed);
    let land = make::tcp(c1(6000), c1(6000), Flags::SYN, 1, 0, b"");
    net.send_in(&land).dropped(DropReason::Spoofed);
    let _ = net.send_out(&land);
    assert_eq!(net.sessions(), 1);
}

#[test]
fn attack_port_shadow_a_host_cannot_take_a_port_of_the_gateway() {
    // CVE-2021-3773: the source port of an inside host is that of a service of the gateway.
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let services = [(Protocol::UDP, 1194), (Protocol::TCP, 8443)];
    net.engine.handle_sockets(services.map(|(protocol, port)| HostPort { protocol, port }).into());
    assert_ne!(net.udp_out(c1(1194), s1(9)), x(1194));
    assert_ne!(Connection::begin(&mut net, c1(8443), s1(9)).outside, x(8443));
    net.send_in(&make::udp(s1(9), x(1194), b"")).local();
    net.send_in(&make::tcp(s1(9), x(8443), Flags::SYN, 1, 0, b"")).local();
    // The number alone is not taken from the other protocol.
    assert_eq!(net.udp_out(c1(8443), s1(9)), x(8443));
}

#[test]
fn attack_port_shadow_a_host_cannot_take_the_endpoint_of_another() {
    let mut net = Net::new();
    let two = net.udp_out(c2(5000), s1(53));
    assert_eq!(two, x(5000));
    // The attacker uses the other's outside port towards the same remote, and towards others.
    for remote in [s1(53), s1(54), s2(53)] {
        assert_ne!(net.udp_out(c1(5000), remote), two);
    }
    assert_eq!(net.udp_in(s1(53), two), Some(c2(5000)));
    assert_eq!(net.udp_in(s2(53), two), None);
}

#[test]
fn attack_a_host_that_hairpins_to_itself_is_refused() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let own = net.udp_out(c1(5000), s1(9));
    net.send_out(&make::udp(c1(5000), own, b"")).dropped(DropReason::HairpinToItself);
    // Another endpoint of the same host is another matter.
    assert_eq!(net.send_out(&make::udp(c1(5001), own, b"")).inside().destination(), c1(5000));
}

#[test]
fn attack_a_hairpin_does_not_go_round_for_ever() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let two = net.udp_out(c2(6000), s1(9));
    let mut packet = make::udp(c1(5000), two, b"round and round");
    // A host that returns everything as it came, addresses exchanged, as an echo server does.
    for pass in 1..make::TTL {
        let seen = net.send_out(&packet).inside();
        assert_eq!(seen.ttl(), make::TTL - pass);
        let (from, to) = (seen.destination(), seen.source());
        packet = make::with_ttl(&make::udp(from, to, &seen.data()), seen.ttl());
    }
    let error = net.send_out(&packet).error();
    assert_eq!(error.error().what(), (11, 0));
}

#[test]
fn attack_a_hairpin_does_not_reach_services_of_the_gateway_through_the_engine() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    // It is the host's own packet, and goes to its stack and its rules unchanged.
    net.send_out(&make::udp(c1(5000), x(53), b"")).local();
    net.send_out(&make::tcp(c1(5000), x(22), Flags::SYN, 1, 0, b"")).local();
    assert_eq!(net.sessions(), 0);
}

#[test]
fn attack_packets_between_inside_hosts_are_not_translated() {
    let mut net = Net::new();
    let packet = make::udp(c1(5000), c2(6000), b"");
    let seen = net.send_out(&packet).inside();
    assert_eq!((seen.addresses(), seen.next_hop()), ((C1, C2), Table::neighbour(C2)));
    assert_eq!(seen.bytes(), make::with_ttl(&packet, make::TTL - 1));
    assert_eq!(net.engine.stats().mappings, 0);
}
