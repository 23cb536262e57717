//! `requirements`: the page that says which demand of which RFC holds, and which test shows it.
//!
//! ```text
//!   docs/requirements.toml   what is demanded, and the prefix of the tests that show it
//!            +
//!   what the tests printed   `test tests::rfc4787::rfc4787_req_5_… ... ok`
//!            ▼
//!   docs/requirements.md     generated; `cargo xtask test` fails when it is out of date
//! ```

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{process, say};

const LIST: &str = "docs/requirements.toml";
const PAGE: &str = "docs/requirements.md";

/// Name of each test that ran, without its module, and whether it passed.
pub(crate) type Outcomes = BTreeMap<String, bool>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    rfc: Vec<Rfc>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rfc {
    number: u16,
    title: String,
    req: Vec<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Requirement {
    id: String,
    level: String,
    text: String,
    test: Option<String>,
    not_applicable: Option<String>,
}

/// Runs the requirement tests and writes the page anew.
///
/// # Errors
/// When the list cannot be read, or the tests cannot be built.
pub(crate) fn run(root: &Path) -> Result<()> {
    let (_, outcomes) = process::run_tests(process::cargo(root).args([
        "test",
        "--quiet",
        "--workspace",
        "--no-fail-fast",
        "--lib",
        "--",
        "rfc",
        "--format=pretty",
    ]))?;
    let page = render(root, &outcomes)?;
    std::fs::write(root.join(PAGE), page)
        .with_context(|| format!("{PAGE} could not be written"))?;
    say::status("Wrote", PAGE);
    Ok(())
}

/// Compares the page with what the tests have shown.
///
/// # Errors
/// When the page is not what the list and the outcomes make of it.
pub(crate) fn check(root: &Path, outcomes: &Outcomes) -> Result<()> {
    let page = render(root, outcomes)?;
    let written = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    if page != written {
        bail!("{PAGE} is out of date; write it anew with `cargo xtask requirements`");
    }
    say::status("Checked", PAGE);
    Ok(())
}

/// The outcome that a line of the test runner reports, if it does.
pub(crate) fn outcome(line: &str) -> Option<(String, bool)> {
    let (path, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = path.rsplit("::").next()?;
    match result.split_whitespace().next()? {
        "ok" => Some((name.to_owned(), true)),
        "FAILED" => Some((name.to_owned(), false)),
        _ => None,
    }
}

fn render(root: &Path, outcomes: &Outcomes) -> Result<String> {
    let text = std::fs::read_to_string(root.join(LIST))
        .with_context(|| format!("{LIST} could not be read"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("{LIST} is malformed"))?;
    refuse_orphans(&list, outcomes)?;
    let sources = sources(&root.join("crates"))?;

    let mut tables = String::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for rfc in &list.rfc {
        writeln!(tables, "\n## RFC {}: {}\n", rfc.number, rfc.title)?;
        writeln!(tables, "| | level | requirement | holds | shown by |\n|---|---|---|---|---|")?;
        for requirement in &rfc.req {
            let (verdict, shown) = judge(root, requirement, outcomes, &sources);
            *counts.entry(verdict).or_default() += 1;
            let Requirement { id, level, text, .. } = requirement;
            writeln!(tables, "| {id} | {level} | {text} | {verdict} | {shown} |")?;
        }
    }
    let counts: Vec<String> =
        counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    Ok(format!(
        "# What the RFCs demand, and what holds\n\n\
         Written by `cargo xtask requirements` from [requirements.toml](requirements.toml) and the results of the\n\
         tests named here. Do not edit. `cargo xtask test` fails when it is out of date.\n\n\
         In all: {}.\n{tables}",
        counts.join(", ")
    ))
}

fn judge(
    root: &Path,
    requirement: &Requirement,
    outcomes: &Outcomes,
    sources: &[(PathBuf, String)],
) -> (&'static str, String) {
    if let Some(reason) = &requirement.not_applicable {
        return ("not applicable", reason.clone());
    }
    let Some(prefix) = &requirement.test else {
        return ("fail", "no test is named".to_owned());
    };
    let tests: Vec<(&String, &bool)> =
        outcomes.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    if tests.is_empty() {
        return ("fail", format!("no test begins with `{prefix}`"));
    }
    let verdict = if tests.iter().all(|(_, passed)| **passed) { "pass" } else { "fail" };
    let shown: Vec<String> = tests
        .iter()
        .map(|(name, _)| {
            let declaration = format!("fn {name}(");
            match sources.iter().find(|(_, text)| text.contains(&declaration)) {
                Some((file, _)) => {
                    let file = file.strip_prefix(root).unwrap_or(file);
                    format!("[{}](../{})", &name[prefix.len()..], file.display())
                }
                None => format!("`{name}`"),
            }
        })
        .collect();
    (verdict, shown.join(", "))
}

/// A test that claims a requirement which the list does not have is a slip in one of the two.
fn refuse_orphans(list: &List, outcomes: &Outcomes) -> Result<()> {
    let prefixes: Vec<&str> = list
        .rfc
        .iter()
        .flat_map(|rfc| &rfc.req)
        .filter_map(|requirement| requirement.test.as_deref())
        .collect();
    for name in outcomes.keys() {
        let claims = list.rfc.iter().any(|rfc| name.starts_with(&format!("rfc{}_", rfc.number)));
        if claims && !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            bail!("the test `{name}` is named after a requirement that {LIST} does not have");
        }
    }
    Ok(())
}

/// Every Rust file below `folder`, with its text.
fn sources(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text =
                    std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                found.push((path, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_from_the_runners_line() {
        assert_eq!(outcome("test tests::a::rfc1_x ... ok"), Some(("rfc1_x".to_owned(), true)));
        assert_eq!(outcome("test rfc1_x ... FAILED"), Some(("rfc1_x".to_owned(), false)));
        assert_eq!(outcome("test rfc1_x ... ignored"), None);
        assert_eq!(outcome("running 3 tests"), None);
    }

    #[test]
    fn a_test_of_an_unknown_requirement_is_refused() {
        let list = List { rfc: vec![Rfc { number: 1, title: String::new(), req: Vec::new() }] };
        let outcomes = Outcomes::from([("rfc1_req_9_x".to_owned(), true)]);
        assert!(refuse_orphans(&list, &outcomes).is_err());
    }

    #[test]
    fn a_requirement_without_a_test_fails() {
        let requirement = Requirement {
            id: "REQ-1".to_owned(),
            level: "MUST".to_owned(),
            text: String::new(),
            test: Some("rfc1_req_1_".to_owned()),
            not_applicable: None,
        };
        let others = Outcomes::from([("rfc1_req_12_x".to_owned(), true)]);
        assert_eq!(judge(Path::new("/"), &requirement, &others, &[]).0, "fail");
    }
}
