//! Order: no packet overtakes those of its session that are still with the engine.
//!
//! # Goal
//!
//! A packet that is punted takes some tens of microseconds to the worker and back. The next one of
//! its session may be fit for the fast path before that: a session is published while its second
//! packet is still queued, a next hop becomes ready, one packet of a fast flow has options, the fast
//! path is switched on. It must not go first.
//!
//! # Tickets
//!
//! ```text
//!   where packets arrive                 worker                     where they come back
//!     punted += 1 ──────── ticket ──► copies it ─── ticket ──────────► returned = ticket
//!     fast path only if punted == returned  ◄───────────────────────────┘
//! ```
//!
//! Each direction of a session has two counters, each with one writer. Between the two ends packets
//! queue in order, so that with a ticket all that were taken before it have come back, or never will.
//! That is why `returned` is set and not added to: a ticket that is lost (its packet was dropped, or
//! went on as something else) is made good by the next one that comes back.
//!
//! A packet that will be cut into segments takes a ticket for each, and each that comes back adds
//! one; were the ticket set by the first of them, the next packet could overtake the others. If one
//! is lost, the next whole packet makes it good.
//!
//! # Beginnings
//!
//! The packets that queue behind the one that begins a session had no session to take a ticket of.
//! So a session begins with a ticket missing: its next packet goes to the engine too, behind all of
//! those, and settles it. Where a SYN begins it nothing can follow before that has been answered, and
//! the owner says that it is [settled](ActivityLine::settle).
//!
//! # Patience
//!
//! A flow whose packets leave less time between them than one takes to the engine and back would
//! never be settled, and neither would one whose next packet nobody takes, because the daemon is
//! gone. So waiting has an end: [`PATIENCE`] after it began, which is longer than any queue on the way
//! is long, packets go on, tickets or not. What the engine itself may keep for longer (a neighbour is
//! being asked for its address) does not count: there the wait begins when the first packet has
//! nothing else to wait for.
//!
//! # Limits
//!
//! - A search for an entry that is just being moved to another bucket, because its own is full or the index
//!   grows, may miss it. Such a packet goes to the engine as one of no session would, without a ticket,
//!   and the next of its session may overtake it.
//! - A flow without gaps overtakes, when patience ends, those few of its packets that are under way.
//! - `returned` is written just before a packet is handed to its device. A packet of another
//!   processor that is judged in that very instant has still to be rewritten, which takes longer; only
//!   an interrupt in between could turn the two around. Devices with several queues keep no order
//!   between them.

use crate::activity::ActivityLine;
use crate::bucket::Slot;
use crate::direction::Direction;

/// What a punted packet brings back, so that its session knows that it is not under way any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The session.
    pub slot: Slot,
    /// The packet's direction.
    pub direction: Direction,
    /// The number: of the packet, or of its last segment.
    pub number: u16,
    /// It is, or will be, one segment of several.
    pub segment: bool,
}

/// How long the engine may keep a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// No longer than it takes; the time is that of now.
    Brief(u64),
    /// Until something happens that nobody can tell.
    Open,
}

impl ActivityLine {
    /// Whether everything of `direction` that was punted has come back.
    #[inline(always)]
    #[must_use]
    pub fn is_settled(&self, direction: Direction) -> bool {
        let i = direction.index();
        self.marks[i].punted.load() == self.packets[i].load_top()
    }

    /// Whether a packet of `direction`, which need not go to the engine, has to follow others there.
    #[inline(always)]
    #[must_use]
    pub fn must_follow(&self, direction: Direction, now_ns: impl FnOnce() -> u64) -> bool {
        if self.is_settled(direction) {
            return false;
        }
        let now = Tick::of(now_ns());
        let i = direction.index();
        let (marks, began) = (&self.marks[i], self.marks[i].waiting.load());
        if began == Tick::NONE {
            marks.waiting.store(now.0);
            return true;
        }
        if !Tick(began).is_long_before(now) {
            return true;
        }
        // Once and for all: a time in eight bits will look recent again.
        marks.waiting.store(Tick::NONE);
        marks.punted.store(self.packets[i].load_top());
        false
    }

    /// Takes the ticket of a packet that goes to the engine as so many frames; its number.
    #[inline(always)]
    pub fn punt(&self, direction: Direction, frames: u16, stay: Stay) -> u16 {
        let marks = &self.marks[direction.index()];
        match stay {
            Stay::Open => marks.waiting.store(Tick::NONE),
            Stay::Brief(now_ns) => {
                let (now, began) = (Tick::of(now_ns), marks.waiting.load());
                // What patience ended for is as good as settled.
                let ended = began != Tick::NONE && Tick(began).is_long_before(now);
                if self.is_settled(direction) || ended {
                    marks.waiting.store(now.0);
                }
            }
        }
        let number = marks.punted.load().wrapping_add(frames);
        marks.punted.store(number);
        number
    }

