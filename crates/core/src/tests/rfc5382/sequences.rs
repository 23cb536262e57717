//! REQ-2: every valid sequence of segments, from either side.

use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, make};

use crate::Filtering;
use crate::tests::net::{Connection, Net, c1, s1, s2};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);
const FIN_ACK: Flags = Flags::FIN.union(Flags::ACK);

/// Long enough that only an established connection survives it.
const LONG: u64 = 7000;

#[test]
fn rfc5382_req_2_open_talk_and_close() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    for _ in 0..5 {
        connection.works(&mut net);
        net.wait(LONG);
    }
    connection.close(&mut net);
}

#[test]
fn rfc5382_req_2_either_side_may_close_first() {
    let mut net = Net::new();
    let mut inside_first = Connection::open(&mut net, c1(6000), s1(80));
    inside_first.egress(&mut net, FIN_ACK, b"last words");
    let mut remote_first = Connection::open(&mut net, c1(6001), s1(80));
    remote_first.ingress(&mut net, FIN_ACK, b"last words");
    // Half closed for hours: the other half goes on.
    for _ in 0..3 {
        net.wait(LONG);
        inside_first.ingress(&mut net, Flags::ACK, b"more");
        inside_first.egress(&mut net, Flags::ACK, b"");
        remote_first.egress(&mut net, Flags::ACK, b"more");
        remote_first.ingress(&mut net, Flags::ACK, b"");
    }
    inside_first.ingress(&mut net, FIN_ACK, b"");
    inside_first.egress(&mut net, Flags::ACK, b"");
    remote_first.egress(&mut net, FIN_ACK, b"");
    remote_first.ingress(&mut net, Flags::ACK, b"");
}

#[test]
fn rfc5382_req_2_simultaneous_close() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    connection.egress(&mut net, FIN_ACK, b"");
    connection.ingress(&mut net, FIN_ACK, b"");
    connection.egress(&mut net, Flags::ACK, b"");
    connection.ingress(&mut net, Flags::ACK, b"");
}

#[test]
fn rfc5382_req_2_data_on_the_syn() {
    let mut net = Net::new();
    let syn = make::tcp(c1(6000), s1(80), Flags::SYN, 1000, 0, b"GET /");
    let seen = net.send_out(&syn).outside();
    assert_eq!(seen.data(), b"GET /");
    let answer = make::tcp(s1(80), seen.source(), SYN_ACK, 5000, 1006, b"200 OK");
    assert_eq!(net.send_in(&answer).inside().data(), b"200 OK");
}

#[test]
fn rfc5382_req_2_retransmissions_of_every_segment() {
    let mut net = Net::new();
    let mut connection = Connection::begin(&mut net, c1(6000), s1(80));
    for _ in 0..3 {
        net.wait(3);
        assert_eq!(Connection::begin(&mut net, c1(6000), s1(80)).outside, connection.outside);
    }
    connection.ingress(&mut net, SYN_ACK, b"");
    connection.try_ingress(&mut net, SYN_ACK, connection.server - 1, b"").inside();
    connection.egress(&mut net, Flags::ACK, b"");
    connection.egress(&mut net, Flags::ACK, b"data");
    connection.try_egress(&mut net, Flags::ACK, connection.client - 4, b"data").outside();
    connection.close(&mut net);
    connection.try_egress(&mut net, FIN_ACK, connection.client - 1, b"").outside();
    connection.try_ingress(&mut net, FIN_ACK, connection.server - 1, b"").inside();
    assert_eq!(net.sessions(), 1);
}

