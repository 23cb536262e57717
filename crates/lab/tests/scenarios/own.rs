//! The gateway is a host as well: it serves and it calls, beside what it translates.

use core::net::{IpAddr, SocketAddrV4};

use masq_lab::{Topology, address, peer};

use super::Scenario;
use super::bulk::{converse, last_peer, only_the_gateway_was_seen};

pub(crate) fn the_gateway_serves_both_sides() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let _shell = peer::shell_service(&lab.gateway, 22)?;
        let outside = SocketAddrV4::new(lab.outside_address(), 22);
        let inside = SocketAddrV4::new(address::GATEWAY_INSIDE, 22);

        let mut from_outside = peer::Shell::open(&lab.server, outside)?;
        let mut from_inside = peer::Shell::open(lab.workstation(), inside)?;
        // While the same ports are translated for others.
        let remote = peer::shell_service(&lab.server, 22)?;
        converse(lab.workstation(), &remote)?;
        let seen = from_outside.say("hello")?;
        assert!(seen.contains("you are 203.0.113.178:"), "{seen}");
        let seen = from_inside.say("hello")?;
        assert!(seen.contains("you are 192.168.1.3:"), "{seen}");
        // The outside address is the gateway's own from inside, too.
        let seen = peer::Shell::open(lab.workstation(), outside)?.say("hello")?;
        assert!(seen.contains("you are 192.168.1.3:"), "{seen}");

        let _echo = peer::udp_echo(&lab.gateway, 7)?;
        let asked = lab.server.udp(0)?;
        peer::udp_ask(&asked, SocketAddrV4::new(lab.outside_address(), 7), b"hello")?;
        let ping = peer::ping(&lab.server, lab.outside_address(), &["-c3", "-i", "0.01"])?;
        assert_eq!(ping.received, 3, "{}", ping.text);
        // Several fragments, which are the gateway's although nothing says so before the last.
        let ping = peer::ping(&lab.server, lab.outside_address(), &["-c2", "-s", "4000"])?;
        assert_eq!(ping.received, 2, "{}", ping.text);
        Ok(())
    })
}

pub(crate) fn the_gateway_calls_out() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let bulk = peer::TransferServer::start(&lab.server, 8888)?;
        let echo = peer::udp_echo(&lab.second, 7)?;
        bulk.upload(&lab.gateway, 2_000_000)?;
        bulk.download(&lab.gateway, 2_000_000)?;
        // The same port from the gateway and from behind it: both work, and are told apart.
        let (own, other) = (lab.gateway.udp(40000)?, lab.workstation().udp(40000)?);
        let mut ports = Vec::new();
        for socket in [&own, &other, &own, &other] {
            peer::udp_ask(socket, echo.address(), b"who am I?")?;
            ports.push(last_peer(&echo).port());
        }
        assert_eq!(ports[..2], ports[2..], "nobody's port changes");
        assert_eq!(ports[0], 40000, "a host's own port is what it says");
        assert_ne!(ports[0], ports[1]);
        only_the_gateway_was_seen(lab, &echo.seen_addresses());

        let ping = peer::ping(&lab.gateway, lab.server.address(), &["-c3", "-i", "0.01"])?;
        assert_eq!(ping.received, 3, "{}", ping.text);
        let hops = peer::traceroute(&lab.gateway, lab.server.address(), peer::Probe::Udp)?;
        assert_eq!(hops.len(), 3, "{hops:?}");
        assert_eq!(last_peer(&echo).ip(), IpAddr::V4(lab.outside_address()));
        Ok(())
    })
}
