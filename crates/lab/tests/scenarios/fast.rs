//! What only the fast path can show: who carried the packets, and that they go on without a daemon.

use masq_lab::{Gateway, Lab, SOON, address, peer, wait_until};

use super::daemon::{daemon, play};
use super::datagrams::PROMPT;

const FAST: &str = "[fast-path]\nmode = 'tc'\n";

#[test]
fn established_flows_do_not_come_to_the_engine() {
    play("fast::carried", Some(FAST), |lab, gateway| {
        const BYTES: u64 = 50_000_000;
        let server = peer::TransferServer::start(&lab.server, 8888)?;
        server.download(lab.workstation(), BYTES)?;
        server.upload(lab.workstation(), BYTES)?;
        let punted = punted(gateway);
        assert!((2..300).contains(&punted), "{punted} packets came to the engine");
        let flows = answer(gateway, &["flows", "--json"]);
        let flows = flows.as_array().unwrap();
        assert_eq!(flows.len(), 2, "{flows:?}");
        let carried = flows.iter().flat_map(|flow| [&flow["egress"], &flow["ingress"]]);
        let bytes: u64 = carried.map(|count| count["bytes"].as_u64().unwrap()).sum();
        assert!(bytes > 2 * BYTES, "the records counted all of them: {bytes}");
        Ok(())
    });
}

#[test]
fn what_changes_about_policy_and_routes_leaves_a_connection_to_the_fast_path() {
    play("fast::changes", Some(FAST), |lab, gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        wait_until("the engine sees no packet of it", SOON, || {
            let before = punted(gateway);
            session.say("are you there").is_ok() && punted(gateway) == before
        })?;

        let before = punted(gateway);
        for change in ["", "[timeouts]\nudp = '4m'\n", "[nat]\nmapping = 'address-dependent'\n"] {
            daemon(gateway).write_config(&format!("{FAST}{change}"))?;
            daemon(gateway).ask(&["reload"])?;
            session.say("and now")?;
        }
        let (server, isp) = (lab.server.address(), address::ISP);
        lab.gateway.ip(&[format!("route add {server}/32 via {isp}")])?;
        lab.gateway.ip(&["route add 198.18.0.0/15 via 203.0.113.126 metric 7"])?;
        for _ in 0..20 {
            session.say("still there")?;
        }
        assert_eq!(punted(gateway), before);
        Ok(())
    });
}

#[test]
fn another_route_takes_effect_on_the_fast_path() {
    play("fast::rerouted", Some(FAST), |lab, gateway| {
        let echo = peer::udp_echo(&lab.server, 7)?;
        let socket = lab.workstation().udp(0)?;
        socket.connect(echo.address()).unwrap();
        let is_answered = || {
            // An error of before is told once.
            let _ = socket.send(b"hello");
            socket.recv(&mut [0; 16]).is_ok()
        };
        wait_until("the engine sees no packet of it", SOON, || {
            let before = punted(gateway);
            is_answered() && punted(gateway) == before
        })?;

        let route = format!("prohibit {}/32", lab.server.address());
        lab.gateway.ip(&[format!("route add {route}")])?;
        wait_until("it is refused", SOON, || socket.send(b"hello").is_err())?;
        lab.gateway.ip(&[format!("route del {route}")])?;
        wait_until("it is answered, by the fast path", SOON, || {
            let before = punted(gateway);
            is_answered() && punted(gateway) == before
        })
    });
}

#[test]
fn a_connection_goes_on_while_the_daemon_is_dead_and_after_its_successor_has_come() {
    play("fast::killed", Some(FAST), |lab, gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        session.say("before")?;
        let server = peer::TransferServer::start(&lab.server, 8888)?;
        daemon(gateway).kill()?;
        session.say("nobody is there")?;
        refused_without_daemon(lab, &server);
        daemon(gateway).restart()?;
        session.say("somebody is there again")?;
        server.download(lab.workstation(), 1_000_000)?;
        Ok(())
    });
}

/// Fail closed: what has no session waits or is refused.
fn refused_without_daemon(lab: &Lab, server: &peer::TransferServer) {
    let attempt = lab.workstation().connect_within(server.address(), PROMPT);
    attempt.unwrap_err();
}

/// Packets that came to the engine so far.
fn punted(gateway: &mut Gateway) -> u64 {
    answer(gateway, &["stats", "--json"])["traffic"]["punted"].as_u64().unwrap()
}

fn answer(gateway: &mut Gateway, question: &[&str]) -> serde_json::Value {
    serde_json::from_str(&daemon(gateway).ask(question).unwrap()).unwrap()
}
