//! The program as scripts see it: exit codes, what goes to standard output, what to standard error.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How it ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_masq"));
    command.args(arguments).env_remove("MASQ_INSTANCE").env_remove("MASQ_SOCKET");
    command
}

fn masq(arguments: &[&str]) -> Ended {
    let output = command(arguments).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file of this test's own.
fn file(name: &str, text: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const USABLE: &str = "[[outside]]\ninterface = 'eth0'\n[[inside]]\ninterface = 'eth1'\n";

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [&["flow"][..], &[], &["run", "--insid", "eth0"], &["stats", "--watch=1ms"]] {
        let ended = masq(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty());
    }
    assert!(masq(&["flow"]).stderr.contains("flows"), "the nearest command is named");
}

#[test]
fn help_and_version_are_0() {
    let help = masq(&["--help"]);
    assert_eq!(help.code, Some(0));
    for word in [
        "run",
        "flows",
        "mappings",
        "stats",
        "check",
        "reload",
        "doctor",
        "instances",
        "demo",
        "detach",
    ] {
        assert!(help.stdout.contains(&format!("\n  {word} ")), "{word} is not in the help");
    }
    assert!(help.stdout.contains("Exit codes:"));
    assert_eq!(masq(&["--version"]).stdout, concat!("masq ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn without_a_daemon_every_question_is_1_and_says_how_to_start_one() {
    for question in ["flows", "mappings", "stats", "status", "reload"] {
        let ended = masq(&[question, "--socket", "/nonexistent/masq.sock"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{question}");
        assert!(ended.stderr.starts_with("masq: masq is not running"), "{}", ended.stderr);
        assert!(ended.stderr.contains("masq run --inside IF --outside IF"));
    }
}

#[test]
fn check_says_whether_a_file_can_be_used() {
    let path = file("usable", USABLE);
    let ended = masq(&["check", &path]);
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("{path} can be used\n")));

    let path = file("mistyped", &format!("{USABLE}[nat]\nfilterng = 'x'\n"));
    let ended = masq(&["check", &path]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let expected = format!("masq: {path}:6:1: unknown key `filterng`");
    assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
    assert!(ended.stderr.ends_with("= did you mean `filtering`?\n"), "{}", ended.stderr);

    let ended = masq(&["check", "/nonexistent.toml"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot read /nonexistent.toml"), "{}", ended.stderr);
}

#[test]
fn check_speaks_json() {
    let path = file("short", &format!("{USABLE}[timeouts]\nudp = 10\n"));
    let ended = masq(&["check", "--json", &path]);
    assert_eq!(ended.code, Some(0));
    let verdict: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(verdict["usable"], true);
    assert_eq!(verdict["problems"][0]["severity"], "warning");
    assert_eq!(verdict["problems"][0]["line"], 6);
}

#[test]
fn the_sample_is_printed_and_can_be_used() {
    let ended = masq(&["check", "--sample"]);
    assert_eq!(ended.code, Some(0));
    let path = file("sample", &ended.stdout);
    assert_eq!(masq(&["check", &path]).code, Some(0));
}

#[test]
fn a_run_that_makes_no_sense_fails_before_it_touches_anything() {
    let same = masq(&["run", "--inside", "eth0", "--outside", "eth0"]);
    assert_eq!(same.code, Some(1));
    assert!(same.stderr.contains("`eth0` is both inside and outside"), "{}", same.stderr);
    let path = file("contradiction", &format!("{USABLE}[limits]\nhosts = 0\n"));
    let zero = masq(&["run", "--config", &path]);
    assert_eq!(zero.code, Some(1));
    assert!(zero.stderr.contains(":6:9: `hosts` is zero"), "{}", zero.stderr);
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = masq(&["completions", shell]);
        assert_eq!(ended.code, Some(0));
        for word in ["mappings", "instances"] {
            assert!(ended.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(masq(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn a_reader_that_goes_away_is_success() {
    let mut child = command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
