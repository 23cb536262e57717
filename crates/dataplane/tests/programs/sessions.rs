//! Sessions and sockets: who is asked first.

use core::net::Ipv4Addr;
use std::net::{TcpListener, UdpSocket};

use masq_flow::maps::EarlyDrop;
use masq_flow::punt::PuntReason;
use masq_wire::Protocol;
use masq_wire::make::{self, at};
use masq_wire::tcp::Flags;

use crate::devices::until;
use crate::in_network;
use crate::rig::{Became, OUTSIDE, Rig, SERVER};

use Became::{Passed, Punted};

#[test]
fn packets_of_sessions_are_known_in_both_directions() {
    in_network(|| {
        let mut rig = Rig::new();
        let (lan, wan) = (rig.lan, rig.wan);
        let ends = ["192.168.1.3:5353", "203.0.113.1:45000", "203.0.113.178:53"];
        let [inside, outside, remote] = ends.map(at);
        rig.session(Protocol::UDP, ends);

        let there = rig.arrive(lan, &make::udp(inside, remote, b"question"));
        let back = rig.arrive(wan, &make::udp(remote, outside, b"answer"));
        let other = rig.arrive(wan, &make::udp(at("203.0.113.178:54"), outside, b"?"));

        assert_eq!(there.became, Punted(PuntReason::Inside));
        assert_eq!(back.became, Punted(PuntReason::Owned));
        assert_eq!(other.became, Punted(PuntReason::Miss));
        assert_eq!(rig.dropped(EarlyDrop::RateLimited), 0);
    });
}

#[test]
fn replies_and_protocols_without_ports_have_sessions_too() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        rig.session(Protocol::ICMP, ["192.168.1.3:9", "203.0.113.1:77", "203.0.113.178:0"]);
        rig.session(Protocol::GRE, ["192.168.1.3:0", "203.0.113.1:0", "203.0.113.178:0"]);

        let reply = |id: &str| make::echo_reply(SERVER, at(id), 1, &[]);
        let gre = make::ip(Protocol::GRE, SERVER, OUTSIDE, b"tunnel");

        assert_eq!(rig.arrive(wan, &reply("203.0.113.1:77")).became, Punted(PuntReason::Owned));
        assert_eq!(rig.arrive(wan, &reply("203.0.113.1:78")).became, Punted(PuntReason::Miss));
        assert_eq!(rig.arrive(wan, &gre).became, Punted(PuntReason::Protocol));
    });
}

#[test]
fn a_socket_of_the_host_keeps_its_packets() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 42_000)).unwrap();
        let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 42_001)).unwrap();
        let datagram = make::udp(at("203.0.113.178:53"), at("203.0.113.1:42000"), b"payload");
        let syn = make::tcp(at("203.0.113.178:9"), at("203.0.113.1:42001"), Flags::SYN, 1, 0, &[]);

        assert_eq!(rig.arrive(wan, &datagram).became, Passed);
        assert_eq!(rig.arrive(wan, &syn).became, Passed);
        drop((udp, tcp));
        // While another test starts a program, the child has every descriptor until it executes.
        for packet in [datagram, syn] {
            until("the socket is gone", || rig.arrive(wan, &packet).became != Passed);
            assert_eq!(rig.arrive(wan, &packet).became, Punted(PuntReason::Miss));
        }
    });
}

#[test]
fn a_session_goes_before_a_socket() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        let _socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 45_000)).unwrap();
        let from = |remote: &str| make::udp(at(remote), at("203.0.113.1:45000"), b"payload");
        assert_eq!(rig.arrive(wan, &from("203.0.113.178:53")).became, Passed);

        rig.session(Protocol::UDP, ["192.168.1.3:5353", "203.0.113.1:45000", "203.0.113.178:53"]);

        let became = rig.arrive(wan, &from("203.0.113.178:53")).became;
        assert_eq!(became, Punted(PuntReason::Owned));
        let became = rig.arrive(wan, &from("203.0.113.178:54")).became;
        assert_eq!(became, Passed, "another remote's is the socket's");
    });
}
