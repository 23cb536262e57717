//! Fragments that are no fragments, and packets that are no packets.

use masq_wire::tcp::Flags;
use masq_wire::{Malformed, make};

use crate::tests::net::{Connection, Net, Seen, X, a, c1, c2, s1, unreachable, whole, x};
use crate::{DropReason, Duration};

#[test]
fn attack_overlapping_fragments_condemn_their_datagram() {
    let packet = make::udp(s1(9), x(5000), &[1; 1992]);
    let body = &packet[20..];
    // What the second fragment covers of the first: its end, its beginning, its middle, all of it.
    let overlaps = [(800, 1600), (0, 400), (400, 480), (0, 2000)];
    for (from, to) in overlaps {
        let mut net = Net::new();
        net.udp_out(c1(5000), s1(9));
        let _ = net.send_in(&make::fragment(&packet, 0, &body[..1000], true));
        let evil = make::fragment(&packet, from, &vec![2; to - from], true);
        net.send_in(&evil).dropped(DropReason::ContradictingFragments);
        let rest = make::fragment(&packet, 1000, &body[1000..], false);
        net.send_in(&rest).dropped(DropReason::ContradictingFragments);
        // The control: the same pieces, under another number, without the evil one.
        let packet = make::with_identification(&packet, 77);
        let _ = net.send_in(&make::fragment(&packet, 0, &body[..1000], true));
        let seen = net.send_in(&make::fragment(&packet, 1000, &body[1000..], false)).all();
        assert_eq!(whole(&seen).destination(), c1(5000));
    }
}

#[test]
fn attack_two_ends_condemn_the_datagram() {
    let packet = make::udp(s1(9), x(5000), &[1; 1992]);
    let body = &packet[20..];
    let mut net = Net::new();
    net.udp_out(c1(5000), s1(9));
    let _ = net.send_in(&make::fragment(&packet, 1600, &body[1600..], false));
    let second_end = make::fragment(&packet, 800, &body[800..1000], false);
    net.send_in(&second_end).dropped(DropReason::ContradictingFragments);
    let _ = net.send_in(&make::fragment(&packet, 0, &body[..1600], true));
    assert_eq!(net.totals().ingress.packets, 0);
}

#[test]
fn attack_ping_of_death() {
    let mut net = Net::new();
    let ping = make::echo_request(c1(7), [198, 51, 100, 1], 1, &[0; 1472]);
    let beyond = make::fragment(&ping, 65_528, &[0; 1400], false);
    let reason = DropReason::Malformed(Malformed::FragmentTooFar);
    net.send_out(&beyond).dropped(reason);
    net.send_in(&make::fragment(&make::udp(a(1), x(5000), b""), 65_528, &[0; 64], false))
        .dropped(reason);
}

#[test]
fn attack_tiny_fragments_cannot_hide_flags() {
    let mut net = Net::new();
    let segment = make::tcp(c1(6000), s1(80), Flags::SYN, 1, 0, &[0; 100]);
    let body = &segment[20..];
    // RFC 1858: eight bytes, so that the flags come with the second; RFC 3128: at offset eight.
    let tiny = make::fragment(&segment, 0, &body[..8], true);
    net.send_out(&tiny).dropped(DropReason::Malformed(Malformed::TinyFragment));
    let second = make::fragment(&segment, 8, &body[8..], false);
    net.send_out(&second).dropped(DropReason::Malformed(Malformed::FragmentWithinTcpHeader));
    // A whole header in the first fragment is right (the lesson of FreeBSD-EN-22:06).
    let _ = net.send_out(&make::fragment(&segment, 0, &body[..24], true));
    let seen = net.send_out(&make::fragment(&segment, 24, &body[24..], false)).all();
    assert_eq!(whole(&seen).source(), x(6000));
}

