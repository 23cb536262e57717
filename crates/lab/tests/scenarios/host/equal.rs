//! What the host and an inside host both want: the same port, identifier or protocol, towards the same remote.
//! The host has it, whoever came first. The inside host gets another, where there are others.

use core::net::SocketAddr;

use masq_lab::{Gateway, Result, Topology, peer, wait_until};

use super::portless::{Portless, exchange};
use super::steps::{
    Outcome, all_well, asks_on, converses, converses_from, dropped, is, patience, pings, told,
};
use crate::Scenario;
use crate::bulk::{last_peer, only_the_gateway_was_seen};

pub(crate) fn a_tunnel_of_the_host_keeps_its_packets() -> Scenario {
    Scenario::new(Topology::new(), |lab, gateway| {
        let ends = [lab.outside_address(), lab.server.address()];
        let mut found: Vec<(String, Outcome)> = Vec::new();
        for (protocol, inside_first) in [(47, false), (99, false), (47 + 64, true), (99 + 64, true)]
        {
            // The kernel drops what the host sends where an inside host was first.
            if inside_first && !gateway.is_masq() {
                continue;
            }
            let [near, far, inside] = [&lab.gateway, &lab.server, lab.workstation()]
                .map(|host| Portless::open(host, protocol));
            let tunnel = [&near, &far];
            let told =
                |what: &str| format!("protocol {protocol}, inside first: {inside_first}: {what}");
            if !inside_first {
                found.push((told("begins"), all(exchange(tunnel, ends, 20), 20)));
            }
            let before = if gateway.is_masq() { dropped(gateway) } else { 0 };
            inside.send(lab.server.address(), b"from inside");
            if inside_first {
                let came = || !far.arrived().is_empty();
                wait_until("the inside host's packet has arrived", patience(), came)?;
                near.send(lab.server.address(), b"from the host");
            } else if gateway.is_masq() {
                let refused = wait_until("it is counted", patience(), || dropped(gateway) > before);
                found.push((told("refused by name"), refused.map_err(super::steps::told)));
            }
            found.push((told("carried"), all(exchange(tunnel, ends, 100), 100)));
            inside.send(lab.server.address(), b"from inside");
            found.push((told("carried still"), all(exchange(tunnel, ends, 100), 100)));
            let stolen = inside.arrived().len();
            found.push((told("nothing goes inside"), is(stolen, 0)));
            if let Some(daemon) = gateway.daemon_mut() {
                daemon.kill()?;
                inside.send(lab.server.address(), b"from inside");
                found.push((told("carried when killed"), all(exchange(tunnel, ends, 100), 100)));
                found.push((told("nothing inside when killed"), is(inside.arrived().len(), 0)));
                daemon.restart()?;
                found.push((told("carried after"), all(exchange(tunnel, ends, 100), 100)));
            }
        }
        // A protocol that an inside host has when the daemon is killed.
        if let Some(daemon) = gateway.daemon_mut() {
            let [near, far, inside] = [&lab.gateway, &lab.server, lab.workstation()]
                .map(|host| Portless::open(host, 222));
            inside.send(lab.server.address(), b"from inside");
            let came = || !far.arrived().is_empty();
            wait_until("the inside host's packet has arrived", patience(), came)?;
            daemon.kill()?;
            near.send(lab.server.address(), b"from the host");
            let carried = all(exchange([&near, &far], ends, 100), 100);
            found.push(("begun when killed".to_owned(), carried));
            daemon.restart()?;
            let carried = all(exchange([&near, &far], ends, 100), 100);
            found.push(("begun when killed, after".to_owned(), carried));
        }
        all_well(found);
        Ok(())
    })
}

fn all(arrived: [usize; 2], wanted: usize) -> Outcome {
    is(arrived, [wanted; 2])
}

pub(crate) fn a_ping_of_the_host_is_answered_to_it() -> Scenario {
    Scenario::new(Topology::new(), |lab, gateway| {
        let remote = lab.server.address();
        let (host, inside) = (&lab.gateway, lab.workstation());
        let five = |identifier| ["-c5", "-e", identifier];
        let mut found: Vec<(String, Outcome)> = vec![
            ("inside first".to_owned(), pings(inside, remote, &five("4711"))),
            ("then the host".to_owned(), pings(host, remote, &five("4711"))),
            ("then inside again".to_owned(), pings(inside, remote, &five("4711"))),
            ("and the host again".to_owned(), pings(host, remote, &five("4711"))),
            ("the host first".to_owned(), pings(host, remote, &five("4712"))),
            ("then inside".to_owned(), pings(inside, remote, &five("4712"))),
            ("then the host again".to_owned(), pings(host, remote, &five("4712"))),
            ("the host, fragments".to_owned(), pings(host, remote, &["-e", "4711", "-s", "3000"])),
        ];
        found.push(("both at once, for long".to_owned(), {
            let long = ["-c50", "-i", "0.02", "-e", "4713"];
            std::thread::scope(|scope| {
                let beside = scope.spawn(|| pings(inside, remote, &long));
                pings(host, remote, &long)?;
                // The kernel may drop one where first packets race for an identifier.
                let beside = beside.join().expect("the thread does not panic");
                if gateway.is_masq() { beside } else { Ok(()) }
            })
        }));
        if let Some(daemon) = gateway.daemon_mut() {
            found.push(("inside, once more".to_owned(), pings(inside, remote, &five("4714"))));
            daemon.kill()?;
            for identifier in ["4711", "4712", "4714"] {
                let what = format!("the host when killed, by {identifier}");
                found.push((what, pings(host, remote, &five(identifier))));
            }
            daemon.restart()?;
            found.push(("the host after".to_owned(), pings(host, remote, &five("4711"))));
            found.push(("inside after".to_owned(), pings(inside, remote, &five("4711"))));
        }
        all_well(found);
        Ok(())
    })
}

