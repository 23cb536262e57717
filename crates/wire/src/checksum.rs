//! The internet checksum: the only place where one is computed.
//!
//! A checksum is the complement of the one's complement sum of 16-bit words (RFC 1071). A translator
//! never computes one anew for a packet that it forwards: it adds the difference between the old and the
//! new words to the checksum that the packet carries (RFC 1624 equation 3), so what arrived corrupted
//! leaves corrupted and the receiver still notices.
//!
//! ```text
//!   HC' = ~(~HC + ~m + m')        Delta = ~m + m'       apply: HC' = ~(~HC + Delta)
//! ```
//!
//! In one's complement arithmetic 0x0000 and 0xffff are both zero. Addition with end-around carry gives
//! 0x0000 only for 0x0000 + 0x0000, so as long as a packet has a word that is not zero its sum is never
//! 0x0000 and its checksum never 0xffff: an applied delta yields the very bytes that a full computation
//! yields, and the way back, `delta.invert()`, restores what was there before.
//!
//! Sums do not depend on byte order (RFC 1071 §2B) as long as all words are read alike. Here words are read in
//! network order, as numbers; a caller who hands a delta to the kernel, which sums in host order, gives
//! `delta.0.to_be()`.
//!
//! Everything is `const`, inlined and free of allocation: the eBPF programs use the same functions.

use core::net::IpAddr;

use crate::Protocol;

/// A one's complement sum of 16-bit words (RFC 1071).
///
/// Carries are kept and added in only at the end, and two adjacent words are added as one number, since
/// the sum is the same (RFC 1071 §2). There is room for four thousand million numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    pub const ZERO: Self = Self(0);

    #[inline(always)]
    #[must_use]
    pub const fn add_u16(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    #[inline(always)]
    #[must_use]
    pub const fn add_u32(self, words: u32) -> Self {
        Self(self.0 + words as u64)
    }

    /// Adds bytes that begin at an even distance from the start of what is summed; an odd last byte is
    /// padded with zero, so only the last of several pieces may have an odd length.
    #[inline(always)]
    #[must_use]
    pub const fn add_bytes(self, mut bytes: &[u8]) -> Self {
        let mut sum = self;
        while let Some((words, rest)) = bytes.split_first_chunk() {
            sum = sum.add_u32(u32::from_be_bytes(*words));
            bytes = rest;
        }
        match *bytes {
            [] => sum,
            [a] => sum.add_u16(u16::from_be_bytes([a, 0])),
            [a, b] => sum.add_u16(u16::from_be_bytes([a, b])),
            [a, b, c, ..] => sum.add_u32(u32::from_be_bytes([a, b, c, 0])),
        }
    }

    #[inline(always)]
    #[must_use]
    pub const fn add_addr(self, addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => self.add_u32(v4.to_bits()),
            IpAddr::V6(v6) => self.add_bytes(&v6.octets()),
        }
    }

    /// Adds the pseudo-header of TCP, UDP and their kin (RFC 9293 §3.1, RFC 8200 §8.1).
    #[inline(always)]
    #[must_use]
    pub const fn add_pseudo_header(
        self,
        source: IpAddr,
        destination: IpAddr,
        protocol: Protocol,
        transport_len: u32,
    ) -> Self {
        self.add_addr(source)
            .add_addr(destination)
            .add_u16(protocol.0 as u16)
            .add_u32(transport_len)
    }

    /// The sum in 16 bits.
    #[inline(always)]
    #[must_use]
    pub const fn fold(self) -> u16 {
        let carried = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let carried = (carried & 0xffff) + (carried >> 16);
        fold(carried as u32)
    }

    /// The checksum field that makes the words summed so far verify.
    #[inline(always)]
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// As [`Sum::checksum`], for UDP: a computed zero is sent as 0xffff, since zero says "none" (RFC 768).
    #[inline(always)]
    #[must_use]
    pub const fn udp_checksum(self) -> u16 {
        never_zero(self.checksum())
    }

    /// Whether words that include their checksum are intact.
    #[inline(always)]
    #[must_use]
    pub const fn verifies(self) -> bool {
        self.fold() == 0xffff
    }
}

/// What replacing words adds to a sum (RFC 1624): `~old + new`, in one's complement.
///
/// Deltas of several changes are combined into one, and one value serves both directions of a session:
/// the way back is the complement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Delta(pub u16);

impl Delta {
    /// Nothing changes.
    pub const NONE: Self = Self(0);

    /// The time to live is one less: it stands in the upper half of its word, and no borrow leaves it.
    pub const TTL_DECREMENTED: Self = Self::of_u16(0x0100, 0);

    #[inline(always)]
    #[must_use]
    pub const fn of_u16(old: u16, new: u16) -> Self {
        Self(fold(!old as u32 + new as u32))
    }

