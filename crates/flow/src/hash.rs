//! A secret, and what is made of it: SipHash-1-3, for everything that strangers choose and nobody is
//! to foresee.
//!
//! It is what Rust's own hash maps use against the same attack. The keys of the flow table's hash are
//! drawn by it ([`multilinear`](crate::multilinear)), and the engine's own indexes are hashed by it.

/// The secret of the hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    k0: u64,
    k1: u64,
}

impl Secret {
    /// The secret made of two words.
    #[must_use]
    pub const fn new(k0: u64, k1: u64) -> Self {
        Self { k0, k1 }
    }

    /// The secret made of 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let value = u128::from_le_bytes(bytes);
        Self { k0: value as u64, k1: (value >> 64) as u64 }
    }

    /// SipHash-1-3 of a message that is already cut into words.
    #[inline]
    #[must_use]
    pub fn hash<const N: usize>(self, message: [u64; N]) -> u64 {
        let mut state = State {
            v0: self.k0 ^ 0x736f_6d65_7073_6575,
            v1: self.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: self.k0 ^ 0x6c79_6765_6e65_7261,
            v3: self.k1 ^ 0x7465_6462_7974_6573,
        };
        for word in &message {
            state.v3 ^= *word;
            state.round();
            state.v0 ^= *word;
        }
        state.v2 ^= 0xff;
        state.round();
        state.round();
        state.round();
        state.v0 ^ state.v1 ^ state.v2 ^ state.v3
    }
}

/// A secret does not show itself in logs.
impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(…)")
    }
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline]
    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher;
    use std::hash::DefaultHasher;

    use super::*;

    /// The standard library's hasher is SipHash-1-3 under the zero key.
    #[test]
    fn equals_the_standard_siphash_1_3() {
        let message: Vec<u8> = (0..37).map(|i| i * 7 + 3).collect();
        for length in [13, 37] {
            let mut standard = DefaultHasher::new();
            standard.write(&message[..length]);
            let ours = match length {
                13 => Secret::new(0, 0).hash(cut::<2>(&message[..length])),
                _ => Secret::new(0, 0).hash(cut::<5>(&message[..length])),
            };
            assert_eq!(ours, standard.finish(), "{length} bytes");
        }
    }

    #[test]
    fn every_bit_of_the_secret_counts() {
        let plain = Secret::from_bytes([7; 16]).hash([1, 2]);
        for bit in 0..128 {
            let mut bytes = [7; 16];
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Secret::from_bytes(bytes).hash([1, 2]), plain, "bit {bit}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new(1, 2)), "Secret(…)");
    }

    fn cut<const N: usize>(message: &[u8]) -> [u64; N] {
        let mut words = [0; N];
        for (i, byte) in message.iter().enumerate() {
            words[i / 8] |= u64::from(*byte) << (i % 8 * 8);
        }
        words[N - 1] |= (message.len() as u64) << 56;
        words
    }
}
