//! What only the fast path can show: who carried the packets, and that they go on without a daemon.

use masq_lab::{Gateway, Lab, peer};

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
        let stats = answer(gateway, &["stats", "--json"]);
        let punted = stats["traffic"]["punted"].as_u64().unwrap();
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

fn answer(gateway: &mut Gateway, question: &[&str]) -> serde_json::Value {
    serde_json::from_str(&daemon(gateway).ask(question).unwrap()).unwrap()
}
