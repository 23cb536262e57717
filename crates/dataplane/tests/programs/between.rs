//! Between networks that are not translated: sessions, and what is sent on without one.

use masq_flow::maps::EarlyDrop;
use masq_flow::punt::PuntReason;
use masq_flow::{Flags, NextHopId, PerDirection, Session};
use masq_wire::icmp::error::Report;
use masq_wire::icmp::unreachable;
use masq_wire::make::{self, at};
use masq_wire::{Packet, Protocol, Tuple};

use Became::{Dropped, Forwarded, Passed, Punted, Translated};

use crate::in_network;
use crate::rig::{Became, Port, Rig, Role, TO_SERVER, TO_WORKSTATION};

/// A second inside network takes the place of the outside.
fn two_insides() -> (Rig, Port, Port) {
    let mut rig = Rig::new();
    let other = Port { role: Role::Inside, ..rig.wan };
    rig.set_interface(&other, masq_flow::maps::InterfaceFlags::empty());
    rig.set_network("192.168.2.0".parse().unwrap(), 24, other.index);
    let lan = rig.lan;
    (rig, lan, other)
}

fn ask() -> Vec<u8> {
    make::udp(at("192.168.1.3:5000"), at("192.168.2.7:53"), b"a question of some length")
}

#[test]
fn first_packets_are_the_engines_while_it_can_be_asked_and_sent_on_otherwise() {
    in_network(|| {
        let (mut rig, lan, _) = two_insides();
        assert_eq!(rig.arrive(lan, &ask()).became, Punted(PuntReason::Inside));
        rig.set_worker(false);
        let outcome = rig.arrive(lan, &ask());
        assert_eq!(outcome.became, Forwarded);
        let mut expected = ask();
        Packet::parse(&mut expected).unwrap().decrement_ttl();
        assert_eq!(outcome.frame[14..], expected, "nothing but its time to live is changed");
    });
}

#[test]
fn who_asks_for_more_than_a_share_of_the_engine_is_not_stopped() {
    in_network(|| {
        let (mut rig, lan, _) = two_insides();
        let settings = crate::rig::settings();
        rig.set(masq_flow::maps::Settings { miss_rate: 1, miss_burst: 2, ..settings });
        let became: Vec<_> = (0..4).map(|_| rig.arrive(lan, &ask()).became).collect();
        let first = Punted(PuntReason::Inside);
        assert_eq!(became, [first, first, Forwarded, Forwarded]);
        let out = make::udp(at("192.168.1.3:5000"), at("203.0.113.178:53"), b"to the world");
        assert_eq!(rig.arrive(lan, &out).became, Dropped(EarlyDrop::RateLimited));
    });
}

#[test]
fn fragments_and_errors_never_need_the_engine() {
    in_network(|| {
        let (mut rig, lan, other) = two_insides();
        let datagram = make::udp(at("192.168.1.3:5000"), at("192.168.2.7:53"), &[7; 3000]);
        for fragment in make::fragments(&datagram, 1500) {
            assert_eq!(rig.arrive(lan, &fragment).became, Forwarded);
        }
        let to_gateway = make::udp(at("192.168.2.7:5000"), at("192.168.1.1:53"), &[7; 3000]);
        for fragment in make::fragments(&to_gateway, 1500) {
            assert_eq!(rig.arrive(other, &fragment).became, Passed, "the gateway's own address");
        }
        let why = Report::unreachable(unreachable::PORT);
        let [from, to] = [[192, 168, 2, 7], [192, 168, 1, 3]].map(core::net::Ipv4Addr::from);
        let error = make::icmp_error(from, to, why, &ask());
        assert_eq!(rig.arrive(other, &error).became, Forwarded);
    });
}

#[test]
fn what_cannot_be_sent_on_as_it_is_is_the_engines_or_ends() {
    in_network(|| {
        let (mut rig, lan, _) = two_insides();
        let as_the_gateway = make::udp(at("192.168.1.1:5000"), at("192.168.2.7:53"), b"as if here");
        let long = make::udp(at("192.168.1.3:5000"), at("192.168.2.7:53"), &[7; 1600]);
        let spoofed = make::udp(at("192.168.2.9:5000"), at("192.168.2.7:53"), b"as if from there");
        let mut corrupt = ask();
        corrupt[10] ^= 1;
        let cases = [
            ("without time left", make::with_ttl(&ask(), 1)),
            ("with options", make::with_options(&ask(), &[7, 7, 4, 0, 0, 0, 0, 0])),
            ("longer than the way takes", long),
            ("from a network that is elsewhere", spoofed),
            ("from an address of the gateway", as_the_gateway),
            ("with a wrong checksum", corrupt),
        ];
        for (what, packet) in &cases {
            let became = rig.arrive(lan, packet).became;
            assert_eq!(became, Punted(PuntReason::Inside), "{what}");
        }
        rig.set_worker(false);
        for (what, packet) in &cases {
            assert_eq!(rig.arrive(lan, packet).became, Dropped(EarlyDrop::NoWorker), "{what}");
        }
    });
}

