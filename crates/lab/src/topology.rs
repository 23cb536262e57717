//! The networks that labs are made of.
//!
//! ```text
//!  workstation   .3 ─┐                                                             ┌─ server 203.0.113.178
//!  laptop        .4 ─┼─[lan]─ gateway ─[wan]─ isp ───transit─── exchange ─[servers]┤
//!  …                ─┘      .1      203.0.113.1 ↑      192.0.2.0/30                 └─ second 198.51.100.7
//!  192.168.1.0/24             or a tun line     └ .126
//! ```
//!
//! A name in brackets is a switch, which is a bridge in the *wiring* namespace: the first that is made and
//! the one in which all cables are born. Nothing is ever created in the namespace of the program
//! that builds a lab. The outside is watched at the switch's port of the gateway's cable (or at
//! the ISP's end of the line) from before the gateway starts.
//!
//! The gateway may have more networks: `guest`, another inside one, and `branch`, of which nobody tells the
//! program under test. Each is a switch with one host, 192.168.2.3 and 192.168.3.3.
//!
//! Without routers, the server (203.0.113.178) and the second remote (203.0.113.179) are on the
//! gateway's outside network.

use core::net::Ipv4Addr;
use std::sync::Mutex;

use crate::address::{
    BRANCH, EXCHANGE_SECOND, EXCHANGE_SERVERS, EXCHANGE_TRANSIT, GATEWAY_BRANCH, GATEWAY_GUEST,
    GATEWAY_INSIDE, GATEWAY_OUTSIDE, GUEST, ISP, ISP_TRANSIT, SECOND, SECOND_ON_LINK, SERVER,
    workstation,
};
use crate::deadline::{SOON, wait_until};
use crate::host::ip_batch;
use crate::line::Line;
use crate::{Capture, Host, Lab, Result};

/// What the gateway's outside interface is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Uplink {
    /// Ethernet, with neighbours to resolve.
    Ethernet,
    /// A tun device: packets without any link header.
    Tun,
}

/// How packets come to the gateway's interfaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Frames {
    /// As the hosts' stacks leave them to hardware: without checksums, and as large as they like.
    Offloaded,
    /// Whole, and the gateway must send them so, as on a plain network card.
    Plain,
    /// Whole, and the other ends of the gateway's cables take what XDP redirects to them.
    Complete,
}

/// The plan of a lab.
#[derive(Clone, Debug)]
pub struct Topology {
    workstations: u8,
    guest: bool,
    branch: bool,
    routers: bool,
    frames: Frames,
    uplink: Uplink,
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}

impl Topology {
    /// One workstation, the gateway on Ethernet, two routers and two remotes; offloads as they are.
    #[must_use]
    pub fn new() -> Self {
        Self {
            workstations: 1,
            guest: false,
            branch: false,
            routers: true,
            frames: Frames::Offloaded,
            uplink: Uplink::Ethernet,
        }
    }

    /// This many hosts inside: 192.168.1.3 and up.
    #[must_use]
    pub fn workstations(self, workstations: u8) -> Self {
        Self { workstations: workstations.clamp(1, 200), ..self }
    }

    /// A second inside network behind the gateway's interface `guest`, with the host [`Lab::guest`].
    #[must_use]
    pub fn with_guest(self) -> Self {
        Self { guest: true, ..self }
    }

    /// A network behind the gateway's interface `branch` that it does not translate, with the host
    /// [`Lab::branch`].
    #[must_use]
    pub fn with_branch(self) -> Self {
        Self { branch: true, ..self }
    }

    /// The remotes are on the gateway's own outside network.
    #[must_use]
    pub fn without_routers(self) -> Self {
        Self { routers: false, ..self }
    }

    /// The gateway's interfaces neither complete checksums nor cut segments, and what arrives there
    /// is complete, as on a plain network card.
    #[must_use]
    pub fn without_offloads(self) -> Self {
        Self { frames: Frames::Plain, ..self }
    }

    /// What arrives at the gateway is complete, and XDP may redirect to its interfaces. It takes both
    /// for XDP to carry packets between veths.
    ///
    /// All packets of a cable go through one queue, whoever sends them: a veth receives what XDP
    /// redirects by NAPI, and other packets by NAPI only if it does GRO and they need no segmenting. Those
    /// that it does not are queued elsewhere, and overtake.
    #[must_use]
    pub fn complete(self) -> Self {
        Self { frames: Frames::Complete, ..self }
    }

    /// The kind of the gateway's outside interface. A tun line ends at a router.
    #[must_use]
    pub fn uplink(self, uplink: Uplink) -> Self {
        Self { uplink, routers: self.routers || uplink == Uplink::Tun, ..self }
    }

