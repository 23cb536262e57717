//! What travels with a packet between the eBPF programs and the worker.
//!
//! ```text
//!   punted:    │ PuntHeader 24 │ Ethernet 14 │ IPv4 packet …       programs ──► worker
//!   returned:  │ ReturnHeader 12 │ type 2 │ IPv4 packet …          worker ──► programs
//! ```
//!
//! A [`PuntHeader`] says where a packet came from and why the programs did not handle it. On the way
//! back a [`ReturnHeader`] takes the place of the two Ethernet addresses; the program at the punt
//! port replaces it by those of the next hop, which only then have to be known. The [`Ticket`] of a
//! packet of a session goes all the way. Both are in network order, so that a capture of the punt port
//! can be read.

use core::fmt;

use bitflags::bitflags;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::bucket::Slot;
use crate::direction::Direction;
use crate::header::Layout;
use crate::nexthop::NextHopId;
use crate::order::Ticket;

/// The mark (`skb->mark`) of packets that are handed to the host: our own programs see them again
/// and let them pass, once.
pub const LOCAL_MARK: u32 = 0x6d73_716c;

/// The mark of packets that our programs send out of an outside: the program at its egress takes it off,
/// and stops what has an inside source without it.
pub const OUT_MARK: u32 = 0x6d73_716f;

/// The header before a punted frame.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct PuntHeader {
    magic: U16,
    version: u8,
    reason: u8,
    ifindex: U32,
    flags: u8,
    reserved: u8,
    length: U16,
    mark: U32,
    ticket: Stub,
    rest: U16,
}

const _: () = assert!(size_of::<PuntHeader>() == PuntHeader::LEN);

impl PuntHeader {
    /// The size of the header.
    pub const LEN: usize = 24;

    const MAGIC: u16 = 0x6d71;
    const VERSION: u8 = 2;

    /// The header of a packet of `length` bytes (0 if unknown) from interface `ifindex`.
    #[inline(always)]
    #[must_use]
    pub fn new(reason: PuntReason, ifindex: u32, flags: PuntFlags, length: u16, mark: u32) -> Self {
        Self {
            magic: U16::new(Self::MAGIC),
            version: Self::VERSION,
            reason: reason as u8,
            ifindex: U32::new(ifindex),
            flags: flags.bits(),
            reserved: 0,
            length: U16::new(length),
            mark: U32::new(mark),
            ticket: Stub::NONE,
            rest: U16::ZERO,
        }
    }

    /// The same with a ticket.
    #[inline(always)]
    #[must_use]
    pub fn with_ticket(self, ticket: Option<Ticket>) -> Self {
        Self { ticket: Stub::new(ticket, 0), ..self }
    }

    /// The header at the beginning of a frame, and the frame itself; none if it is not one of ours.
    #[must_use]
    pub fn split(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = Self::read_from_prefix(frame).ok()?;
        let ours = header.magic.get() == Self::MAGIC && header.version == Self::VERSION;
        ours.then_some((header, rest))
    }

    /// Why the packet was punted; none if a later version of the programs says so.
    #[must_use]
    pub fn reason(&self) -> Option<PuntReason> {
        PuntReason::ALL.get(usize::from(self.reason)).copied()
    }

    /// The interface at which the packet arrived.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex.get()
    }

    /// What else the programs noticed.
    #[must_use]
    pub fn flags(&self) -> PuntFlags {
        PuntFlags::from_bits_truncate(self.flags)
    }

    /// The length of the packet, without any header of the link; 0 if the program did not say.
    #[must_use]
    pub fn length(&self) -> u16 {
        self.length.get()
    }

    /// The mark that the packet had.
    #[must_use]
    pub fn mark(&self) -> u32 {
        self.mark.get()
    }

    /// The ticket of a packet of a session.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        self.ticket.get()
    }
}

bitflags! {
    /// What the programs noticed about a punted packet.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PuntFlags: u8 {
        /// The interface has no link-layer header; the Ethernet header is made up.
        const LAYER3 = 1;
        /// It arrived at an outside interface.
        const OUTSIDE = 1 << 1;
        /// Where it arrived, XDP carries sessions as far as it can.
        const XDP = 1 << 2;
    }
}