#[test]
fn attack_the_same_number_from_two_hosts_mixes_nothing() {
    let mut net = Net::new();
    let [one, two] = [c1(5000), c2(5000)].map(|inside| {
        make::fragments(&make::udp(inside, s1(9), &[inside.addr.is_ipv4().into(); 2000]), 1500)
    });
    let _ = net.send_out(&one[0]);
    // The attacker ends the other's datagram under its own address: that is a datagram of its own.
    let _ = net.send_out(&two[1]);
    assert_eq!(net.engine.stats().reassembling, 2);
    assert_eq!(whole(&net.send_out(&one[1]).all()).source(), x(5000));
}

#[test]
fn attack_a_fragment_from_the_other_side_does_not_contribute() {
    let mut net = Net::new();
    let pieces = make::fragments(&make::udp(c1(5000), s1(9), &[0; 2000]), 1500);
    let _ = net.send_out(&pieces[0]);
    net.send_in(&pieces[1]).dropped(DropReason::Spoofed);
    assert_eq!(whole(&net.send_out(&pieces[1]).all()).source(), x(5000));
}

#[test]
fn attack_pieces_that_never_become_whole_are_forgotten_and_told_once() {
    let mut net = Net::new();
    let pieces = make::fragments(&make::udp(c1(5000), s1(9), &[0; 2000]), 1000);
    let _ = net.send_out(&pieces[0]);
    let later = make::with_identification(&pieces[1], 99);
    let _ = net.send_out(&later);
    let sent = net.advance(Duration::from_secs(30));
    // RFC 792: only of the one whose first fragment came.
    let [error] = &sent[..] else { panic!("not one error: {sent:?}") };
    assert_eq!(error.error().what(), (11, 1));
    assert_eq!(net.engine.stats().reassembling, 0);
    assert_eq!(net.drops(DropReason::ReassemblyTimeout), 2);
}

#[test]
fn attack_a_long_datagram_of_tiny_pieces_is_bounded() {
    let mut net = Net::new();
    let packet = make::udp(a(9), x(5000), &[0; 60_000]);
    let body = &packet[20..];
    for (number, data) in body.chunks(8).enumerate() {
        let _ = net.send_in(&make::fragment(&packet, number * 8, data, true));
    }
    assert!(net.engine.stats().reassembling <= 1);
    assert!(
        net.drops(DropReason::FragmentLimit) + net.drops(DropReason::ContradictingFragments) > 0
    );
}

#[test]
fn attack_malformed_packets_of_every_kind_are_counted_and_dropped() {
    let udp = make::udp(c1(5000), s1(9), b"0123456789");
    let tcp = make::tcp(c1(6000), s1(80), Flags::SYN, 1, 0, b"");
    let error = make::icmp_error([192, 168, 1, 3], [198, 51, 100, 1], unreachable(3), &udp);
    let edited = |packet: &[u8], at: usize, to: u8| {
        let mut packet = packet.to_vec();
        packet[at] = to;
        if packet[0] & 0xf == 5 {
            make::fill_header_checksum(&mut packet);
        }
        packet
    };
    let cases = [
        (edited(&udp, 0, 0x65), Malformed::Version),
        (edited(&udp, 0, 0x44), Malformed::HeaderLength),
        (edited(&udp, 0, 0x4f), Malformed::HeaderBeyondPacket),
        (edited(&udp, 3, 200), Malformed::TotalLengthBeyondPacket),
        (edited(&udp, 3, 19), Malformed::TotalLengthBelowHeader),
        (edited(&udp, 3, 27), Malformed::TransportTruncated),
        (edited(&udp, 25, 7), Malformed::UdpLength),
        (edited(&udp, 25, 200), Malformed::UdpLength),
        (edited(&tcp, 32, 0x40), Malformed::TcpDataOffset),
        (edited(&tcp, 32, 0xf0), Malformed::TcpDataOffset),
        (edited(&error, 22, 0xff), Malformed::IcmpChecksum),
        (udp[..12].to_vec(), Malformed::Truncated),
        (Vec::new(), Malformed::Truncated),
        (
            {
                let mut packet = udp.clone();
                packet[10] ^= 1;
                packet
            },
            Malformed::HeaderChecksum,
        ),
        (make::with_options(&udp, &[7, 200, 4, 0]), Malformed::Options),
    ];
    let mut net = Net::new();
    for (packet, malformed) in cases {
        let reason = DropReason::Malformed(malformed);
        let before = net.drops(reason);
        net.send_out(&packet).dropped(reason);
        net.send_in(&packet).dropped(reason);
        assert_eq!(net.drops(reason), before + 2);
    }
    assert_eq!(net.sessions(), 0);
    net.udp_out(c1(5000), s1(9));
}

