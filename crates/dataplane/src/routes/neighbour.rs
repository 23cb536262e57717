//! Neighbours: the link-layer addresses of hosts on our links, as the kernel has resolved them.

use core::net::IpAddr;
use std::collections::BTreeMap;

/// What the kernel knows of a neighbour (RFC 4861 §7.3.2, used for ARP alike).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Nobody answered.
    Failed,
    /// Asked, not answered yet.
    Incomplete,
    /// Resolved, and confirmed or configured.
    Reachable([u8; 6]),
    /// Resolved once; to be confirmed by the next use.
    Stale([u8; 6]),
}

impl Neighbour {
    /// The link-layer address to send to, if one is known.
    pub fn mac(self) -> Option<[u8; 6]> {
        match self {
            Self::Reachable(mac) | Self::Stale(mac) => Some(mac),
            Self::Failed | Self::Incomplete => None,
        }
    }
}

/// All neighbours, by link and address.
#[derive(Clone, Debug, Default)]
pub struct Neighbours(BTreeMap<(u32, IpAddr), Neighbour>);

impl Neighbours {
    /// What is known of a neighbour.
    pub fn get(&self, link: u32, address: IpAddr) -> Option<Neighbour> {
        self.0.get(&(link, address)).copied()
    }

    /// A neighbour on a link with that link-layer address.
    pub fn with_mac(&self, link: u32, mac: [u8; 6]) -> Option<IpAddr> {
        let found = |((on, address), neighbour): (&(u32, IpAddr), &Neighbour)| {
            (*on == link && neighbour.mac() == Some(mac)).then_some(*address)
        };
        self.0.iter().find_map(found)
    }

    /// Takes news of a neighbour; `None` forgets it.
    pub fn set(&mut self, link: u32, address: IpAddr, neighbour: Option<Neighbour>) {
        match neighbour {
            Some(neighbour) => self.0.insert((link, address), neighbour),
            None => self.0.remove(&(link, address)),
        };
    }

    /// Forgets all neighbours on a link.
    pub fn remove_link(&mut self, link: u32) {
        self.0.retain(|(on, _), _| *on != link);
    }
}
