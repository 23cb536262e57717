//! Between the gateway's own networks nothing is translated: it is carried at full speed, with or without a
//! daemon, and begins without one too.

use core::net::{IpAddr, SocketAddrV4};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::thread;

use masq_lab::{Deadline, Host, LATER, Result, Topology, peer};

use super::steps::{
    Outcome, all_well, asks, converses, is, patience, pings, switch_forwarding_on, told,
};
use crate::Scenario;
use crate::datagrams::throw;

/// The guests' network is inside as well.
pub(super) const GUEST: &str = "[[outside]]\ninterface = 'wan'\n\
    [[inside]]\ninterface = 'lan'\n[[inside]]\ninterface = 'guest'\n";

pub(crate) fn insides_speak_to_each_other() -> Scenario {
    let topology = Topology::new().with_guest();
    Scenario::new(topology, |lab, gateway| {
        let pair = Pair::between(lab.workstation(), lab.guest())?;
        pings(lab.workstation(), lab.server.address(), &[]).expect("the outside is there");
        let mut found = pair.look("at first");
        found.extend(pair.bulk());
        if let Some(daemon) = gateway.daemon_mut() {
            let mut session = peer::Shell::open(lab.workstation(), pair.shell.address())?;
            daemon.kill()?;
            let goes_on = session.say("are you there?").map(drop).map_err(told);
            found.push(("killed: a connection goes on".to_owned(), goes_on));
            found.extend(pair.look("killed"));
            daemon.restart()?;
            let goes_on = session.say("are you there?").map(drop).map_err(told);
            found.push(("after: the connection goes on".to_owned(), goes_on));
            found.extend(pair.look("after"));
            daemon.stop()?;
            found.extend(pair.look("stopped"));
        }
        all_well(found);
        Ok(())
    })
    .config(GUEST)
}

pub(crate) fn a_network_that_is_not_served_is_reached_both_ways() -> Scenario {
    Scenario::new(Topology::new().with_branch(), |lab, gateway| {
        switch_forwarding_on(lab)?;
        let pair = Pair::between(lab.workstation(), lab.branch())?;
        let back = Pair::between(lab.branch(), lab.workstation())?;
        pings(lab.workstation(), lab.server.address(), &[]).expect("the outside is there");
        let mut found = pair.look("at first");
        found.extend(back.look("at first, back"));
        found.extend(pair.bulk());
        if let Some(daemon) = gateway.daemon_mut() {
            daemon.kill()?;
            found.extend(pair.look("killed"));
            found.extend(back.look("killed, back"));
            daemon.restart()?;
            found.extend(pair.look("after"));
            found.extend(back.look("after, back"));
        }
        all_well(found);
        Ok(())
    })
}

/// Two hosts of different networks, the second with services.
struct Pair<'a> {
    near: &'a Host,
    far: &'a Host,
    echo: peer::Service,
    shell: peer::Service,
    bulk: peer::TransferServer,
}

impl<'a> Pair<'a> {
    fn between(near: &'a Host, far: &'a Host) -> Result<Self> {
        Ok(Self {
            near,
            far,
            echo: peer::udp_echo(far, 7)?,
            shell: peer::shell_service(far, 22)?,
            bulk: peer::TransferServer::start(far, 8888)?,
        })
    }

    /// New flows of each kind, whose sources are seen as they are.
    fn look(&self, when: &str) -> Vec<(String, Outcome)> {
        let near = IpAddr::V4(self.near.address());
        let rows = [
            ("ping", pings(self.near, self.far.address(), &[])),
            ("ping back", pings(self.far, self.near.address(), &[])),
            ("fragments", pings(self.near, self.far.address(), &["-s", "3000"])),
            ("TCP", converses(self.near, self.shell.address())),
            ("UDP", asks(self.near, 0, self.echo.address(), 30)),
            ("UDP in fragments", asks(self.near, 0, self.echo.address(), 20_000)),
            ("seen by TCP", is(self.shell.seen_addresses(), vec![near])),
            ("seen by UDP", is(self.echo.seen_addresses(), vec![near])),
        ];
        let ends = format!("{} and {}", self.near, self.far);
        let named = |(what, outcome)| (format!("{when}, {ends}: {what}"), outcome);
        rows.into_iter().map(named).collect()
    }

    /// Much over TCP, both ways.
    fn bulk(&self) -> [(String, Outcome); 2] {
        const OCTETS: u64 = 20_000_000;
        let up = self.bulk.upload(self.near, OCTETS).map(drop).map_err(told);
        let down = self.bulk.download(self.near, OCTETS).map(drop).map_err(told);
        [("upload".to_owned(), up), ("download".to_owned(), down)]
    }
}

pub(crate) fn insides_lose_nothing_at_speed() -> Scenario {
    Scenario::new(Topology::new().with_guest(), |lab, gateway| {
        pings(lab.workstation(), lab.server.address(), &[]).expect("the outside is there");
        // Who waits for a neighbour's address waits in a bounded queue.
        pings(lab.workstation(), lab.guest().address(), &[]).expect("the guest is there");
        faster_than_any_bound(lab.workstation(), lab.guest())?;
        if let Some(daemon) = gateway.daemon_mut() {
            daemon.kill()?;
            faster_than_any_bound(lab.workstation(), lab.guest())?;
        }
        Ok(())
    })
    .config(GUEST)
}

/// One source sends more than 30,000 datagrams a second for a while, and all arrive. Bursts are as large as a
/// receiver's queue, and each arrives before the next.
fn faster_than_any_bound(near: &Host, far: &Host) -> Result<()> {
    const BURST: u64 = 250;
    const ROUND: u64 = 30_000;
    let (from, to) = (near.udp(0)?, far.udp(9)?);
    let there = SocketAddrV4::new(far.address(), 9);
    let (received, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            to.set_read_timeout(Some(patience() / 20)).unwrap();
            while !over.load(Ordering::Relaxed) {
                if to.recv(&mut [0; 64]).is_ok() {
                    received.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let deadline = Deadline::after(LATER);
        let mut sent = 0;
        let outcome = loop {
            let clock = Deadline::after(LATER);
            let round = (0..ROUND / BURST).try_for_each(|_| {
                for _ in 0..BURST {
                    throw(&from, there, &[7; 18]);
                }
                sent += BURST;
                // No pauses that grow: the rate is what is tested.
                let late = Deadline::after(patience() * 2);
                while received.load(Ordering::Relaxed) < sent {
                    if late.left().is_none() {
                        let lost = sent - received.load(Ordering::Relaxed);
                        return Err(
                            late.missed(format!("the last {lost} of {sent} have arrived"), "")
                        );
                    }
                    thread::yield_now();
                }
                Ok(())
            });
            // A machine that is busy with other things gets another try.
            let fast = clock.elapsed() < Duration::from_secs(1);
            if round.is_err() || fast || deadline.left().is_none() {
                break round.map(|()| fast);
            }
        };
        over.store(true, Ordering::Relaxed);
        outcome
    })?;
    assert!(outcome, "30,000 datagrams never arrived within a second");
    Ok(())
}
