//! The fast path is switched while packets flow: none is lost, and none overtakes another.

use core::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use masq_lab::{Gateway, LATER, Lab, Result, Topology, on_one_processor, peer, wait_until};

use super::daemon::daemon;
use super::{Nat, Scenario, check};

/// Every switch there is, each way, more than once.
const MODES: [&str; 12] =
    ["tc", "xdp", "off", "xdp", "tc", "off", "tc", "off", "xdp", "off", "xdp", "tc"];

#[test]
fn datagrams_stay_in_order_while_the_fast_path_is_switched() {
    play("switched::datagrams", |lab, gateway| {
        const EACH: u64 = 2000;
        let numbered = peer::Numbered::start(lab.workstation(), &lab.server, 9)?;
        numbered.go_on(EACH)?;
        let mut before = "off";
        for mode in MODES {
            switch(gateway, mode)?;
            numbered.go_on(EACH).inspect_err(|_| eprintln!("switched from {before} to {mode}"))?;
            before = mode;
        }
        let [out, into] = numbered.finish()?;
        let least = EACH * (1 + MODES.len() as u64);
        assert!(out >= least && into >= least, "{out} and {into}");
        all_have_carried(gateway, EACH);
        Ok(())
    });
}

#[test]
fn a_daemon_that_restarts_in_the_middle_loses_nothing_either() {
    play("switched::restarts", |lab, gateway| {
        const EACH: u64 = 2000;
        switch(gateway, "tc")?;
        let numbered = peer::Numbered::start(lab.workstation(), &lab.server, 9)?;
        for mode in ["tc", "xdp", "tc", "xdp"] {
            switch(gateway, mode)?;
            // What was the engine's when it is killed would be lost: the flow is to be the programs'.
            numbered.go_on(EACH)?;
            let daemon = daemon(gateway);
            daemon.configure(text(mode));
            daemon.kill()?;
            numbered.go_on(EACH)?;
            daemon.restart()?;
            numbered.go_on(EACH)?;
        }
        numbered.finish()?;
        Ok(())
    });
}

#[test]
fn a_connection_is_not_reordered_while_the_fast_path_is_switched() {
    play("switched::connection", |lab, gateway| {
        // Short, so that the connection pauses now and then, as nearly every connection does.
        const OCTETS: u64 = 100_000;
        const EACH: u64 = 2000;
        let server = peer::TransferServer::start(&lab.server, 8888)?;
        let stream = lab.workstation().connect(server.address())?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let transfer = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Compares hashes.
                    server.upload_on(stream.try_clone().unwrap(), OCTETS)?;
                }
                Ok(())
            });
            let switched = MODES.iter().try_for_each(|mode| {
                switch(gateway, mode)?;
                let before = peer::Segments::of(&stream)?.sent;
                wait_until(format!("{mode} has carried some segments"), LATER, || {
                    peer::Segments::of(&stream).is_ok_and(|now| now.sent - before >= EACH)
                })
            });
            over.store(true, Ordering::Relaxed);
            let transferred = transfer.join().expect("the transfer's thread does not panic");
            switched.and(transferred)
        })?;
        let segments = peer::Segments::of(&stream)?;
        assert_eq!(segments.reordered, 0, "{segments:?}");
        assert_eq!(server.service().seen().len(), 1, "it is one connection all the time");
        all_have_carried(gateway, 100);
        Ok(())
    });
}

fn play(name: &str, run: fn(&Lab, &mut Gateway) -> Result<()>) {
    let scenario = Scenario::new(Topology::new(), run).config("[fast-path]\nmode = 'off'\n");
    on_one_processor(|| check(Nat::MasqOnXdp, true, name, scenario)).unwrap();
}

fn switch(gateway: &mut Gateway, mode: &str) -> Result<()> {
    let daemon = daemon(gateway);
    daemon.write_config(&text(mode))?;
    daemon.ask(&["reload"]).map(drop)
}

fn text(mode: &str) -> String {
    format!("[fast-path]\nmode = '{mode}'\n")
}

/// Switching has had the effect that it is for.
fn all_have_carried(gateway: &mut Gateway, packets: u64) {
    let stats = daemon(gateway).ask(&["stats", "--json"]).unwrap();
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    for carrier in ["engine", "tc", "xdp"] {
        let carried = stats["fast_path"][carrier].as_u64().unwrap();
        assert!(carried >= packets, "{carrier} carried {carried} packets: {stats:#}");
    }
}
