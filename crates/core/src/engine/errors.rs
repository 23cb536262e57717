//! ICMP errors about packets that were translated (RFC 5508 §4).
//!
//! ```text
//! direction of the packet      it left as                  the error brings back
//! egress   C ──► R             X ──► R     quoted by R or a router    C ──► R, sent to C
//! ingress  R ──► X             R ──► C     quoted by C or a router    R ──► X, sent to R
//! ```
//!
//! The quoted packet is what left; its reverse is what arrives, so the table finds the session.
//! Inside addresses never leave: an error from inside gets the outside address as its source,
//! whoever inside has sent it (REQ-5). An error from outside keeps its source (RFC 4787 REQ-12a).
//! An error about a packet that was not translated is not either: it goes where its own addresses say.
//! Errors neither keep a session alive nor end one (REQ-6, RFC 4787 REQ-12).

use masq_flow::{Direction, Flags, Session};
use masq_wire::icmp::kind;
use masq_wire::{Endpoint, IcmpError, Packet, Tuple};

use super::arrival::Arrival;
use super::first::Refusal;
use super::way_out::WayOut;
use super::{Engine, Judged};
use crate::policy::Realm;
use crate::session::{Kind, realm_of_arrival};
use crate::verdict::{DropReason, Verdict};

impl Engine {
    pub(crate) fn translate_error(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        error: IcmpError,
    ) -> Judged {
        let quoted = packet.quoted()?.and_then(|quoted| quoted.tuple());
        let hosts = |left: Tuple| arrival.routes.host_has(&left.reversed());
        if arrival.realm == Realm::Outside && quoted.is_some_and(hosts) {
            return Ok(Verdict::Local);
        }
        let session = quoted.and_then(|left| self.session_of(arrival, &left));
        let Some((session, direction)) = session else {
            return self.error_for_nobody(arrival, packet, quoted);
        };
        if Kind::of(&session) == Kind::Plain {
            return self.pass_by(arrival, packet)?.ok_or(DropReason::IcmpErrorForNobody);
        }
        // RFC 5508 REQ-10: source quench and redirect mean nothing across a translator.
        if !matches!(
            error.kind,
            kind::DESTINATION_UNREACHABLE | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM
        ) {
            return Err(DropReason::IcmpType);
        }
        let arrived = *session.arriving(direction);
        // It travels against the packet that it quotes, and to where that came from.
        let expected = session.leaving(direction).source.addr;
        if arrival.realm != realm_of_arrival(&session, direction.reverse())
            || packet.destination() != expected
        {
            return Err(DropReason::IcmpErrorForNobody);
        }
        let route = arrival.route(packet.source().into(), arrived.source.addr);
        let Some(hop) = self.hop_at(realm_of_arrival(&session, direction), route) else {
            return Err(self.refuse(arrival, packet, Refusal::of_route(route)));
        };
        match self.way_out(arrival, packet, hop)? {
            WayOut::Open => {}
            WayOut::Held => return Ok(Verdict::Held),
        }
        restore(packet, &session, direction, &arrived)?;
        // It keeps no session alive, so the session does not count it either.
        self.sessions.table.count_apart(direction.reverse(), packet.total_len() as u64);
        self.emit(arrival, packet, hop)
    }

    /// The session of a packet that left with a tuple, and the direction that it had.
    fn session_of(&mut self, arrival: &Arrival<'_>, left: &Tuple) -> Option<(Session, Direction)> {
        let (_, session, back) = self.find(arrival.now, arrival.routes, &left.reversed())?;
        Some((session, back.reverse()))
    }

    /// An error about a packet that we did not translate: the host's, if it may be the host's packet.
    fn error_for_nobody(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        quoted: Option<Tuple>,
    ) -> Judged {
        let mapped = quoted.is_some_and(|quoted| {
            let book = self.sessions.book(&self.policy);
            self.sessions.mappings.of_outside(book, quoted.protocol, quoted.source).is_some()
        });
        if mapped {
            return Err(DropReason::IcmpErrorForNobody);
        }
        self.pass_by(arrival, packet)?.ok_or(DropReason::IcmpErrorForNobody)
    }
}

/// Makes an error about what left into an error about what arrived.
fn restore(
    packet: &mut Packet<'_>,
    session: &Session,
    direction: Direction,
    arrived: &Tuple,
) -> Result<(), DropReason> {
    if let Some(mut quoted) = packet.quoted()? {
        quoted.rewrite_source(arrived.source);
        quoted.rewrite_destination(arrived.destination);
    }
    packet.rewrite_destination(Endpoint::new(arrived.source.addr, 0));
    let from_inside = realm_of_arrival(session, direction.reverse()) == Realm::Inside;
    debug_assert!(from_inside || !session.flags.contains(Flags::HAIRPIN), "both ends are inside");
    if from_inside {
        packet.rewrite_source(Endpoint::new(arrived.destination.addr, 0));
    }
    Ok(())
}
