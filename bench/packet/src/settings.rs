//! What user space tells the programs, and what they count.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::numbering::Numbering;

/// What the programs of a lab go by.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Settings {
    /// What flow numbers mean: of the measured flows, and of others that disturb them.
    pub numberings: [Numbering; 2],
    /// The first outside address, in host order; and how many there are.
    pub outside: u32,
    /// How many outside addresses there are.
    pub outsides: u32,
    /// The interface that a bare redirect sends to: what came from inside, from outside.
    pub redirect: [u32; 2],
    /// How many flows are learnt and told apart.
    pub flows: u32,
    /// What a time to live of 64 has become on the way.
    pub ttl: u32,
    /// [`SettingsFlags`].
    pub flags: u32,
    /// The link addresses: of the sender, the gateway inside, the gateway outside, the receiver.
    pub stations: [[u8; 8]; 4],
}

impl Settings {
    /// A numbering; a number that there is not means the last.
    #[inline(always)]
    #[must_use]
    pub fn numbering(&self, number: u32) -> &Numbering {
        if number == 0 { &self.numberings[0] } else { &self.numberings[1] }
    }

    /// A station's link address.
    #[inline(always)]
    #[must_use]
    pub fn station(&self, place: usize) -> [u8; 6] {
        let [a, b, c, d, e, f, ..] = self.stations[place];
        [a, b, c, d, e, f]
    }

    /// An outside address by its number, in network order.
    #[inline(always)]
    #[must_use]
    pub fn outside_address(&self, index: u16) -> u32 {
        self.outside.wrapping_add(index.into()).to_be()
    }

    /// The number of an outside address, if it is one.
    #[inline(always)]
    #[must_use]
    pub fn outside_index(&self, address: u32) -> Option<u16> {
        let index = u32::from_be(address).wrapping_sub(self.outside);
        if index < self.outsides { Some(index as u16) } else { None }
    }
}

/// What is known of a flow.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Known {
    /// Its outside endpoint: [`Learnt`].
    pub outside: u32,
    /// The least sequence number that its next packet may have.
    pub next: u32,
}

/// The outside endpoint that a flow was given, in a word that is 0 for none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Learnt {
    /// Which of the outside addresses, below 32,768.
    pub address: u16,
    /// The port, in network order.
    pub port: u16,
}

impl Learnt {
    /// The word.
    #[inline(always)]
    #[must_use]
    pub const fn to_word(self) -> u32 {
        KNOWN | (self.address as u32) << 16 | self.port as u32
    }

    /// What a word says.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        if word & KNOWN == 0 {
            return None;
        }
        Some(Self { address: (word >> 16 & 0x7fff) as u16, port: word as u16 })
    }
}

const KNOWN: u32 = 1 << 31;

/// How the programs go about it, as bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SettingsFlags;

impl SettingsFlags {
    /// The gateway translates: the source is an outside address, and the port whatever it was given.
    pub const TRANSLATED: u32 = 1;
    /// The receiver learns which outside endpoint each flow was given.
    pub const LEARN: u32 = 1 << 1;
    /// The receiver looks at sequence numbers.
    pub const ORDERED: u32 = 1 << 2;
}

/// Places in [`Settings::stations`].
pub mod station {
    /// The sender, inside.
    pub const SENDER: usize = 0;
    /// The gateway's inside interface.
    pub const GATEWAY_INSIDE: usize = 1;
    /// The gateway's outside interface.
    pub const GATEWAY_OUTSIDE: usize = 2;
    /// The receiver, outside.
    pub const RECEIVER: usize = 3;
}

/// What a receiver counted on one processor.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Counts {
    /// Right ones of each numbering.
    pub received: [u64; 2],
    /// Flows whose outside endpoint was learnt.
    pub learnt: u64,
    /// Packets that came after a later one of their flow.
    pub reordered: u64,
    /// Wrong ones, by [`Wrong`](crate::Wrong).
    pub wrong: [u64; crate::Wrong::ALL.len()],
    /// The first wrong frame's 32-bit words from the IP header's source address on, for messages.
    pub first_wrong: [u32; 4],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outside_endpoint_survives_its_word() {
        let learnt = Learnt { address: 31, port: 0xabcd };
        assert_eq!(Learnt::from_word(learnt.to_word()), Some(learnt));
        assert_eq!(Learnt::from_word(0), None);
        assert_ne!(Learnt { address: 0, port: 0 }.to_word(), 0);
    }

    #[test]
    fn outside_addresses_have_numbers_and_others_none() {
        let settings = Settings { outside: 0xcb00_7120, outsides: 32, ..Settings::default() };
        assert_eq!(settings.outside_index(settings.outside_address(31)), Some(31));
        assert_eq!(settings.outside_index(0xcb00_7140u32.to_be()), None);
        assert_eq!(settings.outside_index(0xcb00_711fu32.to_be()), None);
    }
}
