//! Running other programs: where they are found, and what is said when one fails.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::requirements::{self, Outcomes};
use crate::say;

/// Folders of system programs that are missing from `PATH` after a plain `su` on Debian.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// The cargo that runs us, so that its `+toolchain` carries over.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root).env("PATH", path());
    command
}

/// `PATH`, completed by the folders of system programs.
pub(crate) fn path() -> OsString {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    for folder in SYSTEM_FOLDERS.map(PathBuf::from) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    // Only a folder with a colon in its name fails, and then the old value is the better one.
    std::env::join_paths(folders).unwrap_or_else(|_| std::env::var_os("PATH").unwrap_or_default())
}

/// Where a program is, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&path()).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether we may install packages.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|ourselves| ourselves.uid() == 0)
}

/// Runs a program whose output the user should see.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a test runner: shows what it prints as it comes, and tells which tests passed.
///
/// The first value says whether all of it succeeded.
pub(crate) fn run_tests(command: &mut Command) -> Result<(bool, Outcomes)> {
    let shown = show(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{shown}` could not be started"))?;
    let mut outcomes = Outcomes::new();
    let output = child.stdout.take().context("the runner's output is piped")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        outcomes.extend(requirements::outcome(&line));
        say::line_of_output(&line);
    }
    Ok((child.wait()?.success(), outcomes))
}

/// Runs a program whose output matters only when it fails: its last lines are then in the error.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{shown}` could not be started"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n    ");
        bail!("`{shown}` failed ({}); its last words were:\n    {last}", output.status);
    }
    Ok(())
}

/// What a program prints, or nothing when it cannot be run or fails.
pub(crate) fn output_of(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_else(|| command.get_program()).to_string_lossy();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    core::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}
