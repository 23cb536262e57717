//! The first packet of a flow from inside.

use core::net::IpAddr;

use masq_flow::{Direction, PerDirection};
use masq_wire::icmp::error::Report;
use masq_wire::icmp::unreachable;
use masq_wire::tcp::Flags;
use masq_wire::{Packet, Transport, Tuple};

use super::arrival::Arrival;
use super::{Engine, Judged};
use crate::policy::Realm;
use crate::routes::{NextHop, PortId, Route};
use crate::verdict::{DropReason, Verdict};

impl Engine {
    pub(crate) fn miss_from_inside(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        tuple: Tuple,
    ) -> Judged {
        if self.policy.outside_of(tuple.destination.addr).is_some() {
            return self.hairpin(arrival, packet, tuple);
        }
        let route = arrival.route_of(&tuple);
        match route {
            Route::Local => Ok(Verdict::Local),
            Route::Unicast(hop) => match self.policy.realm(hop.port) {
                Some(Realm::Outside) => self.open(arrival, packet, tuple, hop.port),
                Some(Realm::Inside) => self.forward(arrival, packet, hop),
                // A way that is not ours: the host's own stack forwards it.
                None => Ok(Verdict::Local),
            },
            Route::Blackhole
            | Route::Broadcast
            | Route::NoRoute
            | Route::Prohibited
            | Route::Unreachable => Err(self.refuse(arrival, packet, route)),
        }
    }

    /// Begins a session towards an outside.
    fn open(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        tuple: Tuple,
        port: PortId,
    ) -> Judged {
        may_open(packet)?;
        self.check_ttl(arrival, packet)?;
        let opened = {
            let (sessions, mut scope) = self.sessions(arrival.now);
            let Some(outside) = scope.policy.outside(port) else {
                return Err(DropReason::NoRoute);
            };
            let ports = PerDirection::new(arrival.port, port);
            sessions.open_egress(&mut scope, tuple, ports, outside, None)
        };
        let (slot, session) =
            opened.map_err(|reason| self.out_of_resources(arrival, packet, reason))?;
        self.inbound_syns.forget(&session.reply);
        let route = arrival.route_of(&session.leaving(Direction::Egress));
        let way = self.hop_at(Realm::Outside, route);
        let Some(hop) = way.filter(|hop| self.suits(&session, Direction::Egress, hop.port)) else {
            return Err(self.refuse(arrival, packet, route));
        };
        self.carry(arrival, packet, (slot, session, Direction::Egress), hop)
    }

    /// The next hop of a route, if it is on a side.
    pub(crate) fn hop_at(&self, realm: Realm, route: Route) -> Option<NextHop> {
        let Route::Unicast(hop) = route else { return None };
        (self.policy.realm(hop.port) == Some(realm)).then_some(hop)
    }

    /// RFC 5508 REQ-8, RFC 6888 REQ-11: tells a host that it cannot have what it asked for.
    pub(crate) fn out_of_resources(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        reason: DropReason,
    ) -> DropReason {
        let code = if self.policy.carrier {
            unreachable::HOST
        } else {
            unreachable::ADMINISTRATIVELY_PROHIBITED
        };
        self.report(arrival, packet, Report::unreachable(code));
        reason
    }

    /// Refuses a packet that could not leave before a session is made for it.
    pub(crate) fn check_ttl(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
    ) -> Result<(), DropReason> {
        if packet.ttl() > 1 {
            return Ok(());
        }
        self.report(arrival, packet, Report::TTL_EXCEEDED);
        Err(DropReason::TtlExpired)
    }

    /// The way of a packet that is not translated, if it has one: to the host, to a way that is not
    /// ours, or between insides.
    pub(crate) fn pass_by(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
    ) -> Result<Option<Verdict>, DropReason> {
        match self.way_around(arrival, packet) {
            Some(Around::Local) => Ok(Some(Verdict::Local)),
            Some(Around::Between(hop)) => self.forward(arrival, packet, hop).map(Some),
            None => Ok(None),
        }
    }

    /// Whether a packet is not for us to translate, by its addresses alone.
    pub(crate) fn way_around(&self, arrival: &Arrival<'_>, packet: &Packet<'_>) -> Option<Around> {
        let (source, destination) = (IpAddr::V4(packet.source()), IpAddr::V4(packet.destination()));
        if let Some(outside) = self.policy.outside_of(destination) {
            return outside.pool.shared_with_host.then_some(Around::Local);
        }
        match (arrival.route(source, destination), arrival.realm) {
            (Route::Local, _) => Some(Around::Local),
            (Route::Unicast(hop), realm) => match (self.policy.realm(hop.port), realm) {
                (None, _) | (Some(Realm::Outside), Realm::Outside) => Some(Around::Local),
                (Some(Realm::Inside), Realm::Inside) => Some(Around::Between(hop)),
                (Some(Realm::Inside), Realm::Outside) | (Some(Realm::Outside), Realm::Inside) => {
                    None
                }
            },
            (
                Route::Blackhole
                | Route::Broadcast
                | Route::NoRoute
                | Route::Prohibited
                | Route::Unreachable,
                _,
            ) => None,
        }
    }
}

/// Where a packet goes that is not translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    /// Between two insides.
    Between(NextHop),
    /// To the host's own stack.
    Local,
}

/// Whether a packet from inside may begin a session.
///
/// A connection that is older than the table is picked up at any segment that is not a reset, nor an
/// answer to a SYN that nobody has let in.
pub(crate) fn may_open(packet: &Packet<'_>) -> Result<(), DropReason> {
    match packet.transport() {
        Transport::Tcp(tcp) => {
            let answers = tcp.flags.contains(Flags::SYN | Flags::ACK);
            if tcp.flags.contains(Flags::RST) || answers {
                return Err(DropReason::TcpNotOpening);
            }
            if tcp.flags.intersects(Flags::SYN | Flags::ACK) {
                Ok(())
            } else {
                Err(DropReason::TcpNotOpening)
            }
        }
        Transport::IcmpQuery(query) if !query.request => Err(DropReason::IcmpReplyForNobody),
        Transport::FragmentTail
        | Transport::IcmpError(_)
        | Transport::IcmpOther { .. }
        | Transport::IcmpQuery(_)
        | Transport::Other
        | Transport::Udp(_) => Ok(()),
    }
}
