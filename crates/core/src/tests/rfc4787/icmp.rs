//! REQ-12: ICMP and mappings.

use masq_wire::icmp::error::Report;
use masq_wire::make;

use crate::tests::net::{A, C1, Net, ROUTER, S1, c1, s1, unreachable};

#[test]
fn rfc4787_req_12_no_icmp_message_ends_a_mapping() {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"hello")).outside();
    let outside = sent.source();
    for kind in 0..=255 {
        for code in 0..=16 {
            for from in [S1, A, ROUTER] {
                let report = Report { kind, code, rest: [0; 4] };
                let _ = net.send_in(&make::icmp_error(from, outside.addr, report, sent.bytes()));
            }
        }
        assert_eq!(net.udp_in(s1(9), outside), Some(c1(5000)), "after type {kind}");
    }
    assert_eq!(net.udp_out(c1(5000), s1(9)), outside);
    assert_eq!(net.sessions(), 1);
}

#[test]
fn rfc4787_req_12_no_icmp_error_shortens_its_life() {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"hello")).outside();
    net.wait(150);
    for code in 0..=16 {
        let _ =
            net.send_in(&make::icmp_error(S1, sent.addresses().0, unreachable(code), sent.bytes()));
    }
    net.wait(149);
    assert_eq!(net.udp_in(s1(9), sent.source()), Some(c1(5000)));
}

#[test]
fn rfc4787_req_12a_errors_of_routers_on_the_way_reach_the_host() {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"hello")).outside();
    for report in [Report::TTL_EXCEEDED, Report::fragmentation_needed(1280)] {
        for from in [ROUTER, A] {
            let error = make::icmp_error(from, sent.addresses().0, report, sent.bytes());
            let seen = net.send_in(&error).inside();
            assert_eq!(seen.addresses(), (from, C1));
            assert_eq!(seen.error().what(), (report.kind, report.code));
        }
    }
}

#[test]
fn rfc4787_req_12b_a_closed_port_is_told_to_the_sender() {
    let mut net = Net::new();
    let original = make::udp(c1(5000), s1(9), b"hello");
    let sent = net.send_out(&original).outside();
    for code in 0..=13 {
        let report = unreachable(code);
        let error = make::icmp_error(S1, sent.addresses().0, report, sent.bytes());
        let seen = net.send_in(&error).inside();
        assert_eq!(seen.addresses(), (S1, C1));
        assert_eq!(seen.error().what(), (3, code));
        // Only the time to live tells that it was forwarded.
        assert_eq!(seen.error().quoted, make::with_ttl(&original, make::TTL - 1));
    }
}
