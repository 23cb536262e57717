//! Network interfaces and their addresses, as the kernel last described them.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::Prefix;

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it; stays the same when it is renamed.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its own link-layer address, where it has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// The largest IP packet it carries.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// Carries bare IP packets, without an Ethernet header (tun, ppp, wireguard …).
    pub layer3: bool,
    /// Resolves no neighbours (`IFF_NOARP`).
    pub no_arp: bool,
    /// The bridge, bond or VRF that it is a port of.
    pub master: Option<u32>,
    /// The routing table that this interface stands for, when it is a VRF.
    pub vrf_table: Option<u32>,
    /// The interface that it is a VLAN of.
    pub vlan_of: Option<u32>,
    /// What made it: `veth`, `bridge`, `tun` …; empty for hardware.
    pub kind: String,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The interface.
    pub link: u32,
    /// The host's own address there.
    pub local: IpAddr,
    /// How many bits of it name the network.
    pub length: u8,
    /// Not the first address of its network on this interface.
    pub secondary: bool,
    /// Reaches beyond this link (`scope global` or `site`).
    pub global: bool,
}

impl Address {
    /// The network that the address says is on this link.
    pub fn network(&self) -> Prefix {
        Prefix::new(self.local, self.length)
    }
}

/// All interfaces and their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    links: BTreeMap<u32, Link>,
    /// In the order in which the kernel announced them, which is the order it prefers.
    addresses: Vec<Address>,
}

impl Links {
    /// The interface of that number.
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// The interface of that name.
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// All interfaces, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The addresses of one interface, preferred ones first.
    pub fn addresses_of(&self, index: u32) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |address| address.link == index)
    }

    /// The addresses of all interfaces.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.iter()
    }

    /// The routing table of the VRF that the interface belongs to, or is.
    pub fn vrf_table(&self, index: u32) -> Option<u32> {
        let link = self.get(index)?;
        link.vrf_table.or_else(|| self.vrf_of(link)?.vrf_table)
    }

    /// The VRF that the interface belongs to.
    pub fn vrf_of(&self, link: &Link) -> Option<&Link> {
        self.get(link.master?).filter(|master| master.vrf_table.is_some())
    }

    /// Takes a new or changed interface; true if anything changed.
    pub fn insert(&mut self, link: Link) -> bool {
        if self.links.get(&link.index) == Some(&link) {
            return false;
        }
        self.links.insert(link.index, link);
        true
    }

    /// Forgets an interface and its addresses; true if it was known.
    pub fn remove(&mut self, index: u32) -> bool {
        self.addresses.retain(|address| address.link != index);
        self.links.remove(&index).is_some()
    }

    /// Takes a new or changed address; true if anything changed.
    pub fn insert_address(&mut self, address: Address) -> bool {
        let same = |known: &&mut Address| {
            known.link == address.link
                && known.local == address.local
                && known.length == address.length
        };
        match self.addresses.iter_mut().find(same) {
            Some(known) => core::mem::replace(known, address) != address,
            None => {
                self.addresses.push(address);
                true
            }
        }
    }

    /// Forgets an address; true if it was known.
    pub fn remove_address(&mut self, address: Address) -> bool {
        let before = self.addresses.len();
        self.addresses.retain(|known| {
            (known.link, known.local, known.length) != (address.link, address.local, address.length)
        });
        self.addresses.len() != before
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn ethernet(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            mac: Some([2, 0, 0, 0, 0, index as u8]),
            mtu: 1500,
            up: true,
            loopback: false,
            layer3: false,
            no_arp: false,
            master: None,
            vrf_table: None,
            vlan_of: None,
            kind: String::new(),
        }
    }

    pub(crate) fn address(link: u32, local: &str, length: u8) -> Address {
        Address { link, local: local.parse().unwrap(), length, secondary: false, global: true }
    }

    #[test]
    fn a_rename_keeps_the_number_and_the_addresses() {
        let mut links = Links::default();
        assert!(links.insert(ethernet(3, "eth0")));
        assert!(links.insert_address(address(3, "192.0.2.1", 24)));
        assert!(!links.insert(ethernet(3, "eth0")));
        assert!(links.insert(ethernet(3, "wan")));
        assert_eq!(links.named("eth0"), None);
        assert_eq!(links.named("wan").unwrap().index, 3);
        assert_eq!(links.addresses_of(3).count(), 1);
    }

    #[test]
    fn a_removed_link_takes_its_addresses_along() {
        let mut links = Links::default();
        links.insert(ethernet(3, "eth0"));
        links.insert_address(address(3, "192.0.2.1", 24));
        assert!(links.remove(3));
        assert!(!links.remove(3));
        assert_eq!(links.addresses().count(), 0);
    }

    #[test]
    fn a_port_of_a_vrf_routes_by_the_tables_of_its_master() {
        let mut links = Links::default();
        links.insert(Link { vrf_table: Some(10), ..ethernet(9, "red") });
        links.insert(Link { master: Some(9), ..ethernet(3, "eth0") });
        assert_eq!(links.vrf_table(3), Some(10));
        assert_eq!(links.vrf_table(9), Some(10));
    }
}
