//! Looking at interfaces: everything that [`Facts`] holds, asked of the kernel.

use std::collections::{BTreeMap, BTreeSet};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};

use super::choice::Occupant;
use super::{Facts, Served};
use crate::attach::{Hook, Pins};
use crate::beside::nft;
use crate::netlink::{Disciplines, Netlink, XdpFeatureWatch};
use crate::routes::{Link, Links};
use crate::sys::ethtool;

/// Asks about interfaces, in the network namespace of the thread that made it.
#[derive(Debug)]
pub(crate) struct Surveyor {
    netlink: Option<Netlink>,
    watch: Option<XdpFeatureWatch>,
    pins: Pins,
    /// That there may be, as long as the machine runs.
    processors: u32,
}

impl Surveyor {
    pub(crate) fn new(pins: Pins) -> Self {
        let watch = XdpFeatureWatch::open();
        if let Err(error) = &watch {
            tracing::debug!(%error, "the kernel does not say what takes redirects");
        }
        let processors = aya::util::nr_cpus().map_or(1, |count| count as u32);
        Self { netlink: Netlink::open().ok(), watch: watch.ok(), pins, processors }
    }

    /// What announces that interfaces can do more or less than before.
    pub(crate) fn watch(&self) -> Option<&XdpFeatureWatch> {
        self.watch.as_ref()
    }

    /// What is known of each of these interfaces. What cannot be learned counts as not being there, but
    /// for features: without those, nothing is redirected.
    pub(crate) fn survey(&mut self, links: &Links, ports: &[Served<'_>]) -> BTreeMap<u32, Facts> {
        let features = self.watch.as_ref().and_then(|watch| watch.all().ok());
        let vlans: BTreeSet<u32> = links.iter().filter_map(|link| link.vlan_of).collect();
        let disciplines = self.disciplines();
        let filtered = nft::egress_devices().unwrap_or_default();
        let facts = |link: &Link| {
            let discipline = disciplines.get(&link.index);
            let facts = Facts {
                kind: link.kind.clone(),
                driver: ethtool::driver(&link.name).ok(),
                layer3: link.layer3,
                mtu: link.mtu,
                features: features.as_ref().and_then(|all| all.get(&link.index)).copied(),
                queues: ethtool::sending_queues(&link.name).ok(),
                processors: self.processors,
                has_vlans: vlans.contains(&link.index),
                program: self.occupant(link.index),
                discipline: discipline.and_then(|found| found.own.clone()),
                has_filters: filtered.contains(&link.name)
                    || has_tcx(&link.name)
                    || (discipline.is_some_and(|found| found.clsact)
                        && self.has_egress_filters(link.index)),
            };
            (link.index, facts)
        };
        ports.iter().filter_map(|port| links.get(port.index)).map(facts).collect()
    }

    /// The queueing disciplines by interface.
    fn disciplines(&mut self) -> BTreeMap<u32, Disciplines> {
        let found = self.netlink.as_mut().map(Netlink::disciplines);
        found.and_then(Result::ok).unwrap_or_default()
    }

    fn has_egress_filters(&mut self, index: u32) -> bool {
        let netlink = self.netlink.as_mut();
        netlink.is_some_and(|netlink| netlink.has_egress_filters(index).unwrap_or(false))
    }

    /// Whose XDP program the interface has.
    fn occupant(&mut self, index: u32) -> Occupant {
        let programs = self.netlink.as_mut().map(|netlink| netlink.xdp_programs(index));
        let Some(Ok(programs)) = programs else { return Occupant::Nobody };
        let own = PinnedLink::from_pin(self.pins.xdp(index)).ok();
        let own = own.and_then(|link| Some(FdLink::from(link).info().ok()?.program_id()));
        match programs.iter().find(|id| Some(**id) != own) {
            Some(&id) => Occupant::Foreign { id, name: program_name(id) },
            None if programs.is_empty() => Occupant::Nobody,
            None => Occupant::Ourselves,
        }
    }
}

/// Whether programs of others judge what leaves by the interface, without clsact. Ours has nothing to say
/// about what XDP redirects, which is ours.
fn has_tcx(interface: &str) -> bool {
    let own = Some(Hook::Egress.program());
    let programs = SchedClassifier::query_tcx(interface, TcAttachType::Egress);
    programs.is_ok_and(|(_, programs)| programs.iter().any(|found| found.name_as_str() != own))
}

fn program_name(id: u32) -> String {
    let program = loaded_programs().flatten().find(|program| program.id() == id);
    let name = program.as_ref().and_then(|program| program.name_as_str());
    name.filter(|name| !name.is_empty()).unwrap_or("without a name").to_owned()
}