#[test]
fn a_session_between_insides_leaves_packets_as_they_are_but_for_their_time_to_live() {
    in_network(|| {
        let (mut rig, lan, other) = two_insides();
        let (a, b) = (at("192.168.1.3:5000"), at("192.168.2.7:53"));
        let session = plain(&rig, PerDirection::new(TO_SERVER, TO_WORKSTATION));
        rig.enter(&session);
        rig.go_fast();
        for (port, hop, packet) in [
            (lan, other, make::udp(a, b, b"a question of some length")),
            (other, lan, make::udp(b, a, b"an answer of some length")),
        ] {
            let mut expected = packet.clone();
            Packet::parse(&mut expected).unwrap().decrement_ttl();
            let expected = [&hop.neighbour[..], &hop.mac, &[8, 0], &expected].concat();
            assert_eq!(rig.arrive_xdp(port, &port.frame(&packet)).as_ref(), Some(&expected));
            let outcome = rig.arrive(port, &packet);
            assert_eq!((outcome.became, &outcome.frame, outcome.mark), (Translated, &expected, 0));
        }
    });
}

#[test]
fn a_session_towards_a_way_that_is_not_ours_is_left_to_the_kernel_and_counted() {
    in_network(|| {
        let (mut rig, lan, _) = two_insides();
        let session = plain(&rig, PerDirection::new(NextHopId::HOST, NextHopId::NONE));
        let slot = rig.enter(&session);
        rig.go_fast();
        assert_eq!(rig.arrive_xdp(lan, &lan.frame(&ask())), None);
        for _ in 0..2 {
            let outcome = rig.arrive(lan, &ask());
            assert_eq!((outcome.became, outcome.frame), (Passed, lan.frame(&ask())));
        }
        let activity = rig.table.activity(slot).unwrap();
        assert_eq!(activity.sides.egress.packets, 2);
    });
}

#[test]
fn without_the_engine_the_kernel_has_what_it_would_forward_by_a_way_that_is_not_ours() {
    in_network(|| {
        let (mut rig, lan, _) = two_insides();
        crate::rig::ip("link add vpn type veth peer name vpn-far");
        crate::rig::ip("link set vpn up");
        crate::rig::ip("link set vpn-far up");
        crate::rig::ip("addr add 10.8.0.1/24 dev vpn");
        crate::rig::ip("addr add 192.168.1.1/24 dev lan");
        crate::rig::ip("addr add 203.0.113.1/24 dev wan");
        let to = |to: &str| make::udp(at("192.168.1.3:5000"), at(to), b"payload of it");
        rig.set_worker(false);
        let away = Dropped(EarlyDrop::NoWorker);
        assert_eq!(rig.arrive(lan, &to("10.8.0.7:9")).became, away, "nobody forwards");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        assert_eq!(rig.arrive(lan, &to("10.8.0.7:9")).became, Passed);
        assert_eq!(rig.arrive(lan, &to("203.0.113.9:9")).became, away, "that way is ours");
        assert_eq!(rig.arrive(lan, &to("192.0.2.9:9")).became, away, "there is no way");
        let spoofed = make::udp(at("192.168.2.9:5000"), at("10.8.0.7:9"), b"as if from there");
        assert_eq!(rig.arrive(lan, &spoofed).became, away);
    });
}

/// A session from the workstation to a host in the other network.
fn plain(rig: &Rig, next_hops: PerDirection<NextHopId>) -> Session {
    let (a, b) = (at("192.168.1.3:5000"), at("192.168.2.7:53"));
    Session {
        reply: Tuple::new(Protocol::UDP, b, a),
        flags: Flags::UNTRANSLATED,
        next_hops,
        ..rig.masquerade(Protocol::UDP, a, a, b)
    }
}