    /// Builds it. The capture on the outside runs from before there is anything to see.
    ///
    /// # Errors
    ///
    /// When the system does not permit it, or lacks a program or a kind of device.
    pub fn build(&self) -> Result<Lab> {
        let wiring = Host::new("wiring", Ipv4Addr::UNSPECIFIED)?;
        let gateway = Host::gateway("gateway", GATEWAY_INSIDE)?;
        let workstations = (0..self.workstations)
            .map(|index| Host::new(workstation_name(index), workstation(index)))
            .collect::<Result<Vec<_>>>()?;
        let guest = self.guest.then(|| Host::new("guest", GUEST)).transpose()?;
        let branch = self.branch.then(|| Host::new("branch", BRANCH)).transpose()?;
        let beside = [(&guest, GATEWAY_GUEST), (&branch, GATEWAY_BRANCH)];
        let beside: Vec<_> = beside
            .into_iter()
            .filter_map(|(host, router)| Some((host.as_ref()?, router)))
            .collect();
        let server = Host::new("server", SERVER)?;
        let second_address = if self.routers { SECOND } else { SECOND_ON_LINK };
        let second = Host::new("second", second_address)?;
        let routers = if self.routers {
            Some((Host::new("isp", ISP)?, Host::new("exchange", EXCHANGE_SERVERS)?))
        } else {
            None
        };

        let mut wires = Wires::default();
        wires.switch("lan-switch");
        wires.plug("gw-lan", "lan-switch", &gateway, "lan");
        for (index, host) in workstations.iter().enumerate() {
            wires.plug(&format!("ws-{index}"), "lan-switch", host, "eth0");
        }
        for (host, _) in &beside {
            let name = host.name();
            wires.switch(&format!("{name}-switch"));
            wires.plug(&format!("gw-{name}"), &format!("{name}-switch"), &gateway, name);
            wires.plug(name, &format!("{name}-switch"), host, "eth0");
        }
        wires.switch("far-switch");
        wires.plug("server", "far-switch", &server, "eth0");
        wires.plug("second", "far-switch", &second, "eth0");
        if let Some((isp, exchange)) = &routers {
            wires.plug("exchange", "far-switch", exchange, "servers");
            wires.switch("mid-switch");
            wires.plug("isp-transit", "mid-switch", isp, "transit");
            wires.plug("ex-transit", "mid-switch", exchange, "transit");
        }
        let line = match (self.uplink, &routers) {
            (Uplink::Tun, Some((isp, _))) => {
                Some(Line::connect([(gateway.namespace(), "wan"), (isp.namespace(), "access")])?)
            }
            (Uplink::Ethernet, Some((isp, _))) => {
                wires.switch("wan-switch");
                wires.plug("gw-wan", "wan-switch", &gateway, "wan");
                wires.plug("isp", "wan-switch", isp, "access");
                None
            }
            (Uplink::Ethernet | Uplink::Tun, None) => {
                wires.plug("gw-wan", "far-switch", &gateway, "wan");
                None
            }
        };
        ip_batch(wiring.namespace(), "wiring", &wires.commands)?;
        let outside = match (&line, &routers) {
            (Some(_), Some((isp, _))) => Capture::start(isp.namespace(), "access")?,
            _ => Capture::start(wiring.namespace(), "gw-wan")?,
        };
        self.frames.arrange(&gateway, &wiring, "lan")?;
        for (host, _) in &beside {
            self.frames.arrange(&gateway, &wiring, host.name())?;
        }
        match self.uplink {
            Uplink::Ethernet => self.frames.arrange(&gateway, &wiring, "wan")?,
            // What leaves by a line is read by a program, as complete as the gateway makes it.
            Uplink::Tun if self.frames == Frames::Plain => switch_offloads_off(&gateway, "wan")?,
            Uplink::Tun => {}
        }

        for host in &workstations {
            host.ip(&inside_commands(host, GATEWAY_INSIDE))?;
        }
        gateway.ip(&self.gateway_commands())?;
        for (host, router) in beside {
            host.ip(&inside_commands(host, router))?;
            gateway.ip(&[up(host.name()), address_on(host.name(), router, 24)])?;
        }
        if let Some((isp, exchange)) = &routers {
            isp.ip(&self.isp_commands())?;
            exchange.ip(&exchange_commands())?;
            forward(isp)?;
            forward(exchange)?;
        }
        server.ip(&self.remote_commands(SERVER, 25, EXCHANGE_SERVERS))?;
        second.ip(&self.remote_commands(second_address, 24, EXCHANGE_SECOND))?;
        wait_until("every cable is connected", SOON, || wires.connected(&wiring))?;
        Ok(Lab {
            workstations,
            guest,
            branch,
            gateway,
            routers,
            server,
            second,
            outside,
            gateway_outside: Mutex::new(GATEWAY_OUTSIDE),
            uplink: self.uplink,
            frames: self.frames,
            _line: line,
            wiring,
        })
    }

    fn gateway_commands(&self) -> Vec<String> {
        let mut commands =
            vec![up("lo"), up("lan"), up("wan"), address_on("lan", GATEWAY_INSIDE, 24)];
        commands.extend(outside_commands(self.uplink, self.routers, GATEWAY_OUTSIDE));
        commands
    }

