//! The host needs no daemon: the same table whatever has become of the gateway.

use masq_lab::{Gateway, Result, Topology, peer};

use super::rows::{Ground, ROWS};
use super::steps::{Outcome, all_well};
use crate::Scenario;

pub(crate) fn the_host_needs_nobody() -> Scenario {
    Scenario::new(Topology::new(), |lab, gateway| {
        let ground = Ground::prepare(lab)?;
        // While somebody inside uses the same services, from a port of the range.
        let shell = peer::shell_service(&lab.server, 2222)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        session.say("hello")?;

        let mut table = Table { ground, looks: 0, found: Vec::new() };
        table.look("up");
        if gateway.is_masq() {
            table.play(gateway)?;
        }
        all_well(table.found);
        Ok(())
    })
}

/// What was found of every row in every state.
struct Table<'a> {
    ground: Ground<'a>,
    looks: u16,
    found: Vec<(String, Outcome)>,
}

impl Table<'_> {
    /// Looks at the whole table.
    fn look(&mut self, state: &str) {
        let number = Ground::number(self.looks);
        self.looks += 1;
        for (name, row) in ROWS {
            self.found.push((format!("{state}: {name}"), row(&self.ground, number)));
        }
    }

    /// Everything that becomes of a daemon.
    fn play(&mut self, gateway: &mut Gateway) -> Result<()> {
        let daemon = gateway.daemon_mut().expect("this gateway is a daemon");
        daemon.stop()?;
        self.look("stopped");
        daemon.restart()?;
        self.look("up again");
        daemon.kill()?;
        self.look("killed");
        std::thread::scope(|scope| {
            let starting = scope.spawn(|| daemon.restart());
            self.look("starting");
            starting.join().expect("the thread does not panic")
        })?;
        daemon.stop()?;
        daemon.ask(&["detach"])?;
        self.look("detached");
        Ok(())
    }
}
