//! The demo, for machines, from beginning to end.

#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::process::Command;

use serde_json::Value;

#[test]
fn it_ends_by_itself_and_the_server_saw_only_the_gateway() {
    if let Some(reason) = masq_lab::unavailable() {
        assert!(std::env::var_os("MASQ_REQUIRE_NETNS").is_none(), "cannot be skipped: {reason}");
        eprintln!("skipped: {reason}");
        return;
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_masq")).args(["demo", "--json"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}{stderr}");
    let lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, steps) = lines.split_last().unwrap();
    assert_eq!(steps.len(), 8);
    assert!(steps.iter().all(|step| step["ok"] == true), "{stdout}");
    assert_eq!(summary["ok"], true);
    let seen: Vec<_> = summary["server_saw"].as_object().unwrap().keys().collect();
    assert_eq!(seen, ["203.0.113.1"]);
    let flows = summary["flows"].as_array().unwrap();
    assert!(flows.iter().all(|flow| flow["inside"]["address"] == "192.168.1.3"), "{summary}");
    assert!(flows.iter().any(|flow| flow["remote"]["port"] == 8888), "{summary}");
}
