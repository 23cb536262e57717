//! The last steps of every packet: time to live, length, neighbour; and out.

use masq_wire::Packet;
use masq_wire::icmp::error::Report;
use masq_wire::icmp::unreachable;

use super::arrival::Arrival;
use super::first::{Refusal, check_ttl};
use super::{Engine, Judged};
use crate::event::Event;
use crate::fragment::{Origin, Split};
use crate::routes::{NextHop, NextHopState, PortId, Route, RouteQuery, Routes};
use crate::time::Instant;
use crate::verdict::{DropReason, Egress, Transmit, Verdict};

/// Whether a packet can leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WayOut {
    /// Not before the neighbour's address is known.
    Held,
    /// It can.
    Open,
}

/// A packet that waits for its next hop, as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The packet; empty while the queue of held packets has it.
    pub(crate) bytes: Vec<u8>,
    /// Where it arrived.
    pub(crate) port: PortId,
    /// How it was cut then.
    pub(crate) reassembled: Option<Origin>,
    /// We made it ourselves.
    pub(crate) own: bool,
}

impl Engine {
    /// Checks whether a packet, as it arrived, can leave to a next hop; keeps a copy if it has to
    /// wait.
    pub(crate) fn way_out(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        hop: NextHop,
    ) -> Result<WayOut, DropReason> {
        match leaves(arrival, packet, hop) {
            Ok(WayOut::Open) => Ok(WayOut::Open),
            Ok(WayOut::Held) => {
                self.wait(arrival, packet, hop);
                Ok(WayOut::Held)
            }
            Err(refusal) => Err(self.refuse(arrival, packet, refusal)),
        }
    }

    /// Keeps a copy of a packet until its neighbour's address is known.
    pub(crate) fn wait(&mut self, arrival: &Arrival<'_>, packet: &Packet<'_>, hop: NextHop) {
        let (port, reassembled) = (arrival.port, arrival.reassembled);
        let waiting = Waiting { bytes: Vec::new(), port, reassembled, own: false };
        self.hold(arrival.now, hop, packet.bytes(), waiting);
    }

    /// Sends a translated packet, in pieces if it is too long or came in pieces.
    pub(crate) fn emit(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &mut Packet<'_>,
        hop: NextHop,
    ) -> Judged {
        packet.decrement_ttl();
        let egress = Egress { next_hop: hop.id, port: hop.port };
        let mtu = hop.mtu as usize;
        let piece = match arrival.reassembled {
            Some(origin) => origin.mtu(mtu).unwrap_or(mtu),
            None if packet.total_len() > mtu => mtu,
            None => return Ok(Verdict::Forward(egress)),
        };
        let identification = if packet.is_fragment() {
            packet.identification()
        } else {
            let (source, destination) = (packet.source().into(), packet.destination().into());
            self.identifications.next(source, destination, packet.protocol())
        };
        let split = Split::new(packet.bytes().to_vec(), piece, identification)
            .map_err(|_| DropReason::CannotFragment)?;
        self.outbox.push_split(split, packet.total_len(), Transmit::Forward(egress))?;
        Ok(Verdict::Held)
    }

    /// Finds the way of a packet that we made ourselves.
    pub(crate) fn send_own(
        &mut self,
        now: Instant,
        routes: &dyn Routes,
        bytes: &[u8],
    ) -> Option<Transmit> {
        let header = Packet::parse(&mut bytes.to_vec()).ok().map(|packet| *packet.header())?;
        let query = RouteQuery {
            destination: header.destination().into(),
            source: header.source().into(),
            arriving: None,
            mark: 0,
        };
        let Route::Unicast(hop) = routes.route(&query) else { return None };
        // What a router says about itself goes to hosts that it serves, on either side.
        self.policy.realm(hop.port)?;
        if self.policy.outside(hop.port).is_some_and(|outside| outside.away) {
            return None;
        }
        match hop.state {
            NextHopState::Ready => {
                Some(Transmit::Forward(Egress { next_hop: hop.id, port: hop.port }))
            }
            NextHopState::Failed => None,
            NextHopState::Resolving => {
                let (bytes_none, port) = (Vec::new(), hop.port);
                let waiting = Waiting { bytes: bytes_none, port, reassembled: None, own: true };
                self.hold(now, hop, bytes, waiting);
                None
            }
        }
    }

    /// Takes news of a next hop, whose packets may be waiting.
    pub fn handle_next_hop(
        &mut self,
        now: Instant,
        id: crate::routes::NextHopId,
        state: NextHopState,
    ) {
        match state {
            NextHopState::Resolving => {}
            NextHopState::Ready => {
                for packet in self.held.release(id) {
                    let waiting = Waiting { bytes: packet.bytes, ..packet.context };
                    self.outbox.push_retry(waiting);
                }
            }
            NextHopState::Failed => {
                for packet in self.held.release(id) {
                    let waiting = Waiting { bytes: packet.bytes, ..packet.context };
                    self.give_up(now, waiting, DropReason::NeighbourFailed);
                }
            }
        }
    }

    /// Drops a packet whose next hop does not answer, and tells its sender.
    pub(crate) fn give_up(&mut self, now: Instant, mut waiting: Waiting, reason: DropReason) {
        self.stats.count_drop(reason);
        if waiting.own {
            return;
        }
        let Ok(packet) = Packet::parse(&mut waiting.bytes) else { return };
        let report = Report::unreachable(unreachable::HOST);
        self.report_at(now, waiting.port, &packet, report);
    }

    fn hold(&mut self, now: Instant, hop: NextHop, bytes: &[u8], waiting: Waiting) {
        let holding = self.held.hold(now, hop.id, bytes, waiting);
        if holding.first {
            self.events.push(Event::ResolveNextHop(hop.id));
        }
        for _ in 0..holding.dropped {
            self.stats.count_drop(DropReason::ResolvingTooMany);
        }
    }
}

/// Says whether a packet, as it arrived, can leave to a next hop, and changes nothing.
pub(crate) fn leaves(
    arrival: &Arrival<'_>,
    packet: &Packet<'_>,
    hop: NextHop,
) -> Result<WayOut, Refusal> {
    check_ttl(packet)?;
    let mtu = hop.mtu as usize;
    let fits = match arrival.reassembled {
        Some(origin) => origin.mtu(mtu).is_some(),
        None => packet.total_len() <= mtu || !packet.dont_fragment(),
    };
    if !fits {
        let mtu = u16::try_from(hop.mtu).unwrap_or(u16::MAX);
        let report = Report::fragmentation_needed(mtu);
        return Err(Refusal::told(DropReason::CannotFragment, report));
    }
    match hop.state {
        NextHopState::Ready => Ok(WayOut::Open),
        NextHopState::Resolving => Ok(WayOut::Held),
        NextHopState::Failed => {
            let report = Report::unreachable(unreachable::HOST);
            Err(Refusal::told(DropReason::NeighbourFailed, report))
        }
    }
}
