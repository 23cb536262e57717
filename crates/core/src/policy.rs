//! What the administrator decided: the only configuration that the engine knows.
//!
//! A policy is made by whoever reads the configuration and knows the interfaces there are; names
//! are resolved to indexes, "auto" to addresses and networks. It is replaced as a whole, by
//! [`Engine::apply`](crate::Engine::apply).

mod difference;
mod in_force;
mod timeouts;

use core::net::{IpAddr, Ipv4Addr};

use masq_wire::Protocol;

use crate::fragment::ReassemblyLimits;
use crate::held::HeldLimits;
use crate::icmp::ErrorRates;
use crate::limits::HostLimits;
use crate::pool::{Pool, PoolId, PortRanges};
use crate::ports::HoldDown;
use crate::routes::PortId;
use crate::time::Duration;

pub(crate) use self::difference::Difference;
pub(crate) use self::in_force::{InForce, number};
pub use self::timeouts::{TimeoutClass, Timeouts};

/// Everything the administrator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Towards the world.
    pub outsides: Vec<Outside>,
    /// Towards the hidden hosts.
    pub insides: Vec<Inside>,
    /// How long sessions live without packets.
    pub timeouts: Timeouts,
    /// What one inside host may have.
    pub hosts: HostLimits,
    /// Bounds of reassembly.
    pub reassembly: ReassemblyLimits,
    /// Bounds of what waits for a neighbour's address.
    pub held: HeldLimits,
    /// How long a freed port rests.
    pub hold_down: HoldDown,
    /// How many ICMP errors the gateway itself sends; none at all turns them off (RFC 5508 REQ-9).
    pub icmp_errors: Option<ErrorRates>,
    /// Ports of shared addresses that stay the host's own, whether a socket uses them or not.
    pub reserved: PortRanges,
    /// Refuse as a carrier's NAT does: ICMP 3/1 (RFC 6888 REQ-11) in the place of 3/13 (RFC 5508
    /// REQ-8).
    pub carrier: bool,
    /// An unsolicited SYN from outside that nothing matched is answered with ICMP 3/3, when its time
    /// is up (RFC 5382 REQ-4); else with silence.
    pub answer_inbound_syn: bool,
    /// Least time between two events that say the same.
    pub event_interval: Duration,
}

impl Policy {
    /// A policy with the defaults of the RFCs, for these interfaces.
    #[must_use]
    pub fn new(insides: Vec<Inside>, outsides: Vec<Outside>) -> Self {
        Self {
            outsides,
            insides,
            timeouts: Timeouts::rfc(),
            hosts: HostLimits::default(),
            reassembly: ReassemblyLimits::default(),
            held: HeldLimits::default(),
            hold_down: HoldDown::default(),
            icmp_errors: Some(ErrorRates::default()),
            reserved: PortRanges::NONE,
            carrier: false,
            answer_inbound_syn: true,
            event_interval: Duration::from_secs(60),
        }
    }

    /// The inside on an interface.
    #[must_use]
    pub fn inside(&self, port: PortId) -> Option<&Inside> {
        self.insides.iter().find(|inside| inside.port == port)
    }

    /// The outside on an interface.
    #[must_use]
    pub fn outside(&self, port: PortId) -> Option<&Outside> {
        self.outsides.iter().find(|outside| outside.port == port)
    }

    /// The outside that shares an address.
    #[must_use]
    pub fn outside_of(&self, address: IpAddr) -> Option<&Outside> {
        self.outsides.iter().find(|outside| outside.pool.addresses.contains(&address))
    }

    /// Whether an address belongs to a network of any inside.
    #[must_use]
    pub fn is_inside(&self, address: IpAddr) -> bool {
        self.insides.iter().any(|inside| inside.contains(address))
    }

    /// Which side an interface is on.
    #[must_use]
    pub fn realm(&self, port: PortId) -> Option<Realm> {
        if self.inside(port).is_some() {
            return Some(Realm::Inside);
        }
        self.outside(port).map(|_| Realm::Outside)
    }
}

/// A side of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Realm {
    /// Where the hidden hosts are.
    Inside,
    /// Where the world is.
    Outside,
}

/// An interface towards the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Which.
    pub port: PortId,
    /// The interface is gone, or has lost its addresses, and may come back with them: its sessions
    /// wait, and nothing leaves with the addresses, which are its last ones.
    pub away: bool,
    /// What stands for the inside hosts there.
    pub pool: Pool,
}

impl Outside {
    /// An outside with the recommended behaviour, whose addresses are the host's as well.
    #[must_use]
    pub fn new(port: PortId, addresses: Vec<IpAddr>) -> Self {
        Self { port, away: false, pool: Pool::new(PoolId(port.0), addresses) }
    }
}

/// An interface towards hidden hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Which.
    pub port: PortId,
    /// The gateway's own address there, which its ICMP errors come from.
    pub address: Option<IpAddr>,
    /// The networks of the hosts behind it; a packet from elsewhere has a forged source.
    pub networks: Vec<Prefix>,
}

impl Inside {
    /// Whether an address belongs to one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// An address of it.
    pub address: IpAddr,
    /// How many leading bits its addresses share.
    pub length: u8,
}

impl Prefix {
    /// An IPv4 network.
    #[must_use]
    pub const fn v4(address: Ipv4Addr, length: u8) -> Self {
        Self { address: IpAddr::V4(address), length }
    }

    /// Whether an address belongs to it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// A port in use by a socket of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_contains_what_shares_its_bits() {
        let network = Prefix::v4(Ipv4Addr::new(192, 168, 1, 0), 24);
        let inside = |text: &str| network.contains(text.parse().unwrap());
        assert!(inside("192.168.1.0") && inside("192.168.1.255"));
        assert!(!inside("192.168.2.0") && !inside("::1"));
        let everything = Prefix::v4(Ipv4Addr::UNSPECIFIED, 0);
        assert!(everything.contains("255.255.255.255".parse().unwrap()));
    }
}
