//! REQ-4: a SYN from outside that nobody asked for.
//!
//! It may be the first half of a simultaneous open. An answer would end the remote's attempt before the
//! inside host's own SYN has left.

use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, make};

use crate::tests::net::{Connection, Net, S1, S2, X, c1, s1, s2, x};
use crate::{DropReason, Duration, HostPort};

#[test]
fn rfc5382_req_4_six_seconds_of_silence_then_an_icmp_error() {
    let mut net = own_address();
    let syn = syn(s1(80), x(7000));
    net.send_in(&syn).dropped(DropReason::InboundSyn);
    assert_eq!(net.advance(Duration::from_millis(5999)), []);
    let sent = net.advance(Duration::from_secs(10));
    let [error] = &sent[..] else { panic!("not one answer: {sent:?}") };
    assert_eq!(error.addresses(), (X, S1));
    assert_eq!(error.error().what(), (3, 3));
    assert_eq!(error.error().quoted, syn[..error.error().quoted.len()]);
    net.wait(3600);
}

#[test]
fn rfc5382_req_4_a_matching_syn_from_inside_makes_it_forgotten() {
    let mut net = own_address();
    let syn = syn(s1(80), x(7000));
    net.send_in(&syn).nothing();
    net.wait(3);
    let connection = Connection::begin(&mut net, c1(7000), s1(80));
    assert_eq!(connection.outside, x(7000));
    // No error ever, and the remote's second attempt gets through.
    net.wait(60);
    assert_eq!(net.send_in(&syn).inside().destination(), c1(7000));
}

#[test]
fn rfc5382_req_4_the_same_where_the_endpoint_is_somebodys_already() {
    let mut net = Net::new();
    let outside = Connection::open(&mut net, c1(7000), s1(80)).outside;
    let syn = syn(s2(81), outside);
    net.send_in(&syn).nothing();
    net.wait(5);
    let sent = net.advance(Duration::from_secs(2));
    let [error] = &sent[..] else { panic!("not one answer: {sent:?}") };
    assert_eq!((error.addresses(), error.error().what()), ((X, S2), (3, 3)));

    net.send_in(&syn).nothing();
    net.wait(3);
    assert_eq!(Connection::begin(&mut net, c1(7000), s2(81)).outside, outside);
    net.wait(60);
    assert_eq!(net.send_in(&syn).inside().destination(), c1(7000));
}

#[test]
fn rfc5382_req_4_retransmissions_are_answered_once_or_each_in_its_time() {
    let mut net = own_address();
    for _ in 0..3 {
        net.send_in(&syn(s1(80), x(7000))).nothing();
        net.wait(1);
    }
    let sent = net.advance(Duration::from_secs(60));
    assert!((1..=3).contains(&sent.len()), "{sent:?}");
    assert!(sent.iter().all(|seen| seen.is_error() && seen.error().what() == (3, 3)));
}

#[test]
fn rfc5382_req_4_the_answer_can_be_turned_off() {
    let mut net = Net::with(|policy| {
        policy.outsides[0].pool.shared_with_host = false;
        policy.answer_inbound_syn = false;
    });
    net.send_in(&syn(s1(80), x(7000))).nothing();
    net.wait(60);
}

#[test]
fn rfc5382_req_4_on_a_shared_address_the_ports_of_the_host_are_its_own() {
    let mut net = Net::new();
    let listening = HostPort { protocol: Protocol::TCP, port: 7000 };
    net.engine.handle_sockets([listening].into());
    net.send_in(&syn(s1(80), x(7000))).local();
    net.send_in(&syn(s1(80), x(7001))).dropped(DropReason::InboundSyn);
    net.send_in(&syn(s1(80), x(22))).local();
}

/// A gateway whose outside address is for inside hosts alone.
fn own_address() -> Net {
    Net::with(|policy| policy.outsides[0].pool.shared_with_host = false)
}

fn syn(from: Endpoint, to: Endpoint) -> Vec<u8> {
    make::tcp(from, to, Flags::SYN, 5000, 0, b"")
}
