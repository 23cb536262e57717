//! The fast path over real devices: redirects, segments, checksums that hardware completes, devices
//! without link-layer header.

use masq_flow::maps::Counter;
use masq_flow::punt::PuntReason;
use masq_flow::{Direction, Flags, NextHopId, NextHopState, PerDirection, Session};
use masq_wire::make::{self, at};
use masq_wire::{Packet, Protocol, Tuple};

use super::reference;
use crate::devices::until;
use crate::in_network;
use crate::rig::{Rig, SERVER, TO_SERVER, TO_WORKSTATION, ip, next_hop, run};
use crate::wire::{Wire, holds, segment_by, workstation_socket};

/// The next hop on the tun device.
const TO_TUN: NextHopId = NextHopId(20);

#[test]
fn a_packet_leaves_by_the_other_interface_and_its_answer_comes_back() {
    in_network(|| {
        let (wire, session) = fast_wire(Protocol::UDP);
        let (lan, wan) = (wire.rig.lan, wire.rig.wan);
        let (there, back) = (session.original, session.reply);
        let question = make::udp(there.source, there.destination, b"question");
        let answer = make::udp(back.source, back.destination, b"the answer");

        wire.lan.send(&lan.frame(&question));
        let frame = wire.wan.wait(|frame| holds(frame, b"question"));
        assert_eq!(frame, reference(&session, Direction::Egress, &question, wan));

        wire.wan.send(&wan.frame(&answer));
        let frame = wire.lan.wait(|frame| holds(frame, b"the answer"));
        assert_eq!(frame, reference(&session, Direction::Ingress, &answer, lan));
        assert_eq!(wire.rig.counted(Counter::Translated), 2);
    });
}

#[test]
fn a_redirect_from_xdp_arrives() {
    in_network(|| {
        let (mut wire, session) = fast_wire(Protocol::UDP);
        // A veth takes redirects while its other end polls.
        run("ethtool -K wan-far gro on");
        wire.rig.go_fast();
        let (lan, wan) = (wire.rig.lan, wire.rig.wan);
        let there = session.original;
        let packet = make::udp(there.source, there.destination, b"question");

        wire.lan.send(&lan.frame(&packet));

        let frame = wire.wan.wait(|frame| holds(frame, b"question"));
        assert_eq!(frame, reference(&session, Direction::Egress, &packet, wan));
        assert_eq!(wire.rig.counted(Counter::TranslatedXdp), 1);
        assert_eq!(wire.rig.counted(Counter::Translated), 0);
    });
}

#[test]
fn a_hairpin_goes_back_where_it_came_from() {
    in_network(|| {
        let (mut wire, usual) = fast_wire(Protocol::UDP);
        let lan = wire.rig.lan;
        let tuple = |from, to| Tuple::new(Protocol::UDP, at(from), at(to));
        let session = Session {
            original: tuple("192.168.1.5:1000", "203.0.113.1:41000"),
            reply: tuple("192.168.1.6:2000", "203.0.113.1:42000"),
            flags: Flags::HAIRPIN | Flags::ANSWERED,
            next_hops: PerDirection::new(TO_WORKSTATION, TO_WORKSTATION),
            interfaces: PerDirection::new(lan.index, lan.index),
            ..usual
        };
        wire.rig.enter(&session);
        let (from, to) = (session.original.source, session.original.destination);
        let packet = make::udp(from, to, b"to a neighbour");

        wire.lan.send(&lan.frame(&packet));

        let expected = reference(&session, Direction::Egress, &packet, lan);
        wire.lan.wait(|frame| frame == expected);
    });
}

#[test]
fn segments_and_checksums_that_are_left_to_hardware_come_out_right() {
    in_network(|| {
        let (wire, session) = fast_wire(Protocol::UDP);
        let socket = workstation_socket();
        segment_by(&socket, 1400);
        // What leaves is cut and completed by the kernel, where it can be seen.
        run("ethtool -K wan tx off gso off tso off");

        socket.send_to(b"complete me", (SERVER, 53)).unwrap();
        socket.send_to(&b"gso-data".repeat(5000), (SERVER, 53)).unwrap();

        let whole = [wire.wan.wait(|frame| holds(frame, b"complete me"))];
        let cut = wire.wan.wait_for(29, |frame| holds(frame, b"gso-data"));
        for frame in whole.iter().chain(&cut) {
            let mut packet = frame[14..].to_vec();
            assert!(make::checksums_verify(&packet));
            let tuple = Packet::parse(&mut packet).unwrap().tuple();
            assert_eq!(tuple, Some(session.leaving(Direction::Egress)));
        }
        assert_eq!(wire.rig.counted(Counter::Translated), 2, "the segments went through as one");
        let slot = wire.rig.table.lookup(&session.original).unwrap().0;
        let egress = wire.rig.table.activity(slot).unwrap()[Direction::Egress];
        let bytes: usize = whole.iter().chain(&cut).map(|frame| frame.len() - 14).sum();
        assert_eq!((egress.packets, egress.bytes), (30, bytes as u64));
    });
}

