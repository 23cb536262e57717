//! Things that go wrong in the life of a gateway, and must not go worse.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use masq_lab::{Deadline, LATER, Result, SOON, Topology, address, peer, wait_until};

use super::Scenario;
use super::bulk::{converse, last_peer, only_the_gateway_was_seen};
use super::datagrams::{PROMPT, throw};

pub(crate) fn a_connection_outlives_its_idle_timeout_or_not() -> Scenario {
    Scenario::new(Topology::new(), |lab, gateway| {
        // Two connections; then the idle timeout is made two seconds, for connections from here on.
        let setting = "net.netfilter.nf_conntrack_tcp_timeout_established";
        if !gateway.is_masq() {
            lab.gateway.namespace().set_sysctl(setting, "2")?;
        }
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        session.say("hello")?;
        let port = last_peer(&shell).port().to_string();
        assert!(gateway.flows()?.contains(&port), "the flow is listed");
        wait_until("the idle flow is no longer listed", LATER, || {
            gateway.flows().is_ok_and(|flows| !flows.contains(&port))
        })?;

        if gateway.is_masq() {
            // A segment in the middle of a connection that nobody knows opens nothing.
            session.say("still there?").unwrap_err();
        } else {
            // The kernel takes up connections in their middle (nf_conntrack_tcp_loose), and the
            // port is still free, so it goes on as if nothing had been.
            session.say("still there?")?;
        }
        // Either way, the next connection is like any other.
        converse(lab.workstation(), &shell)?;
        only_the_gateway_was_seen(lab, &shell.seen_addresses());
        Ok(())
    })
    .config("[timeouts]\ntcp-established = \"2s\"\n")
}

pub(crate) fn the_outside_address_changes() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        converse(lab.workstation(), &shell)?;
        lab.change_outside_address(Ipv4Addr::new(203, 0, 113, 77))?;
        wait_until("new connections use the new address", SOON, || {
            let again =
                lab.workstation().connect_within(shell.address(), PROMPT).and_then(peer::Shell::on);
            again.is_ok() && last_peer(&shell).ip() == lab.outside_address()
        })?;
        // From here on, nothing comes from the old one.
        converse(lab.workstation(), &shell)?;
        assert_eq!(last_peer(&shell).ip(), lab.outside_address());
        let ping = peer::ping(lab.workstation(), lab.server.address(), &["-c2", "-i", "0.1"])?;
        assert_eq!(ping.received, 2, "{}", ping.text);
        Ok(())
    })
}

pub(crate) fn a_cable_is_pulled_and_plugged_in_again() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        session.say("before")?;
        for cable in ["wan", "lan"] {
            lab.set_cable(cable, false)?;
            let lost = peer::ping(lab.workstation(), lab.server.address(), &["-c1"])?;
            assert_eq!(lost.received, 0, "{}", lost.text);
            lab.set_cable(cable, true)?;
            // TCP repeats what was lost, a second or two later.
            session.say("after")?;
        }
        assert_eq!(shell.seen().len(), 1, "it is still the same connection");
        Ok(())
    })
}

pub(crate) fn absent_hosts_delay_nobody() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, _gateway| {
        let echo = peer::udp_echo(&lab.server, 7)?;
        let patient = lab.workstations[1].udp(0)?;
        peer::udp_ask(&patient, echo.address(), b"before")?;

        // One host floods sixty addresses of the gateway's own outside network where nobody lives.
        let flood = lab.workstation().udp(0)?;
        flood.set_nonblocking(true).unwrap();
        let slowest = while_flooding(&flood, || {
            let clock = Deadline::after(SOON);
            peer::udp_ask(&patient, echo.address(), b"during")?;
            Ok(clock.elapsed())
        })?;
        assert!(slowest < PROMPT, "the slowest answer took {slowest:?}");
        assert_eq!(echo.seen().len(), 1 + ROUNDS, "no question had to be asked twice");
        only_the_gateway_was_seen(lab, &echo.seen_addresses());
        Ok(())
    })
}

const ROUNDS: usize = 100;

