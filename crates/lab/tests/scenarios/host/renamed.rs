//! Interfaces that appear, are renamed and exchange their names while packets come: nothing of the inside is
//! ever seen outside, whoever has switched the kernel's forwarding on.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::io::{Read, Write};
use std::thread;

use masq_lab::{Captured, Host, LATER, Lab, Result, SOON, Topology, address, peer, wait_until};

use super::between::GUEST;
use super::steps::{Flood, pings, switch_forwarding_on};
use crate::Scenario;
use crate::packets::udp;

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
        stream.set_read_timeout(Some(LATER)).unwrap();
        let mut hear = |ticks: usize| stream.read_exact(&mut vec![0; 4 * ticks]);
        for _ in 0..3 {
            hear(100).expect("the connection lives");
            rename(lab, &[("wan", "stray")])?;
            let before = lab.outside.count();
            wait_until("the server has spoken in vain", LATER, || {
                lab.outside.count() >= before + 4
            })?;
            rename(lab, &[("stray", "wan")])?;
            lab.gateway.ip(&[format!("route replace default via {} dev wan", address::ISP)])?;
        }
        hear(100).expect("the connection lives after all that");
        let resets = lab.outside.packets(|packet| packet.incoming && is_reset(packet));
        assert_eq!(resets.len(), 0, "the host has reset connections that are not its own");
        assert_eq!(clock.seen().len(), 1, "it is still the same connection");
        Ok(())
    })
}

pub(crate) fn an_inside_interface_may_appear_under_traffic() -> Scenario {
    Scenario::new(Topology::new().with_guest(), |lab, _gateway| {
        switch_forwarding_on(lab)?;
        let aside = Host::new("aside", Ipv4Addr::UNSPECIFIED)?;
        let there = aside.namespace().path();
        let back = lab.gateway.namespace().path();
        let to = SocketAddrV4::new(lab.server.address(), 9);
        for _ in 0..5 {
            reaches(lab.guest(), lab)?;
            lab.gateway.ip(&[format!("link set guest netns {}", there.display())])?;
            let flood = Flood::start(lab.guest(), to)?;
            // What is known of the gateway's address spares the flood a question.
            aside.ip(&[format!("link set guest netns {}", back.display())])?;
            lab.gateway.ip(&[
                format!("addr add {}/24 dev guest", address::GATEWAY_GUEST),
                "link set guest up".to_owned(),
            ])?;
            flood.go_on(2000)?;
            lab.outside.check_leaks()?;
        }
        reaches(lab.guest(), lab)
    })
    .config(GUEST)
}

pub(crate) fn multicast_of_an_inside_source_leaves() -> Scenario {
    // The lab's judge takes addresses of this network for public ones, so that it may be seen outside.
    let config = "[[inside]]\ninterface = 'lan'\nnetworks = ['192.168.1.0/24', '100.64.0.0/16']\n";
    Scenario::new(Topology::new(), |lab, gateway| {
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let source = Ipv4Addr::new(100, 64, 0, 3);
        lab.gateway.ip(&["route add 100.64.0.0/16 dev lan"])?;
        pings(lab.workstation(), lab.server.address(), &[]).expect("the outside is there");
        let port = lab.gateway.raw_port("wan", address::ISP)?;
        let leaves = |number: u16| {
            let packet = udp((source, 5000), (group, number), b"television");
            // The link address of a group: RFC 1112, section 6.4.
            port.send_to([1, 0, 0x5e, 1, 2, 3], 0x0800, &packet)?;
            wait_until("the group's packet leaves", SOON, || {
                let is_it = |seen: &Captured| {
                    seen.bytes.get(12..20) == Some(&[source.octets(), group.octets()].concat())
                        && seen.bytes.get(22..24) == Some(&number.to_be_bytes())
                };
                !lab.outside.packets(is_it).is_empty()
            })
        };
        leaves(1)?;
        if let Some(daemon) = gateway.daemon_mut() {
            daemon.kill()?;
            leaves(2)?;
            daemon.restart()?;
            leaves(3)?;
        }
        Ok(())
    })
    .config(config)
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

fn is_reset(packet: &Captured) -> bool {
    packet.bytes.get(9) == Some(&6) && packet.bytes.get(33).is_some_and(|flags| flags & 4 != 0)
}
