//! A host that routes multicast, for television over IP: the kernel forwards a group's packets from inside to
//! outside with the source that they have, and that is right.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::net::UdpSocket;

use masq_lab::{Captured, Lab, MulticastRoute, Result, SOON, Topology, address, wait_until};

use super::steps::{pings, switch_forwarding_on};
use crate::Scenario;
use crate::datagrams::throw;
use crate::packets::udp;

pub(crate) fn multicast_of_an_inside_source_leaves() -> Scenario {
    // The lab's judge takes addresses of this network for public ones, so that they may be seen outside.
    let config = "[[outside]]\ninterface = 'wan'\n\
        [[inside]]\ninterface = 'lan'\nnetworks = ['192.168.1.0/24', '100.64.0.0/16']\n";
    Scenario::new(Topology::new(), |lab, gateway| {
        switch_forwarding_on(lab)?;
        lab.gateway.ip(&["route add 100.64.0.0/16 dev lan"])?;
        lab.workstation().ip(&[format!("addr add {SOURCE}/32 dev eth0")])?;
        if !gateway.is_masq() {
            let accepted = ["add", "rule", "ip", "oracle", "forward", "ip", "daddr", "239.0.0.0/8"];
            lab.gateway.program("nft", &[&accepted[..], &["accept"]].concat())?;
        }
        pings(lab.workstation(), lab.server.address(), &[]).expect("the outside is there");
        let _router = MulticastRoute::set(&lab.gateway, ["lan", "wan"], SOURCE, GROUP)?;
        let socket = lab.workstation().run(|| UdpSocket::bind((SOURCE, 0))).unwrap();
        socket.set_multicast_ttl_v4(8).unwrap();
        leaves(lab, &socket, 1)?;
        if let Some(daemon) = gateway.daemon_mut() {
            daemon.kill()?;
            leaves(lab, &socket, 3)?;
            daemon.restart()?;
            leaves(lab, &socket, 5)?;
        }
        Ok(())
    })
    .config(config)
}

/// What an inside host sends to the group, and what the gateway says itself with an inside address, leave.
fn leaves(lab: &Lab, socket: &UdpSocket, number: u16) -> Result<()> {
    let forwarded = SocketAddrV4::new(GROUP, number);
    throw(socket, forwarded, b"television");
    let was_seen = |port: u16| {
        let ends = [SOURCE.octets(), GROUP.octets()].concat();
        let is_it = |seen: &Captured| {
            seen.incoming
                && seen.bytes.get(12..20) == Some(&ends)
                && seen.bytes.get(22..24) == Some(&port.to_be_bytes())
        };
        !lab.outside.packets(is_it).is_empty()
    };
    wait_until("the group's packet has left", SOON, || was_seen(number))?;

    let port = lab.gateway.raw_port("wan", address::ISP)?;
    let packet = udp((SOURCE, 5000), (GROUP, number + 1), b"television");
    // The link address of a group: RFC 1112, section 6.4.
    port.send_to([1, 0, 0x5e, 1, 2, 3], 0x0800, &packet)?;
    wait_until("the gateway's packet has left", SOON, || was_seen(number + 1))
}

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const SOURCE: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 3);
