//! Packets on their way from the worker to devices, many at once.
//!
//! ```text
//!   worker:   Outgoing 0 … Outgoing n-1 filled, Burst = 0 of n ──► one system call that runs the program n times
//!   program:  takes the next one, writes it into a frame of the kernel's, redirects it
//! ```
//!
//! A frame begins with its [`ReturnHeader`], as one that is sent through the
//! punt port does. One worker fills them, and nothing else runs the program meanwhile.

use zerocopy::{FromBytes, IntoBytes};

use crate::punt::ReturnHeader;
use crate::word::{Word32, Word64};

/// How far the packets of a call have been taken, as it lies in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C, align(64))]
pub struct Burst {
    next: Word32,
    count: Word32,
    rest: [Word64; 7],
}

impl Burst {
    /// How many packets fit one call: what the kernel sends at once at most (`TEST_XDP_MAX_BATCH` of
    /// its net/bpf/test_run.c).
    pub const MOST: u32 = 256;

    /// What stands before the frames that the kernel makes for the program: so it tells them from
    /// those that arrive at the punt port.
    pub const MARK: [u8; 4] = *b"masq";

    /// How long those frames are before the program fills them: an Ethernet header (`ETH_HLEN`), as
    /// the kernel makes none that is shorter.
    pub const SHORTEST: usize = 14;

    /// What the kernel makes them of.
    pub const FRAME: [u8; 18] = {
        let mut frame = [0; Self::MARK.len() + Self::SHORTEST];
        frame.split_at_mut(Self::MARK.len()).0.copy_from_slice(&Self::MARK);
        frame
    };

    /// Takes the number of the next packet, if there is one.
    #[inline(always)]
    #[must_use]
    pub fn take(&self) -> Option<u32> {
        let next = self.next.load();
        if next >= self.count.load() || next >= Self::MOST {
            return None;
        }
        self.next.store(next + 1);
        Some(next)
    }

    /// Begins with so many packets.
    pub fn begin(&self, count: u32) {
        self.next.store(0);
        self.count.store(count);
    }

    /// How many were taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.next.load()
    }
}

/// A packet to be sent, as it lies in shared memory.
#[derive(FromBytes, IntoBytes)]
#[repr(C, align(64))]
pub struct Outgoing {
    length: Word32,
    /// One of the numbers below.
    way: Word32,
    bytes: [Word64; Self::WORDS],
}

const _: () = assert!(size_of::<Outgoing>() == 2048);

impl Outgoing {
    const WORDS: usize = 255;

    /// It may only be left to the kernel.
    const KERNEL: u32 = 0;
    /// It may be redirected.
    const ANY: u32 = 1;
    /// It was left to the kernel.
    const LEFT: u32 = 2;
    /// It was redirected.
    const REDIRECTED: u32 = 3;

    /// The longest frame. A longer one goes through the punt port.
    pub const LONGEST: usize = Self::WORDS * size_of::<u64>();

    /// The frame's length.
    #[inline(always)]
    #[must_use]
    pub fn length(&self) -> u32 {
        self.length.load()
    }

    /// What the frame begins with.
    #[inline(always)]
    #[must_use]
    pub fn header(&self) -> Option<ReturnHeader> {
        let head = [self.bytes[0].load(), self.bytes[1].load()];
        let (header, _) = ReturnHeader::read_from_prefix(head.as_bytes()).ok()?;
        Some(header)
    }

    /// Where the frame's bytes are, for whoever copies them.
    #[inline(always)]
    #[must_use]
    pub const fn bytes(&self) -> *const u8 {
        (&raw const self.bytes).cast()
    }

    /// Whether XDP may redirect it.
    #[inline(always)]
    #[must_use]
    pub fn may_be_redirected(&self) -> bool {
        self.way.load() == Self::ANY
    }

    /// Notes that the program has redirected it.
    #[inline(always)]
    pub fn note_redirected(&self) {
        self.way.store(Self::REDIRECTED);
    }

    /// Notes that the program has left it to the kernel.
    #[inline(always)]
    pub fn note_left(&self) {
        self.way.store(Self::LEFT);
    }

    /// What became of it once it was taken.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.way.load() {
            Self::REDIRECTED => Fate::Redirected,
            Self::LEFT => Fate::Kernel,
            _ => Fate::Dropped,
        }
    }

    /// Puts a frame in, which may be `redirected` or not; false if it is too long.
    pub fn fill(&self, frame: &[u8], redirected: bool) -> bool {
        if frame.len() > Self::LONGEST {
            return false;
        }
        let (whole, rest) = frame.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for (word, bytes) in self.bytes.iter().zip(whole.iter().chain([&last])) {
            word.store(u64::from_ne_bytes(*bytes));
        }
        self.length.store(frame.len() as u32);
        self.way.store(if redirected { Self::ANY } else { Self::KERNEL });
        true
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// XDP handed it to its device.
    Redirected,
    /// The kernel has it.
    Kernel,
    /// The program dropped it, and counted why.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing() -> Outgoing {
        Outgoing::read_from_bytes(&[0; size_of::<Outgoing>()]).unwrap()
    }

    #[test]
    fn packets_are_taken_one_after_the_other_and_none_twice() {
        let burst = Burst::default();
        assert_eq!(burst.take(), None);
        burst.begin(3);
        assert_eq!([(); 5].map(|()| burst.take()), [Some(0), Some(1), Some(2), None, None]);
        assert_eq!(burst.taken(), 3);
        burst.begin(Burst::MOST + 7);
        assert_eq!(core::iter::from_fn(|| burst.take()).count(), Burst::MOST as usize);
    }

    #[test]
    fn a_frame_lies_there_as_it_was_put_in() {
        let outgoing = outgoing();
        for length in [14, 60, 61, 1514, Outgoing::LONGEST] {
            let frame: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            assert!(outgoing.fill(&frame, true));
            assert_eq!(outgoing.length() as usize, length);
            assert_eq!(outgoing.header().unwrap().as_bytes(), &frame[..ReturnHeader::LEN]);
            let mut bytes = Vec::new();
            for word in &outgoing.bytes {
                bytes.extend(word.load().to_ne_bytes());
            }
            assert!(bytes.starts_with(&frame));
        }
        assert!(!outgoing.fill(&[0; Outgoing::LONGEST + 1], true));
    }

    #[test]
    fn what_became_of_a_packet_is_known_until_another_is_put_in() {
        let outgoing = outgoing();
        assert!(outgoing.fill(&[1; 60], false) && !outgoing.may_be_redirected());
        assert!(outgoing.fill(&[1; 60], true) && outgoing.may_be_redirected());
        assert_eq!(outgoing.fate(), Fate::Dropped, "nothing was noted");
        outgoing.note_redirected();
        assert_eq!(outgoing.fate(), Fate::Redirected);
        assert!(!outgoing.may_be_redirected());
        outgoing.note_left();
        assert_eq!(outgoing.fate(), Fate::Kernel);
        assert!(outgoing.fill(&[1; 60], true) && outgoing.fate() == Fate::Dropped);
    }
}
