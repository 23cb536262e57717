//! Interfaces that appear, are renamed and exchange their names while packets come: nothing of the inside is
//! ever seen outside, whoever has switched the kernel's forwarding on.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::thread;

use masq_lab::{Captured, Host, LATER, Lab, Result, SOON, Topology, address, peer, wait_until};
use rustix::process::Signal;

use super::between::GUEST;
use super::steps::{Flood, pings, switch_forwarding_on};
use crate::Scenario;

pub(crate) fn an_inside_that_is_renamed_shows_nothing() -> Scenario {
    Scenario::new(Topology::new().with_guest(), |lab, gateway| {
        switch_forwarding_on(lab)?;
        let flood = Flood::start(lab.workstation(), SocketAddrV4::new(lab.server.address(), 9))?;
        flood.go_on(500)?;
        rename(lab, &[("lan", "stray")])?;
        flood.go_on(2000)?;
        lab.outside.check_leaks()?;
        reaches(lab.guest(), lab)?;
        if let Some(daemon) = gateway.daemon_mut() {
            daemon.kill()?;
            flood.go_on(2000)?;
            lab.outside.check_leaks()?;
            // A daemon that begins finds one interface less; the stray one is still closed.
            rename(lab, &[("stray", "lan"), ("lan", "stray")])?;
            flood.go_on(2000)?;
            lab.outside.check_leaks()?;
            rename(lab, &[("stray", "lan")])?;
            daemon.restart()?;
        } else {
            rename(lab, &[("stray", "lan")])?;
        }
        reaches(lab.workstation(), lab)
    })
    .config(GUEST)
}

pub(crate) fn insides_may_exchange_their_names() -> Scenario {
    Scenario::new(Topology::new().with_guest(), |lab, gateway| {
        switch_forwarding_on(lab)?;
        let to = SocketAddrV4::new(lab.server.address(), 9);
        let floods = [Flood::start(lab.workstation(), to)?, Flood::start(lab.guest(), to)?];
        for _ in 0..5 {
            rename(lab, &[("lan", "stray"), ("guest", "lan"), ("stray", "guest")])?;
            floods.iter().try_for_each(|flood| flood.go_on(1000))?;
            if gateway.is_masq() {
                // The kernel's rules name interfaces and addresses; these are both insides.
                reaches(lab.workstation(), lab)?;
                reaches(lab.guest(), lab)?;
            }
            rename(lab, &[("lan", "stray"), ("guest", "lan"), ("stray", "guest")])?;
            reaches(lab.workstation(), lab)?;
            reaches(lab.guest(), lab)?;
        }
        Ok(())
    })
    .config(GUEST)
}

pub(crate) fn an_outside_that_is_renamed_resets_nothing() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        // A server that goes on speaking, whatever it hears.
        let clock = peer::Service::tcp(&lab.server, 37, |mut stream, _peer| {
            loop {
                stream.write_all(b"tick")?;
                // The rate, not a wait for anything.
                thread::sleep(Duration::from_millis(2));
            }
        })?;
        let mut stream = lab.workstation().connect(clock.address())?;
        stream.set_read_timeout(Some(SOON.allowed())).unwrap();
        let mut hear = |ticks: usize| stream.read_exact(&mut vec![0; 4 * ticks]);
        for _ in 0..3 {
            hear(100).expect("the connection lives");
            rename(lab, &[("wan", "stray")])?;
            let since = lab.outside.packets(|_| true).last().map(|packet| packet.at);
            // The same again, in vain, after a time that grows with each round; or it passes all the same, as
            // with the kernel's masquerade.
            wait_until("the server has spoken", LATER, || {
                let (new, again) = said(lab, since);
                again >= 1 || new >= 100 || resets(lab) > 0
            })?;
            assert_eq!(resets(lab), 0, "the host resets connections that are not its own");
            rename(lab, &[("stray", "wan")])?;
            lab.gateway.ip(&[format!("route replace default via {} dev wan", address::ISP)])?;
        }
        hear(100).expect("the connection lives after all that");
        assert_eq!(resets(lab), 0, "the host has reset connections that are not its own");
        assert_eq!(clock.seen().len(), 1, "it is still the same connection");
        Ok(())
    })
}

pub(crate) fn an_inside_interface_may_appear_under_traffic() -> Scenario {
    Scenario::new(Topology::new().with_guest(), |lab, gateway| {
        switch_forwarding_on(lab)?;
        let aside = Host::new("aside", Ipv4Addr::UNSPECIFIED)?;
        let there = aside.namespace().path();
        let back = lab.gateway.namespace().path();
        let to = SocketAddrV4::new(lab.server.address(), 9);
        for slow in [false, false, true, true] {
            reaches(lab.guest(), lab)?;
            lab.gateway.ip(&[format!("link set guest netns {}", there.display())])?;
            let flood = Flood::start(lab.guest(), to)?;
            if slow && let Some(daemon) = gateway.daemon_mut() {
                // News of the interface are read when it has long been there.
                daemon.process().expect("it runs").signal(Signal::STOP)?;
            }
            aside.ip(&[format!("link set guest netns {}", back.display())])?;
            lab.gateway.ip(&[
                format!("addr add {}/24 dev guest", address::GATEWAY_GUEST),
                "link set guest up".to_owned(),
            ])?;
            flood.go_on(2000)?;
            if slow && let Some(daemon) = gateway.daemon_mut() {
                daemon.process().expect("it runs").signal(Signal::CONT)?;
            }
            lab.outside.check_leaks()?;
        }
        reaches(lab.guest(), lab)
    })
    .config(GUEST)
}

/// Renames interfaces of the gateway, one after another; where the kernel renames none that is up (before
/// Linux 6.1), each is taken down for it.
fn rename(lab: &Lab, names: &[(&str, &str)]) -> Result<()> {
    for (from, to) in names {
        let live = lab.gateway.try_program("ip", &["link", "set", from, "name", to])?;
        if !live.status.success() {
            lab.gateway.ip(&[
                format!("link set {from} down"),
                format!("link set {from} name {to}"),
                format!("link set {to} up"),
            ])?;
        }
    }
    Ok(())
}

/// A host inside reaches the outside, at once or when news of an interface have been read.
fn reaches(host: &Host, lab: &Lab) -> Result<()> {
    wait_until(format!("{host} reaches the outside"), SOON, || {
        pings(host, lab.server.address(), &[]).is_ok()
    })
}

/// How many segments have come to the gateway since then: new ones, and again.
fn said(lab: &Lab, since: Option<Duration>) -> (usize, usize) {
    let is_new = |packet: &Captured| Some(packet.at) > since && !packet.incoming;
    let segments = lab.outside.packets(|packet| is_new(packet) && packet.length > 40);
    let numbers: Vec<_> = segments.iter().filter_map(|packet| packet.bytes.get(24..28)).collect();
    let known: BTreeSet<_> = numbers.iter().collect();
    (known.len(), numbers.len() - known.len())
}

/// How many connections the gateway has reset towards outside.
fn resets(lab: &Lab) -> usize {
    let is_reset = |packet: &Captured| {
        packet.bytes.get(9) == Some(&6) && packet.bytes.get(33).is_some_and(|flags| flags & 4 != 0)
    };
    lab.outside.packets(|packet| packet.incoming && is_reset(packet)).len()
}
