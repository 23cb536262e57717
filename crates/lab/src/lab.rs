//! A lab that stands: its hosts, its knobs, and what to print when something went wrong.

use core::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use crate::line::Line;
use crate::topology::{Frames, outside_commands};
use crate::{Capture, Host, Result, Uplink};

/// The hosts of a lab and the capture of its outside. [`Topology`](crate::Topology) draws it.
#[derive(Debug)]
pub struct Lab {
    /// The hosts inside, the workstation first.
    pub workstations: Vec<Host>,
    pub(crate) guest: Option<Host>,
    pub(crate) branch: Option<Host>,
    /// The gateway, with interfaces `lan` and `wan`.
    pub gateway: Host,
    /// The routers on the way: the gateway's next hop and the remotes'.
    pub routers: Option<(Host, Host)>,
    /// The internet host.
    pub server: Host,
    /// A second remote.
    pub second: Host,
    /// What leaves the gateway on its outside, and what comes to it there.
    pub outside: Capture,
    pub(crate) gateway_outside: Mutex<Ipv4Addr>,
    pub(crate) uplink: Uplink,
    pub(crate) frames: Frames,
    pub(crate) _line: Option<Line>,
    pub(crate) wiring: Host,
}

impl Lab {
    /// The first host inside, 192.168.1.3.
    #[must_use]
    pub fn workstation(&self) -> &Host {
        &self.workstations[0]
    }

    /// The host of the other inside network.
    ///
    /// # Panics
    ///
    /// In a lab without one.
    #[must_use]
    pub fn guest(&self) -> &Host {
        self.guest.as_ref().expect("this lab was asked to have a guest")
    }

    /// The host of the network that is not translated.
    ///
    /// # Panics
    ///
    /// In a lab without one.
    #[must_use]
    pub fn branch(&self) -> &Host {
        self.branch.as_ref().expect("this lab was asked to have a branch")
    }

    /// Every host, inside first.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        let routers = self.routers.iter().flat_map(|(isp, exchange)| [isp, exchange]);
        let remotes = [&self.server, &self.second];
        let beside = self.guest.iter().chain(&self.branch);
        self.workstations.iter().chain(beside).chain([&self.gateway]).chain(routers).chain(remotes)
    }

    /// The address that the outside world should see.
    #[must_use]
    pub fn outside_address(&self) -> Ipv4Addr {
        *self.gateway_outside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the gateway's outside interface is.
    #[must_use]
    pub fn uplink(&self) -> Uplink {
        self.uplink
    }

    /// Gives the gateway another outside address, as a provider does over night.
    ///
    /// # Errors
    ///
    /// When the address cannot be set.
    pub fn change_outside_address(&self, address: Ipv4Addr) -> Result<()> {
        let mut current = self.gateway_outside.lock().unwrap_or_else(PoisonError::into_inner);
        let mut commands = vec!["addr flush dev wan".to_owned()];
        commands.extend(outside_commands(self.uplink, self.routers.is_some(), address));
        self.gateway.ip(&commands)?;
        *current = address;
        Ok(())
    }

    /// Sets the MTU of the link between the routers, behind the gateway's own outside link: what is larger
    /// only they can know about.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    ///
    /// # Panics
    ///
    /// In a lab without routers.
    pub fn set_transit_mtu(&self, mtu: u16) -> Result<()> {
        let (isp, exchange) = self.routers.as_ref().expect("this lab was asked to have routers");
        for router in [isp, exchange] {
            router.ip(&[format!("link set transit mtu {mtu}")])?;
        }
        Ok(())
    }

    /// Unplugs the gateway's cable, or plugs it in again.
    ///
    /// # Errors
    ///
    /// When there is no such cable: `lan`, or `wan` on Ethernet.
    pub fn set_cable(&self, interface: &str, plugged: bool) -> Result<()> {
        let state = if plugged { "up" } else { "down" };
        self.wiring.ip(&[format!("link set gw-{interface} {state}")])
    }

    /// Takes the gateway's outside interface away and puts a new one of the same name in its place,
    /// with the same address, as when a USB adapter is replugged. The old capture sees nothing of
    /// it; the new one that is returned has seen everything since.
    ///
    /// # Errors
    ///
    /// When the outside is not on Ethernet.
    pub fn replace_outside_interface(&self) -> Result<Capture> {
        let switch = if self.routers.is_some() { "wan-switch" } else { "far-switch" };
        self.wiring.ip(&[
            "link del gw-wan".to_owned(),
            format!(
                "link add name gw-wan type veth peer name wan netns {}",
                self.gateway.namespace().path().display()
            ),
        ])?;
        self.frames.arrange(&self.gateway, &self.wiring, "wan")?;
        let capture = Capture::start(self.wiring.namespace(), "gw-wan")?;
        self.wiring.ip(&[format!("link set gw-wan master {switch} up")])?;
        let mut commands = vec!["link set wan up".to_owned()];
        let address = self.outside_address();
        commands.extend(outside_commands(self.uplink, self.routers.is_some(), address));
        self.gateway.ip(&commands)?;
        Ok(capture)
    }

    /// How to enter each host with a shell while this process lives: its name and a command.
    pub fn ways_in(&self) -> impl Iterator<Item = (&str, String)> {
        self.hosts().map(|host| {
            let mut command = "nsenter".to_owned();
            if let Some(mounts) = host.namespace().mounts_path() {
                command += &format!(" --mount={}", mounts.display());
            }
            command += &format!(" --net={}", host.namespace().path().display());
            (host.name(), command)
        })
    }

    /// Everything that helps to understand a failure: addresses, routes, rules, neighbours of every
    /// host, and the last packets on the outside.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for host in self.hosts() {
            text += &format!("──── {host}\n");
            let questions: [&[&str]; 4] = [&["-br", "addr"], &["route"], &["rule"], &["neigh"]];
            for question in questions {
                text += &format!("$ ip {}\n", question.join(" "));
                text += &match host.try_program("ip", question) {
                    Ok(output) => output.text(),
                    Err(error) => format!("{error}\n"),
                };
            }
        }
        text + "──── outside of the gateway: the last packets\n" + &self.outside.tail(60)
    }
}
