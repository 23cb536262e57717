//! The engine's only source of randomness: the ChaCha8 key stream of a seed.
//!
//! The daemon draws the seed from the kernel once; tests choose one. The same seed gives the same
//! stream, so a run can be repeated byte for byte, and yet nobody who sees some of the ports and
//! identifications that came from it can tell the next one, which RFC 6056 asks for and which a
//! short generator (xoshiro, PCG, a linear congruence) does not give: their state can be computed
//! from a few outputs.
//!
//! ```text
//! seed ──► ChaCha8 block 0, 1, 2 … ──► u32, u64, number below a bound
//!   └─ split(): a key taken from the stream seeds an independent child, one for each user,
//!      so that one module's draws do not shift another's
//! ```
//!
//! Eight rounds are what `rand` itself uses for reproducible cryptographic streams; the best known
//! attack reaches seven. The generator is written out here because it is fifty lines with published
//! vectors, while `rand_chacha` brings four crates for the same stream.

/// The block function's constant words, "expand 32-byte k" (RFC 8439 §2.3).
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Words in one block of key stream.
const BLOCK: usize = 16;

/// A seeded stream of unpredictable numbers.
#[derive(Clone)]
pub struct Random {
    key: [u32; 8],
    counter: u64,
    block: [u32; BLOCK],
    used: usize,
}

impl Random {
    /// Starts the stream of a seed.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(seed.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Self::with_key(key)
    }

    /// Starts the stream of a small seed, as tests and the lab use it.
    #[must_use]
    pub fn from_u64(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self::new(bytes)
    }

    /// Starts an independent stream whose key comes from this one.
    #[must_use]
    pub fn split(&mut self) -> Self {
        let mut key = [0; 8];
        for word in &mut key {
            *word = self.next_u32();
        }
        Self::with_key(key)
    }

    /// Draws 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == BLOCK {
            self.block = block::<8>(&self.key, self.counter, 0);
            self.counter += 1;
            self.used = 0;
        }
        let word = self.block[self.used];
        self.used += 1;
        word
    }

    /// Draws 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// Draws a number below `bound`, each with the same probability; 0 when `bound` is 0.
    ///
    /// Lemire's method: the high half of a product, and a draw that would favour some numbers is
    /// thrown away.
    pub fn below(&mut self, bound: u32) -> u32 {
        let unfair = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            if product as u32 >= unfair {
                return (product >> 32) as u32;
            }
        }
    }

    fn with_key(key: [u32; 8]) -> Self {
        Self { key, counter: 0, block: [0; BLOCK], used: BLOCK }
    }
}

/// Shows that a stream is there and not what it holds: its state would tell every later port.
impl core::fmt::Debug for Random {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Random(..)")
    }
}

/// The ChaCha block function (RFC 8439 §2.3, with the 64-bit counter and nonce of the original).
fn block<const ROUNDS: usize>(key: &[u32; 8], counter: u64, nonce: u64) -> [u32; BLOCK] {
    let mut start = [0; BLOCK];
    start[..4].copy_from_slice(&CONSTANTS);
    start[4..12].copy_from_slice(key);
    start[12] = counter as u32;
    start[13] = (counter >> 32) as u32;
    start[14] = nonce as u32;
    start[15] = (nonce >> 32) as u32;

    let mut state = start;
    for _ in 0..ROUNDS / 2 {
        quarter_round(&mut state, 0, 4, 8, 12);
        quarter_round(&mut state, 1, 5, 9, 13);
        quarter_round(&mut state, 2, 6, 10, 14);
        quarter_round(&mut state, 3, 7, 11, 15);
        quarter_round(&mut state, 0, 5, 10, 15);
        quarter_round(&mut state, 1, 6, 11, 12);
        quarter_round(&mut state, 2, 7, 8, 13);
        quarter_round(&mut state, 3, 4, 9, 14);
    }
    for (word, begin) in state.iter_mut().zip(start) {
        *word = word.wrapping_add(begin);
    }
    state
}

#[inline(always)]
fn quarter_round(state: &mut [u32; BLOCK], a: usize, b: usize, c: usize, d: usize) {
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(16);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(12);
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(8);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(7);
}

impl From<[u8; 32]> for Random {
    fn from(seed: [u8; 32]) -> Self {
        Self::new(seed)
    }
}

impl From<u64> for Random {
    fn from(seed: u64) -> Self {
        Self::from_u64(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_8439_block_function_vector() {
        let mut key = [0; 8];
        for (i, word) in key.iter_mut().enumerate() {
            let first = 4 * i as u32;
            *word = first | (first + 1) << 8 | (first + 2) << 16 | (first + 3) << 24;
        }
        // RFC 8439 §2.3.2 has a 32-bit counter of 1 and the nonce 00000009 0000004a 00000000,
        // which fill the same four words.
        let counter = 1 | 0x0900_0000 << 32;
        let words = block::<20>(&key, counter, 0x4a00_0000);

        assert_eq!(words[..4], [0xe4e7_f110, 0x1559_3bd1, 0x1fdd_0f50, 0xc471_20a3]);
        assert_eq!(words[12..], [0xd19c_12b5, 0xb94e_16de, 0xe883_d0cb, 0x4e3c_50a2]);
    }

    #[test]
    fn eight_rounds_of_the_zero_key_vector() {
        let words = block::<8>(&[0; 8], 0, 0);

        // The first sixteen bytes are 3e00ef2f895f40d67f5bb8e81f09a5a1.
        assert_eq!(words[..4], [0x2fef_003e, 0xd640_5f89, 0xe8b8_5b7f, 0xa1a5_091f]);
    }

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        let (mut one, mut two) = (Random::from_u64(7), Random::from_u64(7));

        assert!((0..100).all(|_| one.next_u64() == two.next_u64()));
        assert_ne!(Random::from_u64(7).next_u64(), Random::from_u64(8).next_u64());
    }

    #[test]
    fn a_child_is_independent_of_what_its_parent_draws_later() {
        let mut parent = Random::from_u64(1);
        let mut child = parent.split();
        let first = child.clone().next_u64();
        parent.next_u64();

        assert_eq!(child.next_u64(), first);
        assert_ne!(parent.next_u64(), first);
    }

    #[test]
    fn numbers_below_a_bound_are_uniform() {
        let mut random = Random::from_u64(3);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[random.below(10) as usize] += 1;
        }

        assert!(seen.iter().all(|n| (9_600..10_400).contains(n)), "{seen:?}");
        assert_eq!(random.below(1), 0);
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn its_state_is_not_printed() {
        assert_eq!(format!("{:?}", Random::from_u64(5)), "Random(..)");
    }
}
