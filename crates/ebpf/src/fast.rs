//! The fast path: packets of established sessions go on without the engine.
//!
//! # Goals
//!
//! The programs decide nothing. A record says what becomes of a session's packets; here it is seen
//! whether this packet is one that the record speaks for, and whether the engine would do nothing
//! with it but translate and forward it. Every other one goes to the engine, for a reason
//! ([`PuntReason`]). With the fast path off the same bytes leave.
//!
//! # What is looked at, in this order
//!
//! ```text
//!   fragment     whose it is shows only when it is whole                Fragment
//!   the record   being changed, or its packets are the engine's         Session
//!                judged by a policy that is no more                     Stale
//!                packets of this direction arrive elsewhere             Interface
//!   the header   options                                                Options
//!                lengths or header checksum wrong                       Malformed
//!                time to live 1 or less                                 Ttl
//!                the checksum's zero is the one that nobody computes    Zero
//!   transport    neither TCP, UDP nor echo                              Protocol
//!                lengths wrong                                          Malformed
//!                SYN alone: a connection that is over may begin anew    Opening
//!                RST with the number that the other side acknowledged   Reset
//!                the checksum's zero could be either one                Zero
//!   the way      next hop not ready                                     NextHop
//!                larger than it takes, or a segment of it; or all of
//!                it larger than a length can be (BIG TCP)               Mtu
//!   order        others of this direction are still with the engine     Order
//! ```
//!
//! # Order
//!
//! Whatever goes to the engine takes a ticket, here and in XDP alike, so that nothing of its session
//! overtakes it (`masq_flow::Ticket`). XDP too, because what it passes on may lie in GRO while it
//! redirects the next. Two kinds of packet take none, lest whoever can forge them could send a fast
//! flow through the engine: those whose time ends here leave for nowhere, and of malformed ones nobody
//! expects anything.
//!
//! # TCP
//!
//! SYN|ACK, FIN and everything else is stamped: the engine finds the flags when its timer looks at
//! the session. A reset is different, because whether it counts can only be said against what was
//! acknowledged when it came. One with another number than that changes nothing (RFC 7857 §2.2,
//! RFC 5961 §3.2): it goes on as the engine would have it, its flags are not stamped, and from inside
//! it does not keep the session alive (RFC 7857 §7.1). One with that very number goes to the engine.
//! So nobody off the path can have the engine look at resets, and no reset that counts is missed.

use masq_flow::index::Hit;
use masq_flow::punt::PuntReason;
use masq_flow::{Direction, Flags, NextHopId, Ready, Stay, Ticket, Translation};

use crate::bytes::Bytes;
use crate::parse::{Kind, Packet};
use crate::tokens::Price;
use crate::transport::{self, Transport};
use crate::{clock, maps};

/// The circumstances in which a packet arrived.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// The interface.
    pub(crate) ifindex: u32,
    /// Where the IPv4 header begins.
    pub(crate) start: usize,
    /// How many bytes there are from there on.
    pub(crate) length: u32,
    /// The payload of each segment that the packet will be cut into; 0 if it stays whole.
    pub(crate) segment: u32,
}

/// What becomes of a packet on the fast path.
pub(crate) struct Way {
    pub(crate) translation: Translation,
    pub(crate) transport: Transport,
    /// Of the kernel's way ([`NextHopId::HOST`]), the interface is 0.
    pub(crate) hop: Ready,
    /// Whether it leaves translated by an outside, whose egress asks for our mark.
    pub(crate) outwards: bool,
}

