//! The terminal's table: every figure beside the others of its kind, and what must hold.

use core::fmt::Write as _;

use crate::floor::{Bound, Floor};
use crate::plots;
use crate::result::{Direction, Row, Run, Series};
use crate::statistics::Summary;
use crate::subject::Subject;
use crate::units::{figure, grouped, percent};

/// The whole report.
#[must_use]
pub fn text(run: &Run) -> String {
    let mut text = heading(run);
    for group in groups(run) {
        text.push('\n');
        text += &block(run, &group);
    }
    if !run.floors.is_empty() {
        text.push('\n');
        text += &floors(&run.floors);
    }
    for note in &run.notes {
        let _ = writeln!(text, "\nNote: {note}");
    }
    text
}

/// Rows that differ only by their subject, in the order of subjects; groups as they were measured.
#[must_use]
pub fn groups(run: &Run) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in &run.rows {
        let found = groups.iter_mut().find(|group| is_comparable(&group[0].series, &row.series));
        match found {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    for group in &mut groups {
        group.sort_by_key(|row| row.series.subject);
    }
    groups
}

/// What a group of rows is about.
#[must_use]
pub fn title(series: &Series) -> String {
    let way = match series.direction {
        Direction::Egress => ", inside to outside",
        Direction::Ingress => ", outside to inside",
        Direction::Across => ", inside to inside",
        Direction::Both => "",
    };
    format!("{}{way}", series.title)
}

/// A row's median over that of the row that it is compared with, taken round by round.
#[must_use]
pub fn ratio(row: &Row, over: &Row) -> Option<f64> {
    let rounds = row.samples.iter().zip(&over.samples).map(|(one, other)| one / other);
    Summary::of(&rounds.collect::<Vec<_>>()).map(|summary| summary.median)
}

/// The same beside a reference that is another one, where that says anything.
#[must_use]
pub fn over(row: &Row, reference: Option<&Row>) -> Option<f64> {
    let reference = reference.filter(|one| one.series.subject != row.series.subject)?;
    ratio(row, reference).filter(|ratio| ratio.is_finite())
}

/// A row's median and spread, in words.
#[must_use]
pub fn figures(row: &Row) -> (String, String) {
    let Some(summary) = Summary::of(&row.samples) else {
        return ("–".to_owned(), String::new());
    };
    let spread = if summary.rounds == 1 { String::new() } else { percent(summary.spread()) };
    (figure(summary.median, &row.series.unit), spread)
}

/// What a packet costs, where a drop of the same generator was measured.
#[must_use]
pub fn cost(run: &Run, row: &Row) -> Option<String> {
    if row.series.subject == Subject::Drop {
        return None;
    }
    let cost = Summary::of(&plots::costs(run, row)?)?;
    Some(format!("{:.2} µs", cost.median * 1e6))
}

/// What all others of a group are compared with: the kernel's masquerade.
#[must_use]
pub fn reference<'a>(group: &[&'a Row]) -> Option<&'a Row> {
    group.iter().copied().find(|row| row.series.subject == Subject::Nft)
}

/// What a limit says: `≥ 1.4`.
#[must_use]
pub fn limit(floor: &Floor) -> String {
    let sign = match floor.bound {
        Bound::AtLeast => '≥',
        Bound::AtMost => '≤',
    };
    format!("{sign} {}", significant_enough(floor.limit))
}

/// What was found, or that nothing was.
#[must_use]
pub fn found(floor: &Floor) -> String {
    match floor.value {
        Some(value) => significant_enough(value),
        None => "not measured".to_owned(),
    }
}

/// The lowest and the highest round of what was found.
#[must_use]
pub fn rounds(floor: &Floor) -> String {
    match Summary::of(&floor.rounds) {
        Some(Summary { lowest, highest, rounds: 2.., .. }) => {
            format!("{}–{}", significant_enough(lowest), significant_enough(highest))
        }
        _ => String::new(),
    }
}

/// The verdict on a floor.
#[must_use]
pub const fn verdict(floor: &Floor) -> &'static str {
    match floor.holds {
        Some(true) => "holds",
        Some(false) => "does not hold",
        None => "–",
    }
}

/// The machine in a line.
#[must_use]
pub fn machine(run: &Run) -> String {
    let machine = &run.machine;
    let memory = machine.memory as f64 / f64::from(1 << 30);
    format!(
        "{} × {}, {memory:.1} GiB, Linux {}",
        machine.cores,
        machine.processor.trim(),
        run.kernel
    )
}

fn heading(run: &Run) -> String {
    let mut text = format!("{}\ncommit {}, {}", machine(run), run.commit, run.date);
    let rounds = if run.rounds == 1 { "round" } else { "rounds" };
    let _ = writeln!(text, ", {} {rounds}", run.rounds);
    if run.quick {
        text.push_str(
            "A smoke run: it shows that everything works, and its figures mean nothing.\n",
        );
    }
    text
}

fn block(run: &Run, group: &[&Row]) -> String {
    let Some(first) = group.first() else { return String::new() };
    let mut text = format!("{}\n", title(&first.series));
    let reference = reference(group);
    let lines: Vec<_> = group.iter().map(|row| line(run, row, reference)).collect();
    text += &aligned(&lines, [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right]);
    for row in group {
        for note in &row.notes {
            let _ = writeln!(text, "  {}: {note}", row.series.subject.title());
        }
    }
    text
}

fn line(run: &Run, row: &Row, reference: Option<&Row>) -> [String; 5] {
    let subject = row.series.subject;
    let (median, spread) = figures(row);
    let spread = if spread.is_empty() { spread } else { format!("spread {spread}") };
    let ratio = over(row, reference).map(|ratio| format!("{ratio:.2} × nft")).unwrap_or_default();
    let cost = cost(run, row).map(|cost| format!("cost {cost}")).unwrap_or_default();
    [subject.title().to_owned(), median, spread, ratio, cost]
}

fn floors(floors: &[Floor]) -> String {
    let lines: Vec<_> = floors
        .iter()
        .map(|floor| {
            let verdict = verdict(floor).to_owned();
            [floor.text.clone(), limit(floor), found(floor), rounds(floor), verdict]
        })
        .collect();
    let aligns = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Left];
    format!("Floors\n{}", aligned(&lines, aligns))
}

/// Lines whose columns stand below each other.
fn aligned<const COLUMNS: usize>(lines: &[[String; COLUMNS]], aligns: [Align; COLUMNS]) -> String {
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    };
    let mut text = String::new();
    for line in lines {
        let mut columns = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            let _ = match aligns[column] {
                Align::Left => write!(columns, "  {cell:<width$}"),
                Align::Right => write!(columns, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", columns.trim_end());
    }
    text
}

/// Where a column's cells stand.
#[derive(Clone, Copy)]
enum Align {
    Left,
    Right,
}

fn is_comparable(one: &Series, other: &Series) -> bool {
    let Series { scenario, title, unit, direction, parameters, subject: _ } = one;
    (scenario, title, unit, direction, parameters)
        == (&other.scenario, &other.title, &other.unit, &other.direction, &other.parameters)
}

/// A limit is as long as it was written, and what is just below it must not look like it.
fn significant_enough(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 100.0 {
        return grouped(value, 0);
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
