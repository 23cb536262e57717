//! What only a daemon has: a life of its own, a configuration, and a way to be removed.

use core::net::SocketAddrV4;
use std::fs;

use masq_lab::{
    Daemon, Gateway, LATER, Lab, MasqOptions, Output, Result, SOON, Topology, masq_binary, peer,
    wait_until,
};

use super::bulk::{converse, last_peer, only_the_gateway_was_seen};
use super::datagrams::PROMPT;
use super::packets::malformed;
use super::{Nat, Scenario, check, in_lab};

#[test]
fn stopping_fails_closed_and_restarting_costs_no_connection() {
    play("stopping", None, |lab, gateway| survives(lab, gateway, Daemon::stop));
}

#[test]
fn a_crash_fails_closed_and_restarting_costs_no_connection() {
    play("crash", None, |lab, gateway| survives(lab, gateway, Daemon::kill));
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
fn what_cannot_start_says_why_and_leaves_nothing() {
    let config = "/run/wrong.toml";
    let cases = [
        ("unknown interface", "", &["--inside", "lan", "--outside", "nosuch"][..], "nosuch"),
        ("one interface for both", "", &["--inside", "wan", "--outside", "wan"], "wan"),
        ("malformed file", "[nat\n", &["--config", config], "wrong.toml:1"),
        ("unknown key", "[nat]\nmaping = 'x'\n", &["--config", config], "mapping"),
        ("no outside", "[[inside]]\ninterface = 'lan'\n", &["--config", config], "outside"),
        ("missing file", "", &["--config", "/run/nosuch.toml"], "/run/nosuch.toml"),
        ("bad name", "", &["--instance", "../x", "--inside", "lan", "--outside", "wan"], "../x"),
    ];
    in_masq_lab("what_cannot_start", |lab, program| {
        let before = traces(lab)?;
        for (what, text, arguments, expected) in cases {
            lab.gateway.run(|| fs::write(config, text)).unwrap();
            let all = [&["run"], arguments].concat();
            refused(what, &lab.gateway.try_program(program, &all)?, expected);
            lab.gateway.run(|| fs::remove_file(config)).unwrap();
            assert_eq!(traces(lab)?, before, "{what}");
        }
        Ok(())
    });
}

#[test]
fn without_permission_it_says_so() {
    in_masq_lab("without_permission", |lab, program| {
        let before = traces(lab)?;
        let run = ["run", "--inside", "lan", "--outside", "wan"];
        let without = ["--bounding-set", "-all", "--inh-caps", "-all", "--", program];
        let output = lab.gateway.try_program("setpriv", &[&without[..], &run].concat())?;
        refused("no capabilities", &output, "root");
        assert_eq!(traces(lab)?, before);
        Ok(())
    });
}

#[test]
fn a_private_mount_namespace_without_a_bpffs_is_refused() {
    in_masq_lab("private_mounts", |lab, program| {
        lab.gateway.program("umount", &["/run/masq/bpf"])?;
        let before = traces(lab)?;
        let run = ["run", "--inside", "lan", "--outside", "wan"];
        let output = lab.gateway.try_program(program, &run)?;
        refused("no bpffs", &output, "mount -t bpf");
        assert_eq!(traces(lab)?, before);
        Ok(())
    });
}

#[test]
fn a_second_instance_on_the_same_interface_is_refused() {
    play("second_instance", None, |lab, gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        let before = traces(lab)?;
        let program = masq_binary().unwrap();
        let program = program.to_string_lossy();
        for name in ["other", "lab"] {
            let run = ["run", "--instance", name, "--inside", "lan", "--outside", "wan"];
            refused(name, &lab.gateway.try_program(&program, &run)?, "lab");
            assert_eq!(traces(lab)?, before, "{name}");
        }
        session.say("the first one goes on")?;
        assert!(gateway.flows()?.contains("22"));
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
fn an_interface_may_be_renamed_and_named_back() {
    play("renamed", None, |lab, _gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        for (from, to) in [("wan", "uplink"), ("uplink", "wan")] {
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
        // A file that is wrong changes nothing.
        daemon.write_config("[nat]\nfiltering = 'sometimes'\n")?;
        refused("reload", &daemon.try_ask(&["reload"])?, "filtering");
        peer::udp_ask(&socket, echo.address(), b"as ever")?;
        Ok(())
    });
}

/// Plays with a daemon in a lab of two workstations.
fn play(name: &str, config: Option<&'static str>, run: fn(&Lab, &mut Gateway) -> Result<()>) {
    let scenario = Scenario::new(Topology::new().workstations(2), run);
    let scenario = match config {
        Some(config) => scenario.config(config),
        None => scenario,
    };
    check(Nat::Masq, true, &format!("daemon::{name}"), scenario);
}

/// A lab in which no daemon runs, and the program's path.
fn in_masq_lab(name: &str, run: impl FnOnce(&Lab, &str) -> Result<()>) {
    let Some(binary) = masq_binary() else { return skip_without_program() };
    let name = format!("daemon::{name}");
    in_lab(&name, &Topology::new(), |lab| run(lab, &binary.to_string_lossy()));
}

fn skip_without_program() {
    super::skip("there is no masq program; `cargo build -p masq` makes it");
}

fn daemon(gateway: &mut Gateway) -> &mut Daemon {
    gateway.daemon_mut().expect("this gateway is a daemon")
}

/// One clear message that names the matter, and an exit code that is not success.
fn refused(what: &str, output: &Output, expected: &str) {
    assert!(!output.status.success(), "{what} is refused");
    assert!(output.status.code().is_some(), "{what}: {}", output.status);
    assert!(
        output.text().contains(expected),
        "{what}: expected {expected:?} in:\n{}",
        output.text()
    );
    assert!(!output.text().contains("panicked"), "{what}: {}", output.text());
}

/// Everything that a gateway might leave behind on its host.
fn traces(lab: &Lab) -> Result<String> {
    let mut text = String::new();
    for question in [&["-br", "link"][..], &["route", "show", "table", "all"], &["rule"]] {
        text += &lab.gateway.program("ip", question)?;
    }
    for interface in ["lan", "wan"] {
        text += &lab.gateway.program("tc", &["qdisc", "show", "dev", interface])?;
        text += &lab.gateway.program("tc", &["filter", "show", "dev", interface, "ingress"])?;
    }
    for setting in ["ip_forward", "ip_local_reserved_ports", "conf.lan.rp_filter"] {
        text += &format!(
            "{setting}={}\n",
            lab.gateway.namespace().sysctl(&format!("net.ipv4.{setting}"))?
        );
    }
    // The socket that the lab itself hears of readiness through is no trace of masq.
    let files = &["/run", "-mindepth", "1", "!", "-path", "/run/notify"];
    Ok(text + &lab.gateway.program("find", files)?)
}

/// The reasons for which something was dropped.
fn drops(gateway: &Gateway) -> Vec<String> {
    let daemon = gateway.daemon().expect("this gateway is a daemon");
    let stats = daemon.ask(&["stats", "--json"]).unwrap();
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    let reasons = stats["drops"].as_array().into_iter().flatten();
    reasons.filter_map(|drop| drop["reason"].as_str().map(str::to_owned)).collect()
}