    /// The delta of two adjacent words, as an IPv4 address is.
    #[inline(always)]
    #[must_use]
    pub const fn of_u32(old: u32, new: u32) -> Self {
        Self::of_u16((old >> 16) as u16, (new >> 16) as u16)
            .combine(Self::of_u16(old as u16, new as u16))
    }

    /// The delta of an address; the two may be of different families.
    #[inline(always)]
    #[must_use]
    pub const fn of_addr(old: IpAddr, new: IpAddr) -> Self {
        match (old, new) {
            (IpAddr::V4(old), IpAddr::V4(new)) => Self::of_u32(old.to_bits(), new.to_bits()),
            (old, new) => {
                Self::of_u16(Sum::ZERO.add_addr(old).fold(), Sum::ZERO.add_addr(new).fold())
            }
        }
    }

    /// Both changes as one.
    #[inline(always)]
    #[must_use]
    pub const fn combine(self, other: Self) -> Self {
        Self(fold(self.0 as u32 + other.0 as u32))
    }

    /// The delta of the way back.
    #[inline(always)]
    #[must_use]
    pub const fn invert(self) -> Self {
        Self(!self.0)
    }

    /// Whether the sum stays as it is.
    #[inline(always)]
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0 || self.0 == 0xffff
    }

    /// The checksum after the change.
    #[inline(always)]
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        // Adding the other zero would turn 0xffff into 0x0000: equal in value, but other bytes.
        if self.is_none() {
            return checksum;
        }
        !fold(!checksum as u32 + self.0 as u32)
    }

    /// The checksum after both changes: what applying them [combined](Self::combine) gives, in fewer
    /// steps, for any checksum but 0xffff.
    #[inline(always)]
    #[must_use]
    pub const fn apply_with(self, other: Self, checksum: u16) -> u16 {
        // Three words: two folds leave no carry. The sum is not that of nothing but zeros, since the
        // complement of the checksum is none; so a change of nothing restores it.
        !fold(!checksum as u32 + self.0 as u32 + other.0 as u32)
    }

    /// The UDP checksum after the change: none stays none (RFC 3022 §4.1), and a zero that comes out
    /// is sent as 0xffff (RFC 768).
    #[inline(always)]
    #[must_use]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 { 0 } else { never_zero(self.apply(checksum)) }
    }
}

#[inline(always)]
const fn fold_once(sum: u32) -> u32 {
    (sum & 0xffff) + (sum >> 16)
}

#[inline(always)]
const fn fold(sum: u32) -> u16 {
    // The first fold leaves at most 0x1fffe, the second at most 0xffff.
    fold_once(fold_once(sum)) as u16
}

