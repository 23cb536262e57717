//! A checked configuration as the dataplane asks for it.

use core::net::IpAddr;

use masq_config::{CheckedConfig, FastPathMode, Link};
use masq_core::limits::Rate;
use masq_core::{Policy, PortRanges, Realm};
use masq_dataplane::{Configuration, FastPath, Port, Surroundings};

/// What the administrator wants, in the dataplane's words.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(pub(crate) CheckedConfig);

impl Configuration for Wanted {
    fn side(&self, interface: &str) -> Option<Realm> {
        self.0.realm(interface)
    }

    fn fast_path(&self) -> FastPath {
        match self.0.fast_path {
            FastPathMode::Auto => FastPath::Auto,
            FastPathMode::Off => FastPath::Off,
            FastPathMode::Tc => FastPath::Tc,
            FastPathMode::Xdp => FastPath::Xdp,
        }
    }

    fn first_packets(&self) -> Option<Rate> {
        self.0.first_packets
    }

    /// Interfaces named in full; those of a pattern may come later.
    fn required(&self) -> Vec<String> {
        let insides = self.0.insides.iter().map(|inside| &inside.interface);
        let outsides = self.0.outsides.iter().map(|outside| &outside.interface);
        insides.chain(outsides).filter_map(|pattern| pattern.name().map(str::to_owned)).collect()
    }

    fn policy(&self, surroundings: &Surroundings) -> Policy {
        let links: Vec<_> = surroundings.ports.iter().map(link).collect();
        let reserved = surroundings.host_ports().into_iter().collect();
        self.0.policy(&links, PortRanges(reserved))
    }
}

pub(super) fn link(port: &Port) -> Link {
    let addresses = port.addresses.iter().filter(|address| address.global);
    let addresses = addresses.filter_map(|address| match address.address {
        IpAddr::V4(own) => Some(own),
        IpAddr::V6(_) => None,
    });
    Link {
        port: port.id,
        name: port.name.clone(),
        away: port.away,
        addresses: addresses.collect(),
        networks: port.networks.clone(),
    }
}
