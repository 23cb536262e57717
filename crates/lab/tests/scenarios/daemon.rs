//! What only a daemon has: a life of its own, a configuration, and a way to be removed.

use core::net::SocketAddrV4;

use masq_lab::{
    Daemon, Deadline, Gateway, LATER, Lab, MasqOptions, Result, SOON, Topology, masq_binary, peer,
    wait_until,
};

use super::bulk::{converse, last_peer, only_the_gateway_was_seen};
use super::datagrams::PROMPT;
use super::packets::malformed;
use super::refused::traces;
use super::{Nat, Scenario, check, in_lab, skip_without_program};

#[test]
fn stopping_fails_closed_and_restarting_costs_no_connection() {
    play("stopping", None, |lab, gateway| survives(lab, gateway, Daemon::stop));
}

#[test]
fn a_crash_fails_closed_and_restarting_costs_no_connection() {
    play("crash", None, |lab, gateway| survives(lab, gateway, Daemon::kill));
}

#[test]
fn a_crash_with_sessions_in_the_programs_fails_closed_for_all_others() {
    for nat in [Nat::MasqOnTc, Nat::MasqOnXdp] {
        play_with(nat, "crash_fast", None, |lab, gateway| survives(lab, gateway, Daemon::kill));
    }
}

/// A connection, a daemon that ends, nothing that passes, a daemon that starts: the same connection.
fn survives<T>(
    lab: &Lab,
    gateway: &mut Gateway,
    end: impl FnOnce(&mut Daemon) -> Result<T>,
) -> Result<()> {
    let shell = peer::shell_service(&lab.server, 22)?;
    let own = peer::shell_service(&lab.gateway, 22)?;
    let echo = peer::udp_echo(&lab.second, 7)?;
    let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
    let asking = lab.workstation().udp(0)?;
    peer::udp_ask(&asking, echo.address(), b"before")?;
    let port = last_peer(&echo);

    let daemon = daemon(gateway);
    end(daemon)?;
    lab.workstation().connect_within(shell.address(), PROMPT).unwrap_err();
    let lost = peer::ping(lab.workstation(), lab.server.address(), &["-c1"])?;
    assert_eq!(lost.received, 0, "new flows are refused: {}", lost.text);
    // The gateway itself is as reachable as ever.
    let outside = SocketAddrV4::new(lab.outside_address(), own.address().port());
    peer::Shell::open(&lab.server, outside)?.say("hello")?;

    daemon.restart()?;
    session.say("after")?;
    peer::udp_ask(&asking, echo.address(), b"after")?;
    assert_eq!(last_peer(&echo), port, "the mapping is the same");
    converse(lab.workstation(), &shell)?;
    only_the_gateway_was_seen(lab, &shell.seen_addresses());
    Ok(())
}

#[test]
fn detaching_removes_every_trace() {
    let Some(binary) = masq_binary() else { return skip_without_program() };
    in_lab("daemon::detaching_removes_every_trace", &Topology::new(), |lab| {
        let before = traces(lab)?;
        let mut gateway = Gateway::masq(lab, &MasqOptions::new(binary.clone()))?;
        let echo = peer::udp_echo(&lab.server, 7)?;
        peer::udp_ask(&lab.workstation().udp(0)?, echo.address(), b"hello")?;
        let daemon = daemon(&mut gateway);
        daemon.stop()?;
        assert_ne!(traces(lab)?, before, "programs and table stay when the daemon stops");
        daemon.ask(&["detach"])?;
        assert_eq!(traces(lab)?, before);
        lab.outside.check_leaks()?;

        // Nothing is in the way of another gateway, the kernel's own.
        let _kernel = Gateway::kernel(lab)?;
        peer::udp_ask(&lab.workstation().udp(0)?, echo.address(), b"hello")?;
        Ok(())
    });
}

