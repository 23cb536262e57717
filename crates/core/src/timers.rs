//! When each session is to be looked at: a hierarchical timer wheel over slot numbers.
//!
//! Every session has one timer, in arrays indexed by its slot, so a timer costs twelve bytes and no
//! allocation. Time is counted in ticks of 50 ms. A timer that is due later than now sits on the level
//! of the highest digit (to the base 64) in which its tick differs from the current one:
//!
//! ```text
//!           digit 5    4    3    2    1    0
//! level 0   same .................... same  x     64 lists, one tick each
//! level 1   same ............... same  x    .     64 lists, 64 ticks each
//!  …                                              a bitmap on each level says which are not empty
//! ```
//!
//! The earliest list is found by the bitmaps alone, so an idle year costs as much as an idle tick.
//! When time reaches a list of a higher level, its timers sink to lower ones.
//!
//! Timers never fire early; they may fire a tick late. A tick number has 32 bits, which six years of
//! uptime fill.

use masq_flow::Slot;

use crate::time::Instant;

/// Length of a tick in nanoseconds; whole seconds are whole ticks.
const TICK: u64 = 50_000_000;
/// Bits of a digit.
const DIGIT: u32 = 6;
/// Lists on one level.
const LISTS: usize = 1 << DIGIT;
/// Levels, for 32 bits of ticks.
const LEVELS: usize = 6;
/// In `previous`: what is before is not a timer but the head of a list.
const HEAD: u32 = 1 << 31;

/// One timer for each slot.
#[derive(Debug)]
pub(crate) struct Timers {
    /// The first timer of each list, as slot plus one; 0 if the list is empty.
    heads: [u32; LEVELS * LISTS],
    /// Which lists of a level are not empty.
    occupied: [u64; LEVELS],
    /// The timer after, as slot plus one; 0 at the end.
    next: Vec<u32>,
    /// The timer before, as slot plus one; or the list, with [`HEAD`]; 0 when not armed.
    previous: Vec<u32>,
    deadlines: Vec<u32>,
    /// No timer is due before this tick.
    now: u32,
}

impl Timers {
    /// Timers for so many slots, none armed.
    pub(crate) fn new(slots: u32, now: Instant) -> Self {
        let slots = slots as usize;
        Self {
            heads: [0; LEVELS * LISTS],
            occupied: [0; LEVELS],
            next: vec![0; slots],
            previous: vec![0; slots],
            deadlines: vec![0; slots],
            now: floor(now),
        }
    }

    /// Sets the timer of a slot, whether it was armed or not.
    pub(crate) fn arm(&mut self, slot: Slot, at: Instant) {
        self.disarm(slot);
        self.deadlines[slot.index() as usize] = ceil(at).max(self.now.saturating_add(1));
        self.place(slot.index());
    }

    /// Takes the timer of a slot off, if it is armed.
    pub(crate) fn disarm(&mut self, slot: Slot) {
        let i = slot.index() as usize;
        let (next, previous) = (self.next[i], self.previous[i]);
        if previous == 0 {
            return;
        }
        if previous & HEAD == 0 {
            self.next[previous as usize - 1] = next;
        } else {
            let list = (previous & !HEAD) as usize;
            self.heads[list] = next;
            if next == 0 {
                self.occupied[list / LISTS] &= !(1 << (list % LISTS));
            }
        }
        if next != 0 {
            self.previous[next as usize - 1] = previous;
        }
        self.next[i] = 0;
        self.previous[i] = 0;
    }

    /// Takes off one timer that is due, and gives its slot.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Slot> {
        let target = floor(now);
        loop {
            let Some((level, list, tick)) = self.earliest().filter(|(.., tick)| *tick <= target)
            else {
                self.now = self.now.max(target);
                return None;
            };
            self.now = tick;
            let head = self.heads[list];
            if level == 0 {
                let slot = Slot::new(head - 1);
                self.disarm(slot);
                return Some(slot);
            }
            self.sink(level, list, head);
        }
    }

    /// When [`Timers::pop`] should be called next, if any timer is armed; nothing is due before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (_, _, tick) = self.earliest()?;
        Some(Instant::from_nanos(u64::from(tick) * TICK))
    }

    /// The first list that is not empty: its level, its number, and when its time begins.
    fn earliest(&self) -> Option<(usize, usize, u32)> {
        let level = self.occupied.iter().position(|lists| *lists != 0)?;
        let digit = self.occupied[level].trailing_zeros();
        let shift = level as u32 * DIGIT;
        let above = u64::from(self.now) >> shift >> DIGIT << DIGIT;
        let tick = ((above | u64::from(digit)) << shift) as u32;
        Some((level, level * LISTS + digit as usize, tick.max(self.now)))
    }

    /// Spreads a list of a higher level over the lower ones.
    fn sink(&mut self, level: usize, list: usize, mut head: u32) {
        self.heads[list] = 0;
        self.occupied[level] &= !(1 << (list % LISTS));
        while head != 0 {
            let slot = head - 1;
            head = self.next[slot as usize];
            self.place(slot);
        }
    }

    /// Puts a timer that is on no list at the head of the one for its deadline.
    fn place(&mut self, slot: u32) {
        let deadline = self.deadlines[slot as usize];
        let differing = deadline ^ self.now;
        let level = differing.checked_ilog2().unwrap_or(0) / DIGIT;
        let digit = (deadline >> (level * DIGIT)) as usize % LISTS;
        let list = level as usize * LISTS + digit;
        let head = self.heads[list];
        if head != 0 {
            self.previous[head as usize - 1] = slot + 1;
        }
        self.next[slot as usize] = head;
        self.previous[slot as usize] = HEAD | list as u32;
        self.heads[list] = slot + 1;
        self.occupied[level as usize] |= 1 << digit;
    }
}

