//! Identifications for the datagrams that we cut ourselves (RFC 6864).
//!
//! For a receiver a datagram that we cut comes from us, so its identification must be one that we
//! have not used for the same source, destination and protocol for as long as the older datagram's
//! pieces may still be around (RFC 6864 §4.3). And it should not be guessable, or somebody off the
//! path could slip a piece in (RFC 7739).
//!
//! ```text
//!  (source, destination, protocol) ─keyed hash─► key ──► which counter
//!                                                 │         │ 0, 1, 2 …
//!                                                 └► permutation of 16 bits ──► identification
//! ```
//!
//! A counter never repeats within 65,536 datagrams, and a permutation of it neither. The permutation
//! is a Feistel network whose rounds are the keyed hash, and each tuple has its own, so that one
//! receiver's numbers say nothing about another's even where the two share a counter.

use core::net::IpAddr;

use masq_flow::Secret;
use masq_wire::Protocol;

use crate::random::Random;

/// Counters; tuples share them.
const COUNTERS: usize = 1024;
/// Rounds of the Feistel network; four make it indistinguishable from a random permutation.
const ROUNDS: u64 = 4;

/// The next identification of every tuple.
#[derive(Debug)]
pub struct Identifications {
    secret: Secret,
    counters: Box<[u16; COUNTERS]>,
}

impl Identifications {
    /// Draws a secret, and where each counter begins.
    #[must_use]
    pub fn new(random: &mut Random) -> Self {
        let secret = Secret::new(random.next_u64(), random.next_u64());
        let mut counters = Box::new([0; COUNTERS]);
        for counter in counters.iter_mut() {
            *counter = random.next_u32() as u16;
        }
        Self { secret, counters }
    }

    /// Returns the identification of a new datagram.
    pub fn next(&mut self, source: IpAddr, destination: IpAddr, protocol: Protocol) -> u16 {
        let ((a, b), (c, d)) = (words(source), words(destination));
        let key = self.secret.hash([a, b, c, d, u64::from(protocol.0)]);
        let counter = &mut self.counters[key as usize % COUNTERS];
        let count = *counter;
        *counter = counter.wrapping_add(1);
        self.permute(key, count)
    }

    fn permute(&self, key: u64, count: u16) -> u16 {
        let [mut left, mut right] = count.to_be_bytes();
        for round in 0..ROUNDS {
            let mixed = self.secret.hash([key, round << 8 | u64::from(right)]) as u8;
            (left, right) = (right, left ^ mixed);
        }
        u16::from_be_bytes([left, right])
    }
}

fn words(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(v4) => (0, u64::from(v4.to_bits())),
        IpAddr::V6(v6) => ((v6.to_bits() >> 64) as u64, v6.to_bits() as u64),
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const X: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    const S: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

    #[test]
    fn rfc_6864_4_3_no_identification_repeats_within_a_cycle() {
        let mut identifications = Identifications::new(&mut Random::from_u64(1));
        let mut seen = vec![false; 65_536];
        for _ in 0..65_536 {
            let next = identifications.next(X, S, Protocol::UDP);
            assert!(!core::mem::replace(&mut seen[usize::from(next)], true));
        }
    }

    #[test]
    fn rfc_7739_neighbours_in_time_are_not_neighbours_in_number() {
        let mut identifications = Identifications::new(&mut Random::from_u64(2));
        let drawn: Vec<_> =
            (0..10_000).map(|_| identifications.next(X, S, Protocol::UDP)).collect();

        let near = drawn.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 2).count();
        assert!(near < 10, "{near} steps of at most two");
        let rising = drawn.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((4_700..5_300).contains(&rising), "{rising} rising steps");
    }

    #[test]
    fn receivers_that_share_a_counter_have_different_permutations() {
        let identifications = Identifications::new(&mut Random::from_u64(3));
        let same =
            (0..1000).filter(|n| identifications.permute(1, *n) == identifications.permute(2, *n));

        assert!(same.count() < 5);
    }

    #[test]
    fn another_seed_gives_other_identifications() {
        let draw =
            |seed| Identifications::new(&mut Random::from_u64(seed)).next(X, S, Protocol::TCP);

        assert_eq!(draw(1), draw(1));
        assert_ne!((draw(1), draw(2)), (draw(2), draw(1)));
    }
}
