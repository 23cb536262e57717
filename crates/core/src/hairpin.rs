//! Hairpins: an inside host talks to another one by its outside endpoint.
//!
//! RFC 4787 REQ-9, RFC 5382 REQ-8: the packet goes back inside, and its source becomes the outside
//! endpoint of the host that sent it, so that both hosts see of each other what the world sees.
//!
//! ```text
//! C1:a ──► X:p2          gateway         X:p1 ──► C2:b
//!          └ C2's outside endpoint        └ C1's outside endpoint
//! ```
//!
//! *Filters.* C2's filter judges X:p1 as it judges any remote. When it refuses, the session is made
//! all the same, since C1's own filter has to open for X:p2, as it would for a remote; its packets
//! are dropped until C2 sends to X:p1, which is an answer in the same session.
//!
//! *Loops.* The time to live falls with each pass. An endpoint that sends to its own outside endpoint
//! is refused: both directions of such a session would look the same.

use masq_flow::{Direction, Flags, PerDirection, Session, Slot};
use masq_wire::{Packet, Tuple};

use crate::engine::first::{Decision, Onward, Refusal, check_ttl, may_open};
use crate::engine::way_out::leaves;
use crate::engine::{Arrival, Engine};
use crate::policy::{Outside, Realm};
use crate::session::Opening;
use crate::verdict::DropReason;

impl Engine {
    /// Says what is to become of a packet from inside to an address that an outside shares.
    pub(crate) fn decide_hairpin(
        &self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        tuple: Tuple,
        outside: &Outside,
    ) -> Result<Decision, Refusal> {
        let book = self.sessions.book(&self.policy);
        let target = self
            .sessions
            .mappings
            .of_outside(book, tuple.protocol, tuple.destination)
            .and_then(|head| self.sessions.table.session(head))
            .map(|session| session.original.source)
            .filter(|target| self.policy.is_inside(target.addr));
        let Some(target) = target else {
            let shared = outside.pool.shared_with_host;
            return if shared { Ok(Decision::LOCAL) } else { Err(DropReason::Unsolicited.into()) };
        };
        if target == tuple.source {
            return Err(DropReason::HairpinToItself.into());
        }
        may_open(packet)?;
        check_ttl(packet)?;
        let route = arrival.route(tuple.destination.addr, target.addr);
        let Some(hop) = self.hop_at(Realm::Inside, route) else {
            return Err(Refusal::of_route(route));
        };
        let (place, endpoint) = self.place(outside, arrival, &tuple, target)?;
        let filtering = outside.pool.filtering;
        let lets_in = self.lets_in(filtering, tuple.protocol, tuple.destination, endpoint);
        let admitted = if lets_in { Flags::FORWARDED } else { Flags::empty() };
        let opening = Opening {
            original: tuple,
            reply: Tuple::new(tuple.protocol, target, endpoint),
            flags: Flags::HAIRPIN | admitted,
            ports: PerDirection::new(arrival.port, hop.port),
            direction: Direction::Egress,
            place,
        };
        if !lets_in {
            return Ok(Decision { onward: Onward::Filtered, opening: Some(opening) });
        }
        let way = leaves(arrival, packet, hop)?;
        Ok(Decision::to(way, hop, Some(opening)))
    }

    /// Whether the endpoint that a hairpin session leads to still stands for the same inside host.
    pub(crate) fn still_leads(&self, session: &Session) -> bool {
        if !session.flags.contains(Flags::HAIRPIN) {
            return true;
        }
        let (protocol, target) = (session.original.protocol, session.original.destination);
        let book = self.sessions.book(&self.policy);
        let head = self.sessions.mappings.of_outside(book, protocol, target);
        head.and_then(|head| self.sessions.table.session(head))
            .is_some_and(|first| first.original.source == session.reply.source)
    }

    /// Whether a session's mapping would let its remote in if there were no session.
    pub(crate) fn admits(&self, session: &Session) -> bool {
        let outside = session.reply.destination;
        let filtering = self.policy.outside_of(outside.addr).map(|outside| outside.pool.filtering);
        let (protocol, remote) = (session.original.protocol, session.original.destination);
        filtering.is_some_and(|filtering| self.lets_in(filtering, protocol, outside, remote))
    }

    /// Whether the filter of a hairpin session's target lets its packets in.
    pub(crate) fn is_let_in(
        &mut self,
        slot: Slot,
        session: &Session,
        direction: Direction,
    ) -> bool {
        let open = Flags::ANSWERED | Flags::FORWARDED;
        if direction == Direction::Ingress
            || !session.flags.contains(Flags::HAIRPIN)
            || session.flags.intersects(open)
        {
            return true;
        }
        let Some(outside) = self.policy.outside_of(session.original.destination.addr) else {
            return false;
        };
        let (protocol, target) = (session.original.protocol, session.original.destination);
        let lets_in =
            self.lets_in(outside.pool.filtering, protocol, target, session.reply.destination);
        if lets_in {
            let admitted = Session { flags: session.flags | Flags::FORWARDED, ..*session };
            self.sessions.table.update(slot, &admitted);
        }
        lets_in
    }
}
