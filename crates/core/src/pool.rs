//! A pool: the outside addresses and ports that stand for inside hosts, and how they do.
//!
//! Each outside has one. Who has a mapping of a pool, and who may send to it, is said by the pool's
//! behaviours (RFC 4787); which pool a session belongs to, by its outside address.

use core::net::IpAddr;
use core::ops::RangeInclusive;

use crate::port_set::PortSet;

/// What tells pools apart. That of an outside has the number of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u32);

/// Outside addresses, and how they are given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Which.
    pub id: PoolId,
    /// The addresses that stand for the inside hosts; none while there are none.
    pub addresses: Vec<IpAddr>,
    /// The host itself uses the addresses too: what is nobody's mapping is the host's.
    pub shared_with_host: bool,
    /// What an outside endpoint depends on.
    pub mapping: Mapping,
    /// Who may send to an outside endpoint.
    pub filtering: Filtering,
    /// Which of the addresses a host gets.
    pub pooling: Pooling,
    /// The ports that may be given out. ICMP identifiers are not restricted.
    pub ports: PortRanges,
    /// Keep a port when it is free (else always draw one at random, RFC 6056).
    pub preserve_ports: bool,
}

impl Pool {
    /// A pool with the recommended behaviour (RFC 4787 REQ-1, REQ-2; filtering is the stricter
    /// kind), whose addresses are the host's as well.
    #[must_use]
    pub fn new(id: PoolId, addresses: Vec<IpAddr>) -> Self {
        Self {
            id,
            addresses,
            shared_with_host: true,
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressAndPortDependent,
            pooling: Pooling::Paired,
            ports: PortRanges::usual(),
            preserve_ports: true,
        }
    }
}

/// RFC 4787 §4.1: what the outside endpoint of an inside endpoint depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mapping {
    /// Not on the remote.
    #[default]
    EndpointIndependent,
    /// On the remote's address.
    AddressDependent,
    /// On the remote's address and port.
    AddressAndPortDependent,
}

/// RFC 4787 §5: who may send to an outside endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filtering {
    /// Everybody.
    EndpointIndependent,
    /// Addresses that the inside endpoint has sent to.
    AddressDependent,
    /// Addresses and ports that the inside endpoint has sent to.
    #[default]
    AddressAndPortDependent,
}

/// RFC 4787 REQ-2: which address of a pool an inside host gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// Any, for each mapping.
    Arbitrary,
    /// The same one for all that it does.
    #[default]
    Paired,
}

/// Ranges of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortRanges(pub Vec<RangeInclusive<u16>>);

impl PortRanges {
    /// No port.
    pub const NONE: Self = Self(Vec::new());

    /// All that a gateway usually gives out: 1024 and above, and the upper half of the system ports
    /// for sources that are system ports themselves (RFC 4787 REQ-3a).
    #[must_use]
    pub fn usual() -> Self {
        Self(vec![512..=u16::MAX])
    }

    /// The range of Linux 2.2: PORT_MASQ_BEGIN to PORT_MASQ_END.
    #[must_use]
    pub fn linux_2_2() -> Self {
        Self(vec![61_000..=65_095])
    }

    /// The ranges as a set.
    #[must_use]
    pub fn to_set(&self) -> PortSet {
        PortSet::from_ranges(self.0.iter().cloned())
    }
}
