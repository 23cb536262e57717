//! The whole bench in moments, so that it cannot rot: every scenario and subject runs, every packet that
//! arrives is right, and counters prove who carried them. The figures mean nothing.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::process::Command;

#[test]
fn a_moment_of_everything_works() {
    let unavailable = masq_lab::unavailable().or_else(|| match masq_lab::masq_binary() {
        Some(_) => None,
        None => Some("`masq` has not been built".to_owned()),
    });
    if let Some(why) = unavailable {
        assert!(std::env::var_os("MASQ_REQUIRE_NETNS").is_none(), "{why}");
        eprintln!("skipped: {why}");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_masq-bench")).arg("--quick").output();
    let output = output.expect("the bench starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    for subject in ["forward", "nft", "masq-tc", "masq-xdp", "bare-redirect", "drop"] {
        assert!(log.contains(&format!("udp {subject} ")), "{subject} was not measured:\n{log}");
    }
}
