//! What else is on the host: the kernel's own translation for containers, filters, other instances.

use core::net::{Ipv4Addr, SocketAddrV4};

use masq_lab::{
    Gateway, Host, LATER, Lab, MasqOptions, Result, SOON, Topology, masq_binary, peer, wait_until,
};

use super::daemon::daemon;
use super::{Nat, Scenario, check, in_lab, skip_without_program};

/// A port that the kernel's rules publish for a container is the kernel's, whatever masq would do with
/// it: by TCP and UDP, from the first packet after the rule on, and under a new daemon.
pub(crate) fn published_ports_reach_containers() -> Scenario {
    Scenario::new(Topology::new(), |lab, gateway| {
        let container = container(lab, gateway)?;
        let shell = peer::shell_service(&container, 80)?;
        let echo = peer::udp_echo(&container, 53)?;
        publish(lab, "udp dport { 5353, 6000-6100 } dnat to 172.17.0.2:53")?;
        publish(lab, "tcp dport 8080 dnat to 172.17.0.2:80")?;

        reaches(lab, 8080)?;
        let ask = |port: u16| -> Result<Vec<u8>> {
            let asking = lab.server.udp(0)?;
            peer::udp_ask(&asking, SocketAddrV4::new(lab.outside_address(), port), b"hello")
        };
        assert_eq!(ask(5353)?, b"hello");
        assert_eq!(ask(6050)?, b"hello");
        // Beside it, what is translated goes on, also from those ports.
        let remote = peer::udp_echo(&lab.second, 7)?;
        for port in [5353, 8080, 40_000] {
            peer::udp_ask(&lab.workstation().udp(port)?, remote.address(), b"hello")?;
        }
        if let Some(daemon) = gateway.daemon_mut() {
            daemon.kill()?;
            daemon.restart()?;
        }
        reaches(lab, 8080)?;
        assert_eq!(ask(6050)?, b"hello");
        assert_eq!(shell.seen_addresses(), [lab.server.address()]);
        assert_eq!(echo.seen_addresses(), [lab.server.address()]);
        Ok(())
    })
}

/// The same with rules of the old iptables, which announces nothing.
#[test]
fn ports_published_by_the_old_iptables_reach_containers() {
    let scenario = Scenario::new(Topology::new(), |lab, gateway| {
        let container = container(lab, gateway)?;
        let _shell = peer::shell_service(&container, 80)?;
        for rule in [
            "-N DOCKER",
            "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
            "-A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
        ] {
            let arguments: Vec<&str> = ["-t", "nat"].into_iter().chain(rule.split(' ')).collect();
            lab.gateway.program("iptables-legacy", &arguments)?;
        }
        reaches(lab, 8080)?;
        lab.gateway.program("iptables-legacy", &["-t", "nat", "-F", "DOCKER"])?;
        lab.gateway.program(
            "iptables-legacy",
            &[
                "-t",
                "nat",
                "-A",
                "DOCKER",
                "-p",
                "tcp",
                "--dport",
                "8081",
                "-j",
                "DNAT",
                "--to-destination",
                "172.17.0.2:80",
            ],
        )?;
        reaches(lab, 8081)
    });
    if !has("iptables-legacy") {
        return super::skip("there is no iptables-legacy (package iptables)");
    }
    check(Nat::MasqOnTc, true, "beside::old_iptables", scenario);
}

