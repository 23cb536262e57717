//! The second line of a record: what was seen of the session.
//!
//! The eBPF programs and the engine both write here, without asking each other. The counters are
//! added to atomically and never lose a packet. The other words are plain stores: of two packets
//! that arrive on two processors at once either may win, which moves a last-seen stamp by two ticks
//! of the kernel's at most (`clock`). The TCP flags are written only when they change, so the same
//! race needs two *first* packets of a kind at once; what is then lost is the knowledge of a FIN or
//! RST, and the session ends by its idle timeout.
//!
//! ```text
//!   each way  packets        48 bits, and above them 16 of the last ticket that came back
//!   each way  bytes          64
//!   each way  last seen      64       nanoseconds
//!   each way  TCP flags       8
//!             waiting since   8       see `order`
//!             tickets taken  16       see `order`
//!             acknowledged   32
//! ```

use zerocopy::{FromBytes, IntoBytes};

use crate::direction::{Direction, PerDirection};
use crate::word::{Word8, Word16, Word32, Word64};

/// The activity line, as it lies in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C)]
pub struct ActivityLine {
    /// The upper quarter of each is `order`'s.
    pub(crate) packets: [Word64; 2],
    bytes: [Word64; 2],
    last_seen: [Word64; 2],
    pub(crate) marks: [Marks; 2],
}

const _: () = assert!(size_of::<ActivityLine>() == 64);

#[derive(Default, FromBytes, IntoBytes)]
#[repr(C)]
pub(crate) struct Marks {
    flags: Word8,
    pub(crate) waiting: Word8,
    pub(crate) punted: Word16,
    acknowledged: Word32,
}

impl ActivityLine {
    /// Notes a packet of `length` bytes (its IP total length) seen at `now_ns`.
    #[inline(always)]
    pub fn stamp(&self, now_ns: u64, direction: Direction, length: u32, tcp: Option<TcpMark>) {
        self.stamp_several(now_ns, direction, 1, u64::from(length), tcp);
    }

    /// Notes several packets that came as one, of `length` bytes together.
    #[inline(always)]
    pub fn stamp_several(
        &self,
        now_ns: u64,
        direction: Direction,
        packets: u32,
        length: u64,
        tcp: Option<TcpMark>,
    ) {
        let i = direction.index();
        self.packets[i].add(u64::from(packets));
        self.bytes[i].add(length);
        self.last_seen[i].store(now_ns);
        if let Some(mark) = tcp {
            self.marks[i].note(mark);
        }
    }

    /// When a packet was last seen in `direction`, in nanoseconds of `CLOCK_MONOTONIC`; 0 if never.
    #[inline(always)]
    #[must_use]
    pub fn last_seen(&self, direction: Direction) -> u64 {
        self.last_seen[direction.index()].load()
    }

    /// The highest acknowledgement that was sent in `direction`, if any was.
    #[inline(always)]
    #[must_use]
    pub fn acknowledged(&self, direction: Direction) -> Option<u32> {
        let marks = &self.marks[direction.index()];
        let any = marks.flags.load() & TcpMark::ACK != 0;
        if any { Some(marks.acknowledged.load()) } else { None }
    }

    /// A copy of everything.
    #[must_use]
    pub fn load(&self) -> Activity {
        let side = |i: usize| SideActivity {
            packets: self.packets[i].load() & PACKETS,
            bytes: self.bytes[i].load(),
            last_seen_ns: self.last_seen[i].load(),
            tcp: TcpMark {
                flags: self.marks[i].flags.load(),
                acknowledgement: self.marks[i].acknowledged.load(),
            },
        };
        Activity { sides: PerDirection::new(side(0), side(1)) }
    }

    /// Makes stamps that lie beyond `latest_ns` those of `now_ns`; whether there were any.
    #[cfg(any(feature = "std", test))]
    pub(crate) fn restamp(&self, now_ns: u64, latest_ns: u64) -> bool {
        let ahead = self.last_seen.iter().filter(|stamp| stamp.load() > latest_ns);
        ahead.map(|stamp| stamp.store(now_ns)).count() > 0
    }

    /// Forgets the session that was here.
    #[cfg(any(feature = "std", test))]
    pub(crate) fn clear(&self) {
        for i in 0..2 {
            self.packets[i].store(0);
            self.bytes[i].store(0);
            self.last_seen[i].store(0);
            self.marks[i].flags.store(0);
            self.marks[i].waiting.store(0);
            self.marks[i].punted.store(0);
            self.marks[i].acknowledged.store(0);
        }
    }
}

impl Marks {
    #[inline(always)]
    fn note(&self, mark: TcpMark) {
        let seen = self.flags.load();
        if mark.flags & TcpMark::ACK != 0 {
            // Sequence numbers wrap: the later of two is the one ahead by less than half the circle
            // (RFC 9293 §3.4).
            let ahead = mark.acknowledgement.wrapping_sub(self.acknowledged.load()) as i32;
            if seen & TcpMark::ACK == 0 || ahead > 0 {
                self.acknowledged.store(mark.acknowledgement);
            }
        }
        let flags = seen | mark.flags;
        if flags != seen {
            self.flags.store(flags);
        }
    }
}

