//! Whether this host can run masq, and what somebody should know who does.
//!
//! Each check looks at one thing, changes nothing, and says what to do.

use core::fmt;

use masq_core::Realm;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::CapabilitySet;

use crate::attach::Pins;
use crate::beside::{Finding, Outlook, Seen};
use crate::fast_path::{Carrier, Served, Surveyor, Verdicts, Way, Why};
use crate::netlink::Netlink;
use crate::options::{Configuration, Options, Port};
use crate::punt::PACKET_MAX;
use crate::routes::Mirror;
use crate::{attach, bpffs, control, sysctl};

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What: `kernel`, `bpffs`, `forwarding` …
    pub name: &'static str,
    /// How it is.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How a check ended, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// masq works, but somebody should know.
    Warning,
    /// masq cannot work like this.
    Failure,
}

/// Looks at the host; with a configuration also at the interfaces that it names.
pub fn doctor(options: &Options, configuration: Option<&dyn Configuration>) -> Vec<Check> {
    let mut checks = vec![
        kernel(),
        permission(),
        attachment(),
        af_xdp(),
        bpf_file_system(options),
        jit(),
        type_information(),
    ];
    let mirror = Netlink::open().and_then(|mut netlink| netlink.picture());
    match &mirror {
        Ok(mirror) => {
            if let Some(configuration) = configuration {
                checks.extend(interfaces(configuration, mirror));
                checks.extend(fast_path(options, configuration, mirror));
            }
            checks.push(ipv6(configuration, mirror));
            checks.extend(other_rules(configuration, mirror));
        }
        Err(error) => checks.push(failure("network", control::Chain(error), "run it as root")),
    }
    checks.push(forwarding());
    checks
}

fn kernel() -> Check {
    judge_kernel(&rustix::system::uname().release().to_string_lossy())
}

/// What was run is known; what else would do is not.
fn judge_kernel(release: &str) -> Check {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|text| text.parse().ok());
    let version: Option<(u32, u32)> = numbers.next().flatten().zip(numbers.next().flatten());
    let run = KERNELS_RUN.map(|(major, minor)| format!("{major}.{minor}")).join(", ");
    let [oldest, ..] = KERNELS_RUN;
    if version.is_some_and(|version| version >= oldest) {
        return ok("kernel", format!("Linux {release}; masq was run on {run}"));
    }
    warning(
        "kernel",
        format!(
            "Linux {release}, and masq was run on nothing older than {}.{}",
            oldest.0, oldest.1
        ),
        format!("a kernel that masq was run on is certain: {run}"),
    )
}

fn permission() -> Check {
    let effective = rustix::thread::capabilities(None).map(|sets| sets.effective);
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW | CapabilitySet::SYS_ADMIN;
    match effective {
        Ok(effective) if effective.contains(needed) => ok("permission", "all that is needed"),
        _ => failure(
            "permission",
            "this process may not manage the network",
            "run it as root (CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN)",
        ),
    }
}

fn attachment() -> Check {
    if attach::has_tcx() {
        ok("attachment", "tcx links")
    } else {
        ok("attachment", "clsact filters (Linux 6.6 has tcx links)")
    }
}

fn af_xdp() -> Check {
    match socket(AddressFamily::XDP, SocketType::RAW, None) {
        Ok(_) => ok("af-xdp", "sockets can be opened"),
        Err(rustix::io::Errno::AFNOSUPPORT) => failure(
            "af-xdp",
            "this kernel has no AF_XDP sockets",
            "use a kernel with CONFIG_XDP_SOCKETS=y, as distributions build it",
        ),
        Err(error) => failure("af-xdp", error, "run it as root (CAP_NET_RAW)"),
    }
}

fn bpf_file_system(options: &Options) -> Check {
    let path = options.run.join("bpf");
    if bpffs::is_mounted(&path) {
        ok("bpffs", format!("mounted at {}", path.display()))
    } else if bpffs::in_private_mount_namespace() {
        failure(
            "bpffs",
            format!("{} is not mounted, and this is a private mount namespace", path.display()),
            format!("outside of it: mkdir -p {0} && mount -t bpf bpf {0}", path.display()),
        )
    } else {
        ok("bpffs", format!("masq will mount it at {}", path.display()))
    }
}

