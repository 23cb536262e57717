//! The host comes first: what the gateway itself uses is no inside host's, whoever was there first.

use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, make};

use super::net::{C1, C2, Connection, Net, S1, S2, X, c1, c2, s1, s2, unreachable, x};
use crate::{DropReason, EndReason, Event, Mapping, PortRanges};

const MAPPINGS: [Mapping; 3] =
    [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];

/// Whom the host and an inside host both talk to, and from which port.
const FLOWS: [(Protocol, Endpoint, Endpoint); 3] = [
    (Protocol::UDP, x(5000), s1(9)),
    (Protocol::TCP, x(5000), s1(9)),
    (Protocol::ICMP, x(5000), s1(0)),
];

#[test]
fn a_flow_that_begins_after_the_hosts_gets_another_endpoint() {
    for mapping in MAPPINGS {
        for (protocol, own, remote) in FLOWS {
            let mut net = with(mapping);
            net.routes.host_sends(protocol, own, remote);
            let outside = net.flow_out(protocol, c1(5000), remote);
            assert_ne!(outside, own, "{protocol} {mapping:?}");
            arrives(&mut net, protocol, remote, outside, Some(c1(5000)));
            arrives(&mut net, protocol, remote, own, None);
        }
    }
}

#[test]
fn a_flow_that_was_there_before_the_hosts_moves_to_another_endpoint() {
    for mapping in MAPPINGS {
        for (protocol, own, remote) in FLOWS {
            let mut net = with(mapping);
            assert_eq!(net.flow_out(protocol, c1(5000), remote), own);
            arrives(&mut net, protocol, remote, own, Some(c1(5000)));

            net.routes.host_sends(protocol, own, remote);
            arrives(&mut net, protocol, remote, own, None);
            let outside = net.flow_out(protocol, c1(5000), remote);
            assert_ne!(outside, own, "{protocol} {mapping:?}");
            arrives(&mut net, protocol, remote, outside, Some(c1(5000)));
            assert_eq!((net.sessions(), net.engine.stats().mappings), (1, 1));
        }
    }
}

#[test]
fn an_established_connection_goes_on_from_another_endpoint() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(5000), s1(80));
    connection.works(&mut net);
    net.events();
    net.routes.host_sends(Protocol::TCP, x(5000), s1(80));
    let seen = connection.try_egress(&mut net, Flags::ACK, connection.client, b"more").outside();
    assert_ne!(seen.source(), x(5000));
    let ended =
        |event: &Event| matches!(event, Event::SessionRemoved { reason: EndReason::HostHasIt, .. });
    assert!(net.events().iter().any(ended));
}

#[test]
fn other_remotes_of_a_mapping_keep_its_endpoint() {
    let mut net = Net::new();
    assert_eq!((net.udp_out(c1(5000), s1(9)), net.udp_out(c1(5000), s2(9))), (x(5000), x(5000)));
    net.routes.host_sends(Protocol::UDP, x(5000), s1(9));
    let moved = net.udp_out(c1(5000), s1(9));
    assert_ne!(moved, x(5000));
    assert_eq!(net.udp_in(s2(9), x(5000)), Some(c1(5000)));
    assert_eq!(net.udp_out(c1(5000), s2(9)), x(5000));
    // Later ones get the first endpoint, too, and the second where the host has theirs at the first.
    assert_eq!(net.udp_out(c1(5000), s2(10)), x(5000));
    net.routes.host_sends(Protocol::UDP, x(5000), s2(11));
    assert_eq!(net.udp_out(c1(5000), s2(11)), moved);
    assert_eq!(net.engine.stats().mappings, 2);
}

#[test]
fn where_the_first_mapping_is_gone_the_one_beside_it_is_used() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s2(9));
    net.wait(200);
    net.routes.host_sends(Protocol::UDP, x(5000), s1(9));
    let moved = net.udp_out(c1(5000), s1(9));
    net.wait(200);
    assert_eq!(net.engine.stats().mappings, 1);
    assert_eq!(net.udp_out(c1(5000), s2(9)), moved);
}

