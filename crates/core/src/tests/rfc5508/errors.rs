//! REQ-4 and REQ-5: errors from outside and from inside.

use core::net::Ipv4Addr;

use masq_wire::icmp::error::Report;
use masq_wire::tcp::Flags;
use masq_wire::{Protocol, make};

use crate::DropReason;
use crate::tests::net::{C1, Net, ROUTER, S1, X, c1, c2, s1, unreachable, x};

#[test]
fn rfc5508_req_4_an_error_about_no_mapping_is_dropped() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    for stranger in [
        make::udp(x(5000), s1(10), b"another remote"),
        make::udp(x(5001), s1(9), b"another port"),
        make::tcp(x(5000), s1(9), Flags::SYN, 1, 0, b"another protocol"),
        make::echo_request(x(5000), S1, 1, b"another protocol"),
        make::udp(c1(5000), s1(9), b"an inside address"),
    ] {
        net.send_in(&make::icmp_error(S1, X, unreachable(3), &stranger)).nothing_inside();
    }
    let ours = make::udp(x(5000), s1(9), b"");
    net.send_in(&make::icmp_error(S1, X, unreachable(3), &ours)).inside();
}

#[test]
fn rfc5508_req_4_an_error_comes_back_as_if_there_were_no_translator() {
    let originals = [
        make::udp(c1(5000), s1(9), b"some data"),
        make::udp_without_checksum(c1(5001), s1(9), b"some data"),
        make::tcp(c1(6000), s1(80), Flags::SYN, 1000, 0, b""),
        make::echo_request(c1(7), S1, 3, b"some data"),
        make::ip(Protocol::GRE, C1, S1, &[0, 0, 8, 0, 1, 2, 3, 4]),
    ];
    let mut net = Net::new();
    // Somebody else has the ports already, so that they change.
    for port in [5000, 5001] {
        net.udp_out(c2(port), s1(9));
    }
    net.flow_out(Protocol::TCP, c2(6000), s1(80));
    net.ping_out(c2(7), S1);
    for original in originals {
        let sent = net.send_out(&original).outside();
        for report in [unreachable(1), Report::fragmentation_needed(1280), Report::TTL_EXCEEDED] {
            for length in [28, sent.bytes().len()] {
                let error = make::icmp_error(ROUTER, X, report, &sent.bytes()[..length]);
                let seen = net.send_in(&error).inside();
                // Byte by byte what the router would have sent to the host itself.
                let quoted = &make::with_ttl(&original, make::TTL - 1)[..length];
                let direct = make::icmp_error(ROUTER, C1, report, quoted);
                assert_eq!(seen.bytes(), make::with_ttl(&direct, make::TTL - 1));
            }
        }
    }
}

#[test]
fn rfc5508_req_5_an_error_from_inside_about_no_mapping_is_dropped() {
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    let arrived = net.send_in(&make::udp(s1(9), outside, b"")).inside();
    for stranger in [
        make::udp(s1(10), c1(5000), b"another remote"),
        make::udp(s1(9), c1(5001), b"another port"),
        make::udp(s1(9), c2(5000), b"another host"),
        make::tcp(s1(9), c1(5000), Flags::SYN, 1, 0, b"another protocol"),
    ] {
        let error = make::icmp_error(C1, S1, unreachable(3), &stranger);
        net.send_out(&error).dropped(DropReason::IcmpErrorForNobody);
    }
    net.send_out(&make::icmp_error(C1, S1, unreachable(3), arrived.bytes())).outside();
}

#[test]
fn rfc5508_req_5_an_error_from_inside_shows_outside_addresses_only() {
    let mut net = Net::new();
    net.udp_out(c2(5000), s1(9));
    let outside = net.udp_out(c1(5000), s1(9));
    let original = make::udp(s1(9), outside, b"some data");
    let arrived = net.send_in(&original).inside();
    // From the host itself, and from a router between it and the gateway.
    for from in [C1, Ipv4Addr::new(192, 168, 1, 2)] {
        for length in [28, arrived.bytes().len()] {
            let quoted = &arrived.bytes()[..length];
            let error = make::icmp_error(from, S1, unreachable(3), quoted);
            let seen = net.send_out(&error).outside();
            let quoted = &make::with_ttl(&original, make::TTL - 1)[..length];
            let direct = make::icmp_error(X, S1, unreachable(3), quoted);
            assert_eq!(seen.bytes(), make::with_ttl(&direct, make::TTL - 1));
            let inside = [192, 168, 1];
            assert!(!seen.bytes().windows(3).any(|bytes| bytes == inside), "{seen:?}");
        }
    }
}
