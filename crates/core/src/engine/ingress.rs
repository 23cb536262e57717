//! Packets from outside that belong to no session.

use masq_flow::{Direction, Flags, PerDirection};
use masq_wire::{Endpoint, Packet, Protocol, Transport, Tuple};

use super::Engine;
use super::around::Around;
use super::arrival::Arrival;
use super::first::{Decision, Notice, Refusal, check_ttl};
use super::way_out::leaves;
use crate::policy::Realm;
use crate::pool::Filtering;
use crate::ports::PortSpace;
use crate::session::{Opening, Place};
use crate::verdict::DropReason;

impl Engine {
    pub(crate) fn decide_from_outside(
        &self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        tuple: Tuple,
    ) -> Result<Decision, Refusal> {
        let Some(pool) = self.policy.pool_of(tuple.destination.addr) else {
            return match self.way_around(arrival, packet) {
                Some(Around::Local) => Ok(Decision::LOCAL),
                Some(Around::Between(hop)) => {
                    let way = leaves(arrival, packet, hop)?;
                    Ok(Decision::to(way, hop, None))
                }
                None if self.policy.is_inside(tuple.destination.addr) => {
                    Err(DropReason::InboundToInside.into())
                }
                None => Err(DropReason::NoRoute.into()),
            };
        };
        if arrival.routes.host_has(&tuple) {
            return Ok(Decision::LOCAL);
        }
        let book = self.sessions.book(&self.policy);
        let head = self.sessions.mappings.of_outside(book, tuple.protocol, tuple.destination);
        let Some(head) = head.filter(|_| is_answerable(packet)) else {
            return self.unsolicited(packet, tuple, DropReason::Unsolicited);
        };
        if !self.lets_in(pool.filtering, tuple.protocol, tuple.destination, tuple.source) {
            return self.unsolicited(packet, tuple, DropReason::Filtered);
        }
        if let Transport::Tcp(tcp) = packet.transport()
            && !tcp.flags.opens()
        {
            return Err(DropReason::TcpNotOpening.into());
        }
        check_ttl(packet)?;
        let inside = self.sessions.table.session(head).map(|session| session.original.source);
        // A mapping whose host is not inside any more may still be there.
        let inside = inside.filter(|inside| self.policy.is_inside(inside.addr));
        let Some(inside) = inside else { return Err(DropReason::Unsolicited.into()) };
        let route = arrival.route(tuple.source.addr, inside.addr);
        let Some(hop) = self.hop_at(Realm::Inside, route) else {
            return Err(Refusal::of_route(route));
        };
        let way = leaves(arrival, packet, hop)?;
        let opening = Opening {
            original: Tuple::new(tuple.protocol, inside, tuple.source),
            reply: tuple,
            flags: Flags::FORWARDED,
            ports: PerDirection::new(hop.port, arrival.port),
            direction: Direction::Ingress,
            place: Place::Mapping,
        };
        Ok(Decision::to(way, hop, Some(opening)))
    }

    /// Whether the mapping with an outside endpoint lets a remote in that it has no session with
    /// (RFC 4787 §5).
    pub(crate) fn lets_in(
        &self,
        filtering: Filtering,
        protocol: Protocol,
        outside: Endpoint,
        remote: Endpoint,
    ) -> bool {
        match filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => {
                let book = self.sessions.book(&self.policy);
                self.sessions.mappings.has_remote(book, protocol, outside, remote.addr)
            }
            // Whoever it lets in has a session.
            Filtering::AddressAndPortDependent => false,
        }
    }

    /// What no mapping lets in: it is the host's, if the host shares the address, or nobody's.
    ///
    /// Nothing is remembered of it that a later packet from inside could meet (RFC 4787 REQ-11).
    fn unsolicited(
        &self,
        packet: &Packet<'_>,
        tuple: Tuple,
        reason: DropReason,
    ) -> Result<Decision, Refusal> {
        let pool = self.policy.pool_of(tuple.destination.addr);
        let mapped = reason == DropReason::Filtered;
        let may_be_hosts = pool.is_some_and(|pool| pool.shared_with_host) && !mapped;
        let Transport::Tcp(tcp) = packet.transport() else {
            return if may_be_hosts { Ok(Decision::LOCAL) } else { Err(reason.into()) };
        };
        if may_be_hosts && !self.could_be_mapped(tuple.destination) {
            return Ok(Decision::LOCAL);
        }
        if !tcp.flags.opens() {
            return Err(reason.into());
        }
        let reason = if mapped { DropReason::Filtered } else { DropReason::InboundSyn };
        Err(Refusal { reason, notice: Notice::Remember })
    }

    /// Whether a TCP endpoint is one that a mapping may get: the host does not listen there.
    fn could_be_mapped(&self, outside: Endpoint) -> bool {
        self.sessions.ports.is_allowed(outside.addr, PortSpace::Tcp, outside.port)
    }
}

/// Whether a packet is of a kind that a mapping can let in: an echo request is not, since its
/// identifier is its sender's.
fn is_answerable(packet: &Packet<'_>) -> bool {
    match packet.transport() {
        Transport::IcmpQuery(query) => !query.request,
        Transport::Tcp(_) | Transport::Udp(_) => true,
        Transport::FragmentTail
        | Transport::IcmpError(_)
        | Transport::IcmpOther { .. }
        | Transport::Other => false,
    }
}
