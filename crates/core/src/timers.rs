//! When each session is to be looked at: a hierarchical timer wheel over slot numbers.
//!
//! Every session has one timer, in an array indexed by its slot, so a timer costs eight bytes and no
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
//!
//! A timer does not know when it is due, but on which list it is. When time reaches a list of a higher
//! level, its timers fire *early*: whoever has them looks at the session, as it does in any case, and
//! arms them anew for what is left. The nearer the time, the shorter the lists. Timers fire one at a
//! time, however many there are on a list, and at most a tick late. A tick number has 32 bits, which
//! six years of uptime fill.

use masq_flow::Slot;

use crate::lists::Lists;
use crate::time::Instant;

/// Length of a tick in nanoseconds; whole seconds are whole ticks.
const TICK: u64 = 50_000_000;
/// Bits of a digit.
const DIGIT: u32 = 6;
/// Lists on one level.
const LISTS: usize = 1 << DIGIT;
/// Levels, for 32 bits of ticks.
const LEVELS: usize = 6;

/// One timer for each slot.
#[derive(Debug)]
pub(crate) struct Timers {
    lists: Lists,
    /// Which lists of a level are not empty.
    occupied: [u64; LEVELS],
    /// The list that time has reached and that still has timers; it comes before all others.
    reached: Option<usize>,
    /// No timer is due before this tick.
    now: u32,
}

impl Timers {
    /// Timers for so many slots, none armed.
    pub(crate) fn new(slots: u32, now: Instant) -> Self {
        Self {
            lists: Lists::new(slots, LEVELS * LISTS),
            occupied: [0; LEVELS],
            reached: None,
            now: floor(now),
        }
    }

    /// Sets the timer of a slot, whether it was armed or not.
    pub(crate) fn arm(&mut self, slot: Slot, at: Instant) {
        self.disarm(slot);
        let due = ceil(at).max(self.now.saturating_add(1));
        let level = (due ^ self.now).checked_ilog2().unwrap_or(0) / DIGIT;
        let digit = (due >> (level * DIGIT)) as usize % LISTS;
        self.lists.push(level as usize * LISTS + digit, slot);
        self.occupied[level as usize] |= 1 << digit;
    }

    /// Takes the timer of a slot off, if it is armed.
    pub(crate) fn disarm(&mut self, slot: Slot) {
        let Some(emptied) = self.lists.remove(slot) else { return };
        self.occupied[emptied / LISTS] &= !(1 << (emptied % LISTS));
        if self.reached == Some(emptied) {
            self.reached = None;
        }
    }

