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
//! The kernel counts ticks by `CLOCK_MONOTONIC` itself, so the offset hardly changes; where it counts
//! interrupts (no high resolution timers) the two drift apart by less than a millionth of the time
//! between comparisons. What is stamped is as exact as the coarse clock: to a tick. It may go back by
//! one where processors compare at the very instant of a tick.
//!
//! Nobody has to keep it true. The programs go on comparing when the daemon has died, and until a daemon
//! has said how long a tick is they ask for the time.

use zerocopy::{FromBytes, IntoBytes};

use crate::word::Word64;

/// What the programs know of the time, as it lies in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Clock {
    /// In nanoseconds; 0 while nobody has said it.
    tick: Word64,
    /// In nanoseconds; wraps.
    offset: Word64,
    /// The tick of the last comparison. Only advice: each offset is right by itself.
    compared: Word64,
}

impl Clock {
    /// Nanoseconds of `CLOCK_MONOTONIC`, at a tick; `clock` is asked for them now and then.
    #[inline(always)]
    #[must_use]
    pub fn now(&self, ticks: u64, clock: impl FnOnce() -> u64) -> u64 {
        let past = ticks.wrapping_mul(self.tick.load());
        if ticks.wrapping_sub(self.compared.load()) < COMPARE {
            return past.wrapping_add(self.offset.load());
        }
        let now = clock();
        self.offset.store(now.wrapping_sub(past));
        if self.tick.load() != 0 {
            self.compared.store(ticks);
        }
        now
    }

    /// Says how long a tick is, in nanoseconds.
    #[cfg(any(feature = "std", test))]
    pub fn set_tick(&self, tick_ns: u64) {
        if self.tick.load() != tick_ns {
            self.tick.store(0);
            self.compared.store(0);
            crate::word::release();
            self.tick.store(tick_ns);
        }
    }
}

/// Ticks between comparisons: 64 to 640 milliseconds, as kernels are built.
const COMPARE: u64 = 64;

#[cfg(test)]
mod tests {
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
    fn follows_a_clock_that_drifts() {
        let mut kernel = Kernel::new(TICK);
        for tick in 0..100_000 {
            // Half a thousandth, the most that the kernel slews by.
            let ns = tick * (TICK + TICK / 2000);
            assert!(kernel.now(FIRST + tick, ns).abs_diff(ns) < TICK / 10);
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