fn jit() -> Check {
    match sysctl::read("net/core/bpf_jit_enable").as_deref() {
        Ok("0") => warning(
            "jit",
            "eBPF programs are interpreted, which is slow",
            "sysctl net.core.bpf_jit_enable=1",
        ),
        // A kernel that cannot do without has no such setting, or does not show it here.
        Ok(_) | Err(_) => ok("jit", "eBPF programs are compiled"),
    }
}

fn type_information() -> Check {
    if std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        ok("btf", "the kernel describes its types")
    } else {
        warning(
            "btf",
            "the kernel does not describe its types; masq does without",
            "only tools such as bpftool need a kernel with CONFIG_DEBUG_INFO_BTF=y",
        )
    }
}

fn interfaces(configuration: &dyn Configuration, mirror: &Mirror) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(name) = control::missing(configuration, mirror) {
        let there = control::names(mirror).join(", ");
        checks.push(failure(
            "interface",
            format!("there is no interface {name}"),
            format!("there are: {there}"),
        ));
    }
    let surroundings = control::surroundings(configuration, mirror, [0; 2]);
    checks.extend(surroundings.ports.iter().map(interface));
    for (side, name) in [(Realm::Inside, "inside"), (Realm::Outside, "outside")] {
        if surroundings.ports.iter().all(|port| port.side != side) {
            checks.push(warning(
                "interface",
                format!("no {name} interface is there yet"),
                "masq waits for it",
            ));
        }
    }
    checks
}

fn interface(port: &Port) -> Check {
    let name = &port.name;
    if port.mtu > PACKET_MAX {
        failure(
            "interface",
            format!("{name} has an MTU of {}, and masq takes at most {PACKET_MAX}", port.mtu),
            format!("ip link set {name} mtu {PACKET_MAX}"),
        )
    } else if !port.up {
        warning("interface", format!("{name} is down"), format!("ip link set {name} up"))
    } else if !port.addresses.iter().any(|address| address.address.is_ipv4()) {
        warning(
            "interface",
            format!("{name} has no IPv4 address"),
            "give it one; masq follows addresses as they come and go",
        )
    } else {
        ok("interface", format!("{name} is up"))
    }
}

/// What would carry established sessions, for each pair of interfaces.
fn fast_path(options: &Options, configuration: &dyn Configuration, mirror: &Mirror) -> Vec<Check> {
    let mode = configuration.fast_path();
    let ports = control::surroundings(configuration, mirror, [0; 2]).ports;
    let served: Vec<_> = ports
        .iter()
        .map(|port| Served { index: port.id.0, name: &port.name, side: port.side })
        .collect();
    let pins = Pins::of(&options.run.join("bpf"), &options.instance);
    let facts = Surveyor::new(pins).survey(mirror.links(), &served);
    let check = |Way { from, to, carrier }| {
        let found = format!("{from} → {to}: {carrier}");
        match &carrier {
            Carrier::Tc { interface, why: Why::Foreign { .. } } => warning(
                "fast-path",
                found,
                format!("ip link set dev {interface} xdp off, if nobody needs that program"),
            ),
            Carrier::Engine | Carrier::Tc { .. } | Carrier::Xdp => ok("fast-path", found),
        }
    };
    let verdicts = Verdicts::forecast(mode, &facts, &served);
    verdicts.ways(mode, &served).into_iter().map(check).collect()
}

/// Inside hosts with IPv6 go out untranslated, because masq leaves IPv6 to the kernel.
fn ipv6(configuration: Option<&dyn Configuration>, mirror: &Mirror) -> Check {
    let forwards = sysctl::read("net/ipv6/conf/all/forwarding").is_ok_and(|on| on != "0");
    let inside = |name: &str| {
        configuration.is_none_or(|configuration| configuration.side(name) == Some(Realm::Inside))
    };
    let with_ipv6 = mirror.links().iter().find(|link| {
        !link.loopback
            && inside(&link.name)
            && mirror
                .links()
                .addresses_of(link.index)
                .any(|address| address.local.is_ipv6() && address.global)
    });
    match with_ipv6 {
        Some(link) if forwards => warning(
            "ipv6",
            format!(
                "the kernel forwards IPv6, and {} has an IPv6 network: hosts there are seen \
                 outside with their own addresses",
                link.name
            ),
            "filter IPv6 in the kernel (nft), or: sysctl net.ipv6.conf.all.forwarding=0",
        ),
        Some(_) | None => ok("ipv6", "the kernel forwards no inside host's IPv6"),
    }
}

