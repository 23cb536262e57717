//! The host's own flows, as their answers arrive; and the host without a daemon.

use masq_flow::maps::{EarlyDrop, InterfaceFlags};
use masq_flow::punt::PuntReason;
use masq_wire::icmp::error::Report;
use masq_wire::icmp::unreachable;
use masq_wire::make::{self, at};
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol};

use Became::{Dropped, Passed, Punted};

use crate::in_network;
use crate::rig::{Became, Context, OUTSIDE, Rig, SERVER};

#[test]
fn answers_to_flows_of_the_host_are_the_hosts_whatever_masq_owns() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        for (what, sent, answer, without) in [
            (
                "a datagram",
                make::udp(at("203.0.113.1:41000"), at("203.0.113.178:53"), b"question"),
                make::udp(at("203.0.113.178:53"), at("203.0.113.1:41000"), b"answer"),
                PuntReason::Miss,
            ),
            (
                "a connection",
                make::tcp(at("203.0.113.1:41000"), at("203.0.113.178:80"), Flags::SYN, 1, 0, &[]),
                make::tcp(at("203.0.113.178:80"), at("203.0.113.1:41000"), Flags::ACK, 1, 2, &[]),
                PuntReason::Miss,
            ),
            (
                "a ping",
                make::echo_request(at("203.0.113.1:77"), SERVER, 1, b"data"),
                make::echo_reply(SERVER, at("203.0.113.1:77"), 1, b"data"),
                PuntReason::Miss,
            ),
            (
                "a tunnel",
                make::ip(Protocol::GRE, OUTSIDE, SERVER, b"out"),
                make::ip(Protocol::GRE, SERVER, OUTSIDE, b"in"),
                PuntReason::Protocol,
            ),
        ] {
            rig.forget_host_flows();
            assert_eq!(rig.arrive(wan, &answer).became, Punted(without), "{what}, before");
            rig.leave(Context::at(wan), &wan.frame(&sent));
            assert_eq!(rig.arrive(wan, &answer).became, Passed, "{what}");
            rig.set_worker(false);
            assert_eq!(rig.arrive(wan, &answer).became, Passed, "{what}, without a daemon");
            rig.set_worker(true);
        }
    });
}

#[test]
fn where_the_host_has_the_flow_of_a_session_its_answers_are_the_hosts() {
    for fast in [false, true] {
        in_network(|| {
            let mut rig = Rig::new();
            rig.session(
                Protocol::UDP,
                ["192.168.1.3:41000", "203.0.113.1:41000", "203.0.113.178:53"],
            );
            rig.set_fast(fast);
            let (lan, wan) = (rig.lan, rig.wan);
            let question = make::udp(at("192.168.1.3:41000"), at("203.0.113.178:53"), b"theirs");
            let answer = make::udp(at("203.0.113.178:53"), at("203.0.113.1:41000"), b"answer");
            let own = make::udp(at("203.0.113.1:41000"), at("203.0.113.178:53"), b"ours");
            assert_ne!(rig.arrive(wan, &answer).became, Passed);

            rig.leave(Context::at(wan), &wan.frame(&own));

            assert_eq!(rig.arrive(wan, &answer).became, Passed);
            let became = rig.arrive(lan, &question).became;
            assert_eq!(became, Punted(PuntReason::Session), "the engine gives it another endpoint");
            let other = make::udp(at("203.0.113.178:54"), at("203.0.113.1:41000"), b"another");
            assert_eq!(rig.arrive(wan, &other).became, Punted(PuntReason::Miss));
        });
    }
}

#[test]
fn xdp_leaves_what_is_also_the_hosts_to_tc() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.session(Protocol::UDP, ["192.168.1.3:41000", "203.0.113.1:41000", "203.0.113.178:53"]);
        rig.go_fast();
        let wan = rig.wan;
        let answer = wan.frame(&make::udp(
            at("203.0.113.178:53"),
            at("203.0.113.1:41000"),
            b"an answer of more than eighteen bytes",
        ));
        assert!(rig.arrive_xdp(wan, &answer).is_some());
        let own = make::udp(at("203.0.113.1:41000"), at("203.0.113.178:53"), b"ours");
        rig.leave(Context::at(wan), &wan.frame(&own));
        assert_eq!(rig.arrive_xdp(wan, &answer), None);
    });
}

#[test]
fn errors_about_packets_of_the_host_are_the_hosts() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        let about = |sent: &[u8]| {
            make::icmp_error(SERVER, OUTSIDE, Report::unreachable(unreachable::PORT), sent)
        };
        let udp = |from: &str| make::udp(at(from), at("203.0.113.178:53"), b"payload");
        rig.session(Protocol::UDP, ["192.168.1.3:41000", "203.0.113.1:41000", "203.0.113.178:53"]);
        let noted = udp("203.0.113.1:42000");
        rig.leave(Context::at(wan), &wan.frame(&noted));
        let error = PuntReason::IcmpError;
        let ping = |id| make::echo_request(Endpoint::v4(OUTSIDE, id), SERVER, 1, &[]);
        let optional = make::with_options(&udp("203.0.113.1:700"), &[7, 7, 4, 0, 0, 0, 0, 0]);
        for (what, packet, became) in [
            ("a port that masq does not own", about(&udp("203.0.113.1:700")), Passed),
            ("the same behind options", about(&optional), Passed),
            ("a session's", about(&udp("203.0.113.1:41000")), Punted(error)),
            ("a flow of the host", about(&noted), Passed),
            ("nobody's", about(&udp("203.0.113.1:43000")), Punted(error)),
            ("an identifier that masq does not own", about(&ping(31000)), Passed),
            ("one that it owns", about(&ping(77)), Punted(error)),
            (
                "an answer of the host",
                about(&make::echo_reply(OUTSIDE, at("203.0.113.178:77"), 1, &[])),
                Passed,
            ),
            (
                "a protocol of masq's",
                about(&make::ip(Protocol::GRE, OUTSIDE, SERVER, b"x")),
                Punted(error),
            ),
            ("of the host's", about(&make::ip(Protocol::ESP, OUTSIDE, SERVER, b"x")), Passed),
            ("too little to tell", about(&udp("203.0.113.1:700")[..20]), Punted(error)),
        ] {
            assert_eq!(rig.arrive(wan, &packet).became, became, "{what}");
        }
    });
}

