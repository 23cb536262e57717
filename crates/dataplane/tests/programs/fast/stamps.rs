//! What the fast path leaves behind in a record, which is all that the engine will know.

use masq_flow::{Activity, Direction, Session, Slot, TcpMark};
use masq_wire::Protocol;
use masq_wire::make;
use masq_wire::tcp::Flags;

use super::usual;
use crate::in_network;
use crate::rig::{Became, Rig};

#[test]
fn packets_bytes_and_the_time_each_way() {
    in_network(|| {
        let (mut rig, session, slot) = rig_with(Protocol::UDP);
        let (there, back) = (session.original, session.reply);
        let (lan, wan) = (rig.lan, rig.wan);
        let before = monotonic();

        for _ in 0..3 {
            let packet = make::udp(there.source, there.destination, b"question");
            assert_eq!(rig.arrive(lan, &packet).became, Became::Translated);
        }
        let packet = make::udp(back.source, back.destination, &[7; 1000]);
        assert!(rig.arrive_xdp(wan, &wan.frame(&packet)).is_some());

        let activity = activity(&rig, slot);
        let (egress, ingress) = (activity[Direction::Egress], activity[Direction::Ingress]);
        assert_eq!((egress.packets, egress.bytes), (3, 3 * 36));
        assert_eq!((ingress.packets, ingress.bytes), (1, 1028));
        // The clock of the stamps ticks once in several milliseconds.
        let tick = 20_000_000;
        for seen in [egress.last_seen_ns, ingress.last_seen_ns] {
            assert!(seen + tick >= before && seen <= monotonic(), "{before} {seen}");
        }
    });
}

#[test]
fn punted_packets_are_the_engines_to_stamp() {
    in_network(|| {
        let (mut rig, session, slot) = rig_with(Protocol::UDP);
        let there = session.original;
        let packet = make::with_ttl(&make::udp(there.source, there.destination, b"x"), 1);
        let lan = rig.lan;
        assert!(rig.arrive_xdp(lan, &lan.frame(&packet)).is_none());
        rig.arrive(lan, &packet);
        assert_eq!(activity(&rig, slot), Activity::default());
    });
}

#[test]
fn flags_add_up_and_the_highest_acknowledgement_stays() {
    in_network(|| {
        let (mut rig, session, slot) = rig_with(Protocol::TCP);
        let back = session.reply;
        let wan = rig.wan;
        for (flags, acknowledged) in [
            (Flags::SYN | Flags::ACK, 0xffff_fff0),
            (Flags::ACK, 0x10),
            (Flags::ACK | Flags::FIN, 0xffff_fff8),
        ] {
            let packet = make::tcp(back.source, back.destination, flags, 1, acknowledged, &[]);
            assert_eq!(rig.arrive(wan, &packet).became, Became::Translated);
        }
        let tcp = activity(&rig, slot)[Direction::Ingress].tcp;
        let flags = TcpMark::SYN | TcpMark::ACK | TcpMark::FIN;
        assert_eq!(tcp, TcpMark { flags, acknowledgement: 0x10 });
    });
}

#[test]
fn a_reset_that_does_not_count_leaves_no_flag_and_from_inside_no_time() {
    in_network(|| {
        let (mut rig, session, slot) = rig_with(Protocol::TCP);
        let (lan, wan) = (rig.lan, rig.wan);
        for (direction, port) in [(Direction::Egress, lan), (Direction::Ingress, wan)] {
            let tuple = session.arriving(direction);
            let packet = make::tcp(tuple.source, tuple.destination, Flags::RST, 5, 0, &[]);
            assert_eq!(rig.arrive(port, &packet).became, Became::Translated);
        }
        let activity = activity(&rig, slot);
        let (egress, ingress) = (activity[Direction::Egress], activity[Direction::Ingress]);
        assert_eq!((egress.packets, egress.last_seen_ns, egress.tcp.flags), (1, 0, 0));
        assert_eq!((ingress.packets, ingress.tcp.flags), (1, 0));
        assert_ne!(ingress.last_seen_ns, 0);
    });
}

fn rig_with(protocol: Protocol) -> (Rig, Session, Slot) {
    let mut rig = Rig::new();
    rig.go_fast();
    let session = usual(&rig, protocol);
    let slot = rig.enter(&session);
    (rig, session, slot)
}

fn activity(rig: &Rig, slot: Slot) -> Activity {
    rig.table.activity(slot).unwrap()
}

pub(super) fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
