//! REQ-3: what is checked of an ICMP error, and what is not.

use masq_wire::icmp::error::Report;
use masq_wire::{Malformed, make};

use crate::DropReason;
use crate::tests::net::{C1, Net, ROUTER, S1, Seen, X, c1, s1, unreachable};

#[test]
fn rfc5508_req_3_a_bad_checksum_is_dropped_silently() {
    let (mut net, sent) = net();
    let error = make::icmp_error(S1, X, unreachable(3), sent.bytes());
    for bit in 0..16 {
        let mut flipped = error.clone();
        flipped[22 + bit / 8] ^= 1 << (bit % 8);
        net.send_in(&flipped).dropped(DropReason::Malformed(Malformed::IcmpChecksum));
    }
    net.send_in(&error).inside();

    let arrived = net.send_in(&make::udp(s1(9), sent.source(), b"")).inside();
    let mut error = make::icmp_error(C1, S1, unreachable(3), arrived.bytes());
    error[22] ^= 1;
    net.send_out(&error).dropped(DropReason::Malformed(Malformed::IcmpChecksum));
}

#[test]
fn rfc5508_req_3a_a_bad_checksum_of_the_quoted_header_is_dropped() {
    let (mut net, sent) = net();
    for bit in 0..16 {
        let mut quoted = sent.bytes().to_vec();
        quoted[10 + bit / 8] ^= 1 << (bit % 8);
        let error = make::icmp_error(S1, X, unreachable(3), &quoted);
        net.send_in(&error).dropped(DropReason::Malformed(Malformed::QuotedHeaderChecksum));
    }
    net.send_in(&make::icmp_error(S1, X, unreachable(3), sent.bytes())).inside();
}

#[test]
fn rfc5508_req_3b_options_of_the_quoted_header_are_skipped() {
    for words in 1..=10 {
        let mut net = Net::new();
        // "No operation", which every router lets pass.
        let original =
            make::with_options(&make::udp(c1(5000), s1(9), b"data"), &[1].repeat(4 * words));
        let sent = net.send_out(&original).outside();
        let error = make::icmp_error(ROUTER, X, Report::TTL_EXCEEDED, sent.bytes());
        let seen = net.send_in(&error).inside();
        assert_eq!(seen.addresses(), (ROUTER, C1));
        assert_eq!(seen.error().quoted, make::with_ttl(&original, make::TTL - 1), "{words} words");
    }
}

#[test]
fn rfc5508_req_3c_a_wrong_or_missing_transport_checksum_is_no_fault() {
    let mut net = Net::new();
    let mut original = make::udp(c1(5000), s1(9), b"data");
    original[26] ^= 0x55;
    let sent = net.send_out(&original).outside();
    for length in [28, 30, 32] {
        let error = make::icmp_error(S1, X, unreachable(3), &sent.bytes()[..length]);
        let seen = net.send_in(&error).inside();
        // It comes back as wrong as it was.
        let expected = make::with_ttl(&original, make::TTL - 1);
        assert_eq!(seen.error().quoted, expected[..length]);
    }
    // Of TCP, eight bytes do not reach the checksum.
    let segment = make::tcp(c1(6000), s1(80), masq_wire::tcp::Flags::SYN, 1000, 0, b"");
    let sent = net.send_out(&segment).outside();
    let error = make::icmp_error(S1, X, unreachable(3), &sent.bytes()[..28]);
    let expected = make::with_ttl(&segment, make::TTL - 1);
    assert_eq!(net.send_in(&error).inside().error().quoted, expected[..28]);
}

#[test]
fn rfc5508_req_3c_a_quoted_datagram_without_checksum_stays_so() {
    let mut net = Net::new();
    let original = make::udp_without_checksum(c1(5000), s1(9), b"data");
    let sent = net.send_out(&original).outside();
    let error = make::icmp_error(S1, X, unreachable(3), sent.bytes());
    let expected = make::with_ttl(&original, make::TTL - 1);
    assert_eq!(net.send_in(&error).inside().error().quoted, expected);
}

#[test]
fn rfc5508_req_3d_extensions_and_padding_are_forwarded_intact() {
    // RFC 4884: version 2, checksum; RFC 4950: one object with a label stack entry.
    let extensions = [0x20, 0, 0xde, 0xad, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0xff];
    for data in [&b""[..], b"odd", &[7; 96], &[9; 200]] {
        let mut net = Net::new();
        let original = make::udp(c1(5000), s1(9), data);
        let sent = net.send_out(&original).outside();
        for report in [Report::TTL_EXCEEDED, unreachable(0), Report::fragmentation_needed(1280)] {
            let error =
                make::icmp_error_with_extensions(ROUTER, X, report, sent.bytes(), &extensions);
            let seen = net.send_in(&error).inside();
            assert_eq!(seen.error().extensions, extensions);
            assert_eq!(seen.error().mtu, (report.code == 4).then_some(1280));
            let (quoted, padding) = {
                let quoted = seen.error().quoted;
                let (packet, padding) = quoted.split_at(original.len());
                (packet.to_vec(), padding.to_vec())
            };
            assert_eq!(quoted, make::with_ttl(&original, make::TTL - 1));
            assert!(padding.iter().all(|byte| *byte == 0), "{padding:?}");
            assert_eq!(seen.bytes().len(), error.len());
        }
    }
}

/// A host has sent a datagram.
fn net() -> (Net, Seen) {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"data")).outside();
    (net, sent)
}
