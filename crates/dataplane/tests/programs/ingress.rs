//! Whose a packet is, by one packet of each kind.

use masq_flow::maps::{EarlyDrop, InterfaceFlags};
use masq_flow::punt::{LOCAL_MARK, PuntHeader, PuntReason};
use masq_wire::Protocol;
use masq_wire::icmp::error::Report;
use masq_wire::icmp::{kind, unreachable};
use masq_wire::make::{self, at};
use masq_wire::tcp::Flags;

use crate::in_network;
use crate::rig::{
    Became, Context, GATEWAY_INSIDE, OUTSIDE, POOL, Port, Rig, SERVER, WORKSTATION, settings,
};

use Became::{Dropped, Passed, Punted};

#[test]
fn packets_from_inside() {
    let workstation = at("192.168.1.3:5000");
    let udp = |to| make::udp(workstation, at(to), b"payload");
    let syn = |to| make::tcp(workstation, at(to), Flags::SYN, 1, 0, &[]);
    let cut = |bytes: &[u8]| make::ip(Protocol::UDP, WORKSTATION, SERVER, bytes);
    judge(
        |rig| rig.lan,
        &[
            ("a datagram to the world", udp("203.0.113.178:53"), Punted(PuntReason::Inside)),
            ("a segment to the world", syn("203.0.113.178:80"), Punted(PuntReason::Inside)),
            (
                "a ping",
                make::echo_request(workstation, SERVER, 1, b"data"),
                Punted(PuntReason::Inside),
            ),
            (
                "a protocol without ports",
                make::ip(Protocol::GRE, WORKSTATION, SERVER, b"tunnel"),
                Punted(PuntReason::Inside),
            ),
            (
                "a reply to nobody's request",
                make::echo_reply(WORKSTATION, at("203.0.113.178:7"), 1, &[]),
                Punted(PuntReason::Inside),
            ),
            ("a datagram without a header", cut(b"udp"), Punted(PuntReason::Inside)),
            ("to another mapping", udp("203.0.113.1:41000"), Punted(PuntReason::Hairpin)),
            ("to another mapping of the pool", udp("198.51.100.1:9"), Punted(PuntReason::Hairpin)),
            ("to the gateway's inside address", udp("192.168.1.1:41000"), Passed),
            ("to the gateway's outside address, not a mapping", udp("203.0.113.1:22"), Passed),
            ("a ping to the gateway", make::echo_request(workstation, OUTSIDE, 1, &[]), Passed),
            ("a broadcast", udp("192.168.1.255:137"), Passed),
            ("to everybody", udp("255.255.255.255:67"), Passed),
            ("a group", udp("224.0.0.251:5353"), Passed),
            ("just below the groups", udp("223.255.255.255:9"), Punted(PuntReason::Inside)),
        ],
    );
}

#[test]
fn packets_from_outside() {
    let server = at("203.0.113.178:53");
    let udp = |to| make::udp(server, at(to), b"payload");
    let syn = |to| make::tcp(server, at(to), Flags::SYN, 1, 0, &[]);
    let reply = |to| make::echo_reply(SERVER, at(to), 1, &[]);
    let ours = |protocol| make::ip(protocol, SERVER, OUTSIDE, b"payload of it");
    let icmp = |kind| make::icmp(SERVER, OUTSIDE, kind, 0, [0; 4], &[0; 28]);
    judge(
        |rig| rig.wan,
        &[
            ("to a port that masq owns", udp("203.0.113.1:41000"), Punted(PuntReason::Miss)),
            ("a SYN to one", syn("203.0.113.1:41000"), Punted(PuntReason::Miss)),
            ("the first that it owns", udp("203.0.113.1:40000"), Punted(PuntReason::Miss)),
            ("the last", udp("203.0.113.1:49999"), Punted(PuntReason::Miss)),
            ("one below", udp("203.0.113.1:39999"), Passed),
            ("one above", udp("203.0.113.1:50000"), Passed),
            ("a SYN to a port of the host", syn("203.0.113.1:22"), Passed),
            (
                "a reply with an identifier that masq owns",
                reply("203.0.113.1:77"),
                Punted(PuntReason::Miss),
            ),
            ("with one of the host's", reply("203.0.113.1:31000"), Passed),
            ("a ping to the host", make::echo_request(server, OUTSIDE, 1, &[]), Passed),
            ("a router's advertisement", icmp(kind::ROUTER_ADVERTISEMENT), Passed),
            ("a redirect", icmp(kind::REDIRECT), Passed),
            ("GRE, which masq owns", ours(Protocol::GRE), Punted(PuntReason::Protocol)),
            ("ESP, which it does not", ours(Protocol::ESP), Passed),
            (
                "a segment without a header",
                make::ip(Protocol::TCP, SERVER, OUTSIDE, &[0]),
                Punted(PuntReason::Miss),
            ),
            (
                "a message without a header",
                make::ip(Protocol::ICMP, SERVER, OUTSIDE, &[0; 4]),
                Punted(PuntReason::Miss),
            ),
            ("to an address that is masq's alone", udp("198.51.100.1:9"), Punted(PuntReason::Miss)),
            ("a ping there", make::echo_request(server, POOL, 1, &[]), Punted(PuntReason::Miss)),
            ("to an inside host", udp("192.168.1.3:41000"), Punted(PuntReason::NotLocal)),
            ("from and to nobody inside", udp("192.0.2.1:41000"), Passed),
            (
                "from an inside address to nobody inside",
                make::udp(at("192.168.1.3:1"), at("192.0.2.1:41000"), b""),
                Punted(PuntReason::NotLocal),
            ),
            (
                "to the gateway's inside address",
                make::udp(server, at("192.168.1.1:9"), b""),
                Passed,
            ),
        ],
    );
}