/// Why a packet was not handled by the programs: the one list of what the engine sees.
///
/// With the fast path off, packets of sessions are [`Hairpin`](Self::Hairpin),
/// [`Inside`](Self::Inside), [`Owned`](Self::Owned) or [`Protocol`](Self::Protocol). With it on,
/// those reasons are left to packets without a session, and a packet that has one and is punted is
/// so for one of the other reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PuntReason {
    /// A fragment: only reassembled does it show whose it is.
    Fragment,
    /// From inside, to an outside address of ours.
    Hairpin,
    /// An error message of ICMP: what it is about stands inside.
    IcmpError,
    /// From inside, to the world.
    Inside,
    /// Its session's packets arrive elsewhere.
    Interface,
    /// Its headers do not agree with each other, or with its length.
    Malformed,
    /// From outside, to a port that is ours by no session and of no socket.
    Miss,
    /// It is larger than its next hop takes.
    Mtu,
    /// Its next hop is not ready.
    NextHop,
    /// From outside, to an address that is not of this host.
    NotLocal,
    /// It opens a connection, and may end the one that its session was for.
    Opening,
    /// It has IP options.
    Options,
    /// Others of its session are still with the engine, and it must not overtake them.
    Order,
    /// From outside, of a session or to a port that is ours.
    Owned,
    /// Of a protocol, or a kind of ICMP message, that only the engine translates.
    Protocol,
    /// A reset with the number that resets its session's connection (RFC 7857 §2.2).
    Reset,
    /// Its session says so, or is being changed.
    Session,
    /// Its session is of an earlier epoch.
    Stale,
    /// Its time to live ends here.
    Ttl,
    /// Its checksum may be the one zero or the other, which only its content tells.
    Zero,
}

impl PuntReason {
    /// Every reason, by number.
    pub const ALL: [Self; 20] = [
        Self::Fragment,
        Self::Hairpin,
        Self::IcmpError,
        Self::Inside,
        Self::Interface,
        Self::Malformed,
        Self::Miss,
        Self::Mtu,
        Self::NextHop,
        Self::NotLocal,
        Self::Opening,
        Self::Options,
        Self::Order,
        Self::Owned,
        Self::Protocol,
        Self::Reset,
        Self::Session,
        Self::Stale,
        Self::Ttl,
        Self::Zero,
    ];

    /// A name for counters and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fragment => "fragment",
            Self::Hairpin => "hairpin",
            Self::IcmpError => "icmp-error",
            Self::Inside => "inside",
            Self::Interface => "interface",
            Self::Malformed => "malformed",
            Self::Miss => "miss",
            Self::Mtu => "mtu",
            Self::NextHop => "next-hop",
            Self::NotLocal => "not-local",
            Self::Opening => "opening",
            Self::Options => "options",
            Self::Order => "order",
            Self::Owned => "owned",
            Self::Protocol => "protocol",
            Self::Reset => "reset",
            Self::Session => "session",
            Self::Stale => "stale",
            Self::Ttl => "ttl",
            Self::Zero => "zero",
        }
    }
}

impl fmt::Display for PuntReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A ticket as it lies in both headers, and two bits beside it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
struct Stub {
    /// Presence, the two bits, segment, direction; slot.
    what: U32,
    number: U16,
}

impl Stub {
    const NONE: Self = Self { what: U32::ZERO, number: U16::ZERO };

    const PRESENT: u32 = 1 << 31;
    const BESIDE: u32 = 28;
    const SEGMENT: u32 = 1 << 27;
    const INGRESS: u32 = 1 << 26;
    const SLOT: u32 = Self::INGRESS - 1;

    #[inline(always)]
    fn new(ticket: Option<Ticket>, beside: u32) -> Self {
        let beside = beside << Self::BESIDE;
        let Some(ticket) = ticket else { return Self { what: U32::new(beside), ..Self::NONE } };
        let segment = if ticket.segment { Self::SEGMENT } else { 0 };
        let direction = match ticket.direction {
            Direction::Egress => 0,
            Direction::Ingress => Self::INGRESS,
        };
        let slot = ticket.slot.index() & Self::SLOT;
        let what = Self::PRESENT | beside | segment | direction | slot;
        Self { what: U32::new(what), number: U16::new(ticket.number) }
    }

    #[inline(always)]
    fn get(self) -> Option<Ticket> {
        let what = self.what.get();
        if what & Self::PRESENT == 0 {
            return None;
        }
        let ingress = what & Self::INGRESS != 0;
        Some(Ticket {
            slot: Slot::new(what & Self::SLOT),
            direction: if ingress { Direction::Ingress } else { Direction::Egress },
            number: self.number.get(),
            segment: what & Self::SEGMENT != 0,
        })
    }

    #[inline(always)]
    fn beside(self) -> u32 {
        (self.what.get() >> Self::BESIDE) & 3
    }
}

const _: () = assert!(Layout::MAX_SESSIONS - 1 <= Stub::SLOT);

/// The header that takes the place of a returned frame's two addresses.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct ReturnHeader {
    magic: U16,
    /// And the kind.
    ticket: Stub,
    /// An interface; or a next hop, and the lower half of the interface that it is behind.
    place: U32,
}

const _: () = assert!(size_of::<ReturnHeader>() == ReturnHeader::LEN);

