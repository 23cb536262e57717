//! UDP of every size, and protocols without ports.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeSet;
use std::io::ErrorKind;

use masq_lab::{Host, Lab, Result, SOON, Topology, Uplink, peer, wait_for};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::Scenario;
use super::bulk::{last_peer, only_the_gateway_was_seen};

pub(crate) fn udp_is_echoed() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, _gateway| {
        echoes(lab, lab.workstation())?;
        echoes(lab, &lab.workstations[1])
    })
}

/// Datagrams of many sizes from many sockets come back as they were sent.
pub(crate) fn echoes(lab: &Lab, client: &Host) -> Result<()> {
    let services = [peer::udp_echo(&lab.server, 7)?, peer::udp_echo(&lab.second, 7)?];
    let mut ports = BTreeSet::new();
    // They stay open to the end, so that none has the port of one before.
    let mut sockets = Vec::new();
    for size in [0, 1, 2, 3, 100, 511, 512, 1000, 1471, 1472] {
        let socket = client.udp(0)?;
        for service in &services {
            let question = pattern(size);
            let answer = peer::udp_ask(&socket, service.address(), &question)?;
            assert!(answer == question, "{size} octets come back as they were");
        }
        // RFC 4787, REQ-1: one socket is one outside port, whatever it speaks to. The kernel does
        // that too as long as the port is free.
        assert_eq!(last_peer(&services[0]).port(), last_peer(&services[1]).port());
        ports.insert(last_peer(&services[0]).port());
        sockets.push(socket);
    }
    assert_eq!(ports.len(), sockets.len(), "different sockets have different outside ports");
    Ok(())
}

pub(crate) fn sixty_kb_datagrams_go_both_ways() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| large_datagrams(lab))
}

pub(crate) fn sixty_kb_datagrams_cross_a_small_link() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        lab.set_transit_mtu(1280)?;
        large_datagrams(lab)
    })
}

pub(crate) fn datagrams_cross_a_tun_uplink() -> Scenario {
    Scenario::new(Topology::new().uplink(Uplink::Tun), |lab, _gateway| {
        echoes(lab, lab.workstation())?;
        large_datagrams(lab)
    })
}

fn large_datagrams(lab: &Lab) -> Result<()> {
    let echo = peer::udp_echo(&lab.server, 7)?;
    let socket = lab.workstation().udp(0)?;
    for size in [1473, 2000, 2952, 8000, 60_000, 65_507] {
        let question = pattern(size);
        let answer = peer::udp_ask(&socket, echo.address(), &question)?;
        assert!(answer == question, "{size} octets come back as they were");
    }
    only_the_gateway_was_seen(lab, &echo.seen_addresses());
    Ok(())
}

pub(crate) fn names_resolve_and_pages_load() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let client = lab.workstation();
        let names = [("www.example.net", lab.server.address())];
        let name_server = peer::NameServer::start(&lab.second, &names)?;
        let web = peer::HttpServer::start(&lab.server, 8888)?;
        let found = peer::resolve(client, name_server.address(), "www.example.net")?;
        let site = SocketAddrV4::new(found, 8888);
        let page = peer::http_get(client, site, "/whoami")?;
        let seen = page.text();
        assert!(seen.starts_with(&format!("{}:", lab.outside_address())), "{seen}");
        let file = peer::http_get(client, site, "/file/1000000")?;
        assert_eq!(file.announced_hash, Some(file.hash()));
        assert_eq!(web.visits().len(), 2);
        only_the_gateway_was_seen(lab, &name_server.service().seen_addresses());
        Ok(())
    })
}

pub(crate) fn strangers_are_not_let_in() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let echo = peer::udp_echo(&lab.server, 7)?;
        let socket = lab.workstation().udp(0)?;
        peer::udp_ask(&socket, echo.address(), b"open")?;
        let outside = last_peer(&echo);

        // Another host, and the same host from another port (address-and-port-dependent filtering).
        for stranger in [&lab.second, &lab.server] {
            stranger.udp(0)?.send_to(b"let me in", outside).unwrap();
        }
        // What was let in would come before the answer.
        for _ in 0..3 {
            let answer = peer::udp_ask(&socket, echo.address(), b"still here")?;
            assert_eq!(answer, b"still here");
        }
        assert_eq!(last_peer(&echo), outside, "strangers change nothing");
        only_the_gateway_was_seen(lab, &echo.seen_addresses());
        Ok(())
    })
}

pub(crate) fn an_unknown_protocol_is_carried() -> Scenario {
    // Protocol 253 is for experiments (RFC 3692); both gateways map it by address alone.
    Scenario::new(Topology::new(), |lab, _gateway| {
        let open = |host: &Host| {
            host.run(|| {
                let protocol = core::num::NonZero::new(253).map(rustix::net::Protocol::from_raw);
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                rustix::net::socket_with(AddressFamily::INET, SocketType::RAW, flags, protocol)
                    .unwrap()
            })
        };
        let (inside, remote) = (open(lab.workstation()), open(&lab.server));
        let send = |socket: &_, to: Ipv4Addr, what: &[u8]| {
            let to = SocketAddrV4::new(to, 0);
            rustix::net::sendto(socket, what, SendFlags::empty(), &to).unwrap();
        };
        // A raw socket receives the IP header too.
        let receive = |socket: &_, what: &[u8]| {
            wait_for("the packet arrives", SOON, || {
                let mut packet = [0; 100];
                let (_, length) =
                    rustix::net::recv(socket, &mut packet, RecvFlags::empty()).ok()?;
                assert_eq!(&packet[20..length], what);
                Some(Ipv4Addr::from(packet[12..].first_chunk::<4>().copied()?))
            })
        };
        send(&inside, lab.server.address(), b"there");
        let seen = receive(&remote, b"there")?;
        assert_eq!(seen, lab.outside_address());
        send(&remote, seen, b"and back");
        assert_eq!(receive(&inside, b"and back")?, lab.server.address());
        Ok(())
    })
}

/// Sends without waiting for an answer; a full queue or an error about an earlier one is no matter.
pub(crate) fn throw(socket: &std::net::UdpSocket, to: SocketAddrV4, what: &[u8]) {
    match socket.send_to(what, to) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => {
            let _ = socket.take_error();
        }
    }
}

/// How long a single question may take when nothing is wrong.
pub(crate) const PROMPT: Duration = Duration::from_millis(500);

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}
