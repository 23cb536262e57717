//! Interfaces that are away for a while: unplugged, renamed, dialling in anew, between two addresses.
//!
//! What was known of them is kept until they are back or somebody else has their address, so that a
//! line that comes back with the address that it had finds its sessions as it left them. In the
//! meantime nothing leaves with that address.

use std::collections::BTreeMap;

use crate::options::{Port, Surroundings};

/// The interfaces on a side by name, as they were when they last had an address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered(BTreeMap<String, Port>);

impl Remembered {
    /// Notes what is there, and adds what is away.
    pub(crate) fn complete(&mut self, surroundings: &mut Surroundings) {
        let present = &mut surroundings.ports;
        for port in present.iter().filter(|port| !port.addresses.is_empty()) {
            self.0.insert(port.name.clone(), port.clone());
        }
        self.0.retain(|name, away| {
            let mut others = present.iter().filter(|port| port.name != *name);
            !others.any(|other| other.id == away.id || share_an_address(other, away))
        });
        for (name, known) in &self.0 {
            let known = Port { away: true, up: false, ..known.clone() };
            match present.iter_mut().find(|port| port.name == *name) {
                None => present.push(known),
                Some(port) if port.addresses.is_empty() => {
                    *port = Port { id: port.id, up: port.up, mtu: port.mtu, ..known };
                }
                Some(_) => {}
            }
        }
    }

    /// Forgets the interface with a number.
    pub(crate) fn forget(&mut self, index: u32) {
        self.0.retain(|_, port| port.id.0 != index);
    }

    /// Forgets the interfaces that are on no side any more.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_wanted(name));
    }
}

fn share_an_address(one: &Port, other: &Port) -> bool {
    one.addresses.iter().any(|own| other.addresses.iter().any(|its| its.address == own.address))
}

#[cfg(test)]
mod tests {
    use masq_core::{PortId, Realm};

    use super::*;
    use crate::options::PortAddress;

    fn port(index: u32, name: &str, address: Option<&str>) -> Port {
        let address = address.map(|text| PortAddress {
            address: text.parse().unwrap(),
            length: 24,
            global: true,
        });
        Port {
            id: PortId(index),
            name: name.to_owned(),
            side: Realm::Outside,
            mtu: 1500,
            up: true,
            layer3: false,
            away: false,
            addresses: address.into_iter().collect(),
            networks: Vec::new(),
        }
    }

    fn completed(remembered: &mut Remembered, ports: Vec<Port>) -> Vec<(u32, bool, usize)> {
        let mut surroundings = Surroundings { ports, ephemeral: None };
        remembered.complete(&mut surroundings);
        let ports = surroundings.ports.iter();
        ports.map(|port| (port.id.0, port.away, port.addresses.len())).collect()
    }

    #[test]
    fn what_is_away_is_remembered_until_it_is_back() {
        let mut remembered = Remembered::default();
        let ppp = |index, address| port(index, "ppp0", address);
        assert_eq!(completed(&mut remembered, vec![ppp(3, Some("192.0.2.1"))]), [(3, false, 1)]);
        assert_eq!(completed(&mut remembered, vec![]), [(3, true, 1)]);
        assert_eq!(completed(&mut remembered, vec![ppp(4, None)]), [(4, true, 1)]);
        assert_eq!(completed(&mut remembered, vec![ppp(4, Some("192.0.2.9"))]), [(4, false, 1)]);
    }

    #[test]
    fn whoever_has_the_address_or_the_number_takes_the_place() {
        for successor in [port(4, "ppp1", Some("192.0.2.1")), port(3, "ppp1", None)] {
            let mut remembered = Remembered::default();
            completed(&mut remembered, vec![port(3, "ppp0", Some("192.0.2.1"))]);
            let seen = completed(&mut remembered, vec![successor.clone()]);
            assert_eq!(seen, [(successor.id.0, false, successor.addresses.len())]);
        }
    }

    #[test]
    fn an_interface_that_is_not_wanted_any_more_is_forgotten() {
        let mut remembered = Remembered::default();
        completed(&mut remembered, vec![port(3, "ppp0", Some("192.0.2.1"))]);
        remembered.keep(|name| name != "ppp0");
        assert_eq!(completed(&mut remembered, vec![]), []);
    }
}
