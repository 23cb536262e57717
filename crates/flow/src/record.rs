//! Session records: two cache lines, as they lie in shared memory.
//!
//! ```text
//!   word  0  sequence            odd while the line changes; all ones: a continuation
//!         1  epoch
//!         2  original source     ┐ IPv4 addresses as in the packet; in a wide record
//!         3  original destination│ these four words are the original source address
//!         4  reply source        │ and the others lie in the continuation
//!         5  reply destination   ┘
//!         6  original ports      source and destination, as the first word of a UDP header
//!         7  reply ports
//!         8  protocol, shape, timeout class, TCP state (a byte each)
//!         9  next hops           egress low half, ingress high half
//!        10  deltas              of addresses low half, of ports high half
//!        11  flags               low half
//!        12  rule path
//!        13  created             seconds; in a vacant record: when it was freed, milliseconds
//!        14  interface where egress packets arrive
//!        15  interface where ingress packets arrive
//!   words 16 to 31: the activity line
//! ```
//!
//! A session with IPv6 on either side is *wide*: it takes an even slot and the odd one after it,
//! whose first word is all ones and whose words 4 to 15 hold the three other addresses. Every slot
//! can so be judged by itself.
//!
//! **States.** *Vacant*: shape is 0. *Occupied*: shape has the occupied bit, and nobody but the
//! owner changes the line. *Changing*: sequence is odd. While a record is made or unmade the
//! occupied bit is clear; while a decision within it changes (an epoch, a next hop) it is set, and
//! the tuples stay. So whatever instant the owner dies at, an occupied record has whole tuples.
//!
//! One pair of deltas serves both directions: the way back is the one's complement inverse
//! (RFC 1624). They also tell a damaged record from a sound one, being a sum over both tuples.

use masq_wire::Protocol;
use masq_wire::checksum::Delta;
use zerocopy::{FromBytes, IntoBytes};

use crate::activity::ActivityLine;
use crate::direction::{Direction, PerDirection};
use crate::nexthop::NextHopId;
use crate::session::{Flags, translated_protocol};
use crate::word::{Word32, acquire};

/// A record, as it lies in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C, align(128))]
pub struct Record {
    pub(crate) line: [Word32; 16],
    /// What was seen of the session.
    pub activity: ActivityLine,
}

const _: () = assert!(size_of::<Record>() == 128);
const _: () = assert!(core::mem::offset_of!(Record, activity) == 64);

impl Record {
    /// Begins to read; none if the record is being changed.
    #[inline(always)]
    #[must_use]
    pub fn begin_read(&self) -> Option<u32> {
        let sequence = self.read_sequence();
        if sequence & 1 == 0 { Some(sequence) } else { None }
    }

    /// Begins to read, even if the record is being changed: then its number is odd.
    #[inline(always)]
    #[must_use]
    pub(crate) fn read_sequence(&self) -> u32 {
        let sequence = self.line[SEQUENCE].load();
        acquire();
        sequence
    }

    /// Whether what was read since [`begin_read`](Self::begin_read) gave `sequence` belongs together.
    #[inline(always)]
    #[must_use]
    pub fn is_unchanged(&self, sequence: u32) -> bool {
        acquire();
        self.line[SEQUENCE].load() == sequence
    }

