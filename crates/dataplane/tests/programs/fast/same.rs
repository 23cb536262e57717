//! Byte for byte: what both programs make of a packet is what the engine's rewriting makes of it.

use masq_flow::{Direction, Flags, PerDirection, Session};
use masq_wire::make::{self, at};
use masq_wire::tcp::Flags as TcpFlags;
use masq_wire::{Endpoint, Protocol, Tuple};

use super::{carry, reference};
use crate::in_network;
use crate::rig::{Port, Rig, TO_SERVER, TO_WORKSTATION};

#[test]
fn every_kind_of_packet_in_both_directions() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.go_fast();
        for session in sessions(&rig) {
            rig.enter(&session);
            for direction in Direction::ALL {
                for packet in packets(&session, direction) {
                    assert_same(&mut rig, &session, direction, &packet);
                }
            }
        }
    });
}

#[test]
fn whatever_the_numbers_are() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.go_fast();
        let mut random = Random(0x1234_5678_9abc_def1);
        for _ in 0..1500 {
            let session = random.session(&rig);
            // Two sessions may meet by chance.
            if rig.try_enter(&session).is_err() {
                continue;
            }
            let size = random.below(64);
            let payload: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
            for direction in Direction::ALL {
                let tuple = session.arriving(direction);
                let packet = match tuple.protocol {
                    Protocol::TCP => {
                        let (sequence, acknowledged) = (random.next() as u32, random.next() as u32);
                        let flags = TcpFlags::ACK;
                        make::tcp(
                            tuple.source,
                            tuple.destination,
                            flags,
                            sequence,
                            acknowledged,
                            &payload,
                        )
                    }
                    Protocol::UDP => make::udp(tuple.source, tuple.destination, &payload),
                    _ => echo(&session, direction, random.next() as u16, &payload),
                };
                let packet = make::with_ttl(&packet, 2 + random.below(254) as u8);
                assert_same(&mut rig, &session, direction, &packet);
            }
        }
    });
}

#[test]
fn a_udp_checksum_that_comes_out_as_zero_is_sent_as_ones() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.go_fast();
        let session = rig.masquerade(
            Protocol::UDP,
            at("192.168.1.3:5353"),
            at("203.0.113.1:45000"),
            at("203.0.113.178:53"),
        );
        rig.enter(&session);
        let leaving = session.leaving(Direction::Egress);
        let sum = |source, word: u16| {
            let packet = make::udp(source, leaving.destination, &word.to_be_bytes());
            [packet[26], packet[27]]
        };
        let word = (0..=u16::MAX).find(|word| sum(leaving.source, *word) == [0xff; 2]).unwrap();
        let packet = make::udp(session.original.source, leaving.destination, &word.to_be_bytes());

        assert_same(&mut rig, &session, Direction::Egress, &packet);

        // And the other way round: what arrives as ones.
        let word =
            (0..=u16::MAX).find(|word| sum(session.original.source, *word) == [0xff; 2]).unwrap();
        let packet = make::udp(session.original.source, leaving.destination, &word.to_be_bytes());
        assert_same(&mut rig, &session, Direction::Egress, &packet);
    });
}

#[test]
fn what_arrived_corrupted_leaves_corrupted() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.go_fast();
        for session in sessions(&rig) {
            rig.enter(&session);
            for mut packet in packets(&session, Direction::Egress) {
                // The sequence number, or the checksum of a datagram that may have none.
                packet[27] ^= 0x55;
                // Two bytes of TCP's checksum that no sender computes are for the engine.
                assert_same(&mut rig, &session, Direction::Egress, &packet);
            }
        }
    });
}

#[test]
fn a_short_frames_filling_is_not_part_of_the_packet() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.go_fast();
        let session = super::usual(&rig, Protocol::UDP);
        rig.enter(&session);
        let (lan, wan) = (rig.lan, rig.wan);
        let packet = make::udp(session.original.source, session.original.destination, b"x");
        let expected = reference(&session, Direction::Egress, &packet, wan);
        let mut frame = lan.frame(&packet);

        frame.resize(60, 0xee);
        let context = crate::rig::Context::at(lan);
        assert_eq!(rig.arrive_frame(context, &frame).frame, expected, "TC takes it off");
        let through_xdp = rig.arrive_xdp(lan, &frame).unwrap();
        assert_eq!((&through_xdp[..43], through_xdp.len()), (&expected[..], 60), "XDP needs it");

        frame.resize(61, 0xee);
        assert_eq!(rig.arrive_frame(context, &frame).frame, expected, "and what is longer, too");
        assert_eq!(rig.arrive_xdp(lan, &frame), None, "which XDP leaves to TC");
    });
}

#[test]
fn an_interface_that_takes_no_redirect_from_xdp_is_served_by_tc() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.go_fast();
        let session = super::usual(&rig, Protocol::UDP);
        rig.enter(&session);
        let (lan, wan) = (rig.lan, rig.wan);
        let packet = make::udp(session.original.source, session.original.destination, b"x");
        rig.set_redirects(&[lan.index]);

        assert_eq!(rig.arrive_xdp(lan, &lan.frame(&packet)), None);
        let outcome = rig.arrive(lan, &packet);
        assert_eq!(outcome.frame, reference(&session, Direction::Egress, &packet, wan));
    });
}