#[test]
fn rfc5382_req_2_options_urgent_data_and_keepalives() {
    let mut net = Net::new();
    // Maximum segment size, window scale, SACK permitted, timestamps; padded.
    let options = [2, 4, 5, 180, 3, 3, 7, 1, 4, 2, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let syn = make::tcp_with_options(c1(6000), s1(80), Flags::SYN, 1000, 0, &options, b"");
    let seen = net.send_out(&syn).outside();
    assert_eq!(seen.payload()[20..], options);

    let mut connection = Connection::open(&mut net, c1(6000), s1(81));
    let sack = [1, 1, 5, 10, 0, 0, 19, 146, 0, 0, 19, 156];
    let (inside, remote) = (connection.inside, connection.remote);
    let (at, ack) = (connection.client, connection.server);
    let segment = make::tcp_with_options(inside, remote, Flags::ACK, at, ack, &sack, b"");
    assert_eq!(net.send_out(&segment).outside().payload()[20..], sack);
    connection.egress(&mut net, Flags::ACK | Flags::URG, b"!");
    // A keepalive is an old number with nothing or with one byte (RFC 1122 §4.2.3.6).
    net.wait(LONG);
    connection.try_egress(&mut net, Flags::ACK, connection.client - 1, b"").outside();
    connection.ingress(&mut net, Flags::ACK, b"");
    net.wait(LONG);
    connection.try_ingress(&mut net, Flags::ACK, connection.server - 1, b"x").inside();
    connection.works(&mut net);
}

#[test]
fn rfc5382_req_2_a_reset_passes_both_ways() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    connection.egress(&mut net, Flags::RST, b"");
    let mut connection = Connection::open(&mut net, c1(6001), s1(80));
    connection.ingress(&mut net, Flags::RST, b"");
    let mut refused = Connection::begin(&mut net, c1(6002), s1(80));
    refused.ingress(&mut net, Flags::RST | Flags::ACK, b"");
}

#[test]
fn rfc5382_req_2_the_ports_of_a_closed_connection_are_used_again() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    for _ in 0..3 {
        connection.close(&mut net);
        // The old one is in TIME-WAIT.
        net.wait(60);
        let mut again = Connection::open(&mut net, c1(6000), s1(80));
        assert_eq!(again.outside, connection.outside);
        net.wait(LONG);
        again.works(&mut net);
        connection = again;
    }
    assert_eq!(net.sessions(), 1);
}

#[test]
fn rfc5382_req_2_a_connection_from_outside_where_the_filter_lets_it_in() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = Connection::open(&mut net, c1(8080), s1(80)).outside;
    let remote = s2(4000);
    let syn = make::tcp(remote, outside, Flags::SYN, 5000, 0, b"");
    assert_eq!(net.send_in(&syn).inside().destination(), c1(8080));
    let mut connection =
        Connection { inside: c1(8080), remote, outside, client: 1000, server: 5001 };
    connection.egress(&mut net, SYN_ACK, b"");
    connection.ingress(&mut net, Flags::ACK, b"");
    connection.works(&mut net);
    net.wait(LONG);
    connection.works(&mut net);
    connection.close(&mut net);
}

#[test]
fn rfc5382_req_2a_simultaneous_open() {
    let mut net = Net::new();
    let mut connection = Connection::begin(&mut net, c1(6000), s1(80));
    // The remote's SYN was on its way.
    connection.ingress(&mut net, Flags::SYN, b"");
    let crossing = (connection.client - 1, connection.server - 1);
    connection.try_egress(&mut net, SYN_ACK, crossing.0, b"").outside();
    connection.try_ingress(&mut net, SYN_ACK, crossing.1, b"").inside();
    connection.works(&mut net);
    net.wait(LONG);
    connection.works(&mut net);
}

#[test]
fn rfc5382_req_2a_simultaneous_open_of_two_that_agreed_on_ports() {
    let mut net = Net::with(|policy| policy.outsides[0].pool.shared_with_host = false);
    // The remote was first, and found nothing; see REQ-4.
    let syn = |to: Endpoint| make::tcp(s1(80), to, Flags::SYN, 5000, 0, b"");
    let expected = crate::tests::net::x(6000);
    net.send_in(&syn(expected)).nothing();
    let connection = Connection::begin(&mut net, c1(6000), s1(80));
    assert_eq!(connection.outside, expected);
    assert_eq!(net.send_in(&syn(expected)).inside().destination(), c1(6000));
    connection.try_egress(&mut net, SYN_ACK, connection.client - 1, b"").outside();
    connection.try_ingress(&mut net, SYN_ACK, 5000, b"").inside();
}