/// Whether a packet of a session may take the fast path, and how; or why not.
#[inline(always)]
pub(crate) fn judge<B: Bytes>(
    bytes: B,
    arrival: &Arrival,
    packet: &Packet,
    hit: &Hit<'_>,
) -> Result<Way, PuntReason> {
    if packet.kind == Kind::FirstFragment {
        return Err(PuntReason::Fragment);
    }
    let (translation, outwards) = record_speaks_for(arrival, hit)?;
    let header = packet.header;
    if header.length() != HEADER_LENGTH {
        return Err(PuntReason::Options);
    }
    let length = u32::from(header.total_length());
    if length == 0 && arrival.segment != 0 {
        // Longer than the header can say (BIG TCP), which only the kernel's own parts understand; it
        // comes to the engine cut.
        return Err(PuntReason::Mtu);
    }
    // A frame may be longer than its packet; but not if it will be cut by its length.
    let fits = length <= arrival.length && (arrival.segment == 0 || length == arrival.length);
    if !fits || !header.verifies() {
        return Err(PuntReason::Malformed);
    }
    if header.ttl() <= 1 {
        return Err(PuntReason::Ttl);
    }
    // Nobody computes this one: see `transport`.
    if header.checksum() == 0xffff {
        return Err(PuntReason::Zero);
    }
    let transport = transport::read(bytes, arrival, packet, hit, &translation)?;
    let hop = maps::next_hop(translation.next_hop).and_then(masq_flow::NextHop::ready);
    let hop = match hop {
        Some(hop) => hop,
        None if translation.next_hop == NextHopId::HOST => KERNEL,
        None => return Err(PuntReason::NextHop),
    };
    let longest = match arrival.segment {
        0 => length,
        segment => segment + HEADER_LENGTH as u32 + transport.header_length,
    };
    if longest > hop.mtu {
        return Err(PuntReason::Mtu);
    }
    if hit.record.activity.must_follow(hit.direction, || clock::now(hit.header)) {
        return Err(PuntReason::Order);
    }
    Ok(Way { translation, transport, hop, outwards })
}

/// What the record says, if it says anything about this packet.
#[inline(always)]
fn record_speaks_for(arrival: &Arrival, hit: &Hit<'_>) -> Result<(Translation, bool), PuntReason> {
    let record = hit.record;
    let translation = record.translation(hit.direction);
    let (flags, epoch) = (record.flags(), record.epoch());
    let interface = record.interface(hit.direction);
    // From here on, nothing of the decided line is read any more.
    if !hit.is_current() || flags.contains(Flags::PUNT) {
        return Err(PuntReason::Session);
    }
    if epoch < hit.header.min_epoch() {
        return Err(PuntReason::Stale);
    }
    if interface != arrival.ifindex && interface != 0 {
        return Err(PuntReason::Interface);
    }
    let between = flags.intersects(Flags::HAIRPIN.union(Flags::UNTRANSLATED));
    Ok((translation, hit.direction == Direction::Egress && !between))
}

/// The way of packets that are left to the kernel, which looks after length and neighbour itself.
const KERNEL: Ready = Ready { ifindex: 0, mtu: u32::MAX, layer3: true, addresses: [0; 3] };

/// What the engine's attention costs the sender of a session's packet.
///
/// What follows from the session or from the way is free, as all packets of sessions are with the
/// fast path off. What the sender alone decides, packet by packet, is not.
#[inline(always)]
pub(crate) fn price(why: PuntReason) -> Price {
    match why {
        PuntReason::Fragment
        | PuntReason::Malformed
        | PuntReason::Opening
        | PuntReason::Options
        | PuntReason::Reset
        | PuntReason::Ttl
        | PuntReason::Zero => Price::Look,
        PuntReason::Hairpin
        | PuntReason::IcmpError
        | PuntReason::Inside
        | PuntReason::Interface
        | PuntReason::Miss
        | PuntReason::Mtu
        | PuntReason::NextHop
        | PuntReason::NotLocal
        | PuntReason::Order
        | PuntReason::Owned
        | PuntReason::Protocol
        | PuntReason::Session
        | PuntReason::Stale => Price::Free,
    }
}

/// Takes the ticket of a session's packet that goes to the engine, as so many frames.
#[inline(always)]
pub(crate) fn ticket(hit: &Hit<'_>, why: PuntReason, frames: u16, segment: bool) -> Option<Ticket> {
    let stay = match why {
        PuntReason::Malformed | PuntReason::Ttl => return None,
        PuntReason::Fragment
        | PuntReason::Mtu
        | PuntReason::Opening
        | PuntReason::Options
        | PuntReason::Order
        | PuntReason::Reset
        | PuntReason::Zero => Stay::Brief(clock::now(hit.header)),
        // The way may be what keeps it.
        PuntReason::Hairpin
        | PuntReason::IcmpError
        | PuntReason::Inside
        | PuntReason::Interface
        | PuntReason::Miss
        | PuntReason::NextHop
        | PuntReason::NotLocal
        | PuntReason::Owned
        | PuntReason::Protocol
        | PuntReason::Session
        | PuntReason::Stale => Stay::Open,
    };
    let number = hit.record.activity.punt(hit.direction, frames, stay);
    Some(Ticket { slot: hit.slot, direction: hit.direction, number, segment })
}

/// The IPv4 header of everything on the fast path.
pub(crate) const HEADER_LENGTH: usize = 20;