/// Sessions of every protocol: port kept, port changed, hairpin, both ends changed, nothing changed.
fn sessions(rig: &Rig) -> Vec<Session> {
    let mut sessions = Vec::new();
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP] {
        let end = |text: &str| {
            let end = at(text);
            if protocol == Protocol::ICMP { end.with_port(0) } else { end }
        };
        let kept = rig.masquerade(
            protocol,
            at("192.168.1.3:5353"),
            at("203.0.113.1:5353"),
            end("203.0.113.178:53"),
        );
        let changed = rig.masquerade(
            protocol,
            at("192.168.1.4:5353"),
            at("203.0.113.1:45000"),
            end("203.0.113.178:53"),
        );
        sessions.extend([kept, changed]);
        if protocol == Protocol::ICMP {
            continue;
        }
        let tuple = |source, destination| Tuple::new(protocol, at(source), at(destination));
        let lan = rig.lan.index;
        let hairpin = Session {
            original: tuple("192.168.1.5:1000", "203.0.113.1:41000"),
            reply: tuple("192.168.1.6:2000", "203.0.113.1:42000"),
            flags: Flags::HAIRPIN | Flags::ANSWERED,
            next_hops: PerDirection::new(TO_WORKSTATION, TO_WORKSTATION),
            interfaces: PerDirection::new(lan, lan),
            ..changed
        };
        let forwarded = Session {
            original: tuple("192.168.1.7:443", "198.51.100.7:6000"),
            reply: tuple("198.51.100.7:6000", "203.0.113.1:8443"),
            flags: Flags::FORWARDED,
            ..changed
        };
        let both = Session {
            original: tuple("192.168.1.8:3000", "198.51.100.8:80"),
            reply: tuple("198.51.100.9:8080", "203.0.113.1:43000"),
            ..changed
        };
        let watched = Session {
            original: tuple("192.0.2.10:3000", "198.51.100.10:80"),
            reply: tuple("198.51.100.10:80", "192.0.2.10:3000"),
            flags: Flags::UNTRANSLATED,
            ..changed
        };
        sessions.extend([hairpin, forwarded, both, watched]);
    }
    sessions
}

/// Packets that may take the fast path.
fn packets(session: &Session, direction: Direction) -> Vec<Vec<u8>> {
    let tuple = session.arriving(direction);
    let (from, to) = (tuple.source, tuple.destination);
    let payloads: [&[u8]; 4] = [b"", b"odd", b"even", &[0xff; 1400]];
    let mut packets = Vec::new();
    for payload in payloads {
        match tuple.protocol {
            Protocol::TCP => {
                for flags in [
                    TcpFlags::ACK,
                    TcpFlags::SYN | TcpFlags::ACK,
                    TcpFlags::FIN | TcpFlags::ACK,
                    TcpFlags::RST | TcpFlags::ACK,
                    TcpFlags::PSH | TcpFlags::ACK,
                ] {
                    packets.push(make::tcp(from, to, flags, 0x1234_5678, 0x9abc_def0, payload));
                }
                let options = [2, 4, 5, 0xb4, 1, 1, 1, 0];
                packets.push(make::tcp_with_options(
                    from,
                    to,
                    TcpFlags::ACK,
                    1,
                    2,
                    &options,
                    payload,
                ));
            }
            Protocol::UDP => {
                packets.push(make::udp(from, to, payload));
                packets.push(make::udp_without_checksum(from, to, payload));
            }
            _ => packets.push(echo(session, direction, 7, payload)),
        }
    }
    let usual = packets[0].clone();
    packets.push(make::with_ttl(&usual, 2));
    packets.push(make::with_ttl(&usual, 255));
    packets.push(make::with_tos(&usual, 0xb8));
    packets.push(make::with_dont_fragment(&usual));
    packets.push(make::with_identification(&usual, 0xffff));
    packets
}

fn echo(session: &Session, direction: Direction, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let tuple = session.arriving(direction);
    match direction {
        Direction::Egress => {
            make::echo_request(tuple.source, tuple.destination.addr, sequence, payload)
        }
        Direction::Ingress => {
            make::echo_reply(tuple.source.addr, tuple.destination, sequence, payload)
        }
    }
}

fn assert_same(rig: &mut Rig, session: &Session, direction: Direction, packet: &[u8]) {
    let port =
        |rig: &Rig, index| -> Port { if index == rig.lan.index { rig.lan } else { rig.wan } };
    let from = port(rig, session.interfaces[direction]);
    let to = if session.next_hops[direction] == TO_SERVER { rig.wan } else { rig.lan };
    let expected = reference(session, direction, packet, to);
    let frame = carry(rig, from, packet);
    assert_eq!(frame, expected, "{session:?} {direction}");
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn endpoint(&mut self) -> Endpoint {
        // Any unicast address; the programs do not judge them.
        let address = 0x0100_0000 + self.below(0xdf00_0000 - 0x0100_0000) as u32;
        Endpoint::v4(address.into(), self.next() as u16)
    }

    fn session(&mut self, rig: &Rig) -> Session {
        let protocol = [Protocol::TCP, Protocol::UDP, Protocol::ICMP][self.below(3) as usize];
        let [inside, outside, mut remote] = [(); 3].map(|()| self.endpoint());
        if protocol == Protocol::ICMP {
            remote = remote.with_port(0);
        }
        rig.masquerade(protocol, inside, outside, remote)
    }
}
