//! `masq detach`: the host is afterwards what it was before the first start, to the last setting.

use core::fmt::Write;
use std::process::Command;

use masq_lab::{
    Daemon, Gateway, Lab, MasqOptions, Result, Running, SOON, Topology, masq_binary, peer,
    wait_until,
};
use rustix::process::Signal;

use super::daemon::daemon;
use super::in_lab;
use super::refused::traces;

#[test]
fn detaching_leaves_nothing_of_the_slow_path() {
    leaves_nothing("off");
}

#[test]
fn detaching_leaves_nothing_of_the_fast_path_on_tc() {
    leaves_nothing("tc");
}

#[test]
fn detaching_leaves_nothing_of_the_fast_path_on_xdp() {
    leaves_nothing("xdp");
}

/// Whatever became of the daemon before.
fn leaves_nothing(mode: &'static str) {
    let Some(binary) = masq_binary() else { return super::skip_without_program() };
    in_lab(&format!("detach::{mode}"), &Topology::new(), |lab| {
        let before = state(lab)?;
        let ends: [fn(&mut Daemon) -> Result<()>; 3] =
            [|_| Ok(()), |daemon| daemon.stop().map(drop), |daemon| daemon.kill().map(drop)];
        for end in ends {
            let config = format!("[fast-path]\nmode = '{mode}'\n");
            let mut gateway = Gateway::masq(lab, &MasqOptions::new(binary.clone()).config(config))?;
            let echo = peer::udp_echo(&lab.server, 7)?;
            let asking = lab.workstation().udp(0)?;
            for _ in 0..3 {
                peer::udp_ask(&asking, echo.address(), b"hello")?;
            }
            assert_ne!(state(lab)?, before, "this looks where a gateway leaves traces");
            let daemon = daemon(&mut gateway);
            end(daemon)?;
            daemon.ask(&["detach"])?;
            daemon.forget_config()?;
            drop(gateway);
            let after = state(lab)?;
            assert!(after == before, "{}", difference(&before, &after));
        }
        lab.outside.check_leaks()
    });
}

/// At whatever point of its start it is told to end: a successor starts as ever, and nothing is left
/// after that.
#[test]
fn a_daemon_that_is_ended_before_it_is_ready_is_in_nobodys_way() {
    let Some(binary) = masq_binary() else { return super::skip_without_program() };
    in_lab("detach::early", &Topology::new(), |lab| {
        let before = state(lab)?;
        let exists = |path: &str| lab.gateway.run(|| std::fs::exists(path).unwrap_or(false));
        let stages: [(&str, &dyn Fn() -> bool); 6] = [
            ("at once", &|| true),
            ("the control socket is there", &|| exists("/run/masq/lab.sock")),
            ("the namespace is noted", &|| exists("/run/masq/lab.state")),
            ("maps are pinned", &|| exists("/run/masq/bpf/lab/MASQ_HEADER")),
            ("the punt port is there", &|| exists("/sys/class/net/masq1-lab")),
            ("a program is attached", &|| {
                lab.gateway.attached_programs("lan").is_ok_and(|programs| programs > 0)
            }),
        ];
        for (stage, is_reached) in stages {
            let mut command = Command::new(&binary);
            command.args(["run", "--instance", "lab", "--inside", "lan", "--outside", "wan"]);
            let mut early = Running::start(lab.gateway.namespace(), command)?;
            wait_until(stage, SOON, || is_reached() || early.ended().is_some())?;
            early.signal(Signal::TERM)?;
            early.wait(SOON)?;

            let mut gateway = Gateway::masq(lab, &MasqOptions::new(binary.clone()))?;
            let echo = peer::udp_echo(&lab.server, 7)?;
            peer::udp_ask(&lab.workstation().udp(0)?, echo.address(), b"hello")?;
            daemon(&mut gateway).ask(&["detach"])?;
            drop(gateway);
            let after = state(lab)?;
            assert!(after == before, "{stage}:\n{}", difference(&before, &after));
        }
        lab.outside.check_leaks()
    });
}

/// A file system that masq mounts for its pins goes with the last instance; one that it found stays.
/// Where mounts last is decided by who else is there: in a container of its own, masq may mount.
#[test]
fn the_mount_that_masq_made_goes_with_the_last_instance() {
    let Some(binary) = masq_binary() else { return super::skip_without_program() };
    in_lab("detach::mount", &Topology::new(), |lab| {
        lab.gateway.program("umount", &["/run/masq/bpf"])?;
        lab.gateway.program("rmdir", &["/run/masq/bpf", "/run/masq"])?;
        let before = state(lab)?;
        let script = include_str!("detach.sh");
        let container = ["--mount", "--pid", "--fork", "--mount-proc", "sh", "-eu", "-c", script];
        let program = binary.to_string_lossy();
        let arguments = [&container[..], &["sh", &program]].concat();
        let said = lab.gateway.program("unshare", &arguments)?;
        assert!(said.ends_with("nothing is left\n"), "{said}");
        let after = state(lab)?;
        assert!(after == before, "{}", difference(&before, &after));
        Ok(())
    });
}

/// Everything on the gateway that a program could have changed.
fn state(lab: &Lab) -> Result<String> {
    let mut text = traces(lab)?;
    let gateway = &lab.gateway;
    // Details show XDP programs, queueing disciplines, promiscuous mode, and limits of offloads.
    text += &gateway.program("ip", &["-d", "link"])?;
    text += &gateway.program("tc", &["qdisc"])?;
    for interface in ["lan", "wan"] {
        let programs = gateway.attached_programs(interface)?;
        let _ = writeln!(text, "{programs} programs on {interface}");
        text += &gateway.program("ethtool", &["-k", interface])?;
    }
    text += &gateway.program("cat", &["/proc/self/mountinfo"])?;
    // Settings that cannot be read, or hold a count, are nobody's choice.
    let settings = "find /proc/sys/net -type f ! -name '*_count' ! -name stable_secret -readable \
         | LC_ALL=C sort | xargs grep -s ''; true";
    text += &gateway.program("sh", &["-c", settings])?;
    Ok(text)
}

/// The lines of which there is only one.
fn difference(before: &str, after: &str) -> String {
    let mut text = String::new();
    for (sign, here, there) in [('-', before, after), ('+', after, before)] {
        for line in here.lines().filter(|line| there.lines().all(|other| other != *line)) {
            let _ = writeln!(text, "{sign} {line}");
        }
    }
    text
}
