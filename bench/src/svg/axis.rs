//! Axes: which numbers stand on them, and where a value lies between them.

use crate::units::grouped;

/// A linear scale from zero, with round steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Linear {
    step: f64,
    steps: usize,
}

impl Linear {
    /// A scale that holds every value up to `highest`, in four to eight steps of 1, 2 or 5 times a
    /// power of ten.
    pub(super) fn up_to(highest: f64) -> Self {
        let highest = if highest > 0.0 && highest.is_finite() { highest } else { 1.0 };
        let rough = highest / 6.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(10.0 * power);
        // A value on the last line would have its mark cut in half.
        let steps = (highest / step * 1.02).ceil() as usize;
        Self { step, steps: steps.max(1) }
    }

    /// Where a value lies, from 0 at the beginning to 1 at the end.
    pub(super) fn position(&self, value: f64) -> f64 {
        value / (self.step * self.steps as f64)
    }

    /// The numbers on the axis.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, String)> + use<> {
        let Self { step, steps } = *self;
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        (0..=steps).map(move |index| {
            let value = step * index as f64;
            (value, grouped(value, decimals))
        })
    }
}

/// A scale on which each doubling is as long as any other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Doubling {
    values: Vec<f64>,
}

impl Doubling {
    /// A scale with these numbers on it, all of them at least 1.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().map(|value| value.max(1.0)).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        Self { values }
    }

    /// Where a value lies, from 0 at the first to 1 at the last.
    pub(super) fn position(&self, value: f64) -> f64 {
        let (Some(first), Some(last)) = (self.values.first(), self.values.last()) else {
            return 0.0;
        };
        let width = (last / first).log2();
        if width == 0.0 { 0.5 } else { (value.max(1.0) / first).log2() / width }
    }

    /// The numbers on the axis: those that were measured.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        self.values.iter().map(|value| (*value, grouped(*value, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Linear) -> Vec<String> {
        axis.ticks().map(|(_, text)| text).collect()
    }

    #[test]
    fn steps_are_round_and_hold_every_value() {
        assert_eq!(texts(&Linear::up_to(1.7)), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(texts(&Linear::up_to(19.0)), ["0", "5", "10", "15", "20"]);
        assert_eq!(texts(&Linear::up_to(0.013)).last().map(String::as_str), Some("0.015"));
        for highest in [0.004, 0.99, 1.0, 3.0, 47.0, 123_456.0] {
            let axis = Linear::up_to(highest);
            assert!(axis.position(highest) <= 1.0, "{highest}");
            assert!((3..=9).contains(&axis.ticks().count()), "{highest}: {axis:?}");
        }
    }

    #[test]
    fn nothing_measured_is_a_scale_too() {
        assert_eq!(Linear::up_to(0.0).position(0.0), 0.0);
        assert_eq!(Linear::up_to(f64::NAN), Linear::up_to(1.0));
        assert_eq!(Doubling::of([]).position(4.0), 0.0);
        assert_eq!(Doubling::of([4096.0]).position(4096.0), 0.5);
    }

    #[test]
    fn each_doubling_is_as_long_as_any_other() {
        let axis = Doubling::of([1024.0, 1.0]);
        assert_eq!(axis.position(1.0), 0.0);
        assert_eq!(axis.position(32.0), 0.5);
        assert_eq!(axis.position(1024.0), 1.0);
        let texts: Vec<String> = axis.ticks().map(|(_, text)| text).collect();
        assert_eq!(texts, ["1", "1,024"]);
    }
}