    /// Notes that a frame has come back with its ticket.
    #[inline(always)]
    pub fn give_back(&self, ticket: Ticket) {
        let packets = &self.packets[ticket.direction.index()];
        let returned = packets.load_top();
        let returned = match ticket.segment {
            true if returned != ticket.number => returned.wrapping_add(1),
            true | false => ticket.number,
        };
        packets.store_top(returned);
    }

    /// Begins with a ticket missing each way.
    #[cfg(any(feature = "std", test))]
    pub(crate) fn begin(&self, now_ns: u64) {
        for marks in &self.marks {
            marks.punted.store(1);
            marks.waiting.store(Tick::of(now_ns).0);
        }
    }

    /// Forgets what is under way in `direction`, because nothing is that could be overtaken.
    #[cfg(any(feature = "std", test))]
    pub fn settle(&self, direction: Direction) {
        let i = direction.index();
        self.packets[i].store_top(self.marks[i].punted.load());
    }
}

/// A time in eight bits, in [units](Tick::UNIT_NS) of 2²⁴ nanoseconds. It wraps after four seconds; a
/// session that is not settled and silent for so long has its next packet taken for a recent one's
/// successor, if it comes within a few hundredths of that.
#[derive(Clone, Copy)]
struct Tick(u8);

impl Tick {
    const UNIT_NS: u64 = 1 << 24;

    /// Nobody waits, or nobody knows since when.
    const NONE: u8 = 0;

    #[inline(always)]
    const fn of(ns: u64) -> Self {
        match (ns / Self::UNIT_NS) as u8 {
            Self::NONE => Self(1),
            tick => Self(tick),
        }
    }

    /// The time that programs are told is ahead or behind by less than a tick of the kernel's, so that one
    /// that was just written may seem to lie ahead.
    #[inline(always)]
    const fn is_long_before(self, now: Self) -> bool {
        let since = now.0.wrapping_sub(self.0);
        PATIENCE <= since && since < AHEAD
    }
}

