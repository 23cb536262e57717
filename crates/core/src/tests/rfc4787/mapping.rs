//! REQ-1 to REQ-4, REQ-7 and REQ-11: which outside endpoint an inside endpoint has.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeSet;

use masq_wire::{Endpoint, Protocol, make};

use crate::tests::net::{C1, Net, S1, c1, c2, s1, s2, x};
use crate::{DropReason, Filtering, Mapping, Pooling, PortRanges};

#[test]
fn rfc4787_req_1_every_remote_sees_the_same_endpoint() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(1));
    for remote in [s1(2), s2(1), s2(2)] {
        assert_eq!(net.udp_out(c1(5000), remote), outside);
        assert_eq!(net.udp_in(remote, outside), Some(c1(5000)));
    }
}

#[test]
fn rfc4787_req_1_every_remote_sees_the_same_endpoint_after_a_collision() {
    let mut net = Net::new();
    assert_eq!(net.udp_out(c2(5000), s1(1)), x(5000));
    let outside = net.udp_out(c1(5000), s1(1));
    assert_ne!(outside, x(5000));
    for remote in [s1(2), s2(1), s2(2)] {
        assert_eq!(net.udp_out(c1(5000), remote), outside);
    }
}

#[test]
fn rfc4787_req_1_dependent_mappings_differ_by_remote_when_they_are_asked_for() {
    let remotes = [s1(1), s1(2), s2(1), s2(2)];
    for (mapping, expected) in [
        (Mapping::EndpointIndependent, 1),
        (Mapping::AddressDependent, 2),
        (Mapping::AddressAndPortDependent, 4),
    ] {
        let mut net = Net::with(|policy| policy.outsides[0].pool.mapping = mapping);
        let seen: BTreeSet<Endpoint> =
            remotes.iter().map(|remote| net.udp_out(c1(5000), *remote)).collect();
        assert_eq!(seen.len(), expected, "{mapping:?}");
        for remote in remotes {
            let outside = net.udp_out(c1(5000), remote);
            assert!(seen.contains(&outside), "{mapping:?} is not stable");
            assert_eq!(net.udp_in(remote, outside), Some(c1(5000)));
        }
    }
}

#[test]
fn rfc4787_req_2_a_host_keeps_one_address_of_the_pool_for_everything() {
    let mut net = pool(Pooling::Paired);
    for host in [C1, Ipv4Addr::new(192, 168, 1, 77)] {
        let mut addresses = BTreeSet::new();
        for port in 2000..2200 {
            let protocol = [Protocol::UDP, Protocol::TCP, Protocol::ICMP][usize::from(port % 3)];
            let outside = net.flow_out(protocol, Endpoint::v4(host, port), s1(port));
            addresses.insert(outside.addr);
        }
        assert_eq!(addresses.len(), 1, "{host} has {addresses:?}");
    }
}

#[test]
fn rfc4787_req_2_hosts_are_spread_over_the_pool() {
    let mut net = pool(Pooling::Paired);
    let addresses: BTreeSet<IpAddr> = (10..90)
        .map(|host| Endpoint::v4(Ipv4Addr::new(192, 168, 1, host), 5000))
        .map(|inside| net.udp_out(inside, s1(1)).addr)
        .collect();
    assert_eq!(addresses.len(), 4);
}

#[test]
fn rfc4787_req_2_arbitrary_pooling_can_be_asked_for() {
    let mut net = pool(Pooling::Arbitrary);
    let addresses: BTreeSet<IpAddr> =
        (2000..2100).map(|port| net.udp_out(c1(port), s1(1)).addr).collect();
    assert_eq!(addresses.len(), 4);
}

#[test]
fn rfc4787_req_3_two_hosts_with_the_same_port_get_different_ones() {
    let mut net = Net::new();
    let (first, second) = (net.udp_out(c1(5000), s1(9)), net.udp_out(c2(5000), s1(9)));
    assert_ne!(first, second);
    assert_eq!(net.udp_in(s1(9), first), Some(c1(5000)));
    assert_eq!(net.udp_in(s1(9), second), Some(c2(5000)));
}

