//! REQ-8, REQ-10 and section 7: what the gateway itself says, and what it keeps to itself.

use core::net::Ipv4Addr;

use masq_wire::icmp::error::Report;
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, make};

use crate::icmp::ErrorRates;
use crate::tests::net::{
    C1, Connection, GATEWAY, Net, ROUTER, S1, Seen, Way, X, c1, c2, s1, whole, x,
};
use crate::{DropReason, Duration, PortRanges};

#[test]
fn rfc5508_req_8_who_cannot_have_a_port_is_told_so() {
    for (carrier, code) in [(false, 13), (true, 1)] {
        let mut net = Net::with(|policy| {
            policy.carrier = carrier;
            policy.outsides[0].pool.ports = PortRanges(vec![2000..=2001]);
        });
        for port in [5000, 5001] {
            let outside = net.udp_out(c2(port), s1(9));
            net.udp_in(s1(9), outside);
            Connection::open(&mut net, c2(port), s1(80));
        }
        for packet in [
            make::udp(c1(5000), s1(9), b"data"),
            make::tcp(c1(5000), s1(80), Flags::SYN, 1000, 0, b""),
        ] {
            let answer = net.send_out(&packet);
            assert_eq!(answer.drop_reason(), Some(DropReason::PortsExhausted));
            let seen = answer.error();
            assert_eq!(seen.addresses(), (GATEWAY, C1));
            assert_eq!(seen.error().what(), (3, code));
            assert_eq!(seen.error().quoted, packet);
        }
    }
}

#[test]
fn rfc5508_req_8_who_has_too_much_is_told_so() {
    let mut net = Net::with(|policy| policy.hosts.sessions = 10);
    for port in 5000..5010 {
        net.udp_out(c1(port), s1(9));
    }
    let answer = net.send_out(&make::udp(c1(5010), s1(9), b"data"));
    assert_eq!(answer.drop_reason(), Some(DropReason::HostSessions));
    assert_eq!(answer.error().error().what(), (3, 13));
    // Neither an established flow nor another host feels it.
    net.udp_out(c1(5000), s1(9));
    net.udp_out(c2(5010), s1(9));
}

#[test]
fn rfc5508_req_9_the_gateway_can_be_made_to_send_no_errors() {
    let expired = make::with_ttl(&make::udp(c1(5000), s1(9), b""), 1);
    let mut net = Net::new();
    net.send_out(&expired).error();
    net.apply(|policy| policy.icmp_errors = None);
    net.send_out(&expired).dropped(DropReason::TtlExpired);
    // Errors of others still pass.
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"")).outside();
    net.send_in(&make::icmp_error(ROUTER, X, Report::TTL_EXCEEDED, sent.bytes())).inside();
    net.apply(|policy| policy.icmp_errors = Some(ErrorRates::default()));
    net.send_out(&expired).error();
}

#[test]
fn rfc5508_req_10a_traceroute_sees_the_gateway_and_what_is_behind_it() {
    let probes = [
        make::udp(c1(33_000), s1(33_434), b"probe"),
        make::tcp(c1(33_000), s1(80), Flags::SYN, 1000, 0, b""),
        make::echo_request(c1(33_000), S1, 1, b"probe"),
    ];
    for probe in probes {
        let mut net = Net::new();
        let first = net.send_out(&make::with_ttl(&probe, 1)).error();
        assert_eq!((first.addresses(), first.error().what()), ((GATEWAY, C1), (11, 0)));
        assert_eq!(first.error().quoted, make::with_ttl(&probe, 1));

        let sent = net.send_out(&make::with_ttl(&probe, 2)).outside();
        assert_eq!(sent.ttl(), 1);
        let error = make::icmp_error(ROUTER, X, Report::TTL_EXCEEDED, sent.bytes());
        let second = net.send_in(&error).inside();
        assert_eq!((second.addresses(), second.error().what()), ((ROUTER, C1), (11, 0)));
        assert_eq!(second.error().quoted, make::with_ttl(&probe, 1));

        let sent = net.send_out(&make::with_ttl(&probe, 3)).outside();
        let error = make::icmp_error(S1, X, Report::unreachable(3), sent.bytes());
        assert_eq!(net.send_in(&error).inside().addresses(), (S1, C1));
    }
}

#[test]
fn rfc5508_req_10d_the_dscp_is_copied_into_errors() {
    const EXPEDITED: u8 = 46 << 2;
    let mut net = Net::new();
    let packet = make::with_tos(&make::with_ttl(&make::udp(c1(5000), s1(9), b""), 1), EXPEDITED);
    let tos = |seen: &Seen| seen.read(|packet| packet.tos());
    assert_eq!(tos(&net.send_out(&packet).error()), EXPEDITED);
    net.routes.outside_mtu = 576;
    let packet = make::with_dont_fragment(&make::udp(c1(5000), s1(9), &[0; 1000]));
    assert_eq!(tos(&net.send_out(&make::with_tos(&packet, EXPEDITED)).error()), EXPEDITED);
}