#[test]
fn errors_and_fragments_are_judged_by_what_is_inside() {
    let sent = make::udp(at("203.0.113.1:41000"), at("203.0.113.178:53"), b"payload");
    let error = |to| make::icmp_error(SERVER, to, Report::unreachable(unreachable::HOST), &sent);
    let datagram = |to| make::udp(at("203.0.113.178:53"), at(to), &[7; 2000]);
    let mut table = vec![
        ("an error to a shared address", error(OUTSIDE), Punted(PuntReason::IcmpError)),
        ("to the pool", error(POOL), Punted(PuntReason::IcmpError)),
        ("to an inside host", error(WORKSTATION), Punted(PuntReason::IcmpError)),
        ("to the host alone", error(GATEWAY_INSIDE), Passed),
    ];
    for (to, became) in [
        ("203.0.113.1:41000", Punted(PuntReason::Fragment)),
        ("203.0.113.1:22", Punted(PuntReason::Fragment)),
        ("198.51.100.1:9", Punted(PuntReason::Fragment)),
        ("192.168.1.3:9", Punted(PuntReason::Fragment)),
        ("192.0.2.9:9", Passed),
        ("192.168.1.1:9", Passed),
    ] {
        for fragment in make::fragments(&datagram(to), 1500) {
            table.push((to, fragment, became));
        }
    }
    judge(|rig| rig.wan, &table);
}

#[test]
fn what_the_engine_has_to_name_is_punted_as_it_is() {
    let datagram = make::udp(at("192.168.1.3:1"), at("203.0.113.178:2"), b"payload");
    let first = |byte: u8| [&[byte], &datagram[1..]].concat();
    let options = make::with_options(&datagram, &[7, 7, 4, 0, 0, 0, 0, 0]);
    let mut corrupt = datagram.clone();
    corrupt[10] ^= 1;
    judge(
        |rig| rig.lan,
        &[
            ("a header too short for one", first(0x41), Punted(PuntReason::Inside)),
            ("a version that is not", first(0x65), Punted(PuntReason::Inside)),
            ("options", options, Punted(PuntReason::Inside)),
            ("a wrong header checksum", corrupt, Punted(PuntReason::Inside)),
            ("no time left", make::with_ttl(&datagram, 1), Punted(PuntReason::Inside)),
            (
                "a header alone",
                make::ip(Protocol::GRE, WORKSTATION, SERVER, &[]),
                Punted(PuntReason::Inside),
            ),
        ],
    );
}

#[test]
fn frames_that_are_not_the_gateways_pass() {
    in_network(|| {
        let mut rig = Rig::new();
        let (lan, packet) = (rig.lan, datagram());
        let frame = lan.frame(&packet);
        let with_type = |ethertype: [u8; 2]| {
            let mut frame = frame.clone();
            frame[12..14].copy_from_slice(&ethertype);
            frame
        };
        let to = |mac: [u8; 6]| [&mac[..], &frame[6..]].concat();
        for (what, frame) in [
            ("ARP", with_type([8, 6])),
            ("IPv6", with_type([0x86, 0xdd])),
            ("a VLAN's", with_type([0x81, 0])),
            ("another station's", to([2, 9, 9, 9, 9, 9])),
            ("a broadcast", to([0xff; 6])),
            ("a group's", to([1, 0, 0x5e, 0, 0, 1])),
        ] {
            let outcome = rig.arrive_frame(Context::at(lan), &frame);
            assert_eq!((outcome.became, &outcome.frame), (Passed, &frame), "{what}");
        }
    });
}