/// Between questions, a burst to each absent host. Returns the slowest answer.
fn while_flooding(
    flood: &std::net::UdpSocket,
    mut ask: impl FnMut() -> Result<Duration>,
) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        for host in 0..60 {
            for _ in 0..5 {
                throw(flood, SocketAddrV4::new(address::absent(host), 9), &[0; 1000]);
            }
        }
        slowest = slowest.max(ask()?);
    }
    Ok(slowest)
}

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

/// Packets of every kind that nobody should send, from the port of an echo service to a port in use and
/// the other way round. Header checksums are right except where that is the point.
fn malformed(from: Ipv4Addr, to: Ipv4Addr) -> Vec<Vec<u8>> {
    let udp = |length: u16| {
        let mut head = vec![0x9c, 0x40, 0, 7];
        head.extend(length.to_be_bytes());
        head.extend([0, 0, b'x', b'x']);
        head
    };
    let tcp = |offset: u8| {
        let mut head = vec![0x9c, 0x40, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, offset << 4, 2];
        head.extend([0xff, 0xff, 0, 0, 0, 0]);
        head
    };
    let whole = |protocol, payload: &[u8]| ipv4(from, to, protocol, payload);
    let changed = |at: usize, value: u8| {
        let mut packet = whole(17, &udp(10));
        packet[at] = value;
        checksum(&mut packet);
        packet
    };
    let mut packets = vec![
        changed(0, 0x55),                          // version 5
        changed(0, 0x44),                          // header of 16 octets
        changed(0, 0x4f),                          // header beyond the packet
        changed(3, 19),                            // total length less than the header
        changed(2, 0xff),                          // total length beyond the packet
        changed(8, 0),                             // no time to live
        whole(17, &udp(7)),                        // UDP length less than its header
        whole(17, &udp(0)),                        // UDP length zero
        whole(17, &udp(500)),                      // UDP length beyond the packet
        whole(17, &[0x9c, 0x40]),                  // half of the ports
        whole(17, &[]),                            // nothing at all
        whole(6, &tcp(4)),                         // TCP header of 16 octets
        whole(6, &tcp(15)),                        // TCP header beyond the packet
        whole(6, &tcp(5)[..10]),                   // TCP cut off
        whole(1, &[8, 0]),                         // ICMP cut off
        whole(1, &[8, 0, 0, 0, 0, 0, 0, 0]),       // bad ICMP checksum
        whole(1, &[3, 3, 0xfc, 0xfc, 0, 0, 0, 0]), // an error about nothing
        vec![0x45],
        Vec::from([0x45; 20]),
    ];
    // A wrong header checksum.
    let mut packet = whole(17, &udp(10));
    packet[10] ^= 0xff;
    packets.push(packet);
    // Options whose length is zero, or beyond their end.
    for length in [0, 1, 40] {
        let mut packet = whole(17, &udp(10));
        packet.splice(20..20, [7, length, 4, 0]);
        packet[0] = 0x46;
        packet[3] += 4;
        checksum(&mut packet);
        packets.push(packet);
    }
    // A fragment that would end beyond 64 KB, and a first fragment without whole ports.
    for (high, low, payload) in [(0x1f, 0xff, &udp(10)[..]), (0x20, 0, &[0x9c, 0x40])] {
        let mut packet = whole(17, payload);
        packet[6] = high;
        packet[7] = low;
        checksum(&mut packet);
        packets.push(packet);
    }
    // From itself to itself, from everybody, from nobody, from a group, from this host.
    let sources = [
        to,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(240, 0, 0, 1),
    ];
    packets.extend(sources.map(|source| ipv4(source, to, 17, &udp(10))));
    packets
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet[2..4].copy_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
    checksum(&mut packet);
    packet
}

/// The header checksum of what the first octet says is the header, as far as it is there.
fn checksum(packet: &mut [u8]) {
    let header = (usize::from(packet[0] & 0xf) * 4).clamp(20, packet.len());
    packet[10..12].fill(0);
    let words = packet[..header].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}
