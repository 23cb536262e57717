//! Packets of sessions that exist.

use masq_flow::{Activity, Direction, Flags, Session, Slot};
use masq_wire::{Endpoint, Packet, Tcp, Transport, Tuple};

use super::arrival::Arrival;
use super::first::Refusal;
use super::way::Way;
use super::{Engine, Judged};
use crate::event::EndReason;
use crate::routes::{NextHopId, Routes};
use crate::session::{Kind, Life, Sessions, realm_of_arrival};
use crate::tcp::{Segment, State};
use crate::time::Instant;
use crate::verdict::{DropReason, Verdict};

impl Engine {
    /// Finds the session whose packets arrive with a tuple, looked at in the present walk.
    pub(crate) fn find(
        &mut self,
        now: Instant,
        routes: &dyn Routes,
        tuple: &Tuple,
    ) -> Option<(Slot, Session, Direction)> {
        let (slot, direction) = self.sessions.table.lookup(tuple)?;
        let mut session = self.sessions.table.session(slot)?;
        if session.epoch != self.epoch {
            session = self.renew(now, routes, slot, session)?;
        }
        // It may have moved.
        (session.arriving(direction) == tuple).then_some((slot, session, direction))
    }

    /// Decides about a packet with a tuple of a session; `None` if that session had to end, or says
    /// nothing of this packet, which is to be judged as if there were none.
    pub(crate) fn hit(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        (slot, session, direction): (Slot, Session, Direction),
    ) -> Option<Judged> {
        let (sessions, mut scope) = self.sessions(arrival.now);
        let life = sessions.judge_life(&mut scope, slot, &session);
        if life == Life::Ended {
            return None;
        }
        if arrival.realm != realm_of_arrival(&session, direction) {
            return match Kind::of(&session) {
                Kind::Mapped => Some(Err(DropReason::Spoofed)),
                // That two ends talk to each other inside lets nobody in from outside.
                Kind::Plain => None,
            };
        }
        if Kind::of(&session) == Kind::Mapped && arrival.routes.host_has(&session.reply) {
            return self.give_way(arrival, slot, direction);
        }
        if life == Life::Kept && direction == Direction::Ingress && !self.admits(&session) {
            return Some(Err(DropReason::Filtered));
        }
        // Being kept is noted in it.
        let session = if life == Life::Kept { self.sessions.table.session(slot)? } else { session };
        let hop = match self.way(arrival.routes, &session, direction, Some(arrival.port)) {
            Way::To(hop) => hop,
            Way::Host => {
                let (slot, session) = self.reopened(arrival.now, packet, slot, session);
                self.mark(arrival, packet, (slot, session, direction), NextHopId::HOST);
                return Some(Ok(Verdict::Local));
            }
            Way::Away => return Some(Err(DropReason::NoOutsideAddress)),
            Way::Refused(route) => {
                let refusal = Refusal::of_route(route);
                return Some(Err(self.refuse(arrival, packet, refusal)));
            }
            Way::Gone => {
                let (sessions, mut scope) = self.sessions(arrival.now);
                sessions.remove(&mut scope, slot, EndReason::Rerouted);
                return None;
            }
        };
        let (slot, session) = self.reopened(arrival.now, packet, slot, session);
        Some(self.carry(arrival, packet, (slot, session, direction), hop))
    }

    /// The host has what arrives as a session's answers: they are the host's from here on, and the inside
    /// host's next packet begins another session, with an endpoint that the host does not use.
    fn give_way(
        &mut self,
        arrival: &Arrival<'_>,
        slot: Slot,
        direction: Direction,
    ) -> Option<Judged> {
        if direction == Direction::Ingress {
            return Some(Ok(Verdict::Local));
        }
        let (sessions, mut scope) = self.sessions(arrival.now);
        sessions.remove(&mut scope, slot, EndReason::HostHasIt);
        None
    }

    /// Notes on a session's record that a packet goes on to a next hop.
    pub(crate) fn mark(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        (slot, session, direction): (Slot, Session, Direction),
        hop: NextHopId,
    ) {
        let begins = self.begins_connection(packet, slot, direction);
        self.note(arrival.now, packet, slot, &session, direction);
        self.refresh(arrival, slot, &session, direction, hop);
        if begins {
            self.expect_answer(arrival, slot, direction);
        }
    }

    /// The session, begun anew if its connection is over and this segment opens another.
    fn reopened(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        slot: Slot,
        session: Session,
    ) -> (Slot, Session) {
        let Transport::Tcp(tcp) = packet.transport() else { return (slot, session) };
        let over = self
            .sessions
            .table
            .activity(slot)
            .and_then(|activity| Sessions::state(&session, &activity))
            .is_some_and(|state| state.is_over());
        if !tcp.flags.opens() || !over {
            return (slot, session);
        }
        let (sessions, mut scope) = self.sessions(now);
        let Some(slot) = sessions.reopen(&mut scope, slot) else { return (slot, session) };
        let session = self.sessions.table.session(slot).unwrap_or(session);
        (slot, session)
    }

