//! Plots as SVG, written by hand.
//!
//! A plot is a picture in a page that may be light or dark, so its colours are classes of a style
//! sheet inside it, which asks the reader's preference; plotting libraries write fixed colours. What a
//! plot shows is plain values ([`Lines`], [`Bars`]); what they mean is said by whoever makes them.
//!
//! ```text
//!   title
//!   legend: one entry for each series
//!   ┌──────────────── frame ───────────────┐
//!   │ y axis from 0, round steps           │   whiskers: lowest and highest round
//!   │                                      │   point or bar: the median
//!   └──────────────────────────────────────┘
//!     x axis: powers of two, or groups
//! ```
//!
//! The same values always give the same text: nothing depends on time, fonts or hash order.

mod axis;
mod bars;
mod canvas;
mod lines;

pub use self::bars::{Bars, Group};
pub use self::lines::Lines;

/// One thing that is compared, as it is named and drawn in every plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name in the legend.
    pub name: String,
    /// Which of the [`STYLES`] colours and marks it has.
    pub style: usize,
}

/// A median, with the lowest and the highest round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// Where the point or the end of the bar is.
    pub median: f64,
    /// Where the whisker begins.
    pub lowest: f64,
    /// Where the whisker ends.
    pub highest: f64,
}

impl Value {
    /// The value in other units.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            lowest: self.lowest * factor,
            highest: self.highest * factor,
        }
    }
}

/// How many series can be told apart.
pub const STYLES: usize = 8;