/// The TCP header fields that matter to a session's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpMark {
    /// The flags octet of the header (FIN is 1); in an [`Activity`], all that were ever seen.
    pub flags: u8,
    /// The acknowledgement number; in an [`Activity`], the highest that was sent.
    pub acknowledgement: u32,
}

impl TcpMark {
    /// The FIN flag.
    pub const FIN: u8 = 0x01;
    /// The SYN flag.
    pub const SYN: u8 = 0x02;
    /// The RST flag.
    pub const RST: u8 = 0x04;
    /// The ACK flag.
    pub const ACK: u8 = 0x10;
}

/// What was seen of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Each direction by itself.
    pub sides: PerDirection<SideActivity>,
}

impl Activity {
    /// When the latest packet of either direction was seen; 0 if none was.
    #[must_use]
    pub fn last_seen_ns(&self) -> u64 {
        self.sides.egress.last_seen_ns.max(self.sides.ingress.last_seen_ns)
    }
}

impl core::ops::Index<Direction> for Activity {
    type Output = SideActivity;

    fn index(&self, direction: Direction) -> &SideActivity {
        &self.sides[direction]
    }
}

/// What was seen in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideActivity {
    /// Packets that were translated.
    pub packets: u64,
    /// Their bytes, by IP total length.
    pub bytes: u64,
    /// When the latest was seen, in nanoseconds of `CLOCK_MONOTONIC`; 0 if never.
    pub last_seen_ns: u64,
    /// Flags and acknowledgements that were sent in this direction.
    pub tcp: TcpMark,
}

/// The packets in the word that counts them: at ten million a second, a year of them.
const PACKETS: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_direction_by_itself() {
        let line = ActivityLine::default();
        line.stamp(10, Direction::Egress, 60, None);
        line.stamp(20, Direction::Egress, 40, None);
        line.stamp(15, Direction::Ingress, 1500, None);

        let activity = line.load();

        let egress = activity[Direction::Egress];
        assert_eq!((egress.packets, egress.bytes, egress.last_seen_ns), (2, 100, 20));
        let ingress = activity[Direction::Ingress];
        assert_eq!((ingress.packets, ingress.bytes, ingress.last_seen_ns), (1, 1500, 15));
        assert_eq!(activity.last_seen_ns(), 20);
    }

    #[test]
    fn segments_that_came_as_one_count_each() {
        let line = ActivityLine::default();
        line.stamp_several(10, Direction::Egress, 3, 4200, None);
        let egress = line.load()[Direction::Egress];
        assert_eq!((egress.packets, egress.bytes), (3, 4200));
    }

    #[test]
    fn nothing_is_acknowledged_before_the_first_acknowledgement() {
        let line = ActivityLine::default();
        line.stamp(
            1,
            Direction::Egress,
            40,
            Some(TcpMark { flags: TcpMark::SYN, acknowledgement: 0 }),
        );
        assert_eq!(line.acknowledged(Direction::Egress), None);
        line.stamp(
            1,
            Direction::Egress,
            40,
            Some(TcpMark { flags: TcpMark::ACK, acknowledgement: 0 }),
        );
        assert_eq!(line.acknowledged(Direction::Egress), Some(0));
        assert_eq!(line.acknowledged(Direction::Ingress), None);
    }

    #[test]
    fn keeps_the_highest_acknowledgement_across_the_wrap() {
        let line = ActivityLine::default();
        let ack = |acknowledgement| Some(TcpMark { flags: TcpMark::ACK, acknowledgement });
        let highest = || line.load()[Direction::Ingress].tcp.acknowledgement;

        line.stamp(1, Direction::Ingress, 40, ack(0xffff_fff0));
        assert_eq!(highest(), 0xffff_fff0, "the first counts whatever it is");
        line.stamp(1, Direction::Ingress, 40, ack(0x10));
        assert_eq!(highest(), 0x10, "ahead by 32");
        line.stamp(1, Direction::Ingress, 40, ack(0xffff_ffff));
        assert_eq!(highest(), 0x10, "behind by 17");
    }

    #[test]
    fn a_number_without_the_ack_flag_says_nothing() {
        let line = ActivityLine::default();
        let syn = TcpMark { flags: TcpMark::SYN, acknowledgement: 77 };
        line.stamp(1, Direction::Egress, 40, Some(syn));
        let tcp = line.load()[Direction::Egress].tcp;
        assert_eq!(tcp, TcpMark { flags: TcpMark::SYN, acknowledgement: 0 });
    }

    #[test]
    fn flags_add_up_and_clear_forgets() {
        let line = ActivityLine::default();
        for flags in [TcpMark::SYN, TcpMark::ACK, TcpMark::ACK | TcpMark::FIN] {
            line.stamp(1, Direction::Egress, 40, Some(TcpMark { flags, acknowledgement: 9 }));
        }
        assert_eq!(line.load()[Direction::Egress].tcp.flags, 0x13);
        line.clear();
        assert_eq!(line.load(), Activity::default());
    }
}
