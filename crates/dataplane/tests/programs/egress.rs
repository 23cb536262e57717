//! At the egress of an outside: what leaves, and what is noted of it.

use masq_flow::key::{pack_ports, pack_v4};
use masq_flow::maps::{EarlyDrop, HostFlow};
use masq_flow::owned::Shared;
use masq_flow::punt::OUT_MARK;
use masq_wire::Protocol;
use masq_wire::make::{self, at};
use masq_wire::tcp::Flags;

use crate::in_network;
use crate::rig::{Context, OUTSIDE, Rig, SERVER};

/// An interface that the daemon has not looked at.
const STRANGER: u32 = 4711;

#[test]
fn what_would_leave_untranslated_ends_and_all_else_goes_out() {
    in_network(|| {
        let mut rig = Rig::new();
        let (lan, wan) = (rig.lan, rig.wan);
        let server = at("203.0.113.178:53");
        let udp = |from: &str| make::udp(at(from), server, b"payload");
        let group = |from: &str| make::udp(at(from), at("239.1.2.3:5000"), b"television");
        let leak = Some(EarlyDrop::Leak);
        for (what, arrived, packet, became) in [
            ("the host's own", 0, udp("203.0.113.1:700"), None),
            ("from another address of the host", 0, udp("198.18.0.1:700"), None),
            ("another translator's", lan.index, udp("203.0.113.1:41000"), None),
            ("another translator's, by a new interface", STRANGER, udp("203.0.113.1:700"), None),
            ("forwarded for a network that is not inside", wan.index, udp("198.18.0.7:9"), None),
            ("the same by a new interface", STRANGER, udp("198.18.0.7:9"), leak),
            ("an inside host's", lan.index, udp("192.168.1.3:5000"), leak),
            ("an inside host's by another way", wan.index, udp("192.168.1.3:5000"), leak),
            ("the host's own with an inside address", 0, udp("192.168.1.1:5000"), leak),
            ("to a group, as multicast routers send", lan.index, group("192.168.1.3:5000"), None),
            ("to a group, by a new interface", STRANGER, group("192.168.1.3:5000"), None),
        ] {
            let context = Context { arrived, ..Context::at(wan) };
            assert_eq!(rig.leave(context, &wan.frame(&packet)), (became, 0), "{what}");
        }
        let inwards = Context { arrived: wan.index, ..Context::at(lan) };
        let outcome = rig.leave(inwards, &lan.frame(&udp("192.168.1.3:5000")));
        assert_eq!(outcome, (None, 0), "an inside is asked nothing");
    });
}

#[test]
fn our_own_packets_leave_without_the_mark_that_tells_them() {
    in_network(|| {
        let mut rig = Rig::new();
        let (lan, wan) = (rig.lan, rig.wan);
        for from in ["203.0.113.1:41000", "198.51.100.1:7", "192.168.1.3:9"] {
            let packet = make::udp(at(from), at("203.0.113.178:53"), b"payload");
            let ours = Context { mark: OUT_MARK, arrived: lan.index, ..Context::at(wan) };
            assert_eq!(rig.leave(ours, &wan.frame(&packet)), (None, 0), "{from}");
        }
        assert_eq!(rig.host_flows(), [], "and none of it is noted");
        let marked = Context { mark: 77, ..Context::at(wan) };
        let packet = make::udp(at("203.0.113.1:700"), at("203.0.113.178:53"), b"payload");
        assert_eq!(rig.leave(marked, &wan.frame(&packet)), (None, 77), "another's mark stays");
    });
}

#[test]
fn what_is_no_packet_of_ours_to_judge_goes_out() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        let inside = make::udp(at("192.168.1.3:5000"), at("203.0.113.178:53"), &[7; 40]);
        let frame = wan.frame(&inside);
        for ethertype in [[8, 6], [0x86, 0xdd], [0x81, 0]] {
            let mut frame = frame.clone();
            frame[12..14].copy_from_slice(&ethertype);
            assert_eq!(rig.leave(Context::at(wan), &frame), (None, 0), "{ethertype:?}");
        }
    });
}

#[test]
fn a_flow_is_noted_by_its_answer_if_that_could_be_taken_for_ours() {
    in_network(|| {
        let mut rig = Rig::new();
        let server = at("203.0.113.178:53");
        let tcp = |flags| make::tcp(at("203.0.113.1:41000"), server, flags, 1, 0, &[]);
        let datagram = make::udp(at("203.0.113.1:41000"), server, &[7; 2000]);
        let [first, second] = &make::fragments(&datagram, 1500)[..] else { unreachable!() };
        let udp_flow = flow(Protocol::UDP, 53, 41000);
        for (what, packet, noted) in [
            ("a port that masq owns", udp("203.0.113.1:41000"), Some(udp_flow)),
            ("one that it does not", udp("203.0.113.1:39999"), None),
            ("an address that is masq's alone", udp("198.51.100.1:41000"), None),
            ("a connection", tcp(Flags::SYN), Some(flow(Protocol::TCP, 53, 41000))),
            ("an answer that ends one", tcp(Flags::RST | Flags::ACK), None),
            (
                "a ping",
                make::echo_request(at("203.0.113.1:77"), SERVER, 1, &[]),
                Some(flow(Protocol::ICMP, 0, 77)),
            ),
            (
                "a ping with an identifier that masq does not own",
                make::echo_request(at("203.0.113.1:31000"), SERVER, 1, &[]),
                None,
            ),
            ("the answer to one", make::echo_reply(OUTSIDE, at("203.0.113.178:77"), 1, &[]), None),
            (
                "a protocol that masq owns",
                make::ip(Protocol::GRE, OUTSIDE, SERVER, b"tunnel"),
                Some(flow(Protocol::GRE, 0, 0)),
            ),
            (
                "one that an inside host may come to use",
                make::ip(Protocol::ESP, OUTSIDE, SERVER, b"tunnel"),
                Some(flow(Protocol::ESP, 0, 0)),
            ),
            ("the first fragment of a datagram", first.clone(), Some(udp_flow)),
            ("another one", second.clone(), None),
        ] {
            rig.forget_host_flows();
            let wan = rig.wan;
            assert_eq!(rig.leave(Context::at(wan), &wan.frame(&packet)), (None, 0), "{what}");
            assert_eq!(rig.host_flows(), Vec::from_iter(noted), "{what}");
            assert_eq!(rig.memory.header().has_host_flows(), noted.is_some(), "{what}");
        }
    });
}

#[test]
fn a_hint_that_was_lost_is_given_again_by_the_next_packet() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        let frame = wan.frame(&udp("203.0.113.1:41000"));
        rig.leave(Context::at(wan), &frame);
        assert!(rig.owned[0].hints_port(Shared::Udp, 41000));
        rig.owned[0].set_hints([]);
        rig.leave(Context::at(wan), &frame);
        assert!(rig.owned[0].hints_port(Shared::Udp, 41000));
    });
}

fn udp(from: &str) -> Vec<u8> {
    make::udp(at(from), at("203.0.113.178:53"), b"payload")
}

/// The flow of the host whose answers come from the server with these ports.
fn flow(protocol: Protocol, from: u16, to: u16) -> HostFlow {
    HostFlow {
        source: pack_v4(SERVER),
        destination: pack_v4(OUTSIDE),
        ports: pack_ports(from, to),
        protocol: u32::from(protocol.0),
    }
}
