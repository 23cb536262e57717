//! Bars: several things side by side, in groups.

use super::axis::Linear;
use super::canvas::{Canvas, LEFT, RIGHT};
use super::{Entry, Value};
use crate::units::grouped;

/// Values in groups that share their series.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// What is compared.
    pub title: String,
    /// What the y axis measures, and in which unit.
    pub y_label: String,
    /// How many decimals stand above a bar.
    pub decimals: usize,
    /// What is compared in each group.
    pub series: Vec<Entry>,
    /// The groups from left to right.
    pub groups: Vec<Group>,
}

/// Bars that stand together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub name: String,
    /// One for each series, or nothing where that was not measured.
    pub values: Vec<Option<Value>>,
}

impl Bars {
    /// The plot as an SVG document.
    #[must_use]
    pub fn draw(&self) -> String {
        let values = self.groups.iter().flat_map(|group| group.values.iter().flatten());
        let axis = Linear::up_to(values.map(|value| value.highest).fold(0.0, f64::max));
        let mut canvas = Canvas::new(&self.title, &self.series);
        canvas.y_axis(&axis, &self.y_label);
        let group_width = (RIGHT - LEFT) / self.groups.len().max(1) as f64;
        for (index, group) in self.groups.iter().enumerate() {
            let left = LEFT + group_width * index as f64;
            canvas.x_tick(left + group_width / 2.0, &group.name);
            // A bar that was not measured leaves no gap.
            let bars: Vec<_> = self.series.iter().zip(&group.values).collect();
            let bars = bars.iter().filter_map(|(series, value)| value.map(|value| (series, value)));
            let bars: Vec<_> = bars.collect();
            let slots = bars.len().max(1) as f64;
            let width = (group_width * 0.8 / slots).min(WIDEST);
            let first = left + (group_width - width * slots) / 2.0;
            for (place, (series, value)) in bars.iter().enumerate() {
                let bar = first + width * place as f64;
                let top = Canvas::y(&axis, value.median);
                canvas.bar(bar + 1.0, top, width - 2.0, series.style);
                let middle = bar + width / 2.0;
                canvas.whisker(&axis, middle, *value);
                let above = Canvas::y(&axis, value.highest) - 5.0;
                canvas.text((middle, above), "amount", &grouped(value.median, self.decimals));
            }
        }
        canvas.finish()
    }
}

const WIDEST: f64 = 64.0;
