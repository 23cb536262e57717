//! What every plot has: paper, title, legend, frame, axes, marks.

use core::fmt::Write as _;

use super::axis::Linear;
use super::{Entry, STYLES, Value};

/// An SVG document that is being drawn.
pub(super) struct Canvas {
    body: String,
}

/// The area in which values lie.
pub(super) const LEFT: f64 = 72.0;
pub(super) const RIGHT: f64 = WIDTH - 24.0;
pub(super) const TOP: f64 = 84.0;
pub(super) const BOTTOM: f64 = HEIGHT - 64.0;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 420.0;

impl Canvas {
    /// Paper with a title and a legend.
    pub(super) fn new(title: &str, series: &[Entry]) -> Self {
        let mut canvas = Self { body: String::new() };
        canvas.text((WIDTH / 2.0, 28.0), "title", title);
        canvas.legend(series);
        canvas
    }

    /// The y axis with its lines and what it measures.
    pub(super) fn y_axis(&mut self, axis: &Linear, label: &str) {
        for (value, text) in axis.ticks() {
            let y = Self::y(axis, value);
            let class = if value == 0.0 { "axis" } else { "grid" };
            self.line((LEFT, y), (RIGHT, y), class);
            self.text((LEFT - 8.0, y + 4.0), "tick end", &text);
        }
        let middle = f64::midpoint(TOP, BOTTOM);
        let _ = writeln!(
            self.body,
            r#"<text class="label" transform="translate(18 {middle:.1}) rotate(-90)">{}</text>"#,
            escaped(label),
        );
    }

    /// A number or name under the x axis.
    pub(super) fn x_tick(&mut self, x: f64, text: &str) {
        self.line((x, BOTTOM), (x, BOTTOM + 5.0), "axis");
        self.text((x, BOTTOM + 20.0), "tick", text);
    }

    /// What the x axis measures.
    pub(super) fn x_label(&mut self, label: &str) {
        self.text((f64::midpoint(LEFT, RIGHT), HEIGHT - 16.0), "label", label);
    }

    /// Where a value lies between bottom and top.
    pub(super) fn y(axis: &Linear, value: f64) -> f64 {
        BOTTOM - axis.position(value) * (BOTTOM - TOP)
    }

    /// From the lowest to the highest round.
    pub(super) fn whisker(&mut self, axis: &Linear, x: f64, value: Value) {
        let (low, high) = (Self::y(axis, value.lowest), Self::y(axis, value.highest));
        // Where the rounds agree there is nothing to see.
        if (low - high).abs() < 1.0 {
            return;
        }
        self.line((x, low), (x, high), "whisker");
        for y in [low, high] {
            self.line((x - 3.0, y), (x + 3.0, y), "whisker");
        }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], style: usize) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let (style, points) = (style % STYLES, points.join(" "));
        let _ = writeln!(self.body, r#"<polyline class="path s{style}" points="{points}"/>"#);
    }

    pub(super) fn bar(&mut self, left: f64, top: f64, width: f64, style: usize) {
        let (style, height) = (style % STYLES, (BOTTOM - top).max(0.0));
        let _ = writeln!(
            self.body,
            r#"<rect class="fill s{style}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"/>"#
        );
    }

    /// A mark whose shape tells series apart where colours do not.
    pub(super) fn mark(&mut self, (x, y): (f64, f64), style: usize) {
        let style = style % STYLES;
        let shape = match style {
            0 => "M-4,-4H4V4H-4Z",
            1 => "M0,-5L5,4H-5Z",
            2 => "M-4.5,0A4.5,4.5 0 1 0 4.5,0A4.5,4.5 0 1 0 -4.5,0Z",
            3 => "M0,-5.5L5.5,0L0,5.5L-5.5,0Z",
            4 => "M0,5L5,-4H-5Z",
            5 => "M-5,0L-2.5,-4.3H2.5L5,0L2.5,4.3H-2.5Z",
            6 => "M-5,-1.5H-1.5V-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5Z",
            _ => {
                "M-5,-3.2L-3.2,-5L0,-1.8L3.2,-5L5,-3.2L1.8,0L5,3.2L3.2,5L0,1.8L-3.2,5L-5,3.2L-1.8,0Z"
            }
        };
        let _ = writeln!(
            self.body,
            r#"<path class="fill s{style}" transform="translate({x:.1} {y:.1})" d="{shape}"/>"#
        );
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let text = escaped(text);
        let _ = writeln!(self.body, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{text}</text>"#);
    }

    /// The document.
    pub(super) fn finish(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n<style>\n{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n{}</svg>\n",
            self.body,
        )
    }

    fn legend(&mut self, series: &[Entry]) {
        // Fonts differ between readers: a little more than a character usually takes.
        let width = |series: &Entry| 34.0 + 7.2 * series.name.chars().count() as f64;
        let mut x = (WIDTH - series.iter().map(width).sum::<f64>()).max(0.0) / 2.0;
        for entry in series {
            self.mark((x + 10.0, 54.0), entry.style);
            self.text((x + 22.0, 58.0), "entry", &entry.name);
            x += width(entry);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Colours that remain different for the colour-blind (Okabe and Ito), each once for light paper and
/// once for dark.
const STYLE: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #24292f; text-anchor: middle }
.title { font-size: 16px; font-weight: 600 }
.tick, .amount { font-size: 12px; fill: #57606a }
.amount { font-size: 11px }
.end { text-anchor: end }
.entry { text-anchor: start }
.paper { fill: #ffffff }
.axis { stroke: #57606a }
.grid { stroke: #d0d7de; stroke-width: 0.7 }
.whisker { stroke: #24292f; stroke-width: 1.2 }
.path { fill: none; stroke-width: 2.2 }
.path.s0 { stroke: #6e7781 } .fill.s0 { fill: #6e7781 }
.path.s1 { stroke: #d55e00 } .fill.s1 { fill: #d55e00 }
.path.s2 { stroke: #b58900 } .fill.s2 { fill: #b58900 }
.path.s3 { stroke: #0072b2 } .fill.s3 { fill: #0072b2 }
.path.s4 { stroke: #009e73 } .fill.s4 { fill: #009e73 }
.path.s5 { stroke: #b35d92 } .fill.s5 { fill: #b35d92 }
.path.s6 { stroke: #3b2f63 } .fill.s6 { fill: #3b2f63 }
.path.s7 { stroke: #56b4e9 } .fill.s7 { fill: #56b4e9 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .tick, .amount { fill: #9da7b3 }
  .paper { fill: #0d1117 }
  .axis { stroke: #9da7b3 }
  .grid { stroke: #30363d }
  .whisker { stroke: #e6edf3 }
  .path.s0 { stroke: #9da7b3 } .fill.s0 { fill: #9da7b3 }
  .path.s1 { stroke: #ff8c42 } .fill.s1 { fill: #ff8c42 }
  .path.s2 { stroke: #e3b341 } .fill.s2 { fill: #e3b341 }
  .path.s3 { stroke: #58a6ff } .fill.s3 { fill: #58a6ff }
  .path.s4 { stroke: #2dd4a0 } .fill.s4 { fill: #2dd4a0 }
  .path.s5 { stroke: #e08cc4 } .fill.s5 { fill: #e08cc4 }
  .path.s6 { stroke: #b9a7f0 } .fill.s6 { fill: #b9a7f0 }
  .path.s7 { stroke: #a5d8f3 } .fill.s7 { fill: #a5d8f3 }
}
";