impl ReturnHeader {
    /// The size of the header.
    pub const LEN: usize = 12;

    /// The first byte has the group bit set, as no source of a frame has, and the second is no
    /// group that anybody uses: nothing that strays to the punt port looks like this.
    const MAGIC: u16 = 0x6d71;

    /// The header of a packet on its way to `what`, with the ticket that it was punted with.
    #[inline(always)]
    #[must_use]
    pub fn new(what: Return, ticket: Option<Ticket>) -> Self {
        let (kind, place) = match what {
            Return::Forward { next_hop, link } => {
                (KIND_FORWARD, u32::from(next_hop.0) << 16 | u32::from(link))
            }
            Return::Local { ifindex } => (KIND_LOCAL, ifindex),
        };
        let magic = U16::new(Self::MAGIC);
        Self { magic, ticket: Stub::new(ticket, kind), place: U32::new(place) }
    }

    /// Where the packet goes; none if the header is not one of ours.
    #[inline(always)]
    #[must_use]
    pub fn get(&self) -> Option<Return> {
        if self.magic.get() != Self::MAGIC {
            return None;
        }
        let place = self.place.get();
        match self.ticket.beside() {
            KIND_FORWARD => {
                let next_hop = NextHopId((place >> 16) as u16);
                Some(Return::Forward { next_hop, link: place as u16 })
            }
            KIND_LOCAL => Some(Return::Local { ifindex: place }),
            _ => None,
        }
    }

    /// The ticket of a packet of a session.
    #[inline(always)]
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        self.ticket.get()
    }
}

const KIND_FORWARD: u32 = 1;
const KIND_LOCAL: u32 = 2;

/// Where a returned packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Out, to a next hop.
    Forward {
        /// Which.
        next_hop: NextHopId,
        /// The lower half of the number of the interface that the next hop is behind; the program
        /// checks that it still is.
        link: u16,
    },
    /// To the host itself.
    Local {
        /// The interface at which it is to arrive once more.
        ifindex: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_punt_header_gives_back_what_it_was_made_of() {
        for reason in PuntReason::ALL {
            let flags = PuntFlags::OUTSIDE | PuntFlags::LAYER3;
            let header = PuntHeader::new(reason, 7, flags, 1500, 0xabcd);
            let mut frame = header.as_bytes().to_vec();
            frame.extend([1, 2, 3]);

            let (read, rest) = PuntHeader::split(&frame).unwrap();

            assert_eq!(read.reason(), Some(reason));
            assert_eq!((read.ifindex(), read.length(), read.mark()), (7, 1500, 0xabcd));
            assert_eq!((read.flags(), rest), (flags, &[1, 2, 3][..]));
            assert_eq!(read.ticket(), None);
        }
    }

    #[test]
    fn a_ticket_goes_all_the_way() {
        for (slot, direction, number, segment) in [
            (0, Direction::Egress, 0, false),
            (Layout::MAX_SESSIONS - 1, Direction::Ingress, u16::MAX, true),
            (77, Direction::Egress, 0x1234, true),
            (0x155_5555, Direction::Ingress, 0x4321, false),
        ] {
            let ticket = Some(Ticket { slot: Slot::new(slot), direction, number, segment });
            let punted = PuntHeader::new(PuntReason::Order, 7, PuntFlags::empty(), 0, 9);
            let punted = punted.with_ticket(ticket);
            assert_eq!((punted.ticket(), punted.mark()), (ticket, 9));
            for what in [
                Return::Forward { next_hop: NextHopId(u16::MAX), link: u16::MAX },
                Return::Local { ifindex: u32::MAX },
            ] {
                let returned = ReturnHeader::new(what, ticket);
                assert_eq!((returned.get(), returned.ticket()), (Some(what), ticket));
            }
        }
    }

    #[test]
    fn strangers_are_not_taken_for_punted_frames() {
        assert_eq!(PuntHeader::split(&[0; 64]), None);
        assert_eq!(PuntHeader::split(&[0x6d]), None);
    }

    #[test]
    fn reasons_are_numbered_by_their_place_and_named_apart() {
        let mut names = std::collections::BTreeSet::new();
        for (i, reason) in PuntReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
            assert!(names.insert(reason.as_str()));
        }
    }

    #[test]
    fn a_return_header_gives_back_what_it_was_made_of() {
        for what in
            [Return::Forward { next_hop: NextHopId(1023), link: 3 }, Return::Local { ifindex: 4 }]
        {
            let header = ReturnHeader::new(what, None);
            assert_eq!((header.get(), header.ticket()), (Some(what), None));
        }
        assert_eq!(ReturnHeader::read_from_bytes(&[0; 12]).unwrap().get(), None);
    }
}
