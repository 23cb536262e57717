//! Section 7: what does not keep a mapping alive.

use masq_wire::make;
use masq_wire::tcp::Flags;

use crate::Filtering;
use crate::tests::net::{A, C1, Connection, Net, S2, a, c1, s1, s2, unreachable, x};

#[test]
fn rfc7857_s7_rejected_packets_from_outside_do_not_refresh() {
    for filtering in [Filtering::AddressDependent, Filtering::AddressAndPortDependent] {
        let mut net = Net::filtering(filtering);
        let outside = net.udp_out(c1(5000), s1(9));
        for _ in 0..4 {
            net.wait(60);
            assert_eq!(net.udp_in(a(1), outside), None);
        }
        assert_eq!(net.sessions(), 1);
        net.wait(60);
        assert_eq!(net.sessions(), 0, "{filtering:?}");
    }
}

#[test]
fn rfc7857_s7_rejected_segments_from_outside_do_not_refresh() {
    let mut net = Net::new();
    let connection = Connection::open(&mut net, c1(6000), s1(80));
    for _ in 0..74 {
        net.advance(crate::Duration::from_secs(100));
        for flags in [Flags::SYN, Flags::ACK, Flags::RST, Flags::FIN | Flags::ACK] {
            let stray = make::tcp(a(80), connection.outside, flags, 1, 1, b"");
            net.send_in(&stray).nothing_inside();
        }
    }
    assert_eq!(net.sessions(), 1);
    net.advance(crate::Duration::from_secs(40));
    assert_eq!(net.sessions(), 0);
}

#[test]
fn rfc7857_s7_rejected_errors_from_outside_do_not_refresh() {
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    for _ in 0..5 {
        net.wait(60);
        let stranger = make::udp(x(5000), s2(9), b"");
        net.send_in(&make::icmp_error(A, x(0).addr, unreachable(3), &stranger)).nothing_inside();
    }
    assert_eq!(net.sessions(), 0);
}

#[test]
fn rfc7857_s7_1_an_error_that_answers_an_inbound_packet_does_not_refresh() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = net.udp_out(c1(5000), s1(9));
    net.wait(100);
    let arrived = net.send_in(&make::udp(s2(9), outside, b"unwanted")).inside();
    for _ in 0..2 {
        net.wait(100);
        net.send_out(&make::icmp_error(C1, S2, unreachable(3), arrived.bytes())).outside();
    }
    assert_eq!(net.sessions(), 1, "only the unwanted packet's, a hundred seconds younger");
    net.wait(100);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn rfc7857_s7_1_a_reset_that_answers_an_inbound_segment_does_not_refresh() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = Connection::begin(&mut net, c1(8080), s1(80)).outside;
    let syn = make::tcp(s2(4000), outside, Flags::SYN, 5000, 0, b"");
    net.send_in(&syn).inside();
    net.wait(200);
    // RFC 9293 §3.10.7.1: the number of a reset to a SYN is zero.
    let reset = make::tcp(c1(8080), s2(4000), Flags::RST | Flags::ACK, 0, 5001, b"");
    net.send_out(&reset).outside();
    net.wait(39);
    assert_eq!(net.sessions(), 2);
    net.wait(1);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn rfc7857_s7_1_a_reset_to_data_of_a_forgotten_connection_does_not_refresh() {
    let mut net = Net::new();
    let connection = Connection::open(&mut net, c1(6000), s1(80));
    net.wait(7000);
    // The inside host has been restarted. The remote's data meets nobody, and is answered so.
    connection.try_ingress(&mut net, Flags::ACK, connection.server, b"hello?").inside();
    let reset = |sequence| make::tcp(c1(6000), s1(80), Flags::RST, sequence, 0, b"");
    net.send_out(&reset(connection.client)).outside();
    // Section 2.2 gives it four minutes, not two hours.
    net.wait(240);
    assert_eq!(net.sessions(), 0);
}