/// A UDP checksum that was computed to be zero is sent as 0xffff, since zero says "none" (RFC 768).
#[inline(always)]
#[must_use]
pub const fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use alloc::vec::Vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_1071_section_3_vector() {
        let sum = Sum::ZERO.add_bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);

        assert_eq!(sum.fold(), 0xddf2);
        assert_eq!(sum.checksum(), 0x220d);
        assert!(sum.add_u16(0x220d).verifies());
    }

    #[test]
    fn rfc_1624_section_4_corner_case() {
        // Equation 2 of RFC 1141 gives 0xffff here.
        assert_eq!(Delta::of_u16(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    #[test]
    fn all_deltas_and_checksums_of_a_word_agree_with_full_computation() {
        for old in (0..=u16::MAX).step_by(97) {
            for new in [0x0000, 0x0001, 0x7fff, 0x8000, 0xfffe, 0xffff, !old, old] {
                for rest in [0x0001, 0x4500, 0xfffe, 0xffff] {
                    let before = Sum::ZERO.add_u16(rest).add_u16(old).checksum();
                    let after = Sum::ZERO.add_u16(rest).add_u16(new).checksum();

                    assert_eq!(Delta::of_u16(old, new).apply(before), after, "{old:x} {new:x}");
                    assert_eq!(Delta::of_u16(old, new).invert().apply(after), before);
                }
            }
        }
    }

    #[test]
    fn whatever_the_time_to_live_was_its_decrement_is_the_same() {
        for ttl in 1..=255_u8 {
            let [old, new] = [ttl, ttl - 1].map(|ttl| u16::from_be_bytes([ttl, 17]));
            assert_eq!(Delta::of_u16(old, new), Delta::TTL_DECREMENTED);
        }
    }

    #[test]
    fn unchanged_words_leave_any_checksum_alone() {
        for checksum in [0x0000, 0x0001, 0xfffe, 0xffff] {
            assert_eq!(Delta::of_u16(0x1234, 0x1234).apply(checksum), checksum);
            assert_eq!(Delta::NONE.apply(checksum), checksum);
            assert_eq!(Delta::NONE.invert().apply(checksum), checksum);
        }
    }

    #[test]
    fn udp_zero_checksum_stays_zero() {
        assert_eq!(Delta::of_u16(1, 2).apply_udp(0), 0);
    }

    #[test]
    fn computed_udp_zero_is_sent_as_ones() {
        assert_eq!(Delta::of_u16(0x5555, 0x3285).apply_udp(0xdd2f), 0xffff);
        assert_eq!(Sum::ZERO.add_u16(0xffff).udp_checksum(), 0xffff);
        // And the way back gives what was there before.
        assert_eq!(Delta::of_u16(0x5555, 0x3285).invert().apply_udp(0xffff), 0xdd2f);
    }

    #[test]
    fn odd_last_byte_is_padded_with_zero() {
        assert_eq!(Sum::ZERO.add_bytes(&[1, 2, 3]).fold(), 0x0402);
        assert_eq!(Sum::ZERO.add_bytes(&[3]).fold(), 0x0300);
        assert_eq!(Sum::ZERO.add_bytes(&[]).fold(), 0);
    }

    #[test]
    fn largest_datagram_does_not_overflow() {
        let bytes = alloc::vec![0xff; 65_535 + 200_000];

        assert_eq!(Sum::ZERO.add_bytes(&bytes[..65_534]).fold(), 0xffff);
        assert_eq!(Sum::ZERO.add_bytes(&bytes[..200_000]).add_bytes(&bytes).fold(), 0xff00);
    }

    #[test]
    fn a_sum_of_all_ones_carries_into_every_digit() {
        let words = Sum(u64::MAX - 0xffff_ffff).add_u32(u32::MAX);
        assert_eq!((words.0, words.fold()), (u64::MAX, 0xffff));
        assert_eq!(Sum(0xffff_ffff_0000_0001).fold(), 0x0001);
    }

    #[test]
    fn deltas_are_usable_in_constants() {
        const DELTA: Delta = Delta::of_addr(
            IpAddr::V4(Ipv4Addr::new(192, 168, 1, 3)),
            IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
        );
        assert_eq!(DELTA, Delta::of_u32(0xc0a8_0103, 0xcb00_7101));
    }

    proptest! {
        #[test]
        fn incremental_equals_full(
            mut words in proptest::collection::vec(any::<u16>(), 1..40),
            at in any::<prop::sample::Index>(),
            new in any::<u16>(),
        ) {
            // A packet always has a word that is not zero: its version.
            words.push(0x4500);
            let at = at.index(words.len() - 1);
            let before = words.iter().fold(Sum::ZERO, |sum, word| sum.add_u16(*word)).checksum();
            let delta = Delta::of_u16(words[at], new);

            words[at] = new;

            let after = words.iter().fold(Sum::ZERO, |sum, word| sum.add_u16(*word)).checksum();
            prop_assert_eq!(delta.apply(before), after);
            prop_assert_eq!(delta.invert().apply(after), before);
        }

        #[test]
        fn combined_deltas_equal_one_after_the_other(
            checksum in 0..0xffff_u16,
            changes in proptest::collection::vec(any::<(u16, u16)>(), 0..8),
        ) {
            let one_by_one = changes
                .iter()
                .fold(checksum, |checksum, (old, new)| Delta::of_u16(*old, *new).apply(checksum));

            let combined = changes
                .iter()
                .fold(Delta::NONE, |delta, (old, new)| delta.combine(Delta::of_u16(*old, *new)));

            prop_assert_eq!(combined.apply(checksum), one_by_one);
        }

        #[test]
        fn two_changes_at_once_equal_both_combined(
            checksum in 0..0xffff_u16,
            one in prop_oneof![Just(0), Just(0xffff), any::<u16>()],
            other in prop_oneof![Just(0), Just(0xffff), any::<u16>()],
            opposed in any::<bool>(),
        ) {
            let [one, other] = [one, if opposed { !one } else { other }].map(Delta);
            let combined = one.combine(other);
            prop_assert_eq!(one.apply_with(other, checksum), combined.apply(checksum));
        }

        #[test]
        fn byte_sums_equal_word_sums(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut padded: Vec<u8> = bytes.clone();
            padded.push(0);
            let words = padded
                .chunks_exact(2)
                .fold(Sum::ZERO, |sum, pair| sum.add_u16(u16::from_be_bytes([pair[0], pair[1]])));

            prop_assert_eq!(Sum::ZERO.add_bytes(&bytes).fold(), words.fold());
        }

        #[test]
        fn address_deltas_work_across_families(old in any::<[u8; 4]>(), new in any::<[u8; 16]>()) {
            let old = IpAddr::V4(Ipv4Addr::from(old));
            let new = IpAddr::V6(Ipv6Addr::from(new));
            let before = Sum::ZERO.add_u16(1).add_addr(old).checksum();

            let after = Sum::ZERO.add_u16(1).add_addr(new).checksum();

            prop_assert_eq!(Delta::of_addr(old, new).apply(before), after);
        }
    }
}