#[test]
fn a_daemon_that_cannot_go_on_ends_closed_and_says_so() {
    let Some(binary) = masq_binary() else { return skip_without_program() };
    in_lab("daemon::cannot_go_on", &Topology::new(), |lab| {
        let mut gateway = Gateway::masq(lab, &MasqOptions::new(binary.clone()))?;
        let shell = peer::shell_service(&lab.server, 22)?;
        converse(lab.workstation(), &shell)?;
        lab.gateway.namespace().set_sysctl("net.ipv4.ip_forward", "1")?;
        lab.gateway.ip(&["link del masq0-lab".to_owned()])?;
        let daemon = daemon(&mut gateway);
        let status = daemon.process().expect("it was started").wait(SOON)?;
        assert_eq!(status.code(), Some(1), "a service manager is told that it failed");
        assert!(daemon.log().contains("the punt port is gone"), "{}", daemon.log());
        lab.workstation().connect_within(shell.address(), PROMPT).unwrap_err();
        daemon.restart()?;
        converse(lab.workstation(), &shell)?;
        only_the_gateway_was_seen(lab, &shell.seen_addresses());
        lab.outside.check_leaks()
    });
}

#[test]
fn an_outside_without_an_address_asks_for_nobody() {
    // Whatever the kernel says on such a link, it says in the name of an inside address.
    play("without_address", None, |lab, _gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        for _ in 0..3 {
            session.say("before")?;
            lab.gateway.ip(&[
                "addr flush dev wan".to_owned(),
                // A route that needs no address.
                format!("route replace default via {} dev wan onlink", masq_lab::address::ISP),
            ])?;
            let lost = peer::ping(lab.workstation(), lab.server.address(), &["-c2", "-i", "0.3"])?;
            assert_eq!(lost.received, 0, "{}", lost.text);
            lab.outside.check_leaks()?;
            lab.change_outside_address(lab.outside_address())?;
            // The line has its address back, and nothing has to time out first.
            let clock = Deadline::after(LATER);
            session.say("after")?;
            assert!(clock.elapsed() < SOON.allowed(), "it took {:?}", clock.elapsed());
        }
        assert_eq!(shell.seen().len(), 1, "it is still the same connection");
        Ok(())
    });
}

#[test]
fn malformed_packets_are_counted_by_reason() {
    play("malformed_counted", None, |lab, gateway| {
        let port = lab.workstation().raw_port("eth0", masq_lab::address::GATEWAY_INSIDE)?;
        let before = drops(gateway).len();
        for packet in malformed(lab.workstation().address(), lab.server.address()) {
            port.send(&packet)?;
        }
        // What is no IPv4 header at all may be dropped by the kernel before anybody is asked.
        wait_until("at least ten reasons are counted", SOON, || drops(gateway).len() >= before + 10)
    });
}

#[test]
fn the_outside_interface_may_be_replaced() {
    play("replaced", None, |lab, _gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        lab.outside.check_leaks()?;
        let capture = lab.replace_outside_interface()?;
        wait_until("new connections get out", LATER, || {
            let again = lab.workstation().connect_within(shell.address(), PROMPT);
            again.and_then(peer::Shell::on).is_ok()
        })?;
        session.say("still the same connection")?;
        only_the_gateway_was_seen(lab, &shell.seen_addresses());
        capture.check_leaks()
    });
}

#[test]
fn an_interface_may_be_renamed_and_named_back_faster_than_news_of_it_are_read() {
    play("renamed", None, |lab, _gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        // What comes for a connection while no side has its interface is the host's to refuse.
        wait_until("nobody has anything to say", SOON, || shell.is_quiet())?;
        for (from, to) in [("wan", "uplink"), ("uplink", "wan")].repeat(20) {
            lab.gateway.ip(&[
                format!("link set {from} down"),
                format!("link set {from} name {to}"),
                format!("link set {to} up"),
                format!("route replace default via {} dev {to}", masq_lab::address::ISP),
            ])?;
        }
        wait_until("new connections get out", LATER, || {
            let again = lab.workstation().connect_within(shell.address(), PROMPT);
            again.and_then(peer::Shell::on).is_ok()
        })?;
        session.say("still the same connection")?;
        Ok(())
    });
}

