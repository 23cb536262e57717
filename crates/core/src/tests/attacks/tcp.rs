//! Off the path of a connection, without knowing its sequence numbers.
//!
//! ReDAN (NDSS 2025) removes mappings by resets that nobody checks; RFC 5961 says what a host does with
//! numbers that are near. The gateway does no more than the host would.

use masq_wire::make;
use masq_wire::tcp::Flags;

use crate::tests::net::{Connection, Net, a, c1, c2, s1, x};
use crate::{DropReason, Filtering};

/// Only an established connection that nobody has touched survives it.
const LONG: u64 = 7439;

#[test]
fn attack_redan_wrong_resets_to_every_port_remove_nothing() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    let idle = Connection::open(&mut net, c1(6001), s1(80));
    for port in 0..=u16::MAX {
        for source in [s1(80), a(80)] {
            let reset = make::tcp(source, x(port), Flags::RST, 0x4000_0000, 0, b"");
            let _ = net.send_in(&reset);
        }
    }
    assert_eq!(net.sessions(), 2);
    net.wait(LONG);
    connection.works(&mut net);
    assert!(idle.lets_in(&mut net));
    // The control: the number that the remote alone is sure of.
    connection.ingress(&mut net, Flags::RST, b"");
    net.wait(240);
    assert!(!connection.lets_in(&mut net));
}

#[test]
fn attack_a_reset_in_the_window_is_no_reset() {
    for distance in [1, 2, 100, 64_239] {
        let mut net = Net::new();
        let mut connection = Connection::open(&mut net, c1(6000), s1(80));
        for flags in [Flags::RST, Flags::RST | Flags::ACK] {
            let _ = connection.try_ingress(&mut net, flags, connection.server + distance, b"");
        }
        net.wait(LONG);
        connection.works(&mut net);
    }
}

#[test]
fn attack_marks_of_the_forgers_own_direction_do_not_make_its_reset_true() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    // Data with a forged number first, then a reset that would follow it.
    let _ = connection.try_ingress(&mut net, Flags::ACK, 0x4000_0000, b"0123456789");
    let _ = connection.try_ingress(&mut net, Flags::RST, 0x4000_000a, b"");
    net.wait(LONG);
    connection.works(&mut net);
}

#[test]
fn attack_a_syn_on_a_live_connection_changes_nothing() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    for sequence in [0, 0x4000_0000, connection.server] {
        let _ = connection.try_ingress(&mut net, Flags::SYN, sequence, b"");
    }
    net.wait(LONG);
    connection.works(&mut net);
    assert_eq!(net.sessions(), 1);
}

#[test]
fn attack_a_forged_fin_does_not_end_the_connection_alone() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    let _ = connection.try_ingress(&mut net, Flags::FIN | Flags::ACK, 0x4000_0000, b"");
    net.wait(LONG);
    connection.works(&mut net);
}

#[test]
fn attack_another_inside_host_cannot_use_the_endpoint_of_a_connection() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    // From its own address it gets an endpoint of its own …
    for flags in [Flags::SYN, Flags::ACK] {
        let stolen = make::tcp(c2(6000), s1(80), flags, connection.client, connection.server, b"");
        assert_ne!(net.send_out(&stolen).outside().source(), connection.outside);
    }
    // … and its resets do not touch ours.
    let reset = make::tcp(c2(6000), s1(80), Flags::RST, connection.client, 0, b"");
    net.send_out(&reset).outside();
    net.wait(LONG);
    connection.works(&mut net);
}

#[test]
fn attack_a_reset_cannot_make_room_for_a_stolen_endpoint() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    // Somebody inside forges the host's address, but does not know the numbers (NDSS 2024).
    for sequence in [0, connection.client + 1, 0x4000_0000] {
        let _ = connection.try_egress(&mut net, Flags::RST, sequence, b"");
    }
    net.wait(LONG);
    assert_ne!(Connection::begin(&mut net, c2(6000), s1(80)).outside, connection.outside);
    connection.works(&mut net);
}

#[test]
fn attack_segments_without_a_connection_are_never_answered() {
    let mut net = Net::with(|policy| policy.outsides[0].pool.shared_with_host = false);
    let connection = Connection::open(&mut net, c1(6000), s1(80));
    // Middlebox reflection: data out of nowhere, to a free port, to one in use, to the inside.
    for flags in (0..=255).map(Flags::from_bits_retain).filter(|flags| !flags.opens()) {
        for to in [x(7000), connection.outside, c1(6000), x(0)] {
            let request = make::tcp(a(4000), to, flags, 1, 1, b"GET / HTTP/1.1\r\n\r\n");
            net.send_in(&request).nothing();
        }
    }
    net.wait(60);
    assert!(connection.lets_in(&mut net));
}

#[test]
fn attack_open_and_closed_ports_look_the_same_to_a_stranger() {
    let mut net = Net::with(|policy| policy.outsides[0].pool.shared_with_host = false);
    Connection::open(&mut net, c1(6000), s1(80));
    net.udp_out(c1(6000), s1(80));
    for port in [6000, 7000] {
        let syn = make::tcp(a(4000), x(port), Flags::SYN, 1, 0, b"");
        net.send_in(&syn).nothing();
        net.send_in(&make::udp(a(4000), x(port), b"")).nothing();
    }
    let sent = net.advance(crate::Duration::from_secs(10));
    let told: Vec<_> = sent.iter().map(|seen| (seen.addresses(), seen.error().what())).collect();
    assert_eq!(told.len(), 2, "{sent:?}");
    assert_eq!(told[0], told[1]);
}

#[test]
fn attack_what_comes_late_from_inside_never_leaves_untranslated() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    connection.close(&mut net);
    net.wait(10_000);
    // The classic masquerade leak. Every packet that leaves is checked for its source by `Net`.
    for bits in 0..=255 {
        let flags = Flags::from_bits_retain(bits);
        for packet in [
            make::tcp(c1(6000), s1(80), flags, connection.client, connection.server, b""),
            make::tcp(c1(6001), s1(80), flags, 1, 1, b"never opened"),
        ] {
            let seen = net.send_out(&packet).all();
            assert!(seen.len() <= 1, "{seen:?}");
        }
    }
    let reset = make::tcp(c2(6000), s1(81), Flags::RST, 1, 0, b"");
    net.send_out(&reset).dropped(DropReason::TcpNotOpening);
}

#[test]
fn attack_a_stray_segment_opens_no_session_where_everybody_is_let_in() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let connection = Connection::open(&mut net, c1(6000), s1(80));
    for flags in [Flags::ACK, Flags::SYN | Flags::ACK, Flags::FIN | Flags::ACK, Flags::RST] {
        let stray = make::tcp(a(80), connection.outside, flags, 1, 1, b"");
        net.send_in(&stray).nothing();
    }
    assert_eq!(net.sessions(), 1);
    let syn = make::tcp(a(80), connection.outside, Flags::SYN, 1, 0, b"");
    net.send_in(&syn).inside();
    assert_eq!(net.sessions(), 2);
}
