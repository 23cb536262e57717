//! Things that go wrong in the life of a gateway, and must not go worse.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::thread;

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
        // A port outside the slice that the gateway keeps for itself, so that it is preserved.
        let stream = lab.workstation().connect_from(40_000, shell.address())?;
        let mut session = peer::Shell::on(stream)?;
        session.say("hello")?;
        let port = last_peer(&shell).port().to_string();
        assert!(gateway.flows()?.contains(&port), "the flow is listed");
        wait_until("the idle flow is no longer listed", LATER, || {
            gateway.flows().is_ok_and(|flows| !flows.contains(&port))
        })?;

        // Both take up connections in their middle, from inside (the kernel's
        // nf_conntrack_tcp_loose), and the port is still free: it goes on as if nothing had been.
        session.say("still there?")?;
        assert_eq!(last_peer(&shell).port().to_string(), port);
        // The next connection is like any other.
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
        let ask = || {
            let clock = Deadline::after(SOON);
            peer::udp_ask(&patient, echo.address(), b"how long?")?;
            Ok(clock.elapsed())
        };
        let calm = (0..100).map(|_| ask()).collect::<Result<Vec<_>>>()?;

        // One host floods sixty addresses of the gateway's own outside network where nobody lives,
        // for longer than it takes to find out that they do not.
        let flood = lab.workstation().udp(0)?;
        flood.set_nonblocking(true).unwrap();
        let over = AtomicBool::new(false);
        let flooded = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for host in 0..60 {
                        for _ in 0..5 {
                            throw(&flood, SocketAddrV4::new(address::absent(host), 9), &[0; 1000]);
                        }
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let deadline = Deadline::after(FLOOD);
            let mut flooded = Vec::new();
            let outcome = loop {
                match ask() {
                    Ok(time) => flooded.push(time),
                    Err(error) => break Err(error),
                }
                if deadline.left().is_none() {
                    break Ok(flooded);
                }
                thread::sleep(Duration::from_millis(2));
            };
            over.store(true, Ordering::Relaxed);
            outcome
        })?;
        assert_eq!(echo.seen().len(), calm.len() + flooded.len(), "no question was asked twice");
        let asked = lab.outside.packets(|packet| packet.incoming && packet.ethertype == ARP);
        assert!(!asked.is_empty(), "the flood came as far as the neighbours that are not there");
        let (calm, flooded) = (Times::of(calm), Times::of(flooded));
        assert!(flooded.slowest < PROMPT, "{flooded:?} during the flood, {calm:?} before");
        let usual = calm.median * 5 + Duration::from_millis(10);
        assert!(flooded.median < usual, "{flooded:?} during the flood, {calm:?} before");
        only_the_gateway_was_seen(lab, &echo.seen_addresses());
        Ok(())
    })
}

/// The kernel asks for a neighbour three times, a second apart.
const FLOOD: Duration = Duration::from_secs(4);

const ARP: u16 = 0x0806;

/// How long answers took.
#[derive(Debug)]
struct Times {
    median: Duration,
    slowest: Duration,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { median: times[times.len() / 2], slowest: times[times.len() - 1] }
    }
}