    fn isp_commands(&self) -> Vec<String> {
        let access = match self.uplink {
            Uplink::Ethernet => address_on("access", ISP, 25),
            Uplink::Tun => format!("addr add {ISP} peer 203.0.113.0/25 dev access"),
        };
        vec![
            up("lo"),
            up("access"),
            up("transit"),
            access,
            address_on("transit", ISP_TRANSIT, 30),
            format!("route add default via {EXCHANGE_TRANSIT}"),
        ]
    }

    fn remote_commands(&self, address: Ipv4Addr, prefix: u8, router: Ipv4Addr) -> Vec<String> {
        let prefix = if self.routers { prefix } else { 24 };
        let mut commands = vec![up("lo"), up("eth0"), address_on("eth0", address, prefix)];
        if self.routers {
            commands.push(format!("route add default via {router}"));
        }
        commands
    }
}

impl Frames {
    /// Sets the ends of one of the gateway's cables: its own, so that it must send complete packets, and
    /// the other, so that it receives none that somebody left to hardware.
    pub(crate) fn arrange(self, gateway: &Host, wiring: &Host, interface: &str) -> Result<()> {
        let port = format!("gw-{interface}");
        match self {
            Self::Offloaded => Ok(()),
            Self::Plain => {
                switch_offloads_off(gateway, interface)?;
                switch_offloads_off(wiring, &port)
            }
            Self::Complete => {
                let complete = ["tx", "off", "tso", "off", "gso", "off", "gro", "on"];
                wiring.program("ethtool", &[&["-K", &port][..], &complete].concat())?;
                let in_order = ["-K", interface, "tso", "off", "gro", "on"];
                gateway.program("ethtool", &in_order).map(drop)
            }
        }
    }
}

/// Has an interface neither complete checksums nor cut or join segments.
fn switch_offloads_off(host: &Host, interface: &str) -> Result<()> {
    let arguments = ["-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off"];
    host.program("ethtool", &arguments).map(drop)
}

/// What gives the gateway an outside address and the way out.
pub(crate) fn outside_commands(uplink: Uplink, routers: bool, address: Ipv4Addr) -> Vec<String> {
    match (uplink, routers) {
        (Uplink::Tun, _) => vec![
            format!("addr add {address} peer {ISP} dev wan"),
            "route replace default dev wan".to_owned(),
        ],
        (Uplink::Ethernet, true) => {
            vec![address_on("wan", address, 25), format!("route replace default via {ISP} dev wan")]
        }
        (Uplink::Ethernet, false) => vec![address_on("wan", address, 24)],
    }
}

/// Has the kernel of a host forward packets, and answer about each that it cannot.
pub(crate) fn forward(host: &Host) -> Result<()> {
    host.namespace().set_sysctl("net.ipv4.ip_forward", "1")
}

/// The `ip` commands that lay cables, and what to expect of them.
#[derive(Default)]
struct Wires {
    commands: Vec<String>,
    ports: usize,
}

impl Wires {
    fn switch(&mut self, name: &str) {
        self.commands.push(format!(
            "link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ));
        self.commands.push(up(name));
    }

    /// A cable from a port of a switch to an interface of a host.
    fn plug(&mut self, port: &str, switch: &str, host: &Host, interface: &str) {
        let namespace = host.namespace().path();
        self.commands.push(format!(
            "link add name {port} type veth peer name {interface} netns {}",
            namespace.display()
        ));
        self.commands.push(format!("link set {port} master {switch} up"));
        self.ports += 1;
    }

    /// Whether every port sees its cable and lets packets through.
    fn connected(&self, wiring: &Host) -> bool {
        let Ok(ports) = wiring.program("ip", &["-o", "-d", "link", "show", "type", "veth"]) else {
            return false;
        };
        let ready =
            |line: &&str| line.contains(" state UP ") && line.contains(" state forwarding ");
        ports.lines().filter(ready).count() == self.ports
    }
}

/// What makes a host one of an inside network.
fn inside_commands(host: &Host, router: Ipv4Addr) -> [String; 4] {
    [
        up("lo"),
        up("eth0"),
        address_on("eth0", host.address(), 24),
        format!("route add default via {router}"),
    ]
}

fn exchange_commands() -> Vec<String> {
    vec![
        up("lo"),
        up("transit"),
        up("servers"),
        address_on("transit", EXCHANGE_TRANSIT, 30),
        address_on("servers", EXCHANGE_SERVERS, 25),
        address_on("servers", EXCHANGE_SECOND, 24),
        format!("route add 203.0.113.0/25 via {ISP_TRANSIT}"),
    ]
}

fn workstation_name(index: u8) -> String {
    match index {
        0 => "workstation".to_owned(),
        1 => "laptop".to_owned(),
        more => format!("inside-{more}"),
    }
}

fn up(interface: &str) -> String {
    format!("link set {interface} up")
}

fn address_on(interface: &str, address: Ipv4Addr, prefix: u8) -> String {
    format!("addr add {address}/{prefix} dev {interface}")
}