/// `masq run` says what is beside it when it starts, and when it comes; each thing once.
#[test]
fn the_daemon_says_what_is_beside_it_once() {
    let Some(binary) = masq_binary() else { return skip_without_program() };
    in_lab("beside::said", &Topology::new(), |lab| {
        let mut gateway = Gateway::masq(lab, &MasqOptions::new(binary.clone()))?;
        let daemon = daemon(&mut gateway);
        assert!(!daemon.log().contains("nftables"), "{}", daemon.log());
        let says = |what: &str| {
            let soon = wait_until(what, SOON, || daemon.log().contains(what));
            soon.unwrap_or_else(|error| panic!("{error}: {}", daemon.log()));
        };
        nft(
            lab,
            "add table inet fw; add chain inet fw forward { type filter hook forward priority 0; }",
        )?;
        says("nftables has chains that forwarded packets do not pass now: inet fw forward");
        nft(
            lab,
            "add table netdev f; add chain netdev f i { type filter hook ingress device wan priority 0; }",
        )?;
        says("nftables has ingress chains where masq takes packets before them: netdev f i on wan");
        nft(
            lab,
            "add table ip n; add chain ip n post { type nat hook postrouting priority 100; }",
        )?;
        says("nftables translates addresses too, in n post");
        nft(
            lab,
            "add chain ip n pre { type nat hook prerouting priority -100; }; add rule ip n pre tcp dport 8080 dnat to 172.17.0.2",
        )?;
        says("nftables translates addresses too, in n pre");
        says("the host's rules give other destinations to tcp 8080: these ports are the host's");
        nft(lab, "add rule ip n pre ip daddr 203.0.113.9 dnat to 172.17.0.2")?;
        says("rules in n pre give other destinations to packets without naming their ports");
        lab.gateway.ip(&["xfrm policy add src 10.0.0.0/8 dst 192.0.2.0/24 dir out"])?;
        says("there are IPsec policies");
        lab.gateway.ip(&["link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0"])?;
        says("the kernel translates for docker0 (172.17.0.0/16)");
        // What has been said is not said again when it is made anew.
        nft(
            lab,
            "delete table inet fw; add table inet fw; add chain inet fw forward { type filter hook forward priority 0; }",
        )?;
        nft(lab, "add chain inet fw later { type filter hook postrouting priority 0; }")?;
        says("inet fw later");
        let said = |log: &str, what: &str| log.matches(what).count();
        assert_eq!(said(&daemon.log(), "inet fw forward"), 1, "{}", daemon.log());

        daemon.stop()?;
        daemon.restart()?;
        let log = daemon.log();
        assert_eq!(said(&log, "inet fw forward"), 2, "a new daemon says it all: {log}");
        assert_eq!(said(&log, "there are IPsec policies"), 2, "{log}");
        let doctor = daemon.ask(&["doctor", "--inside", "lan", "--outside", "wan"])?;
        // All at once, as doctor says it.
        let second = log.split("stopped;").nth(1).unwrap_or_default();
        assert!(second.contains(" WARN "), "{log}");
        for line in second.lines().filter(|line| line.contains(" WARN ")) {
            let said = line.split(" WARN ").nth(1).unwrap_or_default().trim();
            let found = said.split(": ").next().unwrap_or_default();
            assert!(doctor.contains(found), "the same words: {said}\n{doctor}");
        }
        Ok(())
    });
}

/// Whether they run or not, and from wherever one looks; nobody ends one from another namespace by
/// the way.
#[test]
fn instances_are_listed_until_they_are_detached_where_they_live() {
    let Some(binary) = masq_binary() else { return skip_without_program() };
    in_lab("beside::instances", &Topology::new(), |lab| {
        let mut gateway = Gateway::masq(lab, &MasqOptions::new(binary.clone()))?;
        let echo = peer::udp_echo(&lab.server, 7)?;
        peer::udp_ask(&lab.workstation().udp(0)?, echo.address(), b"hello")?;
        let program = binary.to_string_lossy();
        let elsewhere = |arguments: &[&str]| {
            let all = [&["netns", "exec", "side", &program], arguments].concat();
            lab.gateway.try_program("ip", &all)
        };
        let list = |output: &str| serde_json::from_str::<serde_json::Value>(output).unwrap();
        lab.gateway.program("ip", &["netns", "add", "side"])?;
        let daemon = daemon(&mut gateway);
        let process = daemon.process().expect("it runs").pid();

        let here = list(&daemon.ask(&["instances", "--json"])?);
        assert_eq!(here[0]["instance"], "lab", "{here:#}");
        assert_eq!(here[0]["pid"], process.as_raw_nonzero().get(), "{here:#}");
        assert_eq!(here[0]["namespace"]["place"], "here", "{here:#}");
        assert_eq!(here[0]["interfaces"], serde_json::json!(["lan", "wan"]), "{here:#}");
        let there = list(&elsewhere(&["instances", "--json"])?.stdout);
        assert_eq!(there[0]["namespace"]["place"], "elsewhere", "{there:#}");
        assert_eq!(there[0]["namespace"]["inode"], here[0]["namespace"]["inode"]);
        let remedy = there[0]["remove"].as_str().unwrap_or_default();
        assert!(remedy.starts_with("nsenter --net=/proc/"), "{remedy}");

        let refused = elsewhere(&["detach", "--instance", "lab"])?;
        assert!(!refused.status.success() && refused.text().contains(remedy), "{}", refused.text());
        peer::udp_ask(&lab.workstation().udp(0)?, echo.address(), b"still there?")?;

        daemon.kill()?;
        let left = list(&daemon.ask(&["instances", "--json"])?);
        assert_eq!(left[0]["pid"], serde_json::Value::Null, "{left:#}");
        assert!(left[0]["sessions"].as_u64() >= Some(2), "{left:#}");
        assert_eq!(left[0]["interfaces"], here[0]["interfaces"], "{left:#}");
        assert!(daemon.ask(&["instances"])?.contains("not running"));
        daemon.ask(&["detach"])?;
        assert_eq!(daemon.ask(&["instances"])?, "no masq instance on this host\n");
        lab.outside.check_leaks()
    });
}