#[test]
fn segments_that_do_not_fit_are_punted() {
    in_network(|| {
        let (wire, session) = fast_wire(Protocol::UDP);
        let socket = workstation_socket();
        segment_by(&socket, 1400);
        let mut hop = next_hop(&wire.rig.wan, NextHopState::Ready);
        let data = b"gso-data".repeat(1000);

        // Their next hop takes less; and the interface does, before anybody has said so.
        hop.mtu = 1400 + 28 - 1;
        wire.rig.next_hops[usize::from(TO_SERVER.0)].store(&hop);
        socket.send_to(&data, (SERVER, 53)).unwrap();
        until("they are punted", || wire.rig.punted(PuntReason::Mtu) == 1);
        wire.all_came_back(&session);
        hop.mtu = 1400 + 28;
        wire.rig.next_hops[usize::from(TO_SERVER.0)].store(&hop);
        ip("link set wan mtu 1300");
        socket.send_to(&data, (SERVER, 53)).unwrap();
        until("they are punted", || wire.rig.punted(PuntReason::Mtu) == 2);
        wire.all_came_back(&session);

        ip("link set wan mtu 1428");
        socket.send_to(&data, (SERVER, 53)).unwrap();
        until("they fit", || wire.rig.counted(Counter::Translated) == 1);
    });
}

#[test]
fn link_layer_headers_are_put_on_and_taken_off() {
    in_network(|| {
        let (mut wire, usual) = fast_wire(Protocol::UDP);
        let (mut tun, port) = wire.tun();
        let (lan, wan) = (wire.rig.lan, wire.rig.wan);
        wire.rig.next_hops[usize::from(TO_TUN.0)].store(&masq_flow::NextHopValue {
            layer3: true,
            ..next_hop(&port, NextHopState::Ready)
        });
        let from_tun = Session {
            original: Tuple::new(Protocol::UDP, at("10.9.0.2:1"), usual.original.destination),
            reply: Tuple::new(Protocol::UDP, usual.reply.source, at("203.0.113.1:41000")),
            next_hops: PerDirection::new(TO_SERVER, TO_TUN),
            interfaces: PerDirection::new(port.index, wan.index),
            ..usual
        };
        wire.rig.enter(&from_tun);
        let packet = |tuple: Tuple, payload| make::udp(tuple.source, tuple.destination, payload);

        let there = packet(from_tun.original, b"from the tunnel");
        tun.send(&there);
        let frame = wire.wan.wait(|frame| holds(frame, b"from the tunnel"));
        assert_eq!(frame, reference(&from_tun, Direction::Egress, &there, wan));

        let back = packet(from_tun.reply, b"x");
        let mut filled_up = wan.frame(&back);
        filled_up.resize(60, 0xee);
        wire.wan.send(&filled_up);
        let expected = reference(&from_tun, Direction::Ingress, &back, lan);
        assert_eq!(tun.wait(|packet| packet.starts_with(&[0x45])), expected[14..]);
    });
}

#[test]
fn from_one_device_without_link_layer_to_another() {
    in_network(|| {
        let (mut wire, usual) = fast_wire(Protocol::UDP);
        let (mut tun, port) = wire.tun();
        let hop = next_hop(&port, NextHopState::Ready);
        wire.rig.next_hops[usize::from(TO_TUN.0)]
            .store(&masq_flow::NextHopValue { layer3: true, ..hop });
        let session = Session {
            next_hops: PerDirection::new(TO_TUN, TO_TUN),
            interfaces: PerDirection::new(port.index, port.index),
            ..usual
        };
        wire.rig.table.remove(1, wire.rig.table.lookup(&usual.original).unwrap().0);
        wire.rig.enter(&session);
        let there = session.original;
        let packet = make::udp(there.source, there.destination, b"round and round");

        tun.send(&packet);

        let expected = reference(&session, Direction::Egress, &packet, wire.rig.wan);
        assert_eq!(tun.wait(|packet| holds(packet, b"round and round")), expected[14..]);
    });
}

/// A gateway with the fast path on, and a session whose port is changed.
fn fast_wire(protocol: Protocol) -> (Wire, Session) {
    let mut wire = Wire::new();
    wire.rig.set_fast(true);
    let session = session(&wire.rig, protocol);
    wire.rig.enter(&session);
    (wire, session)
}

fn session(rig: &Rig, protocol: Protocol) -> Session {
    rig.masquerade(
        protocol,
        at("192.168.1.3:5555"),
        at("203.0.113.1:45000"),
        at("203.0.113.178:53"),
    )
}
