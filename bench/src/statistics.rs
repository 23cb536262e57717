//! What several rounds say together: the median, and how far apart they were.
//!
//! A median shrugs off the one round in which the machine did something else; a mean does not. The
//! spread is told beside it, because a ratio of 1.05 means nothing where rounds differ by a fifth.

use serde::{Deserialize, Serialize};

/// Rounds of one figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The middle one; of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
    /// How many there were.
    pub rounds: usize,
}

impl Summary {
    /// Sums up the rounds; `None` if there is none, or one that is not a number.
    #[must_use]
    pub fn of(rounds: &[f64]) -> Option<Self> {
        let sorted = sorted(rounds)?;
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() / 2;
        let lower = (sorted.len() - 1) / 2;
        let median = f64::midpoint(sorted[lower], sorted[upper]);
        Some(Self { median, lowest, highest, rounds: sorted.len() })
    }

    /// The distance from the lowest to the highest, as a share of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.highest - self.lowest) / self.median.abs() }
    }
}

/// The value that a share (0 to 1) of the values do not exceed: the nearest rank.
#[must_use]
pub fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let sorted = sorted(values)?;
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        let summary = Summary::of(&[9.0, 1.0, 2.0]).expect("there are rounds");
        assert_eq!((summary.median, summary.lowest, summary.highest), (2.0, 1.0, 9.0));
        assert_eq!(summary.rounds, 3);
        assert_eq!(summary.spread(), 4.0);
    }

    #[test]
    fn of_an_even_number_the_two_in_the_middle_count_alike() {
        assert_eq!(Summary::of(&[1.0, 2.0, 4.0, 100.0]).map(|s| s.median), Some(3.0));
    }

    #[test]
    fn one_round_has_no_spread() {
        assert_eq!(Summary::of(&[5.0]).map(|s| (s.median, s.spread())), Some((5.0, 0.0)));
    }

    #[test]
    fn nothing_and_what_is_no_number_have_no_summary() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), Some(100.0));
        assert_eq!(percentile(&values, 0.99), Some(198.0));
        assert_eq!(percentile(&values, 1.0), Some(200.0));
        assert_eq!(percentile(&values, 0.0), Some(1.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