/// The page's commands are run as they stand there, one block after the other, beside a gateway.
#[test]
fn every_command_of_the_page_does_what_it_says() {
    let Some(binary) = masq_binary() else { return skip_without_program() };
    in_lab("beside::page", &Topology::new(), |lab| {
        let _gateway = Gateway::masq(lab, &MasqOptions::new(binary.clone()))?;
        let page = include_str!("../../../../docs/beside.md");
        let blocks: Vec<&str> =
            page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(blocks.len() > 3, "the page has commands");
        let folder = binary.parent().unwrap_or(&binary).display().to_string();
        for block in blocks {
            let script =
                format!("set -eu; PATH={folder}:$PATH; export MASQ_INSTANCE=lab; cd /run\n{block}");
            let said = lab.gateway.try_program("sh", &["-c", &script])?;
            assert!(said.status.success(), "{block}\n{}", said.text());
            // What a comment says that a command prints, it prints.
            for line in block.lines().filter_map(|line| line.strip_prefix("# ")) {
                assert!(said.text().contains(line), "{block}\n{}", said.text());
            }
        }
        lab.outside.check_leaks()
    });
}

/// A container behind the gateway's docker0, at 172.17.0.2, with rules as Docker makes them.
fn container(lab: &Lab, gateway: &Gateway) -> Result<Host> {
    let container = Host::new("container", Ipv4Addr::new(172, 17, 0, 2))?;
    lab.gateway.ip(&[
        "link add docker0 type bridge".to_owned(),
        "addr add 172.17.0.1/16 dev docker0".to_owned(),
        "link set docker0 up".to_owned(),
        format!(
            "link add veth0 type veth peer name eth0 netns {}",
            container.namespace().path().display()
        ),
        "link set veth0 master docker0 up".to_owned(),
    ])?;
    container.ip(&[
        "link set lo up",
        "link set eth0 up",
        "addr add 172.17.0.2/16 dev eth0",
        "route add default via 172.17.0.1",
    ])?;
    lab.gateway.namespace().set_sysctl("net.ipv4.ip_forward", "1")?;
    nft(
        lab,
        "add table ip docker; add chain ip docker post { type nat hook postrouting priority 100; }; \
              add rule ip docker post ip saddr 172.17.0.0/16 oifname != docker0 masquerade; \
              add chain ip docker pre { type nat hook prerouting priority -100; }; \
              add chain ip docker published; \
              add rule ip docker pre fib daddr type local jump published",
    )?;
    if !gateway.is_masq() {
        // Or the oracle's own filter drops them.
        nft(lab, "insert rule ip oracle forward ct status dnat accept")?;
    }
    Ok(container)
}

fn publish(lab: &Lab, rule: &str) -> Result<()> {
    nft(lab, &format!("add rule ip docker published {rule}"))
}

/// Whether a stranger reaches the service behind a port of the gateway, soon.
fn reaches(lab: &Lab, port: u16) -> Result<()> {
    let address = SocketAddrV4::new(lab.outside_address(), port);
    wait_until(format!("port {port} is open"), LATER, || {
        lab.server.connect_within(address, super::datagrams::PROMPT).is_ok()
    })?;
    let seen = peer::Shell::open(&lab.server, address)?.say("hello")?;
    assert!(seen.contains("you are 203.0.113.178:"), "{seen}");
    Ok(())
}

fn nft(lab: &Lab, line: &str) -> Result<()> {
    lab.gateway.program("nft", &[line]).map(drop)
}

fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).exists())
}
