//! A small run with fixed figures, as table, page and pictures: what they look like changes only on purpose.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use masq_bench::result::{Direction, Machine, Run, Sample, Series};
use masq_bench::subject::Subject;
use masq_bench::{floor, page, plots, report};

#[test]
fn the_terminal_shows_figures_side_by_side_and_what_must_hold() {
    insta::assert_snapshot!(report::text(&run()));
}

#[test]
fn the_page_is_filled_between_its_marks_and_nowhere_else() {
    let run = run();
    let template = "before\n<!-- begin machine -->\nold\n<!-- end machine -->\n\
                    <!-- begin floors -->\n<!-- end floors -->\n<!-- begin plots -->\n<!-- end plots -->\n\
                    <!-- begin figures -->\n<!-- end figures -->\n<!-- begin proof -->\n<!-- end proof -->\nafter\n";
    let filled = page::fill(template, &run, &plots::draw(&run)).unwrap();
    assert_eq!(page::fill(&filled, &run, &plots::draw(&run)).unwrap(), filled, "filling again");
    insta::assert_snapshot!(filled);
}

#[test]
fn a_page_without_a_mark_is_refused() {
    let error = page::fill("no marks", &run(), &[]).unwrap_err().to_string();
    assert_eq!(error, "the page has no line `<!-- begin machine -->`");
}

#[test]
fn lines_look_as_they_did() {
    insta::assert_snapshot!(picture("udp-rate-out.svg"));
}

#[test]
fn bars_look_as_they_did() {
    insta::assert_snapshot!(picture("tcp-bulk.svg"));
}

#[test]
fn pictures_are_well_formed_and_name_what_they_measure() {
    let plots = plots::draw(&run());
    let files: Vec<&str> = plots.iter().map(|plot| plot.file.as_str()).collect();
    assert_eq!(files, ["udp-rate-out.svg", "udp-cost.svg", "packet-cost.svg", "tcp-bulk.svg"]);
    for plot in plots {
        assert_eq!(unclosed(&plot.svg), Vec::<&str>::new(), "{}", plot.file);
        assert!(plot.svg.contains("class=\"label\""), "{} has no label", plot.file);
        assert!(plot.svg.contains(&plot.title), "{} has no title", plot.file);
        assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf"), "{}", plot.file);
    }
}

#[test]
fn publishing_writes_everything_the_same_each_time_and_takes_away_what_is_of_another_run() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("publish");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("connect.svg"), "of another run").unwrap();
    fs::write(folder.join("drawn-by-hand.svg"), "mine").unwrap();

    page::publish(&run(), &folder).unwrap();
    let first = contents(&folder);
    page::publish(&run(), &folder).unwrap();

    assert_eq!(contents(&folder), first);
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "README.md",
            "drawn-by-hand.svg",
            "packet-cost.svg",
            "results.json",
            "tcp-bulk.svg",
            "udp-cost.svg",
            "udp-rate-out.svg"
        ]
    );
    let kept: Run = serde_json::from_str(&first["results.json"]).unwrap();
    assert_eq!(kept.rows, run().rows);
    assert!(first["README.md"].contains("![TCP bulk](tcp-bulk.svg)"));
}

/// A run of three rounds with round figures.
fn run() -> Run {
    let mut run = Run {
        machine: Machine { processor: "A Processor".to_owned(), cores: 2, memory: 8 << 30 },
        kernel: "6.1.0".to_owned(),
        commit: "0123abc".to_owned(),
        date: "2026-01-31T12:00:00Z".to_owned(),
        rounds: 3,
        quick: false,
        rows: Vec::new(),
        floors: Vec::new(),
        notes: vec!["This kernel has no flow tables.".to_owned()],
    };
    let rates = [
        (Subject::Forward, 0.8e6),
        (Subject::Nft, 0.55e6),
        (Subject::MasqTc, 0.9e6),
        (Subject::MasqXdp, 1.65e6),
        (Subject::BareTcRedirect, 0.92e6),
        (Subject::BareRedirect, 1.7e6),
        (Subject::Drop, 2.0e6),
    ];
    for (subject, rate) in rates {
        for (flows, factor) in [(1, 1.05), (4096, 1.0), (262_144, 0.9)] {
            let title = format!("60-byte UDP, {flows} flows");
            let series = Series::new("udp", title, "packets/s", Direction::Egress, subject);
            let series = series.with("flows", flows);
            for round in [1.0, 0.96, 1.02] {
                let packets = (rate * factor * round) as u64;
                let proof = BTreeMap::from([("received".to_owned(), packets)]);
                run.add(series.clone(), Sample::new(rate * factor * round, proof));
            }
        }
    }
    let bulk = [(Subject::Forward, 18e9), (Subject::Nft, 17e9), (Subject::MasqTc, 17.5e9)];
    for (subject, rate) in bulk {
        let series =
            Series::new("tcp-bulk", "TCP bulk, 1 stream", "bit/s", Direction::Egress, subject);
        let series = series.with("streams", 1);
        for round in [1.0, 0.9, 1.1] {
            let sample = Sample::new(rate * round, BTreeMap::new());
            run.add(series.clone(), sample.note("segments of up to 64 KiB"));
        }
    }
    run.floors = floor::judge(&run);
    run
}

fn picture(file: &str) -> String {
    plots::draw(&run()).into_iter().find(|plot| plot.file == file).unwrap().svg
}

fn contents(folder: &Path) -> BTreeMap<String, String> {
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    fs::read_dir(folder).unwrap().map(file).collect()
}

/// Elements that are opened and not closed, or closed and not opened.
fn unclosed(svg: &str) -> Vec<&str> {
    let mut open = Vec::new();
    for element in svg.split('<').skip(1) {
        let inside = element.split_once('>').expect("an element ends").0;
        let name = inside.split([' ', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some(closed) if open.last() == Some(&closed) => drop(open.pop()),
            Some(closed) => return vec![closed],
            None if inside.ends_with('/') => {}
            None => open.push(name),
        }
    }
    open
}
