//! One datagram that is put together from pieces.
//!
//! The algorithm is RFC 815's, with the list kept of what is there in place of what is missing: the
//! pieces are sorted and never overlap, the holes are the gaps between them, and the datagram is
//! whole when the last fragment is known and the lengths add up to its end.
//!
//! ```text
//!            offset 0          1480                2960      3500
//!  pieces    [first fragment ]                     [last one ]     end = 3500, received = 2020
//!                             └──── the hole ─────┘
//! ```

use masq_wire::Protocol;
use masq_wire::fragment::reassembled;
use masq_wire::ipv4::{DONT_FRAGMENT, MAX_TOTAL_LEN, offset};

use super::{Datagram, DatagramKey, Fragment, FragmentError, Origin};
use crate::time::Instant;

/// What a datagram costs besides its bytes, about.
const DATAGRAM_OVERHEAD: usize = 512;
/// What a piece costs besides its bytes, about.
const PIECE_OVERHEAD: usize = 40;
/// RFC 3128 §2.2: a first fragment of TCP must hold the flags, which end before byte 16.
const TCP_FIRST_FRAGMENT: usize = 16;
/// RFC 3128 §2.2: a second fragment of TCP cannot begin this early, for the same reason.
const TCP_TORN_OFFSET: usize = 8;
/// Both bits of RFC 3168 §5.
const CONGESTION_EXPERIENCED: u8 = 0b11;

/// A datagram with holes.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) age: u64,
    pub(super) deadline: Instant,
    header: Vec<u8>,
    /// Sorted by offset, without overlaps.
    pieces: Vec<Piece>,
    received: usize,
    /// The end of the last fragment, when that has come.
    end: Option<usize>,
    pub(super) charged: usize,
    pub(super) condemned: bool,
    ecn_seen: [bool; 4],
    largest: usize,
    largest_unfragmentable: usize,
}

#[derive(Debug)]
struct Piece {
    offset: usize,
    bytes: Box<[u8]>,
}

impl Piece {
    const fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

/// How a fragment fits among the pieces.
pub(super) enum Fit {
    Duplicate,
    Hole,
}

impl Partial {
    pub(super) const fn new(age: u64, deadline: Instant) -> Self {
        Self {
            age,
            deadline,
            header: Vec::new(),
            pieces: Vec::new(),
            received: 0,
            end: None,
            charged: 0,
            condemned: false,
            ecn_seen: [false; 4],
            largest: 0,
            largest_unfragmentable: 0,
        }
    }

    pub(super) fn check(
        &self,
        fragment: &Fragment<'_>,
        most_pieces: usize,
    ) -> Result<Fit, FragmentError> {
        let furthest = self.pieces.last().map_or(0, Piece::end);
        let contradicting = match self.end {
            Some(end) => fragment.end() > end || (fragment.end() == end) == fragment.more,
            None => !fragment.more && fragment.end() < furthest,
        };
        if contradicting {
            return Err(FragmentError::ContradictingEnd);
        }
        let after = self.pieces.partition_point(|piece| piece.offset <= fragment.offset);
        if let Some(before) = after.checked_sub(1).map(|index| &self.pieces[index])
            && before.end() > fragment.offset
        {
            let copy = before.offset == fragment.offset && *before.bytes == *fragment.payload;
            // A copy that is the last fragment only the second time is no copy.
            let copy = copy && (fragment.more || self.end.is_some());
            return if copy { Ok(Fit::Duplicate) } else { Err(FragmentError::Overlap) };
        }
        if self.pieces.get(after).is_some_and(|next| next.offset < fragment.end()) {
            return Err(FragmentError::Overlap);
        }
        if self.pieces.len() >= most_pieces {
            return Err(FragmentError::TooManyPieces);
        }
        Ok(Fit::Hole)
    }

    /// Adds a fragment that fits a hole; returns what it costs.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>) -> usize {
        let cost = cost(fragment, self.pieces.is_empty());
        let at = self.pieces.partition_point(|piece| piece.offset <= fragment.offset);
        self.pieces.insert(at, Piece { offset: fragment.offset, bytes: fragment.payload.into() });
        self.received += fragment.payload.len();
        if !fragment.more {
            self.end = Some(fragment.end());
        }
        if fragment.offset == 0 {
            self.header = fragment.header.to_vec();
        }
        self.ecn_seen[usize::from(fragment.ecn())] = true;
        self.largest = self.largest.max(fragment.total_len());
        if fragment.dont_fragment {
            self.largest_unfragmentable = self.largest_unfragmentable.max(fragment.total_len());
        }
        self.charged += cost;
        cost
    }

    /// Says whether no fragment has come yet.
    pub(super) const fn is_new(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Says whether there is no hole.
    pub(super) fn is_complete(&self) -> bool {
        self.end == Some(self.received)
    }

    /// Forgets the pieces and refuses all that come; returns what that sets free.
    pub(super) fn condemn(&mut self) -> usize {
        self.condemned = true;
        self.pieces = Vec::new();
        self.header = Vec::new();
        let freed = self.charged - DATAGRAM_OVERHEAD;
        self.charged = DATAGRAM_OVERHEAD;
        freed
    }

    pub(super) fn into_datagram(self, key: DatagramKey) -> Result<Datagram, FragmentError> {
        // RFC 3168 §5.3: a mark on one fragment is a mark on the datagram, which cannot be if
        // another fragment says that its sender knows no marks.
        let [unaware, _, _, congested] = self.ecn_seen;
        if congested && unaware {
            return Err(FragmentError::EcnMixture);
        }
        let largest_fragment = self.largest as u16;
        let dont_fragment = self.largest_unfragmentable == self.largest;
        let mut packet = self.header;
        if congested {
            packet[offset::TOS] |= CONGESTION_EXPERIENCED;
        }
        let flags = if dont_fragment { DONT_FRAGMENT } else { 0 };
        packet[offset::FRAGMENT..][..2].copy_from_slice(&flags.to_be_bytes());
        packet.reserve_exact(self.received);
        for piece in &self.pieces {
            packet.extend_from_slice(&piece.bytes);
        }
        // Seals the header; its length is the only thing left that can be wrong.
        reassembled(&mut packet).map_err(|_| FragmentError::TooLong)?;
        Ok(Datagram { key, packet, origin: Origin { largest_fragment, dont_fragment } })
    }

    pub(super) fn into_first_fragment(self) -> Option<Vec<u8>> {
        let first = self.pieces.first().filter(|piece| piece.offset == 0)?;
        let mut bytes = self.header;
        bytes.extend_from_slice(&first.bytes);
        Some(bytes)
    }
}

/// Judges what a fragment says of itself.
pub(super) fn check_alone(fragment: &Fragment<'_>) -> Result<(), FragmentError> {
    if fragment.payload.is_empty() {
        return Err(FragmentError::Empty);
    }
    if fragment.more && !fragment.payload.len().is_multiple_of(8) {
        return Err(FragmentError::Misaligned);
    }
    if fragment.header.len() + fragment.end() > MAX_TOTAL_LEN {
        return Err(FragmentError::TooLong);
    }
    let torn = match fragment.offset {
        0 => fragment.more && fragment.payload.len() < TCP_FIRST_FRAGMENT,
        offset => offset <= TCP_TORN_OFFSET,
    };
    if fragment.key.protocol == Protocol::TCP && torn {
        return Err(FragmentError::Tiny);
    }
    Ok(())
}

pub(super) fn cost(fragment: &Fragment<'_>, new: bool) -> usize {
    let piece = fragment.payload.len() + PIECE_OVERHEAD;
    if new { piece + DATAGRAM_OVERHEAD } else { piece }
}