/// The tick that an instant belongs to.
fn floor(at: Instant) -> u32 {
    u32::try_from(at.as_nanos() / TICK).unwrap_or(u32::MAX)
}

/// The first tick that does not begin before an instant.
fn ceil(at: Instant) -> u32 {
    let ticks = at.as_nanos().div_ceil(TICK);
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_timer_fires_when_its_time_has_come_and_not_before() {
        let mut timers = Timers::new(4, Instant::from_secs(1000));
        let at = Instant::from_secs(8440);
        timers.arm(Slot::new(3), at);
        assert_eq!(timers.pop(at - Duration::from_nanos(1)), None);
        assert_eq!(timers.pop(at), Some(Slot::new(3)));
        assert_eq!(timers.pop(at), None);
        assert_eq!(timers.poll_timeout(), None);
    }

    #[test]
    fn arming_again_replaces_and_disarming_forgets() {
        let mut timers = Timers::new(2, Instant::ZERO);
        timers.arm(Slot::new(0), Instant::from_secs(1));
        timers.arm(Slot::new(0), Instant::from_secs(5));
        timers.arm(Slot::new(1), Instant::from_secs(2));
        timers.disarm(Slot::new(1));
        timers.disarm(Slot::new(1));
        assert_eq!(timers.pop(Instant::from_secs(4)), None);
        assert_eq!(timers.pop(Instant::from_secs(6)), Some(Slot::new(0)));
    }

    #[test]
    fn a_time_that_has_passed_fires_with_the_next_tick() {
        let mut timers = Timers::new(1, Instant::from_secs(100));
        timers.arm(Slot::new(0), Instant::from_secs(7));
        assert_eq!(
            timers.pop(Instant::from_secs(100) + Duration::from_nanos(2 * TICK)),
            Some(Slot::new(0))
        );
    }

    #[test]
    fn a_year_with_a_timer_every_minute_is_quick() {
        let mut timers = Timers::new(1, Instant::ZERO);
        let (mut now, end, mut fired) = (Instant::ZERO, Instant::from_secs(365 * 86_400), 0);
        timers.arm(Slot::new(0), Instant::from_secs(60));
        while let Some(next) = timers.poll_timeout().filter(|next| *next < end) {
            now = now.max(next);
            if let Some(slot) = timers.pop(now) {
                fired += 1;
                timers.arm(slot, now + Duration::from_secs(60));
            }
        }
        assert!((524_000..=525_600).contains(&fired), "{fired}");
    }

    proptest! {
        /// Against a list that is searched through.
        #[test]
        fn timers_fire_in_time_and_once(
            steps in prop::collection::vec((0_u32..8, 0_u64..20_000_000, prop::bool::ANY), 1..200),
        ) {
            let mut timers = Timers::new(8, Instant::ZERO);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now_ms = 0_u64;
            for (slot, ms, advance) in steps {
                let tick_ms = TICK / 1_000_000;
                if advance {
                    now_ms += ms / 10;
                    let now = Instant::from_nanos(now_ms * 1_000_000);
                    while let Some(slot) = timers.pop(now) {
                        let due = model.remove(&slot.index());
                        prop_assert!(due.is_some_and(|due| due <= now_ms), "{slot} at {now_ms}");
                    }
                    prop_assert!(model.values().all(|due| due + 2 * tick_ms > now_ms));
                } else {
                    timers.arm(Slot::new(slot), Instant::from_nanos((now_ms + ms) * 1_000_000));
                    model.insert(slot, now_ms + ms);
                }
                let first = model.values().min();
                let poll = timers.poll_timeout().map(|at| at.as_nanos() / 1_000_000);
                prop_assert_eq!(first.is_some(), poll.is_some());
            }
        }
    }
}
