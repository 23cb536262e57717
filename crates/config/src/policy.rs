//! [`CheckedConfig`] and the interfaces there are, to the engine's [`Policy`].
//!
//! Names and patterns meet interfaces here, and "auto" meets addresses. It is done again whenever an
//! interface or an address comes or goes; the result depends on nothing else.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeSet;

use masq_core::{
    Inside, Outside, Policy, Pool, PoolId, PortId, PortRanges, Prefix as EnginePrefix, Realm,
};

use crate::check::{Addresses, CheckedConfig, InsideConfig, OutsideConfig, Ports};
use crate::interface::InterfacePattern;

/// An interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub port: PortId,
    /// Its name.
    pub name: String,
    /// It is gone, or has lost its addresses; those here are its last ones.
    pub away: bool,
    /// The host's own addresses on it, the primary one first.
    pub addresses: Vec<Ipv4Addr>,
    /// The networks that are reached through it, connected and routed.
    pub networks: Vec<EnginePrefix>,
}

impl CheckedConfig {
    /// Returns which side an interface of this name is on.
    #[must_use]
    pub fn realm(&self, name: &str) -> Option<Realm> {
        if self.insides.iter().any(|inside| inside.interface.matches(name)) {
            return Some(Realm::Inside);
        }
        self.outsides
            .iter()
            .any(|outside| outside.interface.matches(name))
            .then_some(Realm::Outside)
    }

    /// Returns the configured interfaces that none of these is: masq waits for them.
    pub fn missing<'a>(
        &'a self,
        links: &'a [Link],
    ) -> impl Iterator<Item = (Realm, &'a InterfacePattern)> {
        let insides = self.insides.iter().map(|inside| (Realm::Inside, &inside.interface));
        let outsides = self.outsides.iter().map(|outside| (Realm::Outside, &outside.interface));
        insides
            .chain(outsides)
            .filter(|(_, pattern)| !links.iter().any(|link| pattern.matches(&link.name)))
    }

    /// Returns the policy for these interfaces; `reserved` stays the host's own on shared addresses.
    #[must_use]
    pub fn policy(&self, links: &[Link], reserved: PortRanges) -> Policy {
        let own: BTreeSet<Ipv4Addr> =
            links.iter().flat_map(|link| link.addresses.iter().copied()).collect();
        let insides = links.iter().filter_map(|link| {
            let config = self.insides.iter().find(|inside| inside.interface.matches(&link.name))?;
            Some(inside(config, link))
        });
        let outsides = links.iter().filter_map(|link| {
            let config =
                self.outsides.iter().find(|config| config.interface.matches(&link.name))?;
            Some(outside(config, link, &own))
        });
        Policy {
            timeouts: self.timeouts,
            hosts: self.hosts,
            reassembly: self.reassembly,
            held: self.neighbours,
            hold_down: self.hold_down,
            icmp_errors: self.icmp_errors,
            answer_inbound_syn: self.answer_inbound_syn,
            carrier: self.carrier,
            reserved,
            ..Policy::new(insides.collect(), outsides.collect())
        }
    }
}

fn inside(config: &InsideConfig, link: &Link) -> Inside {
    let networks = match &config.networks {
        Some(networks) => networks
            .iter()
            .map(|network| EnginePrefix::v4(network.address(), network.length()))
            .collect(),
        // A default route through the inside would make every source an inside one.
        None => link.networks.iter().copied().filter(|network| network.length > 0).collect(),
    };
    Inside { port: link.port, address: link.addresses.first().copied().map(IpAddr::V4), networks }
}

fn outside(config: &OutsideConfig, link: &Link, own: &BTreeSet<Ipv4Addr>) -> Outside {
    let addresses: Vec<Ipv4Addr> = match &config.addresses {
        // The others are for the host's services.
        Addresses::Auto => link.addresses.first().copied().into_iter().collect(),
        Addresses::Pool(ranges) => ranges.iter().flat_map(|range| range.addresses()).collect(),
    };
    let shared_with_host = addresses.iter().any(|address| own.contains(address));
    let addresses = addresses.into_iter().map(IpAddr::V4).collect();
    let pool = Pool {
        shared_with_host,
        mapping: config.nat.mapping.into(),
        filtering: config.nat.filtering.into(),
        pooling: config.nat.pooling.into(),
        preserve_ports: config.nat.preserve_ports,
        ports: match &config.ports {
            Ports::Auto => PortRanges::usual(),
            Ports::Ranges(ranges) => {
                PortRanges(ranges.iter().map(|range| (*range).into()).collect())
            }
        },
        ..Pool::new(PoolId(link.port.0), addresses)
    };
    Outside { port: link.port, away: link.away, pool }
}

