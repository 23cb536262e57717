//! The ground that labs stand on: namespaces, capture, waiting, programs.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use core::time::Duration;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::{env, fs};

use masq_lab::{Lab, Namespace, Running, SOON, Topology, peer, unavailable, wait_until};

#[test]
fn a_lab_shows_nothing_to_the_namespace_that_built_it() {
    let Some(lab) = lab() else { return };
    let interfaces = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    for name in ["gw-lan", "gw-wan", "lan-switch", "access"] {
        assert!(!interfaces.contains(name), "{interfaces}");
    }
    // What the gateway has in its /run is in no other.
    lab.gateway.run(|| fs::write("/run/masq-lab-test", "here")).unwrap();
    assert!(fs::metadata("/run/masq-lab-test").is_err());
}

#[test]
fn a_socket_stays_where_it_was_opened() {
    let Some(lab) = lab() else { return };
    let shell = peer::shell_service(&lab.gateway, 22).unwrap();
    let mut session = peer::Shell::open(lab.workstation(), shell.address()).unwrap();
    assert!(session.say("from here").unwrap().contains("you are 192.168.1.3:"));
}

#[test]
fn every_way_in_leads_to_its_host() {
    let Some(lab) = lab() else { return };
    for (name, command) in lab.ways_in() {
        let host = lab.hosts().find(|host| host.name() == name).unwrap();
        let script = format!("{command} ip -o -4 addr");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!(" {}", host.address())), "{name}: {script}: {text}");
    }
}

#[test]
fn a_dropped_program_is_killed_and_one_that_hangs_is_reported() {
    if skip() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    let mut command = Command::new("/bin/sleep");
    command.arg("1000");
    let mut sleeper = Running::start(&namespace, command).unwrap();
    let pid = sleeper.pid().as_raw_nonzero();
    assert!(sleeper.wait(Duration::from_millis(10)).is_err());
    assert_eq!(sleeper.ended(), None);
    drop(sleeper);
    wait_until("the process is gone", SOON, || fs::metadata(format!("/proc/{pid}")).is_err())
        .unwrap();
}

#[test]
fn a_program_dies_with_the_process_that_started_it() {
    // This test runs itself as a child, which is then killed as a user would kill it.
    const CHILD: &str = "MASQ_LAB_TEST_CHILD";
    if skip() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    let mut sleep = Command::new("/bin/sleep");
    sleep.arg("1000");
    if let Some(report) = env::var_os(CHILD) {
        let running = Running::start(&namespace, sleep).unwrap();
        fs::write(report, running.pid().to_string()).unwrap();
        // Until it is killed.
        std::thread::park();
    }
    let report = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("child.pid");
    let _ = fs::remove_file(&report);
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_program_dies_with_the_process_that_started_it"])
        .env(CHILD, &report)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = || fs::read_to_string(&report).ok().filter(|pid| !pid.is_empty());
    let found = wait_until("the child has started a program", SOON, || pid().is_some());
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    found.unwrap();
    let status = format!("/proc/{}/status", pid().unwrap());
    wait_until("the program is dead", SOON, || {
        // Whoever adopts it may take its time to bury it.
        fs::read_to_string(&status).map_or(true, |status| status.contains("State:\tZ"))
    })
    .unwrap();
}

#[test]
fn packets_are_kept_for_people_and_for_wireshark() {
    let Some(lab) = lab() else { return };
    peer::ping(&lab.server, lab.outside_address(), &["-c1"]).unwrap();
    let echo = lab.outside.packets(|packet| packet.ethertype == 0x0800);
    assert_eq!(echo.iter().map(|packet| packet.incoming).collect::<Vec<_>>(), [false, true]);
    assert!(lab.outside.tail(9).contains("203.0.113.178 > 203.0.113.1 ICMP 8/0 length 84"));
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kept.pcap");
    lab.outside.write_pcap(&file).unwrap();
    assert!(fs::metadata(&file).unwrap().len() > 2 * 84);
    lab.outside.check_leaks().unwrap();
}

fn lab() -> Option<Lab> {
    (!skip()).then(|| Topology::new().build().unwrap())
}

fn skip() -> bool {
    let Some(reason) = unavailable() else { return false };
    assert!(env::var_os("MASQ_REQUIRE_NETNS").is_none(), "cannot be skipped here: {reason}");
    eprintln!("skipped: {reason}");
    true
}
