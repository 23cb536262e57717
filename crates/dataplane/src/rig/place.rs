//! Where a rig is: the gateway's interfaces and addresses, and who is at the other end of the cables.

use core::net::Ipv4Addr;
use std::process::Command;

pub use masq_flow::maps::Role;
use masq_flow::maps::Settings;
use masq_flow::{NextHopId, NextHopState, NextHopValue};

use crate::sys;

/// The end of the punt port that packets are redirected into. Nothing is: no test run redirects.
pub(super) const PUNT_PORT: u32 = 99;

/// A host inside.
pub const WORKSTATION: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);
/// The gateway's own address inside.
pub const GATEWAY_INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// The address that host and gateway share.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// An address that is the gateway's alone.
pub const POOL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// A host outside.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 178);

/// The next hop towards the workstation.
pub const TO_WORKSTATION: NextHopId = NextHopId(7);
/// The next hop towards the server.
pub const TO_SERVER: NextHopId = NextHopId(8);
/// A next hop whose neighbour is being asked for.
pub const UNRESOLVED: NextHopId = NextHopId(9);

/// An interface of the gateway, and the station at the other end of its cable.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// The interface's number.
    pub index: u32,
    /// Its address.
    pub mac: [u8; 6],
    /// The address of the other end.
    pub neighbour: [u8; 6],
    /// Which side it is on.
    pub role: Role,
}

impl Port {
    /// A frame from the neighbour.
    #[must_use]
    pub fn frame(&self, packet: &[u8]) -> Vec<u8> {
        [&self.mac[..], &self.neighbour, &[8, 0], packet].concat()
    }

    pub(super) fn make(name: &'static str, number: u8, role: Role) -> Self {
        let [mac, neighbour] = [1, 2].map(|end| [2, 0, 0, 0, number, end]);
        let text = mac.map(|byte| format!("{byte:02x}")).join(":");
        ip(&format!("link add {name} address {text} type veth peer name {name}-far"));
        ip(&format!("link set {name} up"));
        ip(&format!("link set {name}-far up"));
        Self { index: index(name), mac, neighbour, role }
    }
}

/// A next hop at the other end of a port's cable.
#[must_use]
pub fn next_hop(port: &Port, state: NextHopState) -> NextHopValue {
    NextHopValue {
        state,
        ifindex: port.index,
        mtu: 1500,
        destination: port.neighbour,
        source: port.mac,
        ..NextHopValue::default()
    }
}

/// Settings without any limit.
#[must_use]
pub fn settings() -> Settings {
    // No worker beats here, and none is taken to be away for that.
    Settings { punt_ifindex: PUNT_PORT, away_after_ns: u64::MAX, ..Settings::default() }
}

/// The number of an interface in this thread's network.
#[must_use]
pub fn index(name: &str) -> u32 {
    sys::interface_index(name).unwrap()
}

/// Runs `ip` in this thread's network.
pub fn ip(arguments: &str) {
    run(&format!("ip {arguments}"));
}

/// Runs a program in this thread's network.
pub fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}