#[test]
fn rfc5508_req_10d_there_is_no_error_about_what_must_not_be_answered() {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"")).outside();
    let expired = |packet: &[u8]| make::with_ttl(packet, 1);
    // About an error.
    let error = make::icmp_error(S1, X, Report::unreachable(3), sent.bytes());
    net.send_in(&expired(&error)).dropped(DropReason::TtlExpired);
    // About broadcast and multicast.
    for group in
        [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::new(192, 168, 1, 255)]
    {
        let packet = make::udp(c1(5000), Endpoint::v4(group, 5353), b"");
        net.send_out(&expired(&packet)).nothing();
    }
    // About a source that is no single host.
    for source in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, Ipv4Addr::new(224, 1, 1, 1)] {
        let packet = make::udp(Endpoint::v4(source, 5000), s1(9), b"");
        net.send_out(&expired(&packet)).nothing();
    }
    // About a later fragment: only the whole datagram expires, and once.
    let pieces = make::fragments(&expired(&make::udp(c1(5000), s1(9), &[0; 2500])), 1000);
    let sent: Vec<Seen> = pieces.iter().flat_map(|piece| net.send_out(piece).all()).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].error().what(), (11, 0));
    assert_eq!(
        net.send_out(&expired(&make::udp(c1(5000), s1(9), b""))).error().error().what(),
        (11, 0)
    );
}

#[test]
fn rfc5508_req_10d_errors_are_rate_limited() {
    let mut net = Net::new();
    let packet = make::with_ttl(&make::udp(c1(5000), s1(9), b""), 1);
    let mut sent = 0;
    for _ in 0..10_000 {
        sent += net.send_out(&packet).all().len();
        net.advance(Duration::from_micros(100));
    }
    assert!((10..=100).contains(&sent), "{sent} errors in a second");
    // A second later there is one for whoever needs it.
    net.wait(1);
    net.send_out(&packet).error();
}

#[test]
fn rfc5508_s7_1_1_df_is_honoured_for_queries() {
    let mut net = Net::new();
    net.routes.outside_mtu = 1280;
    let long = make::echo_request(c1(7), S1, 1, &[0; 1400]);
    let seen = net.send_out(&make::with_dont_fragment(&long)).error();
    assert_eq!((seen.error().what(), seen.error().mtu), ((3, 4), Some(1280)));
    let pieces = net.send_out(&long).all();
    assert_eq!(pieces.len(), 2);
    assert_eq!((whole(&pieces).source(), whole(&pieces).payload().len()), (x(7), 1408));
}

#[test]
fn rfc5508_s7_2_a_packet_whose_time_is_up_is_answered_and_leaves_no_state() {
    let mut net = Net::new();
    for ttl in [0, 1] {
        let seen = net.send_out(&make::with_ttl(&make::udp(c1(5000), s1(9), b""), ttl)).error();
        assert_eq!((seen.addresses(), seen.error().what()), ((GATEWAY, C1), (11, 0)));
    }
    assert_eq!(net.sessions(), 0);
    let sent = net.send_out(&make::with_ttl(&make::udp(c1(5000), s1(9), b""), 2)).outside();
    assert_eq!(sent.ttl(), 1);

    let packet = make::udp(s1(9), sent.source(), b"");
    let seen = net.send_in(&make::with_ttl(&packet, 1)).error();
    assert_eq!((seen.addresses(), seen.error().what()), ((X, S1), (11, 0)));
    assert_eq!(seen.error().quoted, make::with_ttl(&packet, 1));
    assert_eq!(net.send_in(&make::with_ttl(&packet, 2)).inside().ttl(), 1);
}

#[test]
fn rfc5508_s7_3_options_that_name_addresses_do_not_leave() {
    // Pointer, then room for three addresses; the first is filled in.
    let route = |kind: u8| [kind, 15, 8, 192, 168, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0];
    let timestamp = [68, 12, 13, 1, 192, 168, 1, 3, 0, 0, 0, 1];
    let mut net = Net::new();
    let ping = make::echo_request(c1(7), S1, 1, b"ping");
    for kind in [7, 131, 137] {
        let packet = make::with_options(&ping, &route(kind));
        net.send_out(&packet).dropped(DropReason::AddressOption);
    }
    net.send_out(&make::with_options(&ping, &timestamp)).dropped(DropReason::AddressOption);
    // Router alert (RFC 2113) names nobody.
    let packet = make::with_options(&ping, &[148, 4, 0, 0]);
    let seen = net.send_out(&packet).all();
    assert!(matches!(&seen[..], [seen] if seen.way() == Way::Outside), "{seen:?}");
}