    /// Takes off one timer that is due or, if its time is far, could be soon; gives its slot. Who
    /// finds it early arms it again.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Slot> {
        let target = floor(now);
        let Some((list, tick)) = self.earliest().filter(|(_, tick)| *tick <= target) else {
            self.now = self.now.max(target);
            return None;
        };
        self.now = tick;
        self.reached = Some(list);
        let slot = self.lists.first(list)?;
        self.disarm(slot);
        Some(slot)
    }

    /// The memory that is taken, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.lists.memory()
    }

    /// When [`Timers::pop`] should be called next, if any timer is armed; nothing is due before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (_, tick) = self.earliest()?;
        Some(Instant::from_nanos(u64::from(tick) * TICK))
    }

    /// The first list that is not empty: its number, and when its time begins.
    fn earliest(&self) -> Option<(usize, u32)> {
        if let Some(reached) = self.reached {
            return Some((reached, self.now));
        }
        let level = self.occupied.iter().position(|lists| *lists != 0)?;
        let digit = self.occupied[level].trailing_zeros();
        let shift = level as u32 * DIGIT;
        let above = u64::from(self.now) >> shift >> DIGIT << DIGIT;
        let tick = ((above | u64::from(digit)) << shift) as u32;
        Some((level * LISTS + digit as usize, tick.max(self.now)))
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

    /// Timers, and when each is due.
    struct Known {
        timers: Timers,
        due: BTreeMap<Slot, Instant>,
        early: usize,
    }

    impl Known {
        fn new(now: Instant) -> Self {
            Self { timers: Timers::new(8, now), due: BTreeMap::new(), early: 0 }
        }

        fn arm(&mut self, slot: u32, at: Instant) {
            self.timers.arm(Slot::new(slot), at);
            self.due.insert(Slot::new(slot), at);
        }

        /// The next that is due, as an owner would find it.
        fn pop(&mut self, now: Instant) -> Option<u32> {
            while let Some(slot) = self.timers.pop(now) {
                // Only what was armed fires: the index panics otherwise.
                let due = self.due[&slot];
                if due <= now {
                    self.due.remove(&slot);
                    return Some(slot.index());
                }
                self.early += 1;
                self.timers.arm(slot, due);
            }
            None
        }
    }

    #[test]
    fn a_timer_fires_when_its_time_has_come_and_a_few_times_before() {
        let mut known = Known::new(Instant::from_secs(1000));
        let at = Instant::from_secs(8440);
        known.arm(3, at);
        let mut polls = 0;
        while let Some(next) = known.timers.poll_timeout().filter(|next| *next < at) {
            assert_eq!(known.pop(next), None);
            polls += 1;
        }
        assert_eq!(known.pop(at - Duration::from_nanos(1)), None);
        assert!(known.early <= LEVELS && polls <= LEVELS, "{} looks", known.early);
        assert_eq!(known.pop(at), Some(3));
        assert_eq!((known.pop(at), known.timers.poll_timeout()), (None, None));
    }

    #[test]
    fn arming_again_replaces_and_disarming_forgets() {
        let mut known = Known::new(Instant::ZERO);
        known.arm(0, Instant::from_secs(1));
        known.arm(0, Instant::from_secs(5));
        known.arm(1, Instant::from_secs(2));
        known.timers.disarm(Slot::new(1));
        known.timers.disarm(Slot::new(1));
        assert_eq!(known.pop(Instant::from_secs(4)), None);
        assert_eq!(known.pop(Instant::from_secs(6)), Some(0));
    }

    #[test]
    fn a_time_that_has_passed_fires_with_the_next_tick() {
        let mut known = Known::new(Instant::from_secs(100));
        known.arm(0, Instant::from_secs(7));
        assert_eq!(known.pop(Instant::from_secs(100) + Duration::from_nanos(2 * TICK)), Some(0));
    }

    #[test]
    fn a_list_that_is_taken_off_by_and_by_comes_before_those_that_are_nearer() {
        let mut known = Known::new(Instant::ZERO);
        (0..4).for_each(|slot| known.arm(slot, Instant::from_secs(100)));
        let begins = known.timers.poll_timeout().unwrap();
        assert!(known.timers.pop(begins).is_some());
        known.arm(7, begins + Duration::from_nanos(TICK));
        assert_eq!(known.timers.poll_timeout(), Some(begins), "three of them still wait");
        let next = begins + Duration::from_nanos(TICK);
        assert_eq!(known.pop(next), Some(7));
        assert_eq!(known.early, 3);
    }

    #[test]
    fn a_year_with_a_timer_every_minute_is_quick() {
        let mut known = Known::new(Instant::ZERO);
        let (mut now, end, mut fired) = (Instant::ZERO, Instant::from_secs(365 * 86_400), 0);
        known.arm(0, Instant::from_secs(60));
        while let Some(next) = known.timers.poll_timeout().filter(|next| *next < end) {
            now = now.max(next);
            if let Some(slot) = known.pop(now) {
                fired += 1;
                known.arm(slot, now + Duration::from_secs(60));
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
            let mut known = Known::new(Instant::ZERO);
            let mut now_ms = 0_u64;
            for (slot, ms, advance) in steps {
                let now = |now_ms: u64| Instant::from_nanos(now_ms * 1_000_000);
                if advance {
                    now_ms += ms / 10;
                    while known.pop(now(now_ms)).is_some() {}
                    let late = now(now_ms.saturating_sub(2 * TICK / 1_000_000));
                    prop_assert!(known.due.values().all(|due| *due > late));
                } else {
                    known.arm(slot, now(now_ms + ms));
                }
                let first = known.due.values().min();
                let poll = known.timers.poll_timeout();
                prop_assert_eq!(first.is_some(), poll.is_some());
            }
        }
    }
}
