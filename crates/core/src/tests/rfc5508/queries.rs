//! REQ-1, REQ-2, REQ-6, REQ-10 and REQ-11: queries, their sessions, and messages that are neither.

use masq_wire::icmp::kind;
use masq_wire::make;

use crate::tests::net::{C1, Net, S1, S2, X, c1, c2, s1, unreachable};
use crate::{DropReason, Duration};

#[test]
fn rfc5508_req_1_requests_pass_and_replies_come_back() {
    let mut net = Net::new();
    for sequence in 1..4 {
        let request = make::echo_request(c1(7), S1, sequence, b"abcdefgh");
        let seen = net.send_out(&request).outside();
        let reply = make::echo_reply(S1, seen.source(), sequence, b"abcdefgh");
        let back = net.send_in(&reply).inside();
        assert_eq!((back.addresses(), back.destination()), ((S1, C1), c1(7)));
        assert_eq!(back.payload(), make::echo_reply(S1, c1(7), sequence, b"abcdefgh")[20..]);
    }
    assert_eq!(net.sessions(), 1);
}

#[test]
fn rfc5508_req_1_the_identifier_does_not_depend_on_the_destination() {
    let mut net = Net::new();
    net.ping_out(c2(7), S1);
    let outside = net.ping_out(c1(7), S1);
    assert_ne!(outside.port, 7);
    assert_eq!(net.ping_out(c1(7), S2), outside);
    assert_eq!(net.ping_in(S1, outside), Some(c1(7)));
    assert_eq!(net.ping_in(S2, outside), Some(c1(7)));
}

#[test]
fn rfc5508_req_1_two_hosts_with_the_same_identifier_get_different_ones() {
    let mut net = Net::new();
    let (first, second) = (net.ping_out(c1(7), S1), net.ping_out(c2(7), S1));
    assert_ne!(first, second);
    assert_eq!(net.ping_in(S1, first), Some(c1(7)));
    assert_eq!(net.ping_in(S1, second), Some(c2(7)));
}

#[test]
fn rfc5508_req_1_timestamp_queries_pass_as_well() {
    let mut net = Net::new();
    let rest = [0, 7, 0, 1];
    let request = make::icmp(C1, S1, kind::TIMESTAMP_REQUEST, 0, rest, &[0; 12]);
    let outside = net.send_out(&request).outside().source();
    let [high, low] = outside.port.to_be_bytes();
    let reply = make::icmp(S1, X, kind::TIMESTAMP_REPLY, 0, [high, low, 0, 1], &[1; 12]);
    assert_eq!(net.send_in(&reply).inside().destination(), c1(7));
}

#[test]
fn rfc5508_req_2_a_query_session_lives_sixty_seconds() {
    let mut net = Net::new();
    let outside = net.ping_out(c1(7), S1);
    net.wait(59);
    assert_eq!(net.ping_in(S1, outside), Some(c1(7)));
    net.wait(60);
    assert_eq!(net.ping_in(S1, outside), None);
}

#[test]
fn rfc5508_req_2_the_timer_is_configurable() {
    let mut net = Net::with(|policy| policy.timeouts.icmp = Duration::from_secs(600));
    let outside = net.ping_out(c1(7), S1);
    net.wait(599);
    assert_eq!(net.ping_in(S1, outside), Some(c1(7)));
    net.wait(600);
    assert_eq!(net.ping_in(S1, outside), None);
}

#[test]
fn rfc5508_req_6_an_error_about_a_query_neither_refreshes_nor_ends_its_session() {
    let mut net = Net::new();
    let sent = net.send_out(&make::echo_request(c1(7), S1, 1, b"ping")).outside();
    net.wait(50);
    for code in 0..=13 {
        let error = make::icmp_error(S1, X, unreachable(code), sent.bytes());
        assert_eq!(net.send_in(&error).inside().addresses(), (S1, C1));
    }
    net.wait(9);
    assert_eq!(net.sessions(), 1, "it was ended");
    net.wait(1);
    assert_eq!(net.sessions(), 0, "it was refreshed");
}

#[test]
fn rfc5508_req_10a_echo_and_the_errors_about_it_are_supported() {
    let mut net = Net::new();
    let original = make::echo_request(c1(7), S1, 1, b"ping");
    let sent = net.send_out(&original).outside();
    assert_eq!(net.ping_in(S1, sent.source()), Some(c1(7)));
    for (kind, code) in [(3, 0), (3, 1), (3, 2), (3, 3), (3, 13), (11, 0), (11, 1), (12, 0)] {
        let report = masq_wire::icmp::error::Report { kind, code, rest: [0; 4] };
        let error = make::icmp_error(S2, X, report, sent.bytes());
        let seen = net.send_in(&error).inside();
        assert_eq!((seen.addresses(), seen.error().what()), ((S2, C1), (kind, code)));
        assert_eq!(seen.error().quoted, make::with_ttl(&original, make::TTL - 1));
    }
}

#[test]
fn rfc5508_req_10c_source_quench_is_dropped() {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"")).outside();
    let quench =
        |code| masq_wire::icmp::error::Report { kind: kind::SOURCE_QUENCH, code, rest: [0; 4] };
    let error = make::icmp_error(S1, X, quench(0), sent.bytes());
    net.send_in(&error).dropped(DropReason::IcmpType);
    // From inside, about a packet that did arrive.
    let arrived = net.send_in(&make::udp(s1(9), sent.source(), b"")).inside();
    let error = make::icmp_error(C1, S1, quench(0), arrived.bytes());
    net.send_out(&error).dropped(DropReason::IcmpType);
    // The same error of a supported type passes.
    net.send_out(&make::icmp_error(C1, S1, unreachable(3), arrived.bytes())).outside();
}

#[test]
fn rfc5508_req_10c_information_requests_are_dropped() {
    let mut net = Net::new();
    for kind in [kind::INFORMATION_REQUEST, kind::INFORMATION_REPLY] {
        let message = make::icmp(C1, S1, kind, 0, [0, 7, 0, 1], &[]);
        net.send_out(&message).nothing();
    }
    assert_eq!(net.sessions(), 0);
}

#[test]
fn rfc5508_req_11_other_types_are_dropped_without_state() {
    let mut net = Net::new();
    for kind in [1, 2, 6, 7, 9, 10, 19, 30, 37, 40, 42, 43, 128, 255] {
        let message = make::icmp(C1, S1, kind, 0, [0, 7, 0, 1], b"whatever");
        net.send_out(&message).dropped(DropReason::IcmpType);
        let message = make::icmp(S1, X, kind, 0, [0, 7, 0, 1], b"whatever");
        net.send_in(&message).nothing_inside();
    }
    assert_eq!(net.sessions(), 0);
}