#[test]
fn interfaces_that_masq_does_not_serve_pass_everything() {
    in_network(|| {
        let mut rig = Rig::new();
        let lan = rig.lan;
        let stranger = Context { ifindex: 1, ..Context::at(lan) };
        // The loopback's address is all zeros.
        let frame = [&[0; 12], &[8, 0][..], &datagram()].concat();
        assert_eq!(rig.arrive_frame(stranger, &frame).became, Passed);
    });
}

#[test]
fn the_mark_of_what_came_back_is_taken_off_once() {
    in_network(|| {
        let mut rig = Rig::new();
        let lan = rig.lan;
        let frame = lan.frame(&datagram());
        let context = Context { mark: LOCAL_MARK, ..Context::at(lan) };
        let outcome = rig.arrive_frame(context, &frame);
        assert_eq!((outcome.became, outcome.mark, &outcome.frame), (Passed, 0, &frame));

        let context = Context { mark: 0xabcd, ..Context::at(lan) };
        let outcome = rig.arrive_frame(context, &frame);
        assert_eq!((outcome.became, outcome.mark), (Punted(PuntReason::Inside), 0xabcd));
    });
}

#[test]
fn without_a_punt_port_nothing_goes_on() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.set(masq_flow::maps::Settings { punt_ifindex: 0, ..settings() });
        let lan = rig.lan;
        assert_eq!(rig.arrive(lan, &datagram()).became, Dropped(EarlyDrop::NoPuntPort));
    });
}

#[test]
fn what_the_punt_port_cannot_carry_is_dropped() {
    in_network(|| {
        let mut rig = Rig::new();
        let lan = rig.lan;
        let sized = |length: usize| {
            make::udp(at("192.168.1.3:1"), at("203.0.113.178:2"), &vec![7; length - 28])
        };
        let longest = 3500 - PuntHeader::LEN - 14;
        assert_eq!(rig.arrive(lan, &sized(longest)).became, Punted(PuntReason::Inside));
        assert_eq!(rig.arrive(lan, &sized(longest + 1)).became, Dropped(EarlyDrop::TooBig));
        // Segments are cut before the punt port; each has to fit.
        let cut = |segment| Context { segment, ..Context::at(lan) };
        let frame = lan.frame(&sized(3000));
        assert_eq!(rig.arrive_frame(cut(1400), &frame).became, Punted(PuntReason::Inside));
        assert_eq!(rig.arrive_frame(cut(3400), &frame).became, Dropped(EarlyDrop::TooBig));
    });
}

#[test]
fn bytes_of_a_device_without_link_layer_are_not_taken_for_a_packet() {
    in_network(|| {
        let mut rig = Rig::new();
        let lan = rig.lan;
        rig.set_interface(&lan, InterfaceFlags::LAYER3);
        // A test run cannot do without the Ethernet header, which is unreadable as IPv4.
        let outcome = rig.run("masq_ingress", Context::at(lan), &lan.frame(&datagram()));
        assert_eq!(outcome.became, Punted(PuntReason::Inside));
        assert_eq!(
            outcome.frame[PuntHeader::LEN..][..14],
            [&[0; 12], &[8, 0][..]].concat(),
            "an empty header"
        );
    });
}

/// Packets at one interface, and what becomes of each.
fn judge(port: fn(&Rig) -> Port, table: &[(&str, Vec<u8>, Became)]) {
    in_network(|| {
        let mut rig = Rig::new();
        let port = port(&rig);
        for (what, packet, became) in table {
            let outcome = rig.arrive(port, packet);
            assert_eq!(outcome.became, *became, "{what}");
            if *became == Passed {
                assert_eq!(outcome.frame, port.frame(packet), "{what} is left as it is");
            }
        }
    });
}

fn datagram() -> Vec<u8> {
    make::udp(at("192.168.1.3:5000"), at("203.0.113.178:53"), b"sixteen bytes of")
}
