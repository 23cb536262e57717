//! Which tests there are: cargo builds the programs, and each program lists its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::{process, say};

/// A test in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    /// The program.
    pub(crate) file: PathBuf,
    /// `scenarios::masq_on_tc::ping_is_answered`: what the program is called here, and the test in it.
    pub(crate) name: String,
}

/// What cargo calls the programs, and what they are called here.
const PROGRAMS: [(&str, &str); 3] =
    [("scenarios", "scenarios"), ("programs", "programs"), ("masq_dataplane", "dataplane")];

/// Builds the test programs and masq itself; gives masq and the programs.
///
/// # Errors
/// They do not build.
pub(crate) fn build(root: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    say::status("Building", "masq and the tests");
    process::run(process::cargo(root).args(["build", "--quiet", "--package", "masq"]))
        .context("masq could not be built")?;
    let output = process::cargo(root)
        .args(["test", "--no-run", "--package", "masq-lab", "--package", "masq-dataplane"])
        .args(["--test", "scenarios", "--test", "programs", "--lib"])
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_QUIET", "false")
        .stdin(Stdio::null())
        .output()
        .context("cargo cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("the tests could not be built:\n{said}");
    }
    let programs = programs(&said).into_iter().map(|file| root.join(file));
    let programs: Vec<PathBuf> = programs.filter(|file| short_name(file).is_some()).collect();
    if programs.len() != PROGRAMS.len() {
        bail!("cargo has built {programs:?}, and not one of each of {PROGRAMS:?}:\n{said}");
    }
    // Cargo puts masq beside the folder of the tests, where they look for it.
    let masq = programs[0].ancestors().nth(2).context("tests lie in a folder")?.join("masq");
    Ok((masq, programs))
}

/// The tests of the programs that are not ignored and have one of these words in their name.
///
/// # Errors
/// A program does not list its tests.
pub(crate) fn list(programs: &[PathBuf], words: &[&str]) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for (_, short) in PROGRAMS.iter().rev() {
        let file = programs.iter().find(|file| short_name(file) == Some(short));
        let file = file.with_context(|| format!("the program {short} is not built"))?;
        let ask = |more: &[&str]| {
            let arguments = [&["--list", "--format", "terse"], more].concat();
            let text = process::output_of(file, &arguments);
            text.with_context(|| format!("{} does not list its tests", file.display()))
        };
        let ignored = ask(&["--ignored"])?;
        let ignored: BTreeSet<&str> = ignored.lines().collect();
        let all = ask(&[])?;
        for name in all.lines().filter(|line| !ignored.contains(line)) {
            let Some(name) = name.strip_suffix(": test") else { continue };
            let name = format!("{short}::{name}");
            if words.iter().any(|word| name.contains(word)) {
                tests.push(Test { file: file.clone(), name });
            }
        }
    }
    Ok(tests)
}

/// The paths in cargo's `Executable tests/scenarios/main.rs (target/debug/deps/scenarios-0123)`.
fn programs(said: &str) -> Vec<&str> {
    let lines = said.lines().filter(|line| line.trim_start().starts_with("Executable "));
    lines.filter_map(|line| line.rsplit_once(" (")?.1.strip_suffix(')')).collect()
}

fn short_name(file: &Path) -> Option<&'static str> {
    let name = file.file_name()?.to_str()?.rsplit_once('-')?.0;
    PROGRAMS.iter().find(|(cargos, _)| *cargos == name).map(|(_, short)| *short)
}

#[cfg(test)]
mod tests_of_tests {
    use super::*;

    #[test]
    fn programs_are_what_cargo_says_that_it_has_built() {
        let said = "   Compiling masq-lab v0.1.0 (/somewhere)\n\
                    \x20 Executable unittests src/lib.rs (target/debug/deps/masq_lab-01)\n\
                    \x20 Executable tests/scenarios/main.rs (target/debug/deps/scenarios-02)\n";
        let found = programs(said);
        assert_eq!(found, ["target/debug/deps/masq_lab-01", "target/debug/deps/scenarios-02"]);
        assert_eq!(short_name(Path::new(found[0])), None);
        assert_eq!(short_name(Path::new(found[1])), Some("scenarios"));
    }
}
