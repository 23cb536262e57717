//! Which addresses and ports are masq's, and which the host's.

use core::net::{IpAddr, Ipv4Addr};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use masq_core::Policy;
use masq_flow::maps::AddressFlags;

use crate::routes::Links;

/// A set of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(Vec<bool>);

impl Ports {
    fn none() -> Self {
        Self(vec![false; 1 << 16])
    }

    fn set(&mut self, ports: RangeInclusive<u16>, member: bool) {
        ports.for_each(|port| self.0[usize::from(port)] = member);
    }

    /// Whether the port is in the set.
    pub(crate) fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port)]
    }

    /// The set as the kernel writes it: `1024-2000,3000`.
    fn to_text(&self) -> String {
        let mut ranges: Vec<String> = Vec::new();
        let mut port = 0_usize;
        while port < self.0.len() {
            if !self.0[port] {
                port += 1;
                continue;
            }
            let first = port;
            while port < self.0.len() && self.0[port] {
                port += 1;
            }
            let last = port - 1;
            ranges.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
        }
        ranges.join(",")
    }

    fn parse(text: &str) -> Self {
        let mut ports = Self::none();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            if let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse()) {
                ports.set(first..=last, true);
            }
        }
        ports
    }
}

/// The ports of shared addresses that are masq's.
pub(crate) fn owned(policy: &Policy) -> Ports {
    let mut owned = Ports::none();
    let shared = policy.outsides.iter().filter(|outside| outside.pool.shared_with_host);
    for range in shared.flat_map(|outside| &outside.pool.ports.0) {
        owned.set(range.clone(), true);
    }
    for range in &policy.reserved.0 {
        owned.set(range.clone(), false);
    }
    owned
}

/// What the kernel is told not to use: masq's ports within its own range, and what an administrator
/// had reserved before.
pub(crate) fn reserved(
    owned: &Ports,
    ephemeral: Option<RangeInclusive<u16>>,
    before: &str,
) -> String {
    let mut reserved = Ports::parse(before);
    for port in ephemeral.into_iter().flatten() {
        if owned.contains(port) {
            reserved.set(port..=port, true);
        }
    }
    reserved.to_text()
}

/// What every address is to the programs.
pub(crate) fn addresses(links: &Links, policy: &Policy) -> BTreeMap<Ipv4Addr, AddressFlags> {
    let mut addresses: BTreeMap<_, AddressFlags> = BTreeMap::new();
    for address in links.addresses() {
        let IpAddr::V4(local) = address.local else { continue };
        *addresses.entry(local).or_default() |= AddressFlags::LOCAL;
        if let Some(broadcast) = broadcast(local, address.length) {
            *addresses.entry(broadcast).or_default() |= AddressFlags::BROADCAST;
        }
    }
    for outside in &policy.outsides {
        for address in &outside.pool.addresses {
            let IpAddr::V4(address) = *address else { continue };
            let flags = addresses.entry(address).or_default();
            *flags |= if outside.pool.shared_with_host && flags.contains(AddressFlags::LOCAL) {
                AddressFlags::OUTSIDE_SHARED
            } else {
                AddressFlags::OUTSIDE_POOL
            };
        }
    }
    addresses
}

/// The networks of the insides, and the interfaces that lead to them.
pub(crate) fn networks(policy: &Policy) -> BTreeMap<(Ipv4Addr, u8), u32> {
    let mut networks = BTreeMap::new();
    for inside in &policy.insides {
        for network in &inside.networks {
            let IpAddr::V4(address) = network.address else { continue };
            // An address that belongs to several is behind the first.
            networks.entry((address, network.length)).or_insert(inside.port.0);
        }
    }
    networks
}

/// The directed broadcast address of a network (RFC 919), where it has one (RFC 3021).
fn broadcast(address: Ipv4Addr, length: u8) -> Option<Ipv4Addr> {
    let host = u32::MAX.checked_shr(u32::from(length))?;
    (host > 1).then(|| Ipv4Addr::from_bits(address.to_bits() | host))
}

#[cfg(test)]
mod tests {
    use masq_core::{Outside, PortId, PortRanges};

    use super::*;
    use crate::routes::Address;

    fn policy() -> Policy {
        let outside = |address: [u8; 4], ports| {
            let mut outside = Outside::new(PortId(2), vec![address.into()]);
            outside.pool.ports = PortRanges(vec![ports]);
            outside
        };
        let mut policy = Policy::new(
            Vec::new(),
            vec![outside([203, 0, 113, 1], 1024..=65535), outside([203, 0, 113, 9], 1..=9)],
        );
        policy.reserved = PortRanges(vec![56904..=60999]);
        policy
    }

    #[test]
    fn the_host_keeps_what_the_policy_reserves() {
        let owned = owned(&policy());
        assert!(owned.contains(1024) && owned.contains(61000) && owned.contains(5));
        assert!(!owned.contains(56904) && !owned.contains(60999) && !owned.contains(1023));
    }

    #[test]
    fn reservations_of_the_administrator_are_kept() {
        let owned = owned(&policy());
        assert_eq!(
            reserved(&owned, Some(32768..=60999), "80,8000-8002"),
            "80,8000-8002,32768-56903"
        );
        assert_eq!(reserved(&owned, None, ""), "");
    }

    #[test]
    fn addresses_are_local_shared_pooled_or_broadcast() {
        let mut links = Links::default();
        let address = |local: [u8; 4], length| Address {
            link: 2,
            local: local.into(),
            length,
            secondary: false,
            global: true,
        };
        links.insert_address(address([203, 0, 113, 1], 24));
        links.insert_address(address([192, 168, 1, 1], 31));
        let found = addresses(&links, &policy());
        let flags = |address: [u8; 4]| found.get(&Ipv4Addr::from(address)).copied();
        let shared = AddressFlags::LOCAL | AddressFlags::OUTSIDE_SHARED;
        assert_eq!(flags([203, 0, 113, 1]), Some(shared));
        assert_eq!(flags([203, 0, 113, 9]), Some(AddressFlags::OUTSIDE_POOL));
        assert_eq!(flags([203, 0, 113, 255]), Some(AddressFlags::BROADCAST));
        assert_eq!(flags([192, 168, 1, 1]), Some(AddressFlags::LOCAL));
        assert_eq!(found.len(), 4, "a /31 has no broadcast address");
    }
}