/// How long a packet follows others to the engine: 117 to 134 milliseconds of the time that is told. The
/// punt port holds some four thousand packets, which the engine sees through in a few tens.
const PATIENCE: u8 = 8;
/// From here on a time lies ahead: by the units that an error may take it into, which are two, and one
/// more as the first stands for [`Tick::NONE`]. What is further back is four seconds ago.
const AHEAD: u8 = (256 - ERROR_NS.div_ceil(Tick::UNIT_NS) - 1) as u8;
/// Two processors are told times less than two ticks apart at one instant (`clock`); a tick is ten
/// milliseconds at most, in kernels that count a hundred a second.
const ERROR_NS: u64 = 2 * 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: Direction = Direction::Egress;
    const SECOND: u64 = 1_000_000_000;
    const MILLISECOND: u64 = 1_000_000;
    const NOW: u64 = 77 * SECOND;

    fn line() -> ActivityLine {
        ActivityLine::default()
    }

    fn follows(line: &ActivityLine, now_ns: u64) -> bool {
        line.must_follow(OUT, || now_ns)
    }

    fn punt(line: &ActivityLine) -> u16 {
        line.punt(OUT, 1, Stay::Brief(NOW))
    }

    fn ticket(number: u16) -> Ticket {
        Ticket { slot: Slot::new(5), direction: OUT, number, segment: false }
    }

    #[test]
    fn a_packet_follows_until_the_one_before_it_has_come_back() {
        let line = line();
        assert!(!follows(&line, NOW));
        let first = punt(&line);
        assert!(follows(&line, NOW));
        line.give_back(ticket(first));
        assert!(!follows(&line, NOW));
    }

    #[test]
    fn the_other_direction_does_not_wait() {
        let line = line();
        punt(&line);
        assert!(line.is_settled(Direction::Ingress) && !line.is_settled(OUT));
    }

    #[test]
    fn it_takes_the_last_one_to_come_back() {
        let line = line();
        let tickets = [(); 3].map(|()| punt(&line));
        line.give_back(ticket(tickets[0]));
        line.give_back(ticket(tickets[1]));
        assert!(follows(&line, NOW));
        line.give_back(ticket(tickets[2]));
        assert!(!follows(&line, NOW));
    }

    #[test]
    fn a_lost_ticket_is_made_good_by_the_next() {
        let line = line();
        punt(&line);
        let second = punt(&line);
        line.give_back(ticket(second));
        assert!(!follows(&line, NOW));
    }

    #[test]
    fn numbers_wrap() {
        let line = line();
        for _ in 0..70_000 {
            let number = punt(&line);
            assert!(follows(&line, NOW));
            line.give_back(ticket(number));
            assert!(!follows(&line, NOW));
        }
    }

    #[test]
    fn segments_come_back_one_by_one() {
        let line = line();
        let number = line.punt(OUT, 45, Stay::Brief(NOW));
        for _ in 0..45 {
            assert!(follows(&line, NOW));
            line.give_back(Ticket { segment: true, ..ticket(number) });
        }
        assert!(!follows(&line, NOW));
    }

    #[test]
    fn a_lost_segment_is_made_good_by_the_next_whole_packet() {
        let line = line();
        let number = line.punt(OUT, 3, Stay::Brief(NOW));
        for _ in 0..2 {
            line.give_back(Ticket { segment: true, ..ticket(number) });
        }
        assert!(follows(&line, NOW));
        let whole = punt(&line);
        line.give_back(ticket(whole));
        assert!(!follows(&line, NOW));
    }

    #[test]
    fn more_segments_than_were_counted_change_nothing() {
        let line = line();
        let number = line.punt(OUT, 2, Stay::Brief(NOW));
        for _ in 0..4 {
            line.give_back(Ticket { segment: true, ..ticket(number) });
        }
        assert!(line.is_settled(OUT));
    }

    #[test]
    fn patience_ends() {
        let line = line();
        punt(&line);
        for wait in [0, 50, 100] {
            assert!(follows(&line, NOW + wait * MILLISECOND), "after {wait} ms");
        }
        for wait in [135, 1000, 2000] {
            assert!(!follows(&line, NOW + wait * MILLISECOND), "after {wait} ms");
        }
    }

    #[test]
    fn what_patience_ended_for_is_settled_however_much_time_goes_by() {
        let line = line();
        punt(&line);
        assert!(!follows(&line, NOW + 200 * MILLISECOND));
        for later in 0..100 {
            assert!(!follows(&line, NOW + 200 * MILLISECOND + later * SECOND / 10), "{later}");
        }
    }

    #[test]
    fn a_flow_that_was_silent_for_seconds_does_not_wait() {
        for silence in (2..42).map(|tenths| tenths * SECOND / 10) {
            let line = line();
            line.begin(NOW);
            assert!(!follows(&line, NOW + silence), "{silence}");
        }
    }

    #[test]
    fn a_ticket_that_comes_back_after_patience_ended_is_made_good() {
        let line = line();
        let late = punt(&line);
        assert!(!follows(&line, NOW + 200 * MILLISECOND));
        line.give_back(ticket(late));
        let number = punt(&line);
        line.give_back(ticket(number));
        assert!(!follows(&line, NOW + 300 * MILLISECOND));
    }

    #[test]
    fn packets_that_follow_do_not_prolong_the_wait() {
        let line = line();
        for milliseconds in 0..117 {
            let now = NOW + milliseconds * MILLISECOND;
            assert!(milliseconds == 0 || follows(&line, now));
            line.punt(OUT, 1, Stay::Brief(now));
        }
        assert!(!follows(&line, NOW + 135 * MILLISECOND));
    }

    #[test]
    fn after_patience_ended_another_wait_begins_with_another_packet() {
        let line = line();
        punt(&line);
        let later = NOW + SECOND;
        assert!(!follows(&line, later));
        line.punt(OUT, 1, Stay::Brief(later));
        assert!(follows(&line, later));
    }

    #[test]
    fn what_the_engine_may_keep_is_waited_for_however_long_it_takes() {
        let line = line();
        line.punt(OUT, 1, Stay::Open);
        let resolved = NOW + 3 * SECOND;
        assert!(follows(&line, resolved), "the neighbour has answered");
        assert!(follows(&line, resolved + 100 * MILLISECOND));
        assert!(!follows(&line, resolved + 135 * MILLISECOND));
    }

    #[test]
    fn no_instant_is_taken_for_none() {
        for tick in 0..1000 {
            let now = tick << 24;
            let line = line();
            line.punt(OUT, 1, Stay::Brief(now));
            assert!(follows(&line, now) && follows(&line, now + 100 * MILLISECOND), "{tick}");
            assert!(!follows(&line, now + 200 * MILLISECOND), "{tick}");
        }
    }

    #[test]
    fn a_clock_that_is_behind_is_no_reason_to_go_on() {
        // At every instant of a time in eight bits, and a little beyond.
        for now in (0..4500).map(|millisecond| NOW + millisecond * MILLISECOND) {
            let line = line();
            line.punt(OUT, 1, Stay::Brief(now));
            assert!(follows(&line, now - ERROR_NS), "{now}");
        }
    }

    #[test]
    fn a_session_begins_with_a_ticket_missing_unless_it_is_settled() {
        let line = line();
        line.begin(NOW);
        assert!(follows(&line, NOW));
        line.settle(OUT);
        assert!(!follows(&line, NOW));
        assert!(!line.is_settled(Direction::Ingress));
    }

    #[test]
    fn tickets_are_no_packets_and_stamps_leave_them_alone() {
        use crate::activity::TcpMark;
        let line = line();
        let number = punt(&line);
        line.give_back(ticket(number));
        punt(&line);
        let mark = TcpMark { flags: 0xff, acknowledgement: 9 };
        line.stamp(NOW, OUT, 40, Some(mark));

        let seen = line.load()[OUT];
        assert_eq!((seen.packets, seen.tcp), (1, mark));
        assert!(!line.is_settled(OUT));
        line.give_back(ticket(2));
        assert!(line.is_settled(OUT));
    }
}