#[test]
fn without_a_daemon_what_nobody_claims_on_a_shared_address_is_the_hosts() {
    in_network(|| {
        let mut rig = Rig::new();
        let (lan, wan) = (rig.lan, rig.wan);
        rig.session(Protocol::UDP, ["192.168.1.3:41000", "203.0.113.1:41000", "203.0.113.178:53"]);
        let server = at("203.0.113.178:53");
        let udp = |to: &str| make::udp(server, at(to), b"payload");
        let cut = |to: &str| make::fragments(&make::udp(server, at(to), &[7; 2000]), 1500);
        let away = Dropped(EarlyDrop::NoWorker);
        let mut table = vec![
            ("a port that masq owns", udp("203.0.113.1:42000"), Passed),
            ("a session's, with the fast path off", udp("203.0.113.1:41000"), away),
            ("a SYN", make::tcp(server, at("203.0.113.1:42000"), Flags::SYN, 1, 0, &[]), Passed),
            ("a reply", make::echo_reply(SERVER, at("203.0.113.1:77"), 1, &[]), Passed),
            ("a tunnel's", make::ip(Protocol::GRE, SERVER, OUTSIDE, b"in"), Passed),
            ("an address that is masq's alone", udp("198.51.100.1:9"), away),
            ("an inside host by its own address", udp("192.168.1.3:9"), away),
        ];
        for (to, [first, later]) in [
            ("203.0.113.1:700", [Passed, Passed]),
            ("203.0.113.1:42000", [Passed, Passed]),
            // Alone, the rest of a datagram comes to nothing.
            ("203.0.113.1:41000", [away, Passed]),
        ] {
            table.extend(
                cut(to).into_iter().zip([first, later]).map(|(cut, became)| (to, cut, became)),
            );
        }
        rig.set_worker(false);
        for (what, packet, became) in &table {
            assert_eq!(rig.arrive(wan, packet).became, *became, "{what}");
        }
        let out = make::udp(at("192.168.1.3:5000"), server, b"payload");
        assert_eq!(rig.arrive(lan, &out).became, away, "nothing leaves untranslated");
        let there = make::udp(at("192.168.1.3:5000"), at("203.0.113.1:42000"), b"payload");
        assert_eq!(rig.arrive(lan, &there).became, Passed, "the host is reached from inside, too");
    });
}

#[test]
fn a_worker_that_has_not_been_seen_for_long_is_away() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        let packet = make::udp(at("203.0.113.178:53"), at("203.0.113.1:42000"), b"payload");
        let patient = crate::rig::settings();
        rig.set(masq_flow::maps::Settings { away_after_ns: 1, ..patient });
        assert_eq!(rig.arrive(wan, &packet).became, Passed, "it was never seen");
        rig.memory.header().set_beat(u64::MAX);
        assert_eq!(rig.arrive(wan, &packet).became, Punted(PuntReason::Miss), "just now");
    });
}

#[test]
fn at_a_closed_interface_only_what_is_the_hosts_passes() {
    in_network(|| {
        let mut rig = Rig::new();
        let (lan, wan) = (rig.lan, rig.wan);
        rig.session(Protocol::UDP, ["192.168.1.3:41000", "203.0.113.1:41000", "203.0.113.178:53"]);
        rig.go_fast();
        for port in [lan, wan] {
            rig.set_interface(&port, InterfaceFlags::CLOSED);
        }
        let closed = Dropped(EarlyDrop::Closed);
        let server = at("203.0.113.178:53");
        let workstation = at("192.168.1.3:41000");
        for (what, port, packet, became) in [
            ("a session's, out", lan, make::udp(workstation, server, &[7; 30]), closed),
            ("a session's, in", wan, make::udp(server, at("203.0.113.1:41000"), &[7; 30]), closed),
            ("to nobody", wan, make::udp(server, at("203.0.113.1:42000"), &[7; 30]), closed),
            ("to the host", wan, make::udp(server, at("203.0.113.1:700"), &[7; 30]), Passed),
            (
                "to the host, inside",
                lan,
                make::udp(workstation, at("192.168.1.1:53"), &[7; 30]),
                Passed,
            ),
        ] {
            assert_eq!(rig.arrive_xdp(port, &port.frame(&packet)), None, "{what}, in XDP");
            assert_eq!(rig.arrive(port, &packet).became, became, "{what}");
        }
    });
}