    /// Stamps a packet on the session's record, and follows its connection.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        slot: Slot,
        session: &Session,
        direction: Direction,
    ) {
        let length = packet.total_len() as u32;
        let nanos = now.as_nanos();
        let Transport::Tcp(tcp) = packet.transport() else {
            self.sessions.table.stamp(nanos, slot, direction, length, None);
            return;
        };
        let before = self.sessions.table.activity(slot).unwrap_or_default();
        let segment = Segment::of(&tcp, direction, &before);
        let seen_at = seen_at(now, segment, direction, &before);
        self.sessions.table.stamp(seen_at, slot, direction, length, segment.mark(&tcp));
        self.follow(slot, session, segment, &tcp, &before);
    }

    /// Moves the TCP automaton.
    fn follow(
        &mut self,
        slot: Slot,
        session: &Session,
        segment: Segment,
        tcp: &Tcp,
        before: &Activity,
    ) {
        let state = State::from_number(session.state).unwrap_or_default();
        // Most segments change nothing, and the record need not be read for them.
        let quiet = masq_wire::tcp::Flags::ACK | masq_wire::tcp::Flags::PSH;
        if state == State::Established && quiet.contains(tcp.flags) {
            return;
        }
        let Some(activity) = self.sessions.table.activity(slot) else { return };
        // What the fast path saw came first: a reset may end a connection that it has seen open.
        let after = state.reconciled(before).after(segment, &activity);
        if after == state {
            return;
        }
        self.sessions.table.set_state(slot, after.class().number(), after.number());
        if (state == State::Trans) != (after == State::Trans) {
            self.keep_from_the_fast_path(slot, after == State::Trans);
        }
        if after.is_over() && !state.is_over() {
            self.sessions.reclaim.push_over(session, slot);
        }
    }

    /// A session that was reset is revived by the next segment (RFC 7857 §2.2), which the engine must
    /// see, therefore.
    fn keep_from_the_fast_path(&mut self, slot: Slot, keep: bool) {
        let Some(mut session) = self.sessions.table.session(slot) else { return };
        session.flags.set(Flags::PUNT, keep);
        self.sessions.table.update(slot, &session);
    }

    /// Keeps next hop and interface of a record true, and notes that it was answered.
    fn refresh(
        &mut self,
        arrival: &Arrival<'_>,
        slot: Slot,
        session: &Session,
        direction: Direction,
        hop: NextHopId,
    ) {
        let first = if session.flags & (Flags::FORWARDED | Flags::HAIRPIN) == Flags::FORWARDED {
            Direction::Ingress
        } else {
            Direction::Egress
        };
        let answers = direction != first;
        let revived = session.flags.contains(Flags::PUNT) && self.may_be_fast(arrival.now, slot);
        let news = revived
            || session.next_hops[direction] != hop
            || session.interfaces[direction] != arrival.port.0
            || answers && !session.flags.contains(Flags::ANSWERED);
        if !news {
            return;
        }
        // They may have changed since the session was read.
        let Some(mut flags) = self.sessions.table.flags(slot) else { return };
        flags.set(Flags::ANSWERED, answers || flags.contains(Flags::ANSWERED));
        flags.set(Flags::PUNT, flags.contains(Flags::PUNT) && !revived);
        self.sessions.table.set_way(slot, direction, hop, arrival.port.0, flags);
    }

    /// Whether a packet is the SYN of a connection of which nothing was seen in its direction.
    fn begins_connection(&self, packet: &Packet<'_>, slot: Slot, direction: Direction) -> bool {
        let Transport::Tcp(tcp) = packet.transport() else { return false };
        let first = |activity: Activity| activity[direction].packets == 0;
        tcp.flags.opens() && self.sessions.table.activity(slot).is_some_and(first)
    }

    /// Lets what comes after a SYN go without the engine, so that a connection costs it one packet.
    ///
    /// The next segment of its direction comes when it has been answered, and so has left. The answer
    /// follows nothing; only a SYN of its own might be under way, where both sides open at once, and
    /// the answer says all of that again (RFC 9293 §3.5). But an answer goes to the engine where its way
    /// leads to a neighbour that nobody knows yet: who sends SYNs in the names of absent hosts shall
    /// not have the gateway ask for all of them.
    fn expect_answer(&mut self, arrival: &Arrival<'_>, slot: Slot, direction: Direction) {
        self.sessions.table.settle(slot, direction);
        let back = direction.reverse();
        let Some(mut session) = self.sessions.table.session(slot) else { return };
        // Whether the other end of a hairpin lets it in is seen by its packets.
        if session.next_hops[back].is_some() || session.flags.contains(Flags::HAIRPIN) {
            return;
        }
        let Some(hop) = self.known_way(arrival.routes, &session, back) else { return };
        session.next_hops[back] = hop.id;
        self.sessions.table.update(slot, &session);
        self.sessions.table.settle(slot, back);
    }

    /// Whether the fast path may have the next packets of a session: it was not reset, and is not
    /// only kept for its mapping.
    fn may_be_fast(&mut self, now: Instant, slot: Slot) -> bool {
        let Some(session) = self.sessions.table.session(slot) else { return false };
        let (sessions, scope) = self.sessions(now);
        session.state != State::Trans.number() && !sessions.is_over(&scope, slot, &session)
    }
}

/// Writes the tuple that a packet leaves with into it.
pub(crate) fn rewrite(packet: &mut Packet<'_>, leaving: &Tuple) {
    let Tuple { source, destination, .. } = *leaving;
    let unchanged = |to: Endpoint, from: core::net::Ipv4Addr| to.addr == from;
    let tuple = packet.tuple();
    if !unchanged(source, packet.source()) || tuple.is_some_and(|tuple| tuple.source != source) {
        packet.rewrite_source(source);
    }
    if !unchanged(destination, packet.destination())
        || tuple.is_some_and(|tuple| tuple.destination != destination)
    {
        packet.rewrite_destination(destination);
    }
}

/// When a segment counts as seen: a reset that an inside host sends to a connection that it does
/// not know must not keep the mapping alive (RFC 7857 §7.1).
fn seen_at(now: Instant, segment: Segment, direction: Direction, before: &Activity) -> u64 {
    match (segment, direction) {
        (Segment::ForeignReset, Direction::Egress) => before[direction].last_seen_ns,
        (Segment::ForeignReset, Direction::Ingress)
        | (Segment::Other | Segment::Reset, Direction::Egress | Direction::Ingress) => {
            now.as_nanos()
        }
    }
}
