//! Fragments: whole datagrams out of them, and out of whole datagrams fragments again.
//!
//! ```text
//!  fragments, any order ──► Reassembler ──► Datagram ──► translated like any other packet
//!                                                             │
//!  fragments, in order  ◄── Split ◄── Identifications ◄───────┘
//! ```
//!
//! Only the first fragment of a datagram has the ports by which it is translated, and it may come
//! last (RFC 4787 REQ-14). Fragments of two inside hosts may have the same identification, and would
//! be mixed up behind one outside address; so a datagram that was cut gets a new one (RFC 6864
//! §5.3.1). Datagrams that were never cut keep theirs.

mod identification;
mod partial;
mod reassembler;
mod split;
#[cfg(test)]
mod tests;

use core::net::IpAddr;

use masq_wire::{Packet, Protocol};
use thiserror::Error;

use crate::routes::PortId;

pub use self::identification::Identifications;
pub use self::reassembler::{Expired, Reassembler, ReassemblyCounts, ReassemblyLimits};
pub use self::split::{Split, SplitError};

/// Which datagram a fragment belongs to.
///
/// RFC 791 names source, destination, protocol and identification; the interface is added so
/// that nobody on another link can contribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatagramKey {
    /// The interface where its fragments arrive.
    pub interface: PortId,
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// What it carries.
    pub protocol: Protocol,
    /// The sender's number for it.
    pub identification: u32,
}

/// One fragment as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Its datagram.
    pub key: DatagramKey,
    /// Where its payload belongs, in bytes.
    pub offset: usize,
    /// Others follow.
    pub more: bool,
    /// The sender forbids routers to fragment it further.
    pub dont_fragment: bool,
    /// The IP header with its options.
    pub header: &'a [u8],
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Fragment<'_> {
    const fn end(&self) -> usize {
        self.offset + self.payload.len()
    }

    const fn total_len(&self) -> usize {
        self.header.len() + self.payload.len()
    }

    /// The two bits of RFC 3168.
    fn ecn(&self) -> u8 {
        self.header.get(1).map_or(0, |tos| tos & 0b11)
    }
}

impl<'a> Fragment<'a> {
    /// Reads a fragment that arrived on an interface.
    #[must_use]
    pub fn of(packet: &'a Packet<'_>, interface: PortId) -> Self {
        let (header, payload) = packet.bytes().split_at(packet.header_len());
        Self {
            key: DatagramKey {
                interface,
                source: packet.source().into(),
                destination: packet.destination().into(),
                protocol: packet.protocol(),
                identification: packet.identification().into(),
            },
            offset: packet.fragment_offset(),
            more: packet.more_fragments(),
            dont_fragment: packet.dont_fragment(),
            header,
            payload,
        }
    }
}

/// A whole datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Which one.
    pub key: DatagramKey,
    /// The whole packet: the first fragment's header with its options, as if never fragmented. It has
    /// yet to be parsed, since only now its transport header and lengths can be judged.
    ///
    /// The congestion mark of any fragment is on it (RFC 3168 §5.3).
    pub packet: Vec<u8>,
    /// How its fragments were.
    pub origin: Origin,
}

/// How the fragments of a datagram were, which bounds those on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Length of the largest fragment, header included: what the path to us carries.
    pub largest_fragment: u16,
    /// The largest fragment had DF set, and so has the packet.
    pub dont_fragment: bool,
}

impl Origin {
    /// Returns how long the fragments on the way out may be, given the MTU there; none if the sender
    /// has to send smaller ones itself, which an ICMP "fragmentation needed" tells it.
    ///
    /// Who sends fragments with DF discovers the path's MTU with them; it would not
    /// learn the truth if they were made larger or smaller on the way.
    #[must_use]
    pub fn mtu(self, mtu: usize) -> Option<usize> {
        let largest = usize::from(self.largest_fragment);
        match (self.dont_fragment, largest <= mtu) {
            (true, true) => Some(largest),
            (true, false) => None,
            (false, _) => Some(mtu),
        }
    }
}

/// What a fragment led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The datagram is whole.
    Complete(Datagram),
    /// An exact copy of a fragment that is here already.
    Duplicate,
    /// Others are missing.
    Incomplete,
}

/// Why a fragment was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum FragmentError {
    /// Its datagram was condemned before.
    #[error("the datagram had contradicting fragments before")]
    Condemned,
    /// Its end contradicts the end that another fragment gave; the datagram is condemned.
    #[error("the fragments disagree about the datagram's end")]
    ContradictingEnd,
    /// One fragment has met congestion, and another one says that its sender knows no marks.
    #[error("congestion marks and fragments without ECN are mixed")]
    EcnMixture,
    /// It has no payload.
    #[error("the fragment is empty")]
    Empty,
    /// The source, or all of them, have no room left.
    #[error("no room for another fragment")]
    Limit,
    /// Others follow, and its length is not a multiple of eight.
    #[error("the length of an inner fragment is not a multiple of eight")]
    Misaligned,
    /// It overlaps another fragment; the datagram is condemned.
    #[error("the fragment overlaps another one")]
    Overlap,
    /// It tears the TCP header apart.
    #[error("the fragment tears the TCP header apart")]
    Tiny,
    /// The datagram would be longer than 65,535 bytes.
    #[error("the fragment ends beyond 65535 bytes")]
    TooLong,
    /// The datagram has more pieces than allowed; it is condemned.
    #[error("the datagram has too many fragments")]
    TooManyPieces,
}
