//! REQ-13 and REQ-14: packets too long for the way out, and packets in pieces.

use core::net::Ipv4Addr;

use masq_wire::{Endpoint, make};

use crate::Duration;
use crate::tests::net::{A, C1, GATEWAY, Net, S1, Seen, X, a, c1, c2, s1, whole, x};

#[test]
fn rfc4787_req_13_the_sender_of_a_long_packet_with_df_learns_the_mtu() {
    let mut net = Net::new();
    net.routes.outside_mtu = 1280;
    let long = make::with_dont_fragment(&make::udp(c1(5000), s1(9), &[7; 1372]));
    let seen = net.send_out(&long).error();
    assert_eq!(seen.addresses(), (GATEWAY, C1));
    assert_eq!((seen.error().what(), seen.error().mtu), ((3, 4), Some(1280)));
    assert_eq!(seen.error().quoted, long[..seen.error().quoted.len()]);
    // Exactly as long is not too long.
    let fits = make::with_dont_fragment(&make::udp(c1(5000), s1(9), &[7; 1252]));
    assert_eq!(net.send_out(&fits).outside().bytes().len(), 1280);
}

#[test]
fn rfc4787_req_13_a_remote_learns_the_mtu_of_the_inside() {
    let mut net = Net::new();
    net.routes.inside_mtu = 1280;
    let outside = net.udp_out(c1(5000), s1(9));
    let long = make::with_dont_fragment(&make::udp(s1(9), outside, &[7; 1372]));
    let seen = net.send_in(&long).error();
    assert_eq!(seen.addresses(), (X, S1));
    assert_eq!((seen.error().what(), seen.error().mtu), ((3, 4), Some(1280)));
    assert_eq!(seen.error().quoted, long[..seen.error().quoted.len()]);
}

#[test]
fn rfc4787_req_13a_a_long_packet_without_df_leaves_in_pieces_in_order() {
    let payload: Vec<u8> = (0..4000_u32).map(|n| n as u8).collect();
    let mut net = Net::new();
    net.routes.outside_mtu = 1280;
    let pieces = net.send_out(&make::udp(c1(5000), s1(9), &payload)).all();
    assert_eq!(pieces.len(), 4);
    assert!(pieces.iter().all(|piece| piece.bytes().len() <= 1280));
    let datagram = whole(&pieces);
    assert_eq!(datagram.data(), payload);
    assert_eq!((datagram.source(), datagram.destination()), (x(5000), s1(9)));

    net.routes.inside_mtu = 576;
    let pieces = net.send_in(&make::udp(s1(9), x(5000), &payload)).all();
    assert!(pieces.len() > 7 && pieces.iter().all(|piece| piece.bytes().len() <= 576));
    assert_eq!((whole(&pieces).destination(), whole(&pieces).data()), (c1(5000), payload));
}

#[test]
fn rfc4787_req_14_fragments_pass_in_every_order_and_both_ways() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let payload: Vec<u8> = (0..2500_u32).map(|n| (n * 7) as u8).collect();
    let mut net = Net::new();
    let outside = net.udp_out(c1(5000), s1(9));
    for (number, order) in orders.into_iter().enumerate() {
        let out = make::with_identification(&make::udp(c1(5000), s1(9), &payload), number as u16);
        let datagram = whole(&send_pieces(&mut net, true, &out, order));
        assert_eq!((datagram.source(), datagram.destination()), (outside, s1(9)));
        assert_eq!(datagram.data(), payload, "{order:?}");

        let back = make::with_identification(&make::udp(s1(9), outside, &payload), number as u16);
        let datagram = whole(&send_pieces(&mut net, false, &back, order));
        assert_eq!((datagram.source(), datagram.destination()), (s1(9), c1(5000)));
        assert_eq!(datagram.data(), payload, "{order:?}");
    }
}

