//! What a daemon refuses: one clear message each, no success, and nothing left behind.

use std::fs;
use std::os::unix::net::UnixListener;

use masq_lab::{Lab, Output, Result, masq_binary, peer};

use super::bulk::last_peer;
use super::daemon::{daemon, in_masq_lab, play};

#[test]
fn what_cannot_start_says_why_and_leaves_nothing() {
    let config = "/run/wrong.toml";
    let cases = [
        ("unknown interface", "", &["--inside", "lan", "--outside", "nosuch"][..], "nosuch"),
        ("one interface for both", "", &["--inside", "wan", "--outside", "wan"], "wan"),
        ("malformed file", "[nat\n", &["--config", config], "wrong.toml:1"),
        ("unknown key", "[nat]\nmaping = 'x'\n", &["--config", config], "mapping"),
        ("no outside", "[[inside]]\ninterface = 'lan'\n", &["--config", config], "outside"),
        ("no hosts", "[limits]\nhosts = 0\n", &["--config", config], "hosts"),
        ("the same on both sides", BOTH_SIDES, &["--config", config], "`lan` is both"),
        ("missing file", "", &["--config", "/run/nosuch.toml"], "/run/nosuch.toml"),
        ("bad name", "", &["--instance", "../x", "--inside", "lan", "--outside", "wan"], "../x"),
    ];
    in_masq_lab("what_cannot_start", |lab, program| {
        let before = traces(lab)?;
        for (what, text, arguments, expected) in cases {
            lab.gateway.run(|| fs::write(config, text)).unwrap();
            let all = [&["run"], arguments].concat();
            refused(what, &lab.gateway.try_program(program, &all)?, expected);
            lab.gateway.run(|| fs::remove_file(config)).unwrap();
            assert_eq!(traces(lab)?, before, "{what}");
        }
        Ok(())
    });
}

#[test]
fn without_permission_it_says_so() {
    in_masq_lab("without_permission", |lab, program| {
        let before = traces(lab)?;
        let run = ["run", "--inside", "lan", "--outside", "wan"];
        let without = ["--bounding-set", "-all", "--inh-caps", "-all", "--", program];
        let output = lab.gateway.try_program("setpriv", &[&without[..], &run].concat())?;
        refused("no capabilities", &output, "root");
        assert_eq!(traces(lab)?, before);

        // Root in a container of his own, who has every capability but none that counts.
        let mapped = ["--user", "--map-root-user", "--", program];
        let output = lab.gateway.try_program("unshare", &[&mapped[..], &run].concat())?;
        refused("user namespace", &output, "run masq as root");
        assert_eq!(traces(lab)?, before);
        Ok(())
    });
}

#[test]
fn without_locked_memory_it_says_so() {
    // The packet memory is what is asked for last, when nearly everything is in place.
    in_masq_lab("without_locked_memory", |lab, program| {
        let before = traces(lab)?;
        let without = ["--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock", "--"];
        let limited = ["prlimit", "--memlock=1000000", "--", program];
        let run = ["run", "--inside", "lan", "--outside", "wan"];
        let all = [&without[..], &limited, &run].concat();
        let output = lab.gateway.try_program("setpriv", &all)?;
        refused("little memory", &output, "LimitMEMLOCK");
        assert_eq!(traces(lab)?, before);
        Ok(())
    });
}

#[test]
fn a_private_mount_namespace_without_a_bpffs_is_refused() {
    in_masq_lab("private_mounts", |lab, program| {
        lab.gateway.program("umount", &["/run/masq/bpf"])?;
        let before = traces(lab)?;
        let run = ["run", "--inside", "lan", "--outside", "wan"];
        let output = lab.gateway.try_program(program, &run)?;
        refused("no bpffs", &output, "mount -t bpf");
        assert_eq!(traces(lab)?, before);

        // On a machine where masq never ran, not even a directory is left.
        lab.gateway.program("rmdir", &["/run/masq/bpf", "/run/masq"])?;
        let before = traces(lab)?;
        let output = lab.gateway.try_program(program, &run)?;
        refused("nothing at all", &output, "mkdir -p");
        assert_eq!(traces(lab)?, before);
        Ok(())
    });
}

#[test]
fn a_second_instance_on_the_same_interface_is_refused() {
    play("second_instance", None, |lab, gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut session = peer::Shell::open(lab.workstation(), shell.address())?;
        let before = traces(lab)?;
        let program = masq_binary().unwrap();
        let program = program.to_string_lossy();
        for name in ["other", "lab"] {
            let run = ["run", "--instance", name, "--inside", "lan", "--outside", "wan"];
            refused(name, &lab.gateway.try_program(&program, &run)?, "lab");
            assert_eq!(traces(lab)?, before, "{name}");
        }
        session.say("the first one goes on")?;
        assert!(gateway.flows()?.contains("22"));
        Ok(())
    });
}

