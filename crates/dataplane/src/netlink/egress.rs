//! What stands between an interface's packets and the wire: queueing disciplines, and the filters of
//! clsact.

#![expect(clippy::wildcard_enum_match_arm, reason = "the kernel's enumerations grow by themselves")]

use std::collections::BTreeMap;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::{Netlink, NetlinkError};
use crate::attach::Hook;

/// The queueing disciplines of an interface, as far as they matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disciplines {
    /// One that somebody gave the interface. What the kernel puts there by itself has no handle.
    pub(crate) own: Option<String>,
    /// There is one that carries filters.
    pub(crate) clsact: bool,
}

impl Netlink {
    /// The queueing disciplines of all interfaces, by number.
    pub(crate) fn disciplines(&mut self) -> Result<BTreeMap<u32, Disciplines>, NetlinkError> {
        let mut found: BTreeMap<u32, Disciplines> = BTreeMap::new();
        let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        self.exchange(question, NLM_F_DUMP, |_, message| {
            let RouteNetlinkMessage::NewQueueDiscipline(message) = message else { return };
            let kind = message.attributes.iter().find_map(|attribute| match attribute {
                TcAttribute::Kind(kind) => Some(kind.as_str()),
                _ => None,
            });
            let of_interface = found.entry(message.header.index as u32).or_default();
            match kind {
                Some("clsact") => of_interface.clsact = true,
                // Both are about what arrives, or about nothing.
                Some("ingress" | "noqueue") | None => {}
                Some(_) if message.header.handle.major == 0 => {}
                Some(kind) => of_interface.own = Some(kind.to_owned()),
            }
        })
        .map_err(|source| NetlinkError { request: "listing queueing disciplines", source })?;
        Ok(found)
    }

    /// Whether clsact has filters for what leaves by an interface, beside our own.
    pub(crate) fn has_egress_filters(&mut self, index: u32) -> Result<bool, NetlinkError> {
        let mut found = false;
        let mut message = TcMessage::with_index(index as i32);
        message.header.parent = EGRESS;
        let question = RouteNetlinkMessage::GetTrafficFilter(message);
        self.exchange(question, NLM_F_DUMP, |_, message| {
            let RouteNetlinkMessage::NewTrafficFilter(message) = message else { return };
            let own = u32::from(message.header.handle) == Hook::HANDLE;
            // Before the filters of a priority the kernel tells of the priority itself.
            found |= !own && u32::from(message.header.handle) != 0;
        })
        .map_err(|source| NetlinkError { request: "listing filters", source })?;
        Ok(found)
    }

    /// The numbers of the XDP programs on an interface, in whatever mode.
    pub(crate) fn xdp_programs(&mut self, index: u32) -> Result<Vec<u32>, NetlinkError> {
        let mut programs = Vec::new();
        let mut message = LinkMessage::default();
        message.header.index = index;
        let question = RouteNetlinkMessage::GetLink(message);
        self.exchange(question, NLM_F_ACK, |_, message| {
            let RouteNetlinkMessage::NewLink(message) = message else { return };
            let xdp = message.attributes.iter().filter_map(|attribute| match attribute {
                LinkAttribute::Xdp(xdp) => Some(xdp),
                _ => None,
            });
            programs.extend(xdp.flatten().filter_map(|attribute| match attribute {
                LinkXdp::ProgId(id)
                | LinkXdp::DrvProgId(id)
                | LinkXdp::SkbProgId(id)
                | LinkXdp::HwProgId(id) => Some(*id),
                _ => None,
            }));
        })
        .map_err(|source| NetlinkError { request: "asking for XDP programs", source })?;
        programs.sort_unstable();
        programs.dedup();
        Ok(programs)
    }
}

const EGRESS: TcHandle = TcHandle { major: 0xffff, minor: 0xfff3 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::interface_index;
    use crate::testing::{gateway_topology, in_namespaces, run};

    #[test]
    fn what_somebody_gave_an_interface_is_told_from_what_the_kernel_did() {
        in_namespaces(|| {
            gateway_topology();
            let mut netlink = Netlink::open().unwrap();
            let wan = interface_index("wan").unwrap();
            let mut of_wan = || netlink.disciplines().unwrap().remove(&wan).unwrap_or_default();
            assert_eq!(of_wan(), Disciplines::default());
            run("tc qdisc add dev wan clsact");
            assert_eq!(of_wan(), Disciplines { own: None, clsact: true });
            run("tc qdisc add dev wan root pfifo");
            assert_eq!(of_wan(), Disciplines { own: Some("pfifo".to_owned()), clsact: true });
            run("tc qdisc del dev wan root");
            assert_eq!(of_wan().own, None);
        });
    }
}
