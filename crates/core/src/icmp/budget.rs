//! How many ICMP errors we send (RFC 1812 §4.3.2.8), without telling anybody how many we sent.
//!
//! A limit for all destinations together is something that strangers share, and what is shared can
//! be measured. In SAD DNS (CVE-2020-25705) somebody off the path spent a server's budget with
//! forged probes, asked with a probe of their own whether anything was left, and learned so which of
//! the forged ones had met a closed port. Hence:
//!
//! ```text
//!  error ──► bucket of its destination ──► budget of the side ──► sent
//!              │ empty: refused,             │ 0 … half spent: always
//!              │ nothing else is spent       │ half … all spent: by chance, less and less
//! ```
//!
//! - Each destination has its own bucket, which is asked first. The buckets are a fixed number, found
//!   by a keyed hash; nobody can tell who shares one with whom.
//! - The side's budget does not end at a number that could be counted up to. How much may be spent
//!   is drawn anew for every error, between half the burst and all of it.
//! - Errors to the inside and errors to the outside have a budget each (one [`ErrorBudget`] for
//!   each side), so that one side cannot watch the other.
//!
//! Buckets are kept as one time each, as in [`crate::limits`].

use core::net::IpAddr;

use masq_flow::Secret;
use thiserror::Error;

use crate::limits::Rate;
use crate::random::Random;
use crate::time::Instant;

/// Buckets that destinations share.
const BUCKETS: usize = 1024;

/// How many errors are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorRates {
    /// To one destination.
    pub destination: Rate,
    /// To all destinations of one side.
    pub side: Rate,
}

impl Default for ErrorRates {
    /// What a traceroute with parallel probes needs, and not more than a hundredth of a fast link.
    fn default() -> Self {
        Self {
            destination: Rate { per_second: 20, burst: 20 },
            side: Rate { per_second: 1000, burst: 200 },
        }
    }
}

/// Which limit an error ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Spent {
    /// Its destination got enough of them.
    #[error("too many ICMP errors to this destination")]
    Destination,
    /// All destinations of the side got enough of them.
    #[error("too many ICMP errors to this side")]
    Side,
}

/// The errors that may still be sent to one side.
#[derive(Debug)]
pub struct ErrorBudget {
    rates: ErrorRates,
    secret: Secret,
    random: Random,
    destinations: Box<[Instant; BUCKETS]>,
    side: Instant,
}

impl ErrorBudget {
    /// Starts with full buckets.
    #[must_use]
    pub fn new(mut random: Random, rates: ErrorRates) -> Self {
        Self {
            rates,
            secret: Secret::new(random.next_u64(), random.next_u64()),
            random,
            destinations: Box::new([Instant::ZERO; BUCKETS]),
            side: Instant::ZERO,
        }
    }

    /// Changes the rates.
    pub const fn set_rates(&mut self, rates: ErrorRates) {
        self.rates = rates;
    }

    /// Pays for one error.
    ///
    /// # Errors
    ///
    /// The limit that forbids it; nothing is paid then.
    pub fn spend(&mut self, now: Instant, destination: IpAddr) -> Result<(), Spent> {
        let ErrorRates { destination: own, side } = self.rates;
        let bucket = self.bucket(destination);
        if self.destinations[bucket] > now + own.tolerance() {
            return Err(Spent::Destination);
        }
        // Drawn for every error, refused or not, so that the stream tells nothing either.
        let chance = self.random.below(side.burst / 2 + 1);
        let tolerance = side.interval() * side.burst.saturating_sub(1).saturating_sub(chance);
        if self.side > now + tolerance {
            return Err(Spent::Side);
        }
        self.destinations[bucket] = self.destinations[bucket].max(now) + own.interval();
        self.side = self.side.max(now) + side.interval();
        Ok(())
    }

    fn bucket(&self, destination: IpAddr) -> usize {
        let bits = match destination {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        self.secret.hash([bits as u64, (bits >> 64) as u64]) as usize % BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::time::Duration;

    const START: Instant = Instant::ZERO;

    #[test]
    fn rfc_1812_4_3_2_8_one_destination_gets_a_burst_and_then_its_rate() {
        let mut budget = budget(1);
        let sent = (0..10_000u64).filter(|n| {
            let now = START + Duration::from_micros(100 * n);
            budget.spend(now, host(1)).is_ok()
        });

        // 20 at once, and one each 50 ms until the last one before a second is over.
        assert_eq!(sent.count(), 39);
        assert_eq!(budget.spend(START + Duration::from_secs(1), host(2)), Ok(()));
    }

    #[test]
    fn rfc_1812_4_3_2_8_all_destinations_together_get_the_rate_of_their_side() {
        let mut budget = budget(2);
        let sent = (0..100_000u32).filter(|n| {
            let now = START + Duration::from_micros(u64::from(10 * n));
            budget.spend(now, host(*n)).is_ok()
        });

        let sent = sent.count();
        assert!((1_000..=1_200).contains(&sent), "{sent} in one second");
    }

    #[test]
    fn a_refused_destination_costs_the_others_nothing() {
        let mut budget = budget(3);
        for _ in 0..100_000 {
            let _ = budget.spend(START, host(1));
        }

        assert_eq!(budget.spend(START, host(1)), Err(Spent::Destination));
        assert_eq!(budget.side, START + Duration::from_millis(20), "paid for twenty");
    }

    /// The attack: n errors are caused for others, and then one for oneself. If the answer depended
    /// on n sharply anywhere, it would tell whether all n were sent.
    #[test]
    fn cve_2020_25705_the_budget_is_no_oracle() {
        const TRIALS: u64 = 1_000;
        let answered = |caused: u32| {
            let answers = (0..TRIALS).filter(|seed| {
                let mut budget = budget(*seed);
                for n in 0..caused {
                    let _ = budget.spend(START, host(n));
                }
                budget.spend(START, host(0xffff)).is_ok()
            });
            answers.count() as f64 / TRIALS as f64
        };

        let curve: Vec<f64> = (90..260).step_by(5).map(answered).collect();
        assert_eq!(curve[0], 1.0);
        let steepest = curve.windows(2).map(|pair| (pair[0] - pair[1]).abs()).fold(0.0, f64::max);
        assert!(steepest < 0.15, "five errors more change the answer by {steepest}: {curve:?}");
    }

    fn budget(seed: u64) -> ErrorBudget {
        ErrorBudget::new(Random::from_u64(seed), ErrorRates::default())
    }

    fn host(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0xc633_6400 + n).into()
    }
}
