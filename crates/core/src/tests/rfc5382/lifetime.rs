//! REQ-5, REQ-9 and REQ-10: how long a connection may be silent, and what ICMP does to it.

use masq_wire::icmp::error::Report;
use masq_wire::tcp::{Flags, offset};
use masq_wire::{ipv4, make};

use crate::tests::net::{A, C1, Connection, Net, ROUTER, S1, Seen, c1, s1, unreachable};

#[test]
fn rfc5382_req_5_an_established_connection_survives_two_hours_and_four_minutes() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    for _ in 0..3 {
        net.wait(7439);
        connection.works(&mut net);
    }
    net.wait(7440);
    assert!(!connection.lets_in(&mut net));
    assert_eq!(net.sessions(), 0);
}

#[test]
fn a_silent_connection_is_looked_at_seldom() {
    let mut net = Net::new();
    Connection::open(&mut net, c1(6000), s1(80));
    // Longer than any other state of a connection lasts.
    net.wait(6000);
    let before = net.now();
    let mut wakings = 0;
    while net.sessions() > 0 {
        let due = net.engine.poll_timeout().unwrap();
        net.advance(due.saturating_sub(net.now()));
        wakings += 1;
    }
    assert_eq!(net.now().saturating_sub(before).as_secs(), 1440);
    // Six times for those four minutes in which it could have ended, and the wheel turns meanwhile.
    assert!(wakings <= 6 * 4, "{wakings} times in 24 minutes");
}

#[test]
fn rfc5382_req_5_a_connection_being_opened_survives_four_minutes() {
    let mut net = Net::new();
    let mut connection = Connection::begin(&mut net, c1(6000), s1(80));
    net.wait(239);
    connection.ingress(&mut net, Flags::SYN | Flags::ACK, b"");
    net.wait(239);
    connection.egress(&mut net, Flags::ACK, b"");
    connection.works(&mut net);

    let connection = Connection::begin(&mut net, c1(6001), s1(80));
    net.wait(240);
    assert!(!connection.lets_in(&mut net));
}

#[test]
fn rfc5382_req_5_a_connection_being_closed_survives_four_minutes() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    connection.close(&mut net);
    net.wait(239);
    connection.try_ingress(&mut net, Flags::FIN | Flags::ACK, 5001, b"").inside();
    net.wait(239);
    connection.egress(&mut net, Flags::ACK, b"");
    net.wait(240);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn rfc5382_req_5_outbound_segments_alone_keep_a_connection() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    for _ in 0..5 {
        net.wait(7000);
        connection.egress(&mut net, Flags::ACK, b"log line");
    }
    connection.works(&mut net);
}

#[test]
fn an_established_timeout_shorter_than_the_opening_one_ends_a_connection_on_time() {
    let mut net =
        Net::with(|policy| policy.timeouts.tcp_established = core::time::Duration::from_secs(2));
    Connection::open(&mut net, c1(6000), s1(80));
    net.wait(1);
    assert_eq!(net.sessions(), 1);
    net.wait(2);
    assert_eq!(net.sessions(), 0, "its timer looked after two seconds, not after four minutes");
}

#[test]
fn rfc5382_req_9_errors_about_a_connection_reach_its_host() {
    let mut net = Net::new();
    let connection = Connection::open(&mut net, c1(6000), s1(80));
    let original = make::tcp(c1(6000), s1(80), Flags::ACK, 1001, 5001, &[1; 1000]);
    let sent = net.send_out(&original).outside();
    for (from, report) in [
        (ROUTER, Report::fragmentation_needed(1280)),
        (S1, unreachable(3)),
        (ROUTER, unreachable(0)),
        (A, unreachable(13)),
    ] {
        // As short as RFC 792 allows, and longer.
        for length in [28, 40, 548] {
            let error = make::icmp_error(from, sent.addresses().0, report, &sent.bytes()[..length]);
            let seen = net.send_in(&error).inside();
            assert_eq!(seen.addresses(), (from, C1));
            assert_eq!(seen.error().what(), (report.kind, report.code));
            let expected = make::with_ttl(&original, make::TTL - 1);
            assert_eq!(seen.error().quoted, expected[..length]);
        }
    }
    assert!(connection.lets_in(&mut net));
}

#[test]
fn rfc5382_req_10_no_icmp_message_ends_a_connection() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    let original = make::tcp(c1(6000), s1(80), Flags::ACK, 1001, 5001, b"data");
    let sent = net.send_out(&original).outside();
    for sequence in [1001, 0, 1001 + (1 << 30)] {
        let quoted = with_sequence(&sent, sequence);
        for kind in 0..=40 {
            for code in 0..=16 {
                let report = Report { kind, code, rest: [0; 4] };
                let error = make::icmp_error(S1, sent.addresses().0, report, &quoted);
                let _ = net.send_in(&error);
            }
        }
    }
    connection.works(&mut net);
    net.wait(7439);
    connection.works(&mut net);
}

#[test]
fn rfc5382_req_10_no_icmp_error_shortens_the_opening() {
    let mut net = Net::new();
    let original = make::tcp(c1(6000), s1(80), Flags::SYN, 1000, 0, b"");
    let sent = net.send_out(&original).outside();
    for code in 0..=13 {
        let _ = net.send_in(&make::icmp_error(
            ROUTER,
            sent.addresses().0,
            unreachable(code),
            sent.bytes(),
        ));
    }
    net.wait(239);
    let answer = make::tcp(s1(80), sent.source(), Flags::SYN | Flags::ACK, 5000, 1001, b"");
    assert_eq!(net.send_in(&answer).inside().destination(), c1(6000));
}

/// The segment with another sequence number, as somebody would quote it who has not seen it.
fn with_sequence(sent: &Seen, sequence: u32) -> Vec<u8> {
    let mut quoted = sent.bytes().to_vec();
    quoted[ipv4::HEADER_LEN + offset::SEQUENCE..][..4].copy_from_slice(&sequence.to_be_bytes());
    make::fill_checksums(&mut quoted);
    quoted
}
