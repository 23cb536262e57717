//! Packets that must not pass: malformed, spoofed, foreign, or sent to where nobody asked for them.

use core::net::Ipv4Addr;

use masq_lab::{Lab, Result, Topology, address, peer};

use super::Scenario;
use super::bulk::{last_peer, only_the_gateway_was_seen};
use super::packets::{malformed, udp};

pub(crate) fn malformed_packets_stop_nothing() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, _gateway| {
        let echo = peer::udp_echo(&lab.server, 7)?;
        let socket = lab.workstation().udp(40000)?;
        peer::udp_ask(&socket, echo.address(), b"before")?;
        let inside = lab.workstations[1].raw_port("eth0", address::GATEWAY_INSIDE)?;
        let (isp, _) = lab.routers.as_ref().expect("this lab has routers");
        let outside = isp.raw_port("access", lab.outside_address())?;
        let here = lab.workstations[1].address();
        let there = lab.server.address();
        for packet in malformed(here, there) {
            inside.send(&packet)?;
        }
        for packet in malformed(there, lab.outside_address()) {
            outside.send(&packet)?;
        }
        // Neither did they arrive nor did they harm.
        assert_eq!(peer::udp_ask(&socket, echo.address(), b"after")?, b"after");
        assert_eq!(last_peer(&echo).port(), 40000);
        assert_eq!(echo.seen().len(), 2);
        only_the_gateway_was_seen(lab, &echo.seen_addresses());
        Ok(())
    })
}

pub(crate) fn foreign_frames_are_left_alone() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, _gateway| {
        let laptop = &lab.workstations[1];
        let port = laptop.raw_port("eth0", address::GATEWAY_INSIDE)?;
        let packet = udp((laptop.address(), 40000), (lab.server.address(), 7), b"foreign");
        only_the_last_arrives(lab, || {
            // For a VLAN that the gateway has nothing to do with, and for another station.
            port.send_as(0x8100, &[&[0, 5, 8, 0], &packet[..]].concat())?;
            port.send_to([2, 0, 0, 0, 0, 1], 0x0800, &packet)?;
            // Neither unicast nor for the gateway: a frame to everybody with a packet to one.
            port.send_to([0xff; 6], 0x0800, &packet)
        })
    })
}

pub(crate) fn spoofed_sources_do_not_leave() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, _gateway| {
        let port = lab.workstations[1].raw_port("eth0", address::GATEWAY_INSIDE)?;
        let sources = [
            Ipv4Addr::new(10, 1, 2, 3),
            Ipv4Addr::new(192, 168, 77, 3),
            lab.second.address(),
            lab.outside_address(),
            address::ISP,
            Ipv4Addr::LOCALHOST,
        ];
        only_the_last_arrives(lab, || {
            sources.iter().try_for_each(|source| {
                port.send(&udp((*source, 40000), (lab.server.address(), 7), b"spoofed"))
            })
        })
    })
}

pub(crate) fn inside_addresses_are_not_reachable_from_outside() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let echo = peer::udp_echo(lab.workstation(), 7)?;
        let shell = peer::shell_service(lab.workstation(), 22)?;
        let (isp, _) = lab.routers.as_ref().expect("this lab has routers");
        isp.ip(&[format!("route add 192.168.1.0/24 via {}", lab.outside_address())])?;
        let inside = (lab.workstation().address(), 7);
        let port = isp.raw_port("access", lab.outside_address())?;
        for _ in 0..3 {
            port.send(&udp((lab.server.address(), 7), inside, b"knock"))?;
            // From an address that is inside itself: a spoofed one.
            port.send(&udp((Ipv4Addr::new(192, 168, 1, 200), 7), inside, b"knock"))?;
        }
        let knock = isp.connect_within(shell.address(), core::time::Duration::from_millis(300));
        assert!(knock.is_err(), "no connection comes in by an inside address");
        assert_eq!((echo.seen().len(), shell.seen().len()), (0, 0));
        Ok(())
    })
}

/// Sends what must not arrive, then from the same host what must; only that may have arrived.
fn only_the_last_arrives(lab: &Lab, send: impl Fn() -> Result<()>) -> Result<()> {
    let echo = peer::udp_echo(&lab.server, 7)?;
    let socket = lab.workstations[1].udp(0)?;
    for round in 1..=3 {
        send()?;
        // On one path packets do not overtake each other.
        peer::udp_ask(&socket, echo.address(), b"proper")?;
        assert_eq!(echo.seen().len(), round, "the server saw something else: {:?}", echo.seen());
    }
    only_the_gateway_was_seen(lab, &echo.seen_addresses());
    Ok(())
}