#[test]
fn rfc4787_req_3_the_last_port_is_not_given_twice() {
    let mut net = Net::with(|policy| {
        policy.outsides[0].pool.ports = PortRanges(vec![2000..=2009]);
    });
    let mut taken = BTreeSet::new();
    for port in 5000..5010 {
        let outside = net.udp_out(c1(port), s1(9));
        assert!(taken.insert(outside), "given twice");
        assert_eq!(net.udp_in(s1(9), outside), Some(c1(port)));
    }
    let refused = net.send_out(&make::udp(c2(5000), s1(9), b""));
    assert_eq!(refused.drop_reason(), Some(DropReason::PortsExhausted));
    assert_eq!(net.drops(DropReason::PortsExhausted), 1);
}

#[test]
fn rfc4787_req_3a_the_class_of_the_port_is_kept() {
    for port in [1, 500, 1023, 1024, 65_535] {
        let mut net = Net::new();
        let first = net.udp_out(c1(port), s1(9)).port;
        let second = net.udp_out(c2(port), s1(9)).port;
        assert_ne!(first, second);
        for outside in [first, second] {
            assert_eq!(outside < 1024, port < 1024, "{port} became {outside}");
        }
    }
}

#[test]
fn rfc4787_req_4_an_even_port_stays_even_and_an_odd_one_odd() {
    let mut net = Net::new();
    for port in 40_000..40_050 {
        assert_eq!(net.udp_out(c2(port), s1(9)), x(port));
        let outside = net.udp_out(c1(port), s1(9)).port;
        assert_ne!(outside, port);
        assert_eq!(outside % 2, port % 2, "{port} became {outside}");
    }
}

#[test]
fn rfc4787_req_7_a_lease_from_the_inside_prefix_does_no_harm() {
    const LEASE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 200);
    let mut net = Net::with(|policy| policy.outsides[0].pool.addresses = vec![LEASE.into()]);
    let outside = net.udp_out(c1(5000), s1(9));
    assert_eq!(outside, Endpoint::v4(LEASE, 5000));
    assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)));
    let id = net.ping_out(c1(7), S1);
    assert_eq!(net.ping_in(S1, id), Some(c1(7)));
}

#[test]
fn rfc4787_req_11_behaviour_is_the_same_at_every_load() {
    for load in [0, 50, 99] {
        for filtering in [
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ] {
            let mut net = Net::with(|policy| {
                policy.outsides[0].pool.filtering = filtering;
                policy.outsides[0].pool.ports = PortRanges(vec![2000..=2199]);
            });
            for port in 0..2 * load {
                net.udp_out(c2(10_000 + port), s1(9));
            }
            let outside = net.udp_out(c1(2000), s1(1));
            for remote in [s1(1), s1(2), s2(1)] {
                let open = match filtering {
                    Filtering::EndpointIndependent => true,
                    Filtering::AddressDependent => remote.addr == s1(1).addr,
                    Filtering::AddressAndPortDependent => remote == s1(1),
                };
                let receiver = net.udp_in(remote, outside);
                assert_eq!(receiver, open.then(|| c1(2000)), "{filtering:?} at {load} %");
            }
            for remote in [s1(2), s2(1), s2(2)] {
                assert_eq!(net.udp_out(c1(2000), remote), outside, "mapping at {load} %");
            }
        }
    }
}

#[test]
fn rfc4787_req_11_what_was_refused_from_outside_changes_nothing_later() {
    let mut net = Net::new();
    // Both before there is a mapping and after, somebody knocks from where we will send to.
    net.send_in(&make::udp(s2(3479), x(5000), b"")).nothing_inside();
    assert_eq!(net.udp_out(c1(5000), s1(1)), x(5000));
    assert_eq!(net.udp_in(s2(3479), x(5000)), None);
    assert_eq!(net.udp_out(c1(5000), s2(3479)), x(5000));
    assert_eq!(net.udp_in(s2(3479), x(5000)), Some(c1(5000)));
}

fn pool(pooling: Pooling) -> Net {
    Net::with(|policy| {
        let outside = &mut policy.outsides[0];
        outside.pool.addresses = (1..=4).map(|n| Ipv4Addr::new(203, 0, 113, n).into()).collect();
        outside.pool.pooling = pooling;
    })
}
