//! REQ-9 and REQ-10: inside hosts that meet outside, and payload that is nobody's business.

use masq_wire::make;

use crate::tests::net::{C2, Net, Table, c1, c2, s1};
use crate::{DropReason, Filtering};

#[test]
fn rfc4787_req_9_two_inside_hosts_reach_each_other_by_their_outside_endpoints() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let (one, two) = (net.udp_out(c1(5000), s1(9)), net.udp_out(c2(6000), s1(9)));
    for _ in 0..2 {
        let there = net.send_out(&make::udp(c1(5000), two, b"hello")).inside();
        assert_eq!((there.destination(), there.data()), (c2(6000), b"hello".to_vec()));
        assert_eq!(there.next_hop(), Table::neighbour(C2));
        let back = net.send_out(&make::udp(c2(6000), one, b"good day")).inside();
        assert_eq!((back.destination(), back.data()), (c1(5000), b"good day".to_vec()));
    }
}

#[test]
fn rfc4787_req_9_a_hairpin_obeys_the_filter() {
    let mut net = Net::new();
    let (one, two) = (net.udp_out(c1(5000), s1(9)), net.udp_out(c2(6000), s1(9)));
    net.send_out(&make::udp(c1(5000), two, b"")).dropped(DropReason::Filtered);
    // Now each has sent to the other, as in hole punching (RFC 5128 §3.3).
    assert_eq!(net.send_out(&make::udp(c2(6000), one, b"")).inside().destination(), c1(5000));
    assert_eq!(net.send_out(&make::udp(c1(5000), two, b"")).inside().destination(), c2(6000));
}

#[test]
fn rfc4787_req_9_a_hairpin_needs_a_mapping() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let two = net.udp_out(c2(6000), s1(9));
    let nobody = two.with_port(6001);
    assert!(net.send_out(&make::udp(c1(5000), nobody, b"")).all().iter().all(|seen| {
        // It may be the host's own port, but it is no inside host's.
        seen.way() == crate::tests::net::Way::Local
    }));
    assert_eq!(net.send_out(&make::udp(c1(5000), two, b"")).inside().destination(), c2(6000));
}

#[test]
fn rfc4787_req_9a_the_receiver_sees_the_outside_endpoint_of_the_sender() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let two = net.udp_out(c2(6000), s1(9));
    // The sender has no mapping yet: it gets one, which the world sees as well.
    let seen = net.send_out(&make::udp(c1(5000), two, b"")).inside();
    assert_eq!(seen.source(), net.udp_out(c1(5000), s1(9)));
    assert_ne!(seen.source().addr, c1(5000).addr);
}

#[test]
fn rfc4787_req_10_payload_of_sip_and_tftp_passes_untouched() {
    let sip = b"REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.3:5060\r\n\
        Contact: <sip:me@192.168.1.3:5060>\r\nContent-Length: 0\r\n\r\n";
    let tftp = b"\0\x01boot.img\0octet\0";
    let mut net = Net::new();
    for (inside, remote, payload) in [(5060, 5060, &sip[..]), (5000, 69, &tftp[..])] {
        let seen = net.send_out(&make::udp(c1(inside), s1(remote), payload)).outside();
        assert_eq!(seen.data(), payload);
        // Nor has it opened a way in: the server's data port is a stranger.
        assert_eq!(net.udp_in(s1(30_000), seen.source()), None);
        assert_eq!(net.udp_in(s1(remote), seen.source()), Some(c1(inside)));
    }
    assert_eq!(net.sessions(), 2);
}