#[test]
fn a_protocol_without_ports_is_the_hosts_in_either_order() {
    let gre = |from| make::ip(Protocol::GRE, from, S1, b"tunnel");
    let back = make::ip(Protocol::GRE, S1, X, b"tunnel");
    let mut net = Net::new();
    net.routes.host_sends(Protocol::GRE, x(0), s1(0));
    assert_eq!(net.send_out(&gre(C1)).drop_reason(), Some(DropReason::RemoteOfHost));
    assert_eq!(net.sessions(), 0);

    let mut net = Net::new();
    net.send_out(&gre(C1)).outside();
    net.send_in(&back).inside();
    net.routes.host_sends(Protocol::GRE, x(0), s1(0));
    net.send_in(&back).local();
    let refused = net.send_out(&gre(C1));
    assert_eq!(refused.drop_reason(), Some(DropReason::RemoteOfHost));
    assert_eq!(refused.error().error().what(), (3, 13));
    assert_eq!(net.send_out(&gre(C2)).drop_reason(), Some(DropReason::RemoteOfHost));
    net.send_out(&make::ip(Protocol::GRE, C1, S2, b"tunnel")).outside();
}

#[test]
fn a_flow_without_another_port_is_refused_by_name() {
    let mut net = Net::with(|policy| policy.outsides[0].pool.ports = PortRanges(vec![5000..=5003]));
    for port in 5000..=5003 {
        net.routes.host_sends(Protocol::UDP, x(port), s1(9));
    }
    let refused = net.send_out(&make::udp(c1(5000), s1(9), b"no port"));
    assert_eq!(refused.drop_reason(), Some(DropReason::PortsExhausted));
    assert_eq!((net.sessions(), net.engine.stats().mappings), (0, 0));
    for (port, host) in [(5000, c1(5000)), (5001, c2(5001))] {
        assert_eq!(net.udp_out(host, s2(9)), x(port), "the ports are there for others");
    }
}

#[test]
fn an_error_about_a_packet_of_the_host_is_the_hosts() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    net.routes.host_sends(Protocol::UDP, outside, s1(9));
    let left = make::udp(outside, s1(9), b"from the host");
    net.send_in(&make::icmp_error(S1, X, unreachable(3), &left)).local();
}

#[test]
fn a_successor_knows_which_mapping_was_first() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s2(9));
    net.wait(1);
    net.routes.host_sends(Protocol::UDP, x(5000), s1(9));
    assert_ne!(net.udp_out(c1(5000), s1(9)), x(5000));
    let (policy, now) = (net.engine.policy().clone(), net.now());
    let memory = net.engine.table().memory().clone();
    let (writer, _) = masq_flow::Writer::adopt(memory, now.as_nanos()).unwrap();
    net.engine = crate::Engine::new([9; 32], writer, policy, now);
    net.walk();
    assert_eq!(net.udp_out(c1(5000), s2(10)), x(5000));
}

fn with(mapping: Mapping) -> Net {
    Net::with(|policy| policy.outsides[0].pool.mapping = mapping)
}

/// What a remote sends to an endpoint arrives at an inside host, or else at the gateway itself.
#[track_caller]
fn arrives(
    net: &mut Net,
    protocol: Protocol,
    remote: Endpoint,
    to: Endpoint,
    inside: Option<Endpoint>,
) {
    let packet = match protocol {
        Protocol::TCP => make::tcp(remote, to, Flags::SYN | Flags::ACK, 5000, 1001, b""),
        Protocol::UDP => make::udp(remote, to, b"answer"),
        _ => make::echo_reply(remote.addr, to, 1, b"ping"),
    };
    let answer = net.send_in(&packet);
    match inside {
        Some(inside) => assert_eq!(answer.inside().destination(), inside),
        None => answer.local(),
    }
}