#[test]
fn rfc4787_req_14_the_first_packet_of_a_flow_may_come_in_pieces() {
    let mut net = Net::new();
    let packet = make::udp(c1(5000), s1(9), &[3; 2500]);
    let datagram = whole(&send_pieces(&mut net, true, &packet, [2, 1, 0]));
    assert_eq!(datagram.source(), x(5000));
    assert_eq!(net.udp_in(s1(9), x(5000)), Some(c1(5000)));
}

#[test]
fn rfc4787_req_14_interleaved_datagrams_are_told_apart() {
    let mut net = Net::new();
    // Two hosts, the same remote, the same identification.
    let [one, two] = [(c1(5000), 1), (c2(6000), 2)]
        .map(|(inside, fill)| make::udp(inside, s1(9), &[fill; 2500]))
        .map(|packet| make::fragments(&packet, 1000));
    let mut seen = Vec::new();
    for (first, second) in one.iter().zip(&two).rev() {
        seen.extend(net.send_out(first).all());
        seen.extend(net.send_out(second).all());
    }
    let (one, two): (Vec<Seen>, Vec<Seen>) =
        seen.iter().cloned().partition(|piece| piece.identification() == seen[0].identification());
    assert_eq!(whole(&one).data(), [1; 2500]);
    assert_eq!(whole(&two).data(), [2; 2500]);
    assert_eq!((whole(&one).source(), whole(&two).source()), (x(5000), x(6000)));
}

#[test]
fn rfc4787_req_14a_a_flood_of_fragments_hurts_nobody_else() {
    let mut net = Net::new();
    let ping = net.ping_out(c1(7), S1);
    let outside = net.udp_out(c2(6000), s1(9));
    for number in 0..50_000_u32 {
        flood(&mut net, number);
        if number % 500 == 0 {
            assert_eq!(net.ping_in(S1, ping), Some(c1(7)));
            let number = number as u16;
            let out = make::udp(c2(6000), s1(9), &[1; 2500]);
            let out = make::with_identification(&out, number);
            assert_eq!(whole(&send_pieces(&mut net, true, &out, [0, 1, 2])).source(), outside);
            let back = make::udp(s1(9), outside, &[2; 2500]);
            let back = make::with_identification(&back, number);
            let pieces = send_pieces(&mut net, false, &back, [0, 1, 2]);
            assert_eq!(whole(&pieces).destination(), c2(6000));
        }
    }
    let limits = net.engine.policy().reassembly;
    let waiting = net.engine.stats().reassembling;
    assert!(waiting > 0, "the flood did not arrive");
    assert!(waiting <= limits.datagrams as u64, "{waiting} datagrams wait");
    net.advance(limits.timeout);
    assert_eq!(net.engine.stats().reassembling, 0);
}

/// One piece of a datagram that never becomes whole: from one source, and from invented ones.
fn flood(net: &mut Net, number: u32) {
    let source = match number % 2 {
        0 => a(1000),
        _ => Endpoint::v4(Ipv4Addr::from_bits(A.to_bits() + number), 1000),
    };
    let packet = make::udp(source, x(6000), &[0; 1400]);
    let packet = make::with_identification(&packet, number as u16);
    let place = (number % 2) as usize;
    let _ = net.send_in(&make::fragments(&packet, 800)[place]);
    net.advance(Duration::from_micros(20));
}

/// Sends the three pieces of a packet in an order; returns what leaves, which is nothing before
/// the last of them.
fn send_pieces(net: &mut Net, out: bool, packet: &[u8], order: [usize; 3]) -> Vec<Seen> {
    let pieces = make::fragments(packet, 1000);
    assert_eq!(pieces.len(), order.len());
    let mut seen = Vec::new();
    for place in order {
        assert!(seen.is_empty(), "something left before the datagram was whole: {seen:?}");
        let answer = if out { net.send_out(&pieces[place]) } else { net.send_in(&pieces[place]) };
        seen = answer.all();
    }
    seen
}
