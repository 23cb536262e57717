//! How a packet came, and what every packet must be before anything is looked up.

use core::net::IpAddr;

use masq_wire::icmp::kind;
use masq_wire::{Packet, Transport, Tuple};

use super::{Engine, Judged};
use crate::fragment::Origin;
use crate::martian::AddressKind;
use crate::policy::Realm;
use crate::routes::{PortId, Route, RouteQuery, Routes};
use crate::time::Instant;
use crate::verdict::DropReason;

/// The circumstances of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'r> {
    pub(crate) now: Instant,
    pub(crate) routes: &'r dyn Routes,
    /// Where it arrived.
    pub(crate) port: PortId,
    /// On which side that is.
    pub(crate) realm: Realm,
    /// How it was cut when it arrived.
    pub(crate) reassembled: Option<Origin>,
}

impl Arrival<'_> {
    /// Where a packet with these addresses goes.
    pub(crate) fn route(&self, source: IpAddr, destination: IpAddr) -> Route {
        let arriving = Some(self.port);
        self.routes.route(&RouteQuery { destination, source, arriving, mark: 0 })
    }

    /// Where a packet with this tuple goes.
    pub(crate) fn route_of(&self, tuple: &Tuple) -> Route {
        self.route(tuple.source.addr, tuple.destination.addr)
    }
}

impl Engine {
    /// Decides about a whole packet.
    pub(crate) fn translate(&mut self, arrival: &Arrival<'_>, packet: &mut Packet<'_>) -> Judged {
        self.check_addresses(arrival, packet)?;
        if packet.has_options() && packet.options().any(|option| option.holds_addresses()) {
            return Err(DropReason::AddressOption);
        }
        match packet.transport() {
            Transport::IcmpError(error) => return self.translate_error(arrival, packet, error),
            Transport::IcmpOther { .. } => return self.untranslatable(arrival, packet),
            // RFC 5508 REQ-10 (c): obsolete.
            Transport::IcmpQuery(query)
                if matches!(query.kind, kind::INFORMATION_REQUEST | kind::INFORMATION_REPLY) =>
            {
                return self.untranslatable(arrival, packet);
            }
            Transport::FragmentTail
            | Transport::IcmpQuery(_)
            | Transport::Other
            | Transport::Tcp(_)
            | Transport::Udp(_) => {}
        }
        let Some(tuple) = packet.tuple() else { return self.untranslatable(arrival, packet) };
        if let Some(found) = self.find(arrival.now, arrival.routes, &tuple)
            && let Some(judged) = self.hit(arrival, packet, found)
        {
            return judged;
        }
        self.first(arrival, packet, tuple)
    }

    /// RFC 1812 §5.3.7 (martians) and RFC 2827 (sources that belong elsewhere).
    pub(crate) fn check_addresses(
        &self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
    ) -> Result<(), DropReason> {
        let (source, destination) = (IpAddr::V4(packet.source()), IpAddr::V4(packet.destination()));
        if !AddressKind::of(source).is_source() {
            return Err(DropReason::MartianSource);
        }
        let kind = AddressKind::of(destination);
        if matches!(kind, AddressKind::Broadcast | AddressKind::Multicast) {
            return Err(DropReason::Broadcast);
        }
        if !kind.is_destination() {
            return Err(DropReason::MartianDestination);
        }
        let ours = self.policy.outside_of(source).is_some();
        let belongs = match arrival.realm {
            Realm::Inside => {
                let inside = self.policy.inside(arrival.port);
                inside
                    .is_some_and(|inside| inside.contains(source) && inside.address != Some(source))
            }
            Realm::Outside => !self.policy.is_inside(source),
        };
        if belongs && !ours { Ok(()) } else { Err(DropReason::Spoofed) }
    }

    /// Decides about an ICMP message that is neither an error nor a query that is translated.
    fn untranslatable(&mut self, arrival: &Arrival<'_>, packet: &mut Packet<'_>) -> Judged {
        self.pass_by(arrival, packet)?.ok_or(DropReason::IcmpType)
    }
}
