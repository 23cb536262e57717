//! A run as pages: `results.json`, the plots, and `README.md`, which explains them.
//!
//! The page is written by hand but for what stands between two marks, which is filled in from the run:
//!
//! ```text
//!   <!-- begin floors -->
//!   …                         replaced
//!   <!-- end floors -->
//! ```
//!
//! The same run always gives the same files, so that a changed file is a changed figure.

use core::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context as _, Result, bail};

use crate::floor::Floor;
use crate::plots::{self, Plot};
use crate::report::{self, found, limit, machine, verdict};
use crate::result::Run;

/// Writes all of it into a folder.
///
/// # Errors
///
/// When the folder cannot be written, or its page lacks a mark.
pub fn publish(run: &Run, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let page = folder.join("README.md");
    let text = match fs::read_to_string(&page) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => TEMPLATE.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", page.display())),
    };
    let plots = plots::draw(run);
    let text = fill(&text, run, &plots).with_context(|| page.display().to_string())?;
    write(&page, &text)?;
    write(&folder.join("results.json"), &json(run)?)?;
    for plot in &plots {
        write(&folder.join(&plot.file), &plot.svg)?;
    }
    for file in plots::files().filter(|file| plots.iter().all(|plot| plot.file != *file)) {
        // A picture of another run would be taken for one of this.
        match fs::remove_file(folder.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {file}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The run as it is kept.
///
/// # Errors
///
/// Never for a run that was measured; JSON has no word for what is no number.
pub fn json(run: &Run) -> Result<String> {
    let mut text = serde_json::to_string_pretty(run).context("writing the results")?;
    text.push('\n');
    Ok(text)
}

/// The page with a run's figures in it.
///
/// # Errors
///
/// When a mark is missing.
pub fn fill(page: &str, run: &Run, plots: &[Plot]) -> Result<String> {
    let blocks = [
        ("machine", machine_block(run)),
        ("floors", floors_block(&run.floors)),
        ("plots", plots_block(plots)),
        ("figures", figures_block(run)),
        ("proof", proof_block(run)),
    ];
    let mut page = page.to_owned();
    for (name, block) in blocks {
        page = replaced(&page, name, &block)?;
    }
    Ok(page)
}

fn replaced(page: &str, name: &str, block: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let Some((before, rest)) = page.split_once(&begin) else {
        bail!("the page has no line `{}`", begin.trim_end());
    };
    let Some((_, after)) = rest.split_once(&end) else {
        bail!("the page has no `{end}` after its beginning");
    };
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", block.trim()))
}

fn machine_block(run: &Run) -> String {
    let mut text = format!("Measured on {}; commit `{}`, {}, ", machine(run), run.commit, run.date);
    let _ = match run.rounds {
        1 => writeln!(text, "one round."),
        rounds => writeln!(text, "{rounds} rounds."),
    };
    if run.quick {
        text.push_str("\n**A smoke run: its figures mean nothing.**\n");
    }
    for note in &run.notes {
        let _ = writeln!(text, "\n- {note}");
    }
    text
}

fn floors_block(floors: &[Floor]) -> String {
    let mut text = String::from("| | limit | measured | rounds | |\n|---|--:|--:|--:|---|\n");
    for floor in floors {
        let Floor { text: what, .. } = floor;
        let (limit, found, rounds) = (limit(floor), found(floor), report::rounds(floor));
        let _ = writeln!(text, "| {what} | {limit} | {found} | {rounds} | {} |", verdict(floor));
    }
    text
}

fn plots_block(plots: &[Plot]) -> String {
    let pictures: Vec<String> =
        plots.iter().map(|Plot { file, title, .. }| format!("![{title}]({file})")).collect();
    pictures.join("\n\n")
}

fn figures_block(run: &Run) -> String {
    let mut text =
        String::from("| | | median | spread | over nft | cost |\n|---|---|--:|--:|--:|--:|\n");
    for group in report::groups(run) {
        let reference = report::reference(&group);
        for (index, row) in group.iter().enumerate() {
            let title = if index == 0 { report::title(&row.series) } else { String::new() };
            let subject = row.series.subject.title();
            let (median, spread) = report::figures(row);
            let ratio = report::over(row, reference).map(|ratio| format!("{ratio:.2}"));
            let (ratio, cost) = (ratio.unwrap_or_default(), report::cost(run, row));
            let cost = cost.unwrap_or_default();
            let _ =
                writeln!(text, "| {title} | {subject} | {median} | {spread} | {ratio} | {cost} |");
        }
    }
    text
}

fn proof_block(run: &Run) -> String {
    let mut text = String::from("| | | counters of all rounds |\n|---|---|---|\n");
    for row in report::groups(run).into_iter().flatten() {
        let counters: Vec<String> =
            row.proof.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let mut said = counters.join(", ");
        for note in &row.notes {
            let _ = write!(said, "<br>{note}");
        }
        if said.is_empty() {
            continue;
        }
        let (title, subject) = (report::title(&row.series), row.series.subject.title());
        let _ = writeln!(text, "| {title} | {subject} | {said} |");
    }
    text
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A folder that has no page yet gets the one of the repository.
const TEMPLATE: &str = include_str!("../../docs/performance/README.md");