#[cfg(test)]
mod tests {
    use masq_core::{Filtering, Mapping};

    use super::*;
    use crate::{Overrides, SAMPLE, Source, judge};

    fn config(text: &str) -> CheckedConfig {
        let source = Source { name: "t".into(), text: text.into() };
        judge(source, &Overrides::default()).unwrap().config
    }

    fn link(port: u32, name: &str, address: [u8; 4], length: u8) -> Link {
        let address = Ipv4Addr::from(address);
        Link {
            port: PortId(port),
            name: name.into(),
            away: false,
            addresses: vec![address],
            networks: vec![EnginePrefix::v4(address, length)],
        }
    }

    #[test]
    fn the_sample_gives_the_engines_own_defaults() {
        let links = [link(2, "eth0", [203, 0, 113, 1], 24), link(3, "eth1", [192, 168, 1, 1], 24)];
        let inside = Inside {
            port: PortId(3),
            address: Some(IpAddr::from([192, 168, 1, 1])),
            networks: links[1].networks.clone(),
        };
        let outside = Outside::new(PortId(2), vec![IpAddr::from([203, 0, 113, 1])]);
        let expected = Policy::new(vec![inside], vec![outside]);
        assert_eq!(config(SAMPLE).policy(&links, PortRanges::NONE), expected);
    }

    #[test]
    fn a_prefix_pattern_takes_what_there_is_and_waits_for_the_rest() {
        let config = config("[[outside]]\ninterface='ppp+'\n[[inside]]\ninterface='eth1'\n");
        let links = [link(7, "ppp0", [203, 0, 113, 1], 32), link(8, "ppp1", [203, 0, 113, 2], 32)];
        let policy = config.policy(&links, PortRanges::NONE);
        assert_eq!((policy.insides.len(), policy.outsides.len()), (0, 2));
        let missing: Vec<_> =
            config.missing(&links).map(|(realm, pattern)| (realm, pattern.to_string())).collect();
        assert_eq!(missing, [(Realm::Inside, "eth1".to_owned())]);
        assert_eq!(config.realm("ppp7"), Some(Realm::Outside));
        assert_eq!(config.realm("lo"), None);
    }

    #[test]
    fn an_outside_without_an_address_has_none() {
        let config = config("[[outside]]\ninterface='ppp0'\n[[inside]]\ninterface='eth1'\n");
        let bare = Link { addresses: vec![], ..link(7, "ppp0", [0; 4], 0) };
        let policy = config.policy(&[bare], PortRanges::NONE);
        assert!(policy.outsides[0].pool.addresses.is_empty());
    }

    #[test]
    fn a_pool_is_the_hosts_when_the_host_has_an_address_of_it() {
        let config = config(
            "[[inside]]\ninterface='l'\nnetworks=['10.0.0.0/8']\n[[outside]]\ninterface='w'\n\
             address=['203.0.113.1-203.0.113.3']\nports=[5000, '6000-6999']\n\
             mapping='address-dependent'\nfiltering='endpoint-independent'\n",
        );
        let strange = config.policy(&[link(2, "w", [198, 51, 100, 1], 24)], PortRanges::NONE);
        let shared = config.policy(&[link(2, "w", [203, 0, 113, 2], 24)], PortRanges::NONE);
        assert!(
            !strange.outsides[0].pool.shared_with_host && shared.outsides[0].pool.shared_with_host
        );
        let pool = &strange.outsides[0].pool;
        assert_eq!(pool.addresses.len(), 3);
        assert_eq!(pool.ports, PortRanges(vec![5000..=5000, 6000..=6999]));
        assert_eq!(pool.mapping, Mapping::AddressDependent);
        assert_eq!(pool.filtering, Filtering::EndpointIndependent);
    }

    #[test]
    fn a_default_route_through_the_inside_makes_nobody_inside() {
        let config = config("[[outside]]\ninterface='w'\n[[inside]]\ninterface='l'\n");
        let mut lan = link(3, "l", [192, 168, 1, 1], 24);
        lan.networks.push(EnginePrefix::v4(Ipv4Addr::UNSPECIFIED, 0));
        let policy = config.policy(&[lan], PortRanges::NONE);
        assert_eq!(policy.insides[0].networks.len(), 1);
    }
}
