//! Carrying out: what was decided about a first packet is done, and packets of sessions are sent on.

use masq_flow::{Direction, Session, Slot};
use masq_wire::Packet;
use masq_wire::Tuple;

use super::arrival::Arrival;
use super::first::{Decision, Notice, Onward, Refusal};
use super::hit::rewrite;
use super::way_out::WayOut;
use super::{Engine, Judged};
use crate::routes::{NextHop, NextHopId};
use crate::session::{Kind, Opening, Place};
use crate::verdict::{DropReason, Verdict};

impl Engine {
    /// Decides about a packet that belongs to no session, and does what was decided.
    pub(crate) fn first(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        tuple: Tuple,
    ) -> Judged {
        match self.decide(arrival, packet, tuple) {
            Ok(decision) => self.carry_out(arrival, packet, &decision),
            Err(refusal) => Err(self.refuse(arrival, packet, refusal)),
        }
    }

    fn carry_out(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        decision: &Decision,
    ) -> Judged {
        if let Onward::Wait(hop) = decision.onward {
            self.wait(arrival, packet, hop);
            return Ok(Verdict::Held);
        }
        let begun = match &decision.opening {
            // What needs no session goes on without one, where there is no room.
            Some(opening) if opening.place == Place::Apart => {
                self.begin(arrival, packet, opening).ok()
            }
            Some(opening) => Some(self.begin(arrival, packet, opening)?),
            None => None,
        };
        match (decision.onward, begun) {
            (Onward::Filtered, Some((slot, session, direction))) => {
                self.note(arrival.now, packet, slot, &session, direction);
                Err(DropReason::Filtered)
            }
            (Onward::To(hop), Some(begun)) => self.send(arrival, packet, begun, hop),
            (Onward::To(hop), None) => self.pass(arrival, packet, hop),
            (Onward::Filtered, None) => Err(DropReason::Filtered),
            (Onward::Local, Some(begun)) => {
                self.mark(arrival, packet, begun, NextHopId::HOST);
                Ok(Verdict::Local)
            }
            (Onward::Local | Onward::Wait(_), None | Some(_)) => Ok(Verdict::Local),
        }
    }

    /// Begins a session, or gives back what was taken for it and says why there is none.
    fn begin(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        opening: &Opening,
    ) -> Result<(Slot, Session, Direction), DropReason> {
        let (sessions, mut scope) = self.sessions(arrival.now);
        match sessions.open(&mut scope, arrival.routes, opening) {
            Ok((slot, session)) => {
                if opening.direction == Direction::Egress {
                    self.inbound_syns.forget(&session.reply);
                }
                Ok((slot, session, opening.direction))
            }
            Err(reason) if opening.place == Place::Apart => Err(reason),
            Err(reason) if opening.direction == Direction::Egress => {
                let refusal = self.out_of_resources(reason);
                Err(self.refuse(arrival, packet, refusal))
            }
            Err(reason) => Err(reason),
        }
    }

    /// Does what follows a refusal.
    pub(crate) fn refuse(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        refusal: Refusal,
    ) -> DropReason {
        match refusal.notice {
            Notice::Remember => {
                if let Some(tuple) = packet.tuple() {
                    let until = arrival.now + self.policy.timeouts.tcp_inbound_syn;
                    self.inbound_syns.add(until, tuple, arrival.port, packet.bytes());
                }
            }
            Notice::Report(report) => self.report(arrival, packet, report),
            Notice::Silence => {}
        }
        refusal.reason
    }

    /// Translates a packet of a session and sends it on its way, if its filter and its way let it.
    pub(crate) fn carry(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        (slot, session, direction): (Slot, Session, Direction),
        hop: NextHop,
    ) -> Judged {
        if !self.is_let_in(slot, &session, direction) {
            self.note(arrival.now, packet, slot, &session, direction);
            return Err(DropReason::Filtered);
        }
        match self.way_out(arrival, packet, hop)? {
            WayOut::Open => self.send(arrival, packet, (slot, session, direction), hop),
            WayOut::Held => Ok(Verdict::Held),
        }
    }

    /// Translates a packet of a session and sends it on its way, which is open.
    fn send(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        (slot, session, direction): (Slot, Session, Direction),
        hop: NextHop,
    ) -> Judged {
        let leaving = session.leaving(direction);
        self.mark(arrival, packet, (slot, session, direction), hop.id);
        match Kind::of(&session) {
            Kind::Mapped => rewrite(packet, &leaving),
            Kind::Plain => self.stats.between_insides.add(packet.total_len()),
        }
        self.emit(arrival, packet, hop)
    }

    /// Forwards a packet that belongs to no session as it is, if its way is open.
    pub(crate) fn forward(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        hop: NextHop,
    ) -> Judged {
        match self.way_out(arrival, packet, hop)? {
            WayOut::Open => self.pass(arrival, packet, hop),
            WayOut::Held => Ok(Verdict::Held),
        }
    }

    fn pass(&mut self, arrival: &Arrival<'_>, packet: &mut Packet<'_>, hop: NextHop) -> Judged {
        self.stats.between_insides.add(packet.total_len());
        self.emit(arrival, packet, hop)
    }
}