fn forwarding() -> Check {
    match sysctl::read("net/ipv4/ip_forward").as_deref() {
        Ok("1") => warning(
            "forwarding",
            "the kernel forwards IPv4 too: between interfaces that masq does not serve, and \
             everywhere while masq is not attached",
            "sysctl net.ipv4.ip_forward=0, unless something else needs it",
        ),
        Ok(_) | Err(_) => ok("forwarding", "the kernel forwards nothing by itself"),
    }
}

/// What else filters or translates, in the words that `masq run` has for it too.
fn other_rules(configuration: Option<&dyn Configuration>, mirror: &Mirror) -> Vec<Check> {
    // Without a configuration every interface may be one of masq's.
    let side = |name: &str| configuration.map_or(Some(Realm::Inside), |wanted| wanted.side(name));
    let outlook = Outlook { links: mirror.links(), side: &side };
    let check = |finding: Finding| Check {
        name: finding.name,
        outcome: finding.outcome,
        found: finding.found(),
        remedy: finding.remedy,
    };
    let mut checks: Vec<Check> = Seen::look().findings(&outlook).into_iter().map(check).collect();
    if checks.is_empty() {
        checks.push(ok("netfilter", "no rules that would miss forwarded packets"));
    }
    checks
}

fn ok(name: &'static str, found: impl fmt::Display) -> Check {
    Check { name, outcome: Outcome::Ok, found: found.to_string(), remedy: None }
}

fn warning(name: &'static str, found: impl fmt::Display, remedy: impl fmt::Display) -> Check {
    let remedy = Some(remedy.to_string());
    Check { name, outcome: Outcome::Warning, found: found.to_string(), remedy }
}

fn failure(name: &'static str, found: impl fmt::Display, remedy: impl fmt::Display) -> Check {
    Check { outcome: Outcome::Failure, ..warning(name, found, remedy) }
}

/// The kernels that masq's tests were run on, the oldest first (`cargo xtask kernels`).
const KERNELS_RUN: [(u32, u32); 3] = [(6, 1), (6, 12), (6, 18)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gateway_topology, in_namespaces, run};

    fn outcome(checks: &[Check], name: &str) -> Outcome {
        checks.iter().filter(|check| check.name == name).map(|check| check.outcome).max().unwrap()
    }

    #[test]
    fn the_kernels_that_masq_was_run_on_are_named() {
        let checks = ["6.1.0-57-cloud-amd64", "6.18.44", "7.0"].map(judge_kernel);
        assert!(checks.iter().all(|check| check.outcome == Outcome::Ok), "{checks:?}");
        assert_eq!(checks[1].found, "Linux 6.18.44; masq was run on 6.1, 6.12, 6.18");
        for release in ["5.15.0-91-generic", "unheard of"] {
            assert_eq!(judge_kernel(release).outcome, Outcome::Warning, "{release}");
        }
    }

    #[test]
    fn a_host_that_can_run_masq_is_told_so() {
        in_namespaces(|| {
            gateway_topology();
            let checks = doctor(&Options::new("test"), Some(&crate::tests::PLAIN));
            assert!(checks.iter().all(|check| check.outcome == Outcome::Ok), "{checks:#?}");
        });
    }

    #[test]
    fn what_is_in_the_way_is_named_with_a_remedy() {
        in_namespaces(|| {
            gateway_topology();
            run("sysctl -qw net.ipv4.ip_forward=1");
            run("sysctl -qw net.ipv6.conf.all.forwarding=1");
            run("ip address add 2001:db8::1/64 dev lan nodad");
            run("ip link set wan mtu 9000");
            run("nft add table ip docker");
            run("nft add chain ip docker out { type nat hook postrouting priority 100 ; }");
            run("nft add chain ip docker through { type filter hook forward priority 0 ; }");
            run("umount /run/masq/bpf");
            let checks = doctor(&Options::new("test"), Some(&crate::tests::PLAIN));
            for name in ["forwarding", "ipv6", "other-nat", "netfilter"] {
                assert_eq!(outcome(&checks, name), Outcome::Warning, "{name}");
            }
            for name in ["bpffs", "interface"] {
                assert_eq!(outcome(&checks, name), Outcome::Failure, "{name}");
            }
            assert!(
                checks
                    .iter()
                    .all(|check| { check.remedy.is_some() == (check.outcome != Outcome::Ok) })
            );
        });
    }
}