    /// The policy that the session was last judged by.
    #[inline(always)]
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.line[EPOCH].load()
    }

    /// What else the record says.
    #[inline(always)]
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags::from_bits_retain(self.line[FLAGS].load() as u16)
    }

    /// Source and destination port of packets that arrive in `direction`, as in the packet.
    #[inline(always)]
    #[must_use]
    pub fn ports(&self, direction: Direction) -> u32 {
        self.line[PORTS + direction.index()].load()
    }

    /// The interface at which packets of `direction` arrive; 0 where any will do.
    #[inline(always)]
    #[must_use]
    pub fn interface(&self, direction: Direction) -> u32 {
        self.line[INTERFACES + direction.index()].load()
    }

    /// How an IPv4 packet of `direction` is changed. Counts only in a narrow record.
    #[inline(always)]
    #[must_use]
    pub fn translation(&self, direction: Direction) -> Translation {
        let (source, destination) = self.narrow_addresses(direction.reverse());
        let ports = self.ports(direction.reverse());
        let deltas = self.line[DELTAS].load();
        let (address, port) = (Delta(deltas as u16), Delta((deltas >> 16) as u16));
        let hops = self.line[NEXT_HOPS].load();
        let (address_delta, port_delta, next_hop) = match direction {
            Direction::Egress => (address, port, hops as u16),
            Direction::Ingress => (address.invert(), port.invert(), (hops >> 16) as u16),
        };
        Translation {
            source: destination,
            destination: source,
            ports: ports.rotate_left(16),
            address_delta,
            port_delta,
            next_hop: NextHopId(next_hop),
        }
    }

    /// Whether it is an occupied IPv4 record of this protocol.
    #[inline(always)]
    #[must_use]
    pub(crate) fn is_narrow_of(&self, protocol: u8) -> bool {
        let [actual, shape, ..] = self.line[KIND].load().to_ne_bytes();
        shape == OCCUPIED && actual == protocol
    }

    /// Whether it is an occupied wide record whose packets of `direction` arrive with this family
    /// and protocol.
    #[inline(always)]
    #[must_use]
    pub(crate) fn is_wide_of(&self, direction: Direction, v6: bool, protocol: u8) -> bool {
        let [original, shape, ..] = self.line[KIND].load().to_ne_bytes();
        let families = families(shape);
        let arriving = match direction {
            Direction::Egress => Protocol(original),
            Direction::Ingress => {
                translated_protocol(Protocol(original), families.egress, families.ingress)
            }
        };
        shape & OCCUPIED != 0
            && is_wide(shape)
            && families[direction] == v6
            && arriving == Protocol(protocol)
    }

    #[inline(always)]
    #[must_use]
    pub(crate) fn narrow_addresses(&self, direction: Direction) -> (u32, u32) {
        let first = ADDRESSES + 2 * direction.index();
        (self.line[first].load(), self.line[first + 1].load())
    }

    #[inline(always)]
    #[must_use]
    pub(crate) fn wide_addresses(&self, rest: &Self, direction: Direction) -> ([u32; 4], [u32; 4]) {
        match direction {
            Direction::Egress => (four(&self.line, ADDRESSES), four(&rest.line, MORE)),
            Direction::Ingress => (four(&rest.line, MORE + 4), four(&rest.line, MORE + 8)),
        }
    }

    #[inline(always)]
    #[must_use]
    pub(crate) fn is_continuation(&self) -> bool {
        self.line[SEQUENCE].load() == CONTINUATION
    }
}

/// How a packet is changed, in the words that are written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The source address, as it is stored in the packet.
    pub source: u32,
    /// The destination address, as it is stored in the packet.
    pub destination: u32,
    /// Both ports, as they are stored in the packet.
    pub ports: u32,
    /// How the addresses change a checksum that covers them.
    pub address_delta: Delta,
    /// How the ports change a checksum that covers them.
    pub port_delta: Delta,
    /// Where the packet goes.
    pub next_hop: NextHopId,
}

pub(crate) const SEQUENCE: usize = 0;
pub(crate) const EPOCH: usize = 1;
pub(crate) const ADDRESSES: usize = 2;
pub(crate) const PORTS: usize = 6;
pub(crate) const KIND: usize = 8;
pub(crate) const NEXT_HOPS: usize = 9;
pub(crate) const DELTAS: usize = 10;
pub(crate) const FLAGS: usize = 11;
pub(crate) const INTERFACES: usize = 14;

/// Where the addresses of a continuation begin.
pub(crate) const MORE: usize = 4;

/// The sequence number of a continuation.
pub(crate) const CONTINUATION: u32 = u32::MAX;

/// Bits of the shape byte.
pub(crate) const OCCUPIED: u8 = 1;
pub(crate) const ORIGINAL_V6: u8 = 1 << 1;
pub(crate) const REPLY_V6: u8 = 1 << 2;

#[inline(always)]
pub(crate) const fn is_wide(shape: u8) -> bool {
    shape & (ORIGINAL_V6 | REPLY_V6) != 0
}

#[inline(always)]
pub(crate) const fn families(shape: u8) -> PerDirection<bool> {
    PerDirection::new(shape & ORIGINAL_V6 != 0, shape & REPLY_V6 != 0)
}

#[inline(always)]
fn four(words: &[Word32; 16], first: usize) -> [u32; 4] {
    [words[first].load(), words[first + 1].load(), words[first + 2].load(), words[first + 3].load()]
}