#[test]
fn inside_hosts_reach_each_other_by_outside_endpoints() {
    // RFC 4787, REQ-9: with the outside endpoint as source.
    let config = "[nat]\nfiltering = 'endpoint-independent'\n";
    play("hairpin", Some(config), |lab, _gateway| {
        let rendezvous = peer::udp_echo(&lab.server, 7)?;
        let [first, second] = [lab.workstations[0].udp(0)?, lab.workstations[1].udp(0)?];
        let mut outside = Vec::new();
        for socket in [&first, &second] {
            peer::udp_ask(socket, rendezvous.address(), b"who am I?")?;
            outside.push(last_peer(&rendezvous));
        }
        for size in [5, 4000] {
            let mut heard = vec![0; 65536];
            first.send_to(&vec![7; size], outside[1]).unwrap();
            assert_eq!(peer::udp_receive(&second, &mut heard)?, (size, outside[0]));
            second.send_to(&vec![8; size], outside[0]).unwrap();
            assert_eq!(peer::udp_receive(&first, &mut heard)?, (size, outside[1]));
        }
        // And strangers are welcome.
        lab.second.udp(0)?.send_to(b"hello", outside[0]).unwrap();
        assert_eq!(peer::udp_receive(&first, &mut [0; 16])?.0, 5);
        Ok(())
    });
}

#[test]
fn reloading_changes_what_comes_after() {
    let config = "[timeouts]\nudp = '5m'\n";
    play("reload", Some(config), |lab, gateway| {
        let echo = peer::udp_echo(&lab.server, 7)?;
        let socket = lab.workstation().udp(0)?;
        peer::udp_ask(&socket, echo.address(), b"before")?;
        let port = last_peer(&echo);
        let daemon = daemon(gateway);
        daemon.write_config("[nat]\nfiltering = 'endpoint-independent'\n")?;
        daemon.ask(&["reload"])?;
        peer::udp_ask(&socket, echo.address(), b"after")?;
        assert_eq!(last_peer(&echo), port, "the mapping stays");
        lab.second.udp(0)?.send_to(b"hello", port).unwrap();
        assert_eq!(peer::udp_receive(&socket, &mut [0; 16])?.0, 5, "strangers are let in");
        Ok(())
    });
}

/// Plays with a daemon in a lab of two workstations.
pub(crate) fn play(
    name: &str,
    config: Option<&'static str>,
    run: fn(&Lab, &mut Gateway) -> Result<()>,
) {
    play_with(Nat::Masq, name, config, run);
}

/// The same with one that carries established sessions otherwise.
pub(crate) fn play_with(
    nat: Nat,
    name: &str,
    config: Option<&'static str>,
    run: fn(&Lab, &mut Gateway) -> Result<()>,
) {
    let scenario = Scenario::new(Topology::new().workstations(2), run);
    let scenario = match config {
        Some(config) => scenario.config(config),
        None => scenario,
    };
    check(nat, true, &format!("daemon::{name}"), scenario);
}

/// A lab in which no daemon runs, and the program's path.
pub(crate) fn in_masq_lab(name: &str, run: impl FnOnce(&Lab, &str) -> Result<()>) {
    let Some(binary) = masq_binary() else { return skip_without_program() };
    let name = format!("daemon::{name}");
    in_lab(&name, &Topology::new(), |lab| run(lab, &binary.to_string_lossy()));
}

pub(crate) fn daemon(gateway: &mut Gateway) -> &mut Daemon {
    gateway.daemon_mut().expect("this gateway is a daemon")
}

/// The reasons for which something was dropped.
fn drops(gateway: &Gateway) -> Vec<String> {
    let daemon = gateway.daemon().expect("this gateway is a daemon");
    let stats = daemon.ask(&["stats", "--json"]).unwrap();
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    let reasons = stats["drops"].as_array().into_iter().flatten();
    reasons.filter_map(|drop| drop["reason"].as_str().map(str::to_owned)).collect()
}
