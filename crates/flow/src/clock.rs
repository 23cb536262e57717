//! The time, for programs that have none to lose.
//!
//! Asking the kernel for the time is a call, and with the protections that processors need today a
//! call costs the fast path as much as finding a session does. The kernel's count of ticks is one load
//! (`bpf_jiffies64`, which the verifier replaces by it). So the header keeps by how much the clock is
//! ahead of the ticks, and the programs compare the two anew now and then:
//!
//! ```text
//!   time = ticks × length of a tick + offset          offset: from a comparison, a few a second
//! ```
//!
//! **A comparison** reads the ticks, the exact clock (`bpf_ktime_get_ns`), and the ticks again. If they
//! have gone on meanwhile, because the processor was taken away in between, nothing is kept: the clock's
//! answer counts once, and the next one compares. The coarse clock would not do, as the kernel counts the
//! ticks first and sets that clock afterwards: in between it is behind by a tick, or, after an idle time
//! without ticks, by all of that.
//!
//! **Error.** A comparison falls somewhere into its tick, and so does whoever is told the time by it. So
//! the time is ahead or behind by less than one tick, and may go back by less than one when a comparison
//! is made. Two things add to that:
//!
//! - Drift. The kernel counts ticks by `CLOCK_MONOTONIC` itself, so there is none; where it counts
//!   interrupts (no high resolution timers) and the clock is slewed by as much as it may be, one part in
//!   two thousand (`MAXFREQ`), the two drift apart by a thirtieth of a tick until they are compared again.
//! - Late ticks. While the processor that counts them is held up, as that of a virtual machine may be,
//!   the time stands still. A comparison made then is ahead by as long when they are made up for, until
//!   the next.
//!
//! Nobody has to keep it true. The programs go on comparing when the daemon has died, and until a daemon
//! has said how long a tick is they ask for the time.

use zerocopy::{FromBytes, IntoBytes};

use crate::word::{Word64, acquire, release};

/// What the programs know of the time, as it lies in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Clock {
    /// In nanoseconds; 0 while nobody has said it.
    tick: Word64,
    /// In nanoseconds; wraps.
    offset: Word64,
    /// The tick of the last comparison; 0 if there was none. That is long ago, as a count of ticks begins
    /// five minutes below 2³² (`INITIAL_JIFFIES`).
    compared: Word64,
}

impl Clock {
    /// Nanoseconds of `CLOCK_MONOTONIC`, at a tick; `clock` is asked for them now and then.
    #[inline(always)]
    #[must_use]
    pub fn now(&self, ticks: impl Fn() -> u64, clock: impl FnOnce() -> u64) -> u64 {
        // Once: it may be taken back in the middle of this.
        let tick = self.tick.load();
        if tick == 0 {
            return clock();
        }
        let count = ticks();
        let past = count.wrapping_mul(tick);
        if count.wrapping_sub(self.compared.load()) < COMPARE {
            acquire();
            return past.wrapping_add(self.offset.load());
        }
        let now = clock();
        if ticks() == count {
            self.offset.store(now.wrapping_sub(past));
            // The first offset is there before anybody is told to go by it.
            release();
            self.compared.store(count);
        }
        now
    }

    /// Says how long a tick is, in nanoseconds. It is the same as long as the machine runs, so a comparison
    /// that is under way meanwhile keeps what is true of the next tick too.
    #[cfg(any(feature = "std", test))]
    pub fn set_tick(&self, tick_ns: u64) {
        if self.tick.load() != tick_ns {
            self.tick.store(0);
            self.compared.store(0);
            release();
            self.tick.store(tick_ns);
        }
    }
}

