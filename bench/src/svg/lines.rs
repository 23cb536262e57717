//! Lines: how something changes with a number.

use super::axis::{Doubling, Linear};
use super::canvas::{Canvas, LEFT, RIGHT};
use super::{Entry, Value};

/// Values over a number that grows by doubling.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// What is compared.
    pub title: String,
    /// What the x axis counts.
    pub x_label: String,
    /// What the y axis measures, and in which unit.
    pub y_label: String,
    /// Each series with its points.
    pub series: Vec<(Entry, Vec<(f64, Value)>)>,
}

impl Lines {
    /// The plot as an SVG document.
    #[must_use]
    pub fn draw(&self) -> String {
        let points = || self.series.iter().flat_map(|(_, points)| points);
        let x_axis = Doubling::of(points().map(|(x, _)| *x));
        let y_axis = Linear::up_to(points().map(|(_, value)| value.highest).fold(0.0, f64::max));
        let x = |value: f64| INSET_LEFT + x_axis.position(value) * (INSET_RIGHT - INSET_LEFT);

        let names: Vec<Entry> = self.series.iter().map(|(series, _)| series.clone()).collect();
        let mut canvas = Canvas::new(&self.title, &names);
        canvas.y_axis(&y_axis, &self.y_label);
        for (value, text) in x_axis.ticks() {
            canvas.x_tick(x(value), &text);
        }
        canvas.x_label(&self.x_label);
        for (series, points) in &self.series {
            let mut points: Vec<_> = points.clone();
            points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            let place = |(at, value): &(f64, Value)| (x(*at), Canvas::y(&y_axis, value.median));
            let places: Vec<_> = points.iter().map(place).collect();
            canvas.path(&places, series.style);
            for ((at, value), place) in points.iter().zip(places) {
                canvas.whisker(&y_axis, x(*at), *value);
                canvas.mark(place, series.style);
            }
        }
        canvas.finish()
    }
}

/// Points stand off the frame, so that none lies on an axis.
const INSET_LEFT: f64 = LEFT + 28.0;
const INSET_RIGHT: f64 = RIGHT - 28.0;