pub(crate) fn a_udp_port_that_the_host_takes_is_its_own() -> Scenario {
    Scenario::new(Topology::new(), |lab, gateway| {
        let echo = peer::udp_echo(&lab.server, 7)?;
        let mut found: Vec<(String, Outcome)> = Vec::new();
        for (port, inside_first) in [(40_123, true), (40_124, false)] {
            let told = |what: &str| format!("inside first: {inside_first}: {what}");
            let inside = lab.workstation().udp(port)?;
            let three = |socket| (0..3).try_for_each(|_| asks_on(socket, echo.address(), 30));
            if inside_first {
                found.push((told("inside"), three(&inside)));
            }
            let own = lab.gateway.udp(port)?;
            found.push((told("the host"), three(&own)));
            found.push((told("the host's port"), its_own(gateway, last_peer(&echo), port)));
            found.push((told("inside, beside it"), three(&inside)));
            found.push((told("two ports"), another(gateway, last_peer(&echo), port)));
            found.push((told("the host again"), three(&own)));
            found.push((told("large ones"), asks_on(&own, echo.address(), 3000)));
            found.push((told("large ones, inside"), asks_on(&inside, echo.address(), 3000)));
            if let Some(daemon) = gateway.daemon_mut() {
                daemon.kill()?;
                found.push((told("the host when killed"), three(&own)));
                daemon.restart()?;
                found.push((told("the host after"), three(&own)));
                found.push((told("inside after"), three(&inside)));
            }
        }
        // A port that an inside host has when the daemon is killed, and that the host takes then.
        if let Some(daemon) = gateway.daemon_mut() {
            let inside = lab.workstation().udp(40_125)?;
            asks_on(&inside, echo.address(), 30).expect("a session begins");
            daemon.kill()?;
            let own = lab.gateway.udp(40_125)?;
            found.push(("taken when killed".to_owned(), asks_on(&own, echo.address(), 30)));
            daemon.restart()?;
            found.push(("taken, after".to_owned(), asks_on(&own, echo.address(), 30)));
            found.push(("taken, inside after".to_owned(), asks_on(&inside, echo.address(), 30)));
        }
        // A resolver, which asks each question from another port, while somebody inside has them all.
        let inside: Vec<_> =
            (43_000..43_020).map(|port| lab.workstation().udp(port)).collect::<Result<_>>()?;
        for socket in &inside {
            found.push(("inside".to_owned(), asks_on(socket, echo.address(), 30)));
        }
        for port in 43_000..43_020 {
            let own = lab.gateway.udp(port)?;
            found.push((format!("a question from {port}"), asks_on(&own, echo.address(), 30)));
        }
        for socket in &inside {
            found.push(("inside, afterwards".to_owned(), asks_on(socket, echo.address(), 30)));
        }
        only_the_gateway_was_seen(lab, &echo.seen_addresses());
        all_well(found);
        Ok(())
    })
}

/// The host sends from the port that it says; the kernel's masquerade may have moved it.
fn its_own(gateway: &Gateway, seen: SocketAddr, port: u16) -> Outcome {
    if gateway.is_masq() { is(seen.port(), port) } else { Ok(()) }
}

fn another(gateway: &Gateway, seen: SocketAddr, port: u16) -> Outcome {
    if gateway.is_masq() && seen.port() == port {
        return Err(format!("an inside host was seen with the host's port {port}"));
    }
    Ok(())
}

pub(crate) fn a_tcp_port_that_the_host_takes_is_its_own() -> Scenario {
    Scenario::new(Topology::new(), |lab, gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let (host, inside) = (&lab.gateway, lab.workstation());
        let mut found: Vec<(String, Outcome)> = Vec::new();

        // The host first: both work, and stay what they are.
        let mut own = peer::Shell::on(host.connect_from(40_201, shell.address())?)?;
        let mut other = peer::Shell::on(inside.connect_from(40_201, shell.address())?)?;
        for (what, session) in [("the host first", &mut own), ("then inside", &mut other)] {
            found.push((what.to_owned(), session.say("hello").map(drop).map_err(told)));
        }
        found.push(("the host again".to_owned(), own.say("hello").map(drop).map_err(told)));

        // Inside first: a connection cannot change its port, so the inside host's may end. The host's begins.
        let mut other = peer::Shell::on(inside.connect_from(40_202, shell.address())?)?;
        other.say("hello")?;
        found.push(("then the host".to_owned(), converses_from(host, 40_202, shell.address())));
        found.push(("a new one inside".to_owned(), converses(inside, shell.address())));

        if let Some(daemon) = gateway.daemon_mut() {
            let mut other = peer::Shell::on(inside.connect_from(40_203, shell.address())?)?;
            other.say("hello")?;
            daemon.kill()?;
            found.push(("the first, killed".to_owned(), own.say("hello").map(drop).map_err(told)));
            found.push((
                "the host's, killed".to_owned(),
                converses_from(host, 40_203, shell.address()),
            ));
            daemon.restart()?;
            found.push(("the first, after".to_owned(), own.say("hello").map(drop).map_err(told)));
        }
        only_the_gateway_was_seen(lab, &shell.seen_addresses());
        all_well(found);
        Ok(())
    })
}
