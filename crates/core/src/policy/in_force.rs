//! A policy that is in force, with what every packet asks of it made quick.

use core::net::IpAddr;
use core::ops::Deref;

use super::{Outside, Policy};
use crate::pool::Pool;
use crate::routes::PortId;

/// A policy with an index of its outside addresses: a pool may hold thousands, and every packet is
/// compared with them.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    policy: Policy,
    /// Every outside address as a number and the place of its outside, sorted.
    addresses: Vec<(u128, u32)>,
}

impl InForce {
    pub(crate) fn new(policy: Policy) -> Self {
        let mut addresses: Vec<_> = policy
            .outsides
            .iter()
            .enumerate()
            .flat_map(|(place, outside)| {
                outside.pool.addresses.iter().map(move |one| (number(*one), place as u32))
            })
            .collect();
        addresses.sort_unstable();
        addresses.dedup_by_key(|(address, _)| *address);
        Self { policy, addresses }
    }

    /// The policy as it was given.
    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The outside that shares an address.
    pub(crate) fn outside_of(&self, address: IpAddr) -> Option<&Outside> {
        let address = number(address);
        let place = self.addresses.binary_search_by_key(&address, |(known, _)| *known).ok()?;
        self.policy.outsides.get(self.addresses[place].1 as usize)
    }

    /// The pool that an address is of.
    pub(crate) fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        self.outside_of(address).map(|outside| &outside.pool)
    }

    /// Whether an address is of a pool.
    pub(crate) fn is_of(&self, address: IpAddr, pool: &Pool) -> bool {
        self.pool_of(address).is_some_and(|other| other.id == pool.id)
    }

    /// Whether the outside on an interface shares an address.
    pub(crate) fn shares(&self, port: PortId, address: IpAddr) -> bool {
        self.outside_of(address).is_some_and(|outside| outside.port == port)
    }
}

/// An address as one number, which is compared quicker; IPv4 as RFC 4291 §2.5.5.2 maps it.
pub(crate) const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Deref for InForce {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_its_outside() {
        let address = |last| IpAddr::from([203, 0, 113, last]);
        let one = Outside::new(PortId(2), vec![address(9), address(1)]);
        let other = Outside::new(PortId(3), vec![address(5)]);
        let policy = InForce::new(Policy::new(Vec::new(), vec![one, other]));
        assert!(policy.shares(PortId(2), address(1)) && policy.shares(PortId(3), address(5)));
        assert!(!policy.shares(PortId(2), address(5)));
        assert_eq!(policy.outside_of(address(2)), None);
    }
}
