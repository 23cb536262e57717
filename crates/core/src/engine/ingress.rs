//! Packets from outside that belong to no session.

use masq_flow::{Direction, PerDirection};
use masq_wire::{Endpoint, Packet, Protocol, Transport, Tuple};

use super::arrival::Arrival;
use super::{Engine, Judged};
use crate::policy::Realm;
use crate::pool::Filtering;
use crate::ports::PortSpace;
use crate::verdict::{DropReason, Verdict};

impl Engine {
    pub(crate) fn miss_from_outside(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        tuple: Tuple,
    ) -> Judged {
        let Some(outside) = self.policy.outside_of(tuple.destination.addr) else {
            let passed = self.pass_by(arrival, packet)?;
            let inside = self.policy.is_inside(tuple.destination.addr);
            let reason = if inside { DropReason::InboundToInside } else { DropReason::NoRoute };
            return passed.ok_or(reason);
        };
        let filtering = outside.pool.filtering;
        let book = self.sessions.book(&self.policy);
        let head = self.sessions.mappings.of_outside(book, tuple.protocol, tuple.destination);
        let Some(head) = head.filter(|_| is_answerable(packet)) else {
            return self.unsolicited(arrival, packet, tuple, DropReason::Unsolicited);
        };
        if !self.lets_in(filtering, tuple.protocol, tuple.destination, tuple.source) {
            return self.unsolicited(arrival, packet, tuple, DropReason::Filtered);
        }
        if let Transport::Tcp(tcp) = packet.transport()
            && !tcp.flags.opens()
        {
            return Err(DropReason::TcpNotOpening);
        }
        self.check_ttl(arrival, packet)?;
        let inside = self.sessions.table.session(head).map(|session| session.original.source);
        // A mapping whose host is not inside any more may still be there.
        let inside = inside.filter(|inside| self.policy.is_inside(inside.addr));
        let Some(inside) = inside else { return Err(DropReason::Unsolicited) };
        let route = arrival.route(tuple.source.addr, inside.addr);
        let Some(hop) = self.hop_at(Realm::Inside, route) else {
            return Err(self.refuse(arrival, packet, route));
        };
        let ports = PerDirection::new(hop.port, arrival.port);
        let (sessions, mut scope) = self.sessions(arrival.now);
        let (slot, session) = sessions.open_ingress(&mut scope, tuple, ports, head)?;
        self.carry(arrival, packet, (slot, session, Direction::Ingress), hop)
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
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        tuple: Tuple,
        reason: DropReason,
    ) -> Judged {
        let shared = self
            .policy
            .outside_of(tuple.destination.addr)
            .is_some_and(|outside| outside.pool.shared_with_host);
        let mapped = reason == DropReason::Filtered;
        let Transport::Tcp(tcp) = packet.transport() else {
            return if shared && !mapped { Ok(Verdict::Local) } else { Err(reason) };
        };
        if shared && !mapped && !self.could_be_mapped(tuple.destination) {
            return Ok(Verdict::Local);
        }
        if !tcp.flags.opens() {
            return Err(reason);
        }
        let until = arrival.now + self.policy.timeouts.tcp_inbound_syn;
        self.inbound_syns.add(until, tuple, arrival.port, packet.bytes());
        Err(if mapped { DropReason::Filtered } else { DropReason::InboundSyn })
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