/// Ticks between comparisons: 64 to 640 milliseconds, as kernels are built.
const COMPARE: u64 = 64;

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    const TICK: u64 = 4_000_000;

    /// A kernel that has started counting ticks somewhere, and whose clock may drift.
    struct Kernel {
        clock: Clock,
        asked: u32,
    }

    impl Kernel {
        fn new(tick: u64) -> Self {
            let clock = Clock::default();
            clock.set_tick(tick);
            Self { clock, asked: 0 }
        }

        fn now(&mut self, ticks: u64, ns: u64) -> u64 {
            self.now_while(|| ticks, ns)
        }

        /// The same while the ticks go on.
        fn now_while(&mut self, ticks: impl Fn() -> u64, ns: u64) -> u64 {
            let mut asked = 0;
            let now = self.clock.now(ticks, || {
                asked = 1;
                ns
            });
            self.asked += asked;
            now
        }
    }

    /// `INITIAL_JIFFIES` of the kernel, with 250 ticks a second.
    const FIRST: u64 = (-300_i32 * 250) as u32 as u64;

    #[test]
    fn tells_the_time_and_asks_for_it_a_few_times_a_second() {
        let mut kernel = Kernel::new(TICK);
        for tick in 0..2500 {
            let ns = 77_000 + tick * TICK;
            assert_eq!(kernel.now(FIRST + tick, ns), ns);
        }
        assert_eq!(kernel.asked, 40);
    }

    #[test]
    fn is_less_than_a_tick_from_the_truth_wherever_in_a_tick_it_is_asked() {
        let mut kernel = Kernel::new(TICK);
        // Steps that fall everywhere into the ticks, and so do the comparisons.
        for ns in (0..10_000).map(|step| step * (TICK / 7 * 3 + 1)) {
            let told = kernel.now(FIRST + ns / TICK, ns);
            assert!(told.abs_diff(ns) < TICK, "{told} at {ns}");
        }
        assert!(kernel.asked > 50);
    }

    #[test]
    fn a_comparison_that_the_ticks_overtook_is_not_kept() {
        let mut kernel = Kernel::new(TICK);
        assert_eq!(kernel.now(FIRST, 1_000), 1_000);
        let (reads, late) = (Cell::new(0), FIRST + COMPARE);
        // The processor was taken away for twenty ticks, and then read the clock.
        let overtaken = || late + 20 * reads.replace(1);
        let ns = 1_000 + (COMPARE + 20) * TICK;
        assert_eq!(kernel.now_while(overtaken, ns), ns, "the clock is right");
        assert_eq!(kernel.now(late + 20, ns), ns);
        assert_eq!(kernel.asked, 3, "the next one compares");
        assert_eq!(kernel.now(late + 21, 0), ns + TICK);
    }

    #[test]
    fn follows_a_clock_that_drifts() {
        let mut kernel = Kernel::new(TICK);
        for tick in 0..100_000 {
            // Half a thousandth, the most that the clock is slewed by (`MAXFREQ`).
            let ns = tick * (TICK + TICK / 2000);
            assert!(kernel.now(FIRST + tick, ns).abs_diff(ns) < COMPARE * TICK / 2000);
        }
    }

    #[test]
    fn a_table_that_wakes_up_long_after_asks_first() {
        let mut kernel = Kernel::new(TICK);
        assert_eq!(kernel.now(FIRST, 5), 5);
        assert_eq!(kernel.now(FIRST + 1_000_000, 99), 99);
        assert_eq!(kernel.now(FIRST, 7), 7, "ticks that go back are no ticks");
    }

    #[test]
    fn without_a_tick_it_always_asks() {
        let mut kernel = Kernel::new(0);
        for ns in [3, 9, 10] {
            assert_eq!(kernel.now(FIRST, ns), ns);
        }
        assert_eq!(kernel.asked, 3);
        assert_eq!(kernel.clock.offset.load(), 0, "nothing is kept that is true of no tick");
    }

    #[test]
    fn a_tick_of_another_length_begins_with_a_comparison() {
        let mut kernel = Kernel::new(TICK);
        kernel.now(FIRST, 1_000);
        kernel.clock.set_tick(TICK);
        assert_eq!(kernel.now(FIRST, 0), 1_000, "nothing new");
        kernel.clock.set_tick(1_000_000);
        assert_eq!(kernel.now(FIRST, 2_000), 2_000);
    }
}