#[test]
fn a_busy_socket_is_refused() {
    in_masq_lab("busy_socket", |lab, program| {
        let run = ["run", "--inside", "lan", "--outside", "wan"];
        let socket = "/run/masq/default.sock";
        let stranger = lab.gateway.run(|| UnixListener::bind(socket)).unwrap();
        let before = traces(lab)?;
        refused("a stranger's socket", &lab.gateway.try_program(program, &run)?, socket);
        assert_eq!(traces(lab)?, before, "a stranger's socket");
        drop(stranger);

        lab.gateway.run(|| fs::remove_file(socket).and_then(|()| fs::write(socket, ""))).unwrap();
        refused("a file", &lab.gateway.try_program(program, &run)?, "not a socket");
        assert_eq!(traces(lab)?, before, "a file");
        Ok(())
    });
}

#[test]
fn a_wrong_file_changes_nothing_when_it_is_reloaded() {
    let config = "[nat]\nfiltering = 'endpoint-independent'\n";
    play("wrong_reload", Some(config), |lab, gateway| {
        let echo = peer::udp_echo(&lab.server, 7)?;
        let socket = lab.workstation().udp(0)?;
        peer::udp_ask(&socket, echo.address(), b"before")?;
        let port = last_peer(&echo);
        let daemon = daemon(gateway);
        let before = (traces(lab)?, daemon.ask(&["status", "--json"])?);
        let cases = [
            ("malformed", "[nat\n", ":1:"),
            ("unknown value", "[nat]\nfiltering = 'sometimes'\n", "filtering"),
            ("contradictory", "[limits]\nhosts = 0\n", "hosts"),
        ];
        for (what, text, expected) in cases {
            daemon.write_config(text)?;
            for command in [&["reload"][..], &["reload", "--dry-run"]] {
                refused(what, &daemon.try_ask(command)?, expected);
            }
            peer::udp_ask(&socket, echo.address(), b"as ever")?;
            assert_eq!(last_peer(&echo), port, "the mapping stays");
            lab.second.udp(0)?.send_to(b"hello", port).unwrap();
            assert_eq!(peer::udp_receive(&socket, &mut [0; 16])?.0, 5, "strangers are let in");
            let after = (traces(lab)?, daemon.ask(&["status", "--json"])?);
            let uptime = |text: &str| {
                let lines = text.lines().filter(|line| !line.contains("uptime"));
                lines.collect::<Vec<_>>().join("\n")
            };
            assert_eq!((&after.0, uptime(&after.1)), (&before.0, uptime(&before.1)), "{what}");
        }
        Ok(())
    });
}

/// One clear message that names the matter, and an exit code that is not success.
fn refused(what: &str, output: &Output, expected: &str) {
    assert!(!output.status.success(), "{what} is refused");
    assert!(output.status.code().is_some(), "{what}: {}", output.status);
    assert!(
        output.text().contains(expected),
        "{what}: expected {expected:?} in:\n{}",
        output.text()
    );
    assert!(!output.text().contains("panicked"), "{what}: {}", output.text());
}

/// Everything that a gateway might leave behind on its host.
pub(crate) fn traces(lab: &Lab) -> Result<String> {
    let mut text = String::new();
    for question in [&["-br", "link"][..], &["route", "show", "table", "all"], &["rule"]] {
        text += &lab.gateway.program("ip", question)?;
    }
    for interface in ["lan", "wan"] {
        text += &lab.gateway.program("tc", &["qdisc", "show", "dev", interface])?;
        text += &lab.gateway.program("tc", &["filter", "show", "dev", interface, "ingress"])?;
    }
    for setting in ["ip_forward", "ip_local_reserved_ports", "conf.lan.rp_filter"] {
        text += &format!(
            "{setting}={}\n",
            lab.gateway.namespace().sysctl(&format!("net.ipv4.{setting}"))?
        );
    }
    // The socket that the lab itself hears of readiness through is no trace of masq.
    let files = &["/run", "-mindepth", "1", "!", "-path", "/run/notify"];
    Ok(text + &lab.gateway.program("find", files)?)
}

const BOTH_SIDES: &str = "
    outside = [{ interface = 'wan' }, { interface = 'lan' }]
    inside = [{ interface = 'lan' }]
";
