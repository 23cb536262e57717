//! The bench in moments, so that it cannot rot: subjects run, every packet that arrives is right, and
//! counters prove who carried them. The figures mean nothing.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::process::Command;

#[test]
fn a_moment_of_packets_connections_and_trouble_works() {
    for (filter, subjects) in [
        (
            "udp",
            &["forward", "nft", "masq-tc", "masq-xdp", "bare-tc-redirect", "bare-redirect", "drop"]
                [..],
        ),
        ("insides", &["forward", "masq-tc", "masq-xdp"]),
        ("connect", &["forward", "nft", "masq-tc"]),
        ("exhausted", &["nft", "masq-tc", "masq-xdp"]),
        ("apply", &["masq-tc", "masq-xdp"]),
    ] {
        let Some(log) = run(&["--quick", filter]) else { return };
        for subject in subjects {
            assert!(log.contains(&format!(" {subject} ")), "{subject} was not measured:\n{log}");
        }
    }
}

#[test]
#[ignore = "takes the better part of a minute"]
fn a_moment_of_everything_works() {
    run(&["--quick"]);
}

/// What the bench said on its way; nothing where it cannot run.
fn run(arguments: &[&str]) -> Option<String> {
    let unavailable = masq_lab::unavailable().or_else(|| match masq_lab::masq_binary() {
        Some(_) => None,
        None => Some("`masq` has not been built".to_owned()),
    });
    if let Some(why) = unavailable {
        assert!(std::env::var_os("MASQ_REQUIRE_NETNS").is_none(), "{why}");
        eprintln!("skipped: {why}");
        return None;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_masq-bench")).args(arguments).output();
    let output = output.expect("the bench starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    Some(log.into_owned())
}
