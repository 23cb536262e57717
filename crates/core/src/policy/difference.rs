//! What a new policy means for the sessions that exist.
//!
//! Most of a policy concerns only what comes after: limits, rates, ports that may be given out. Some
//! of it concerns every session, which then has to be looked at; this module tells the two apart.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::{InForce, Prefix};
use crate::pool::{Filtering, Mapping, PortRanges};
use crate::routes::PortId;

/// In what two policies differ, as far as sessions or ports in use are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Interfaces, inside networks or outside addresses: sessions may have to end, or to move.
    pub(crate) sides: bool,
    /// What the mappings of an outside address depend on: they have another key.
    pub(crate) mapping: bool,
    /// How long sessions live: their timers are wrong.
    pub(crate) timeouts: bool,
    /// Which ports may be given out.
    pub(crate) ports: bool,
    /// Outside addresses with another filter.
    pub(crate) filtering: BTreeSet<IpAddr>,
}

impl Difference {
    /// Compares the policy in force with its successor.
    pub(crate) fn between(old: &InForce, new: &InForce) -> Self {
        let sides = insides(old) != insides(new) || outsides(old) != outsides(new);
        let mut difference = Self {
            sides,
            timeouts: old.timeouts != new.timeouts,
            ports: sides || old.reserved != new.reserved || ports(old) != ports(new),
            ..Self::default()
        };
        for address in new.outsides.iter().flat_map(|outside| &outside.pool.addresses) {
            let (before, after) = (behaviour(old, *address), behaviour(new, *address));
            difference.mapping |= before.0 != after.0;
            if before.1 != after.1 {
                difference.filtering.insert(*address);
            }
        }
        difference
    }

    /// Whether every session has to be looked at.
    pub(crate) fn concerns_sessions(&self) -> bool {
        self.sides || self.mapping || self.timeouts || !self.filtering.is_empty()
    }
}

/// The behaviour of an address; the usual one, if nobody shares it.
fn behaviour(policy: &InForce, address: IpAddr) -> (Mapping, Filtering) {
    let pool = policy.pool_of(address);
    pool.map_or_else(Default::default, |pool| (pool.mapping, pool.filtering))
}

fn insides(policy: &InForce) -> Vec<(PortId, &[Prefix])> {
    policy.insides.iter().map(|inside| (inside.port, &inside.networks[..])).collect()
}

fn outsides(policy: &InForce) -> Vec<(PortId, &[IpAddr], bool)> {
    let outsides = policy.outsides.iter();
    outsides.map(|outside| (outside.port, &outside.pool.addresses[..], outside.away)).collect()
}

fn ports(policy: &InForce) -> Vec<(&PortRanges, bool)> {
    policy
        .outsides
        .iter()
        .map(|outside| (&outside.pool.ports, outside.pool.shared_with_host))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Inside, Outside, Policy};
    use crate::time::Duration;

    fn policy(change: impl FnOnce(&mut Policy)) -> InForce {
        let address = IpAddr::from([203, 0, 113, 1]);
        let network = Prefix { address: IpAddr::from([192, 168, 1, 0]), length: 24 };
        let inside = Inside { port: PortId(1), address: None, networks: vec![network] };
        let outside = Outside::new(PortId(2), vec![address]);
        let mut policy = Policy::new(vec![inside], vec![outside]);
        change(&mut policy);
        InForce::new(policy)
    }

    fn difference(change: impl FnOnce(&mut Policy)) -> Difference {
        Difference::between(&policy(|_| ()), &policy(change))
    }

    #[test]
    fn what_is_only_about_the_future_concerns_no_session() {
        let difference = difference(|policy| {
            policy.hosts.sessions += 1;
            policy.icmp_errors = None;
            policy.carrier = true;
            policy.reserved = PortRanges(vec![5000..=5001]);
            policy.hold_down.duration = Duration::from_secs(7);
            policy.outsides[0].pool.preserve_ports = false;
            policy.outsides[0].pool.ports = PortRanges::linux_2_2();
            policy.insides[0].address = Some(IpAddr::from([192, 168, 1, 1]));
        });
        assert!(!difference.concerns_sessions());
        assert!(difference.ports);
    }

    #[test]
    fn what_sessions_were_judged_by_concerns_them() {
        let changes: [fn(&mut Policy); 7] = [
            |policy| policy.timeouts.udp = Duration::from_secs(30),
            |policy| policy.insides[0].networks.clear(),
            |policy| policy.insides.clear(),
            |policy| policy.outsides[0].pool.addresses.clear(),
            |policy| policy.outsides[0].away = true,
            |policy| policy.outsides[0].pool.mapping = Mapping::AddressDependent,
            |policy| policy.outsides[0].pool.filtering = Filtering::EndpointIndependent,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert!(difference(change).concerns_sessions(), "{number}");
        }
    }
}
