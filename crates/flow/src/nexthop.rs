//! Next hops: where the fast path sends a translated packet.
//!
//! An array beside the table, so that a neighbour that changes its address changes one entry and
//! not a million records. The thread that watches routes and neighbours writes it; engine and eBPF
//! programs read it. Every entry has a sequence number of its own, odd while it changes. An entry
//! that is not [`NextHopState::Ready`] means: leave the packet to the engine.

use core::fmt;

use zerocopy::{FromBytes, IntoBytes};

use crate::word::{Word32, acquire, release};

/// The number of a next hop; the default, 0, is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHopId(pub u16);

impl NextHopId {
    /// No next hop is known: the packet takes the slow path.
    pub const NONE: Self = Self(0);

    /// The host's own stack, which knows the way: it leads to an interface that is not served. There is
    /// no entry of it.
    pub const HOST: Self = Self(0xffff);

    /// Whether a record may name it: as an entry, or as the host.
    #[cfg(any(feature = "std", test))]
    pub(crate) const fn is_sound(self) -> bool {
        (self.0 as u32) < NextHop::COUNT || self.0 == Self::HOST.0
    }

    /// Whether a next hop is named.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for NextHopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NextHopState {
    /// The entry is not in use.
    #[default]
    Empty,
    /// It does not answer.
    Failed,
    /// Packets can be sent to it.
    Ready,
    /// It is being asked for its address.
    Resolving,
}

impl NextHopState {
    const fn to_word(self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Ready => NextHop::READY,
            Self::Resolving => 2,
            Self::Failed => 3,
        }
    }

    const fn from_word(word: u32) -> Self {
        match word {
            NextHop::READY => Self::Ready,
            2 => Self::Resolving,
            3 => Self::Failed,
            _ => Self::Empty,
        }
    }
}

/// A next hop as a plain value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextHopValue {
    /// Whether packets can be sent to it.
    pub state: NextHopState,
    /// The interface it is behind.
    pub ifindex: u32,
    /// A device without link-layer header (tun, ppp, wireguard): the addresses mean nothing.
    pub layer3: bool,
    /// The largest packet that may be sent to it.
    pub mtu: u32,
    /// Its link-layer address.
    pub destination: [u8; 6],
    /// Our link-layer address on the interface.
    pub source: [u8; 6],
    /// Changes whenever the entry gets another meaning.
    pub generation: u32,
}

/// A next hop, as it lies in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C, align(64))]
pub struct NextHop {
    sequence: Word32,
    state: Word32,
    ifindex: Word32,
    flags: Word32,
    mtu: Word32,
    generation: Word32,
    /// Destination and source address as the first twelve bytes of a frame have them.
    addresses: [Word32; 3],
    reserved: [Word32; 7],
}

const _: () = assert!(size_of::<NextHop>() == 64);

impl NextHop {
    /// How many next hops there are, number 0 included. A power of two. Every inside host in use
    /// takes one: a `/18` of them fits, in one MiB.
    pub const COUNT: u32 = 1 << 14;

    const READY: u32 = 1;
    const LAYER3: u32 = 1;

    /// What the fast path needs, if packets can be sent: interface, MTU, and the first twelve bytes
    /// of the frame (none of a device without link-layer header).
    #[inline(always)]
    #[must_use]
    pub fn ready(&self) -> Option<Ready> {
        let sequence = self.sequence.load();
        if sequence & 1 != 0 || self.state.load() != Self::READY {
            return None;
        }
        acquire();
        let flags = self.flags.load();
        let ready = Ready {
            ifindex: self.ifindex.load(),
            mtu: self.mtu.load(),
            layer3: flags & Self::LAYER3 != 0,
            addresses: [
                self.addresses[0].load(),
                self.addresses[1].load(),
                self.addresses[2].load(),
            ],
        };
        acquire();
        (self.sequence.load() == sequence).then_some(ready)
    }

    /// A copy of the entry; none if it changed meanwhile.
    #[must_use]
    pub fn load(&self) -> Option<NextHopValue> {
        let sequence = self.sequence.load();
        if sequence & 1 != 0 {
            return None;
        }
        acquire();
        let words = [0, 1, 2].map(|i: usize| self.addresses[i].load());
        let bytes: [[u8; 6]; 2] = zerocopy::transmute!(words);
        let flags = self.flags.load();
        let value = NextHopValue {
            state: NextHopState::from_word(self.state.load()),
            ifindex: self.ifindex.load(),
            layer3: flags & Self::LAYER3 != 0,
            mtu: self.mtu.load(),
            destination: bytes[0],
            source: bytes[1],
            generation: self.generation.load(),
        };
        acquire();
        (self.sequence.load() == sequence).then_some(value)
    }

    /// Changes the entry. Only one thread may do so.
    pub fn store(&self, value: &NextHopValue) {
        // A predecessor may have died with the number odd.
        let changing = self.sequence.load() | 1;
        self.sequence.store(changing);
        release();
        let words: [u32; 3] = zerocopy::transmute!([value.destination, value.source]);
        for (word, bytes) in self.addresses.iter().zip(words) {
            word.store(bytes);
        }
        self.state.store(value.state.to_word());
        self.ifindex.store(value.ifindex);
        let layer3 = if value.layer3 { Self::LAYER3 } else { 0 };
        self.flags.store(layer3);
        self.mtu.store(value.mtu);
        self.generation.store(value.generation);
        release();
        self.sequence.store(changing.wrapping_add(1));
    }
}

/// A next hop that packets can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The interface.
    pub ifindex: u32,
    /// The largest packet.
    pub mtu: u32,
    /// There is no link-layer header to write.
    pub layer3: bool,
    /// The first twelve bytes of the frame.
    pub addresses: [u32; 3],
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: NextHopValue = NextHopValue {
        state: NextHopState::Ready,
        ifindex: 7,
        layer3: false,
        mtu: 1492,
        destination: [2, 0, 0, 0, 0, 1],
        source: [2, 0, 0, 0, 0, 2],
        generation: 3,
    };

    #[test]
    fn what_was_stored_is_loaded() {
        let hop = NextHop::default();
        assert_eq!(hop.load(), Some(NextHopValue::default()));
        for state in [
            NextHopState::Empty,
            NextHopState::Failed,
            NextHopState::Ready,
            NextHopState::Resolving,
        ] {
            let value = NextHopValue { state, ..VALUE };
            hop.store(&value);
            assert_eq!(hop.load(), Some(value));
            assert_eq!(hop.ready().is_some(), state == NextHopState::Ready);
        }
    }

    #[test]
    fn the_fast_path_gets_the_head_of_the_frame() {
        let hop = NextHop::default();
        hop.store(&VALUE);
        let ready = hop.ready().unwrap();
        let head: [u8; 12] = zerocopy::transmute!(ready.addresses);
        assert_eq!(head, [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        assert_eq!((ready.ifindex, ready.mtu), (7, 1492));
        assert!(!ready.layer3);
    }

    #[test]
    fn an_entry_that_its_writer_left_half_made_is_not_used_until_written_again() {
        let hop = NextHop::default();
        hop.store(&VALUE);
        hop.sequence.store(hop.sequence.load() + 1);
        assert_eq!((hop.load(), hop.ready()), (None, None));
        hop.store(&VALUE);
        assert_eq!(hop.load(), Some(VALUE));
    }
}
