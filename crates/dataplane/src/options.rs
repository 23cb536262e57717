//! What a dataplane is started with, and how it learns what the administrator wants.
//!
//! The administrator names interfaces and says "the interface's address"; the engine knows numbers
//! and addresses. In between stands a [`Configuration`]: the dataplane asks it which interfaces are
//! on which side, and, whenever interfaces or addresses change, for the policy that fits the
//! surroundings as they are. The answer has to depend on nothing else.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use std::path::PathBuf;

use masq_core::limits::Rate;
use masq_core::{Policy, PortId, Prefix, Realm};
use masq_flow::Layout;

pub use crate::attach::Attachment;
use crate::fast_path::FastPath;

/// What the administrator wants.
pub trait Configuration: Send {
    /// Which side an interface of that name is on, if masq has anything to do with it.
    fn side(&self, interface: &str) -> Option<Realm>;

    /// The interfaces that must exist for a start to make sense. Others may come later, and all may
    /// go and come back.
    fn required(&self) -> Vec<String>;

    /// What should carry established sessions.
    fn fast_path(&self) -> FastPath;

    /// How many packets that may begin a session one source may send; none for any number.
    fn first_packets(&self) -> Option<Rate>;

    /// The policy for these surroundings.
    fn policy(&self, surroundings: &Surroundings) -> Policy;
}

/// The host as far as a policy depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The interfaces that are on a side, by number.
    pub ports: Vec<Port>,
    /// The range from which the kernel takes ports for the host's own connections.
    pub ephemeral: Option<RangeInclusive<u16>>,
}

impl Surroundings {
    /// The part of the kernel's range that stays the host's own by default: its last 4,096 ports,
    /// or half of it where it is small. Everything else may be given out, after masq has told the
    /// kernel not to use it (`ip_local_reserved_ports`).
    pub fn host_ports(&self) -> Option<RangeInclusive<u16>> {
        let range = self.ephemeral.clone()?;
        let count = u32::from(range.end().checked_sub(*range.start())?) + 1;
        let own = HOST_PORTS.min(count / 2).max(1) as u16;
        Some(range.end() - (own - 1)..=*range.end())
    }
}

/// An interface on one of the sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub id: PortId,
    /// Its name, which may change.
    pub name: String,
    /// Its side.
    pub side: Realm,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// It is gone, or has lost its addresses; those here are its last ones, which it may get back.
    pub away: bool,
    /// Whether it carries bare IP packets.
    pub layer3: bool,
    /// Its addresses, the preferred one first.
    pub addresses: Vec<PortAddress>,
    /// The IPv4 networks that are reached through it, connected and routed; for an outside
    /// interface the connected ones only.
    pub networks: Vec<Prefix>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortAddress {
    /// The address.
    pub address: IpAddr,
    /// How many bits of it name the network on the link.
    pub length: u8,
    /// Whether it is valid beyond the link.
    pub global: bool,
}

/// Where and how a dataplane runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tells several gateways on one host apart.
    pub instance: String,
    /// Where the BPF file system and the instance's state are.
    pub run: PathBuf,
    /// How large the flow table is.
    pub layout: Layout,
    /// How programs are attached.
    pub attachment: Attachment,
    /// Whether to tell of each session and mapping ([`masq_core::Event::is_detail`]).
    pub details: bool,
    /// Where the engine's randomness begins; none to take it from the kernel.
    pub seed: Option<[u8; 32]>,
}

impl Options {
    /// The usual options for an instance of that name.
    pub fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            run: PathBuf::from(RUN),
            layout: Layout::default(),
            attachment: Attachment::Auto,
            details: true,
            seed: None,
        }
    }
}

/// The usual place of everything that lives as long as the machine runs.
pub const RUN: &str = "/run/masq";

const HOST_PORTS: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_keeps_the_end_of_its_range() {
        let host = |range| {
            Surroundings { ephemeral: Some(range), ..Surroundings::default() }.host_ports().unwrap()
        };
        assert_eq!(host(32768..=60999), 56904..=60999);
        assert_eq!(host(50000..=50999), 50500..=50999);
        assert_eq!(host(50000..=50000), 50000..=50000);
        assert_eq!(host(1..=65535), 61440..=65535);
    }
}