#[test]
fn attack_malformed_quotations_are_counted_and_dropped() {
    let mut net = Net::new();
    let sent = net.send_out(&make::udp(c1(5000), s1(9), b"0123456789")).outside();
    let edited = |at: usize, to: u8| {
        let mut quoted = sent.bytes().to_vec();
        quoted[at] = to;
        if quoted[0] & 0xf == 5 {
            make::fill_header_checksum(&mut quoted);
        }
        quoted
    };
    let cases = [
        (edited(0, 0x65), Malformed::QuotedVersion),
        (edited(0, 0x44), Malformed::QuotedHeaderLength),
        (edited(0, 0x4f), Malformed::QuotedTruncated),
        (edited(3, 19), Malformed::QuotedTotalLength),
        (sent.bytes()[..27].to_vec(), Malformed::QuotedTruncated),
        (sent.bytes()[..19].to_vec(), Malformed::QuotedTruncated),
        (Vec::new(), Malformed::QuotedTruncated),
    ];
    for (quoted, malformed) in cases {
        let error = make::icmp_error([198, 51, 100, 1], X, unreachable(3), &quoted);
        net.send_in(&error).dropped(DropReason::Malformed(malformed));
    }
    let error = make::icmp_error([198, 51, 100, 1], X, unreachable(3), &sent.bytes()[..28]);
    net.send_in(&error).inside();
}

#[test]
fn attack_what_stands_behind_the_packet_is_cut_off_or_left_alone() {
    let mut net = Net::new();
    let mut padded = make::udp(c1(5000), s1(9), b"short");
    padded.extend_from_slice(&[0xee; 13]);
    let seen = net.send_out(&padded).outside();
    assert_eq!((seen.source(), seen.data()), (x(5000), b"short".to_vec()));
}

#[test]
fn attack_random_bytes_and_bit_flips_never_stop_the_engine() {
    let mut net = Net::new();
    let mut random = crate::Random::from_u64(7);
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    let udp = net.send_out(&make::udp(c1(5000), s1(9), &[1; 64])).outside();
    let samples: Vec<Vec<u8>> = vec![
        make::tcp(c1(6000), s1(80), Flags::ACK, 1001, 5001, &[1; 64]),
        make::udp(c1(5000), s1(9), &[1; 64]),
        make::udp(s1(9), x(5000), &[1; 64]),
        make::icmp_error([198, 51, 100, 1], X, unreachable(3), udp.bytes()),
        make::fragments(&make::udp(s1(9), x(5000), &[1; 2000]), 1000).swap_remove(1),
        make::with_options(&make::udp(c1(5000), s1(9), &[1; 64]), &[1, 1, 1, 1]),
    ];
    for round in 0..30_000 {
        let mut packet = samples[round % samples.len()].clone();
        for _ in 0..=random.below(3) {
            let bit = random.below(8 * packet.len() as u32) as usize;
            packet[bit / 8] ^= 1 << (bit % 8);
        }
        // Half of them with a right header, so that they are looked at more closely.
        if round % 2 == 0 && packet[0] == 0x45 {
            make::fill_header_checksum(&mut packet);
        }
        packet.truncate(random.below(packet.len() as u32 + 1).max(20) as usize);
        let _ = if round % 4 < 2 { net.send_out(&packet) } else { net.send_in(&packet) };
    }
    let seen: Vec<Seen> = net.advance(Duration::from_secs(60));
    assert!(seen.iter().all(Seen::is_error), "{seen:?}");
    connection.works(&mut net);
}
