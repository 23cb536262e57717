//! The lab of the bench: a sender, a gateway, a receiver, and two cables between them.
//!
//! ```text
//!   10.16.0.0/12 ─ ─ sender ── inside ═══ lan ── gateway ── wan ═══ outside ── receiver
//!   (routed there)   192.168.1.2     192.168.1.1     203.0.113.1            203.0.113.178
//! ```
//!
//! The cables are veth pairs without anything between them: a switch would cost more than some of the
//! gateways. All neighbours are known for good, so that nothing but the measured packets is on the way.
//!
//! A veth's receiving side takes packets of XDP senders only while it polls (NAPI): where an XDP program
//! is attached, and at the gateway, as on any network card, by its receive offload. What arrives is
//! complete, as on a network card that checks checksums: the ends leave none to hardware.

use core::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use masq_lab::Host;
use rustix::net::{AddressFamily, SocketType};

/// The gateway's inside address.
pub const GATEWAY_INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// The sender's own address, which is also the router to the inside hosts.
pub const SENDER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
/// The first inside host behind the sender.
pub const FIRST_HOST: Ipv4Addr = Ipv4Addr::new(10, 16, 0, 0);
/// The networks inside.
pub const INSIDE_NETWORKS: [&str; 2] = ["192.168.1.0/24", "10.16.0.0/12"];
/// The receiver's network, when it is inside as well.
pub const OTHER_INSIDE_NETWORK: &str = "203.0.113.0/24";
/// The gateway's outside address.
pub const GATEWAY_OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The first address of a pool.
pub const POOL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 32);
/// The receiver.
pub const RECEIVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 178);

/// An interface of the lab.
#[derive(Clone, Copy, Debug, Default)]
pub struct Port {
    /// Its number in its namespace.
    pub index: u32,
    /// Its link address.
    pub mac: [u8; 6],
}

/// The hosts and the cables between them.
#[derive(Debug)]
pub struct Lab {
    /// Inside.
    pub sender: Host,
    /// In the middle, with interfaces `lan` and `wan`.
    pub gateway: Host,
    /// Outside.
    pub receiver: Host,
    /// The sender's interface, `inside`.
    pub inside: Port,
    /// The gateway's inside interface, `lan`.
    pub lan: Port,
    /// The gateway's outside interface, `wan`.
    pub wan: Port,
    /// The receiver's interface, `outside`.
    pub outside: Port,
}

impl Lab {
    /// Builds it, with as many queues in each cable as processors shall carry packets.
    ///
    /// # Errors
    ///
    /// When the system does not permit it, or lacks a program.
    pub fn new(queues: usize) -> Result<Self> {
        let sender = Host::new("sender", SENDER)?;
        let gateway = Host::gateway("gateway", GATEWAY_INSIDE)?;
        let receiver = Host::new("receiver", RECEIVER)?;
        lay(&gateway, "lan", &sender, "inside", queues)?;
        lay(&gateway, "wan", &receiver, "outside", queues)?;

        let [inside, lan, wan, outside] = [1, 2, 3, 4].map(|number| [2, 0, 0, 0, 0, number]);
        sender.ip(&end("inside", inside, SENDER, (GATEWAY_INSIDE, lan)))?;
        receiver.ip(&end("outside", outside, RECEIVER, (GATEWAY_OUTSIDE, wan)))?;
        gateway.ip(&[
            "link set lo up".to_owned(),
            format!("link set lan address {} up", text(lan)),
            format!("link set wan address {} up", text(wan)),
            format!("addr add {GATEWAY_INSIDE}/24 dev lan"),
            format!("addr add {GATEWAY_OUTSIDE}/24 dev wan"),
            format!("neigh replace {SENDER} lladdr {} dev lan nud permanent", text(inside)),
            format!("neigh replace {RECEIVER} lladdr {} dev wan nud permanent", text(outside)),
            format!("route add 10.16.0.0/12 via {SENDER}"),
        ])?;
        for (host, interface) in [(&sender, "inside"), (&receiver, "outside")] {
            host.program("ethtool", &["-K", interface, "tx", "off"])?;
        }
        for interface in ["lan", "wan"] {
            gateway.program("ethtool", &["-K", interface, "gro", "on"])?;
        }
        let [inside, lan, wan, outside] = [
            port(&sender, "inside", inside)?,
            port(&gateway, "lan", lan)?,
            port(&gateway, "wan", wan)?,
            port(&receiver, "outside", outside)?,
        ];
        Ok(Self { sender, gateway, receiver, inside, lan, wan, outside })
    }
}

fn lay(gateway: &Host, near: &str, host: &Host, far: &str, queues: usize) -> Result<()> {
    let queues = format!("numtxqueues {queues} numrxqueues {queues}");
    let there = host.namespace().path();
    Ok(gateway.ip(&[format!(
        "link add name {near} {queues} type veth peer name {far} {queues} netns {}",
        there.display()
    )])?)
}

/// What makes an end of a cable a host with a default route.
fn end(name: &str, mac: [u8; 6], address: Ipv4Addr, gateway: (Ipv4Addr, [u8; 6])) -> [String; 5] {
    let (router, its_mac) = gateway;
    [
        "link set lo up".to_owned(),
        format!("link set {name} address {} up", text(mac)),
        format!("addr add {address}/24 dev {name}"),
        format!("neigh replace {router} lladdr {} dev {name} nud permanent", text(its_mac)),
        format!("route add default via {router}"),
    ]
}

fn port(host: &Host, name: &str, mac: [u8; 6]) -> Result<Port> {
    let index = host.run(|| {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
        rustix::net::netdevice::name_to_index(&socket, name)
    });
    Ok(Port { index: index.with_context(|| format!("the interface {name} of {host}"))?, mac })
}

fn text([a, b, c, d, e, f]: [u8; 6]) -> String {
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
