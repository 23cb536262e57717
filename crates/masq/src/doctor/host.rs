//! What else this host does with packets.

use std::fs;
use std::process::Command;

use masq_api::{Check, Outcome};

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// `net.ipv4.ip_forward`
    forwarding: bool,
    /// `net.ipv6.conf.all.forwarding`
    forwarding_v6: bool,
    /// Interfaces with a global IPv6 address.
    global_v6: Vec<String>,
    /// NAT statements of the kernel's own rules, as `nft list ruleset` prints them.
    nat_rules: Vec<String>,
    /// Chains at the forward hook that hold rules or drop.
    forward_rules: usize,
    /// Whether the rules could be listed.
    rules_known: bool,
    /// IPsec policies.
    ipsec_policies: usize,
    /// Bridges of other managers: docker0, virbr0 …
    bridges: Vec<String>,
}

impl Facts {
    pub(super) fn gather() -> Self {
        let rules = listing("nft", &["list", "ruleset"]);
        let text = rules.as_deref().unwrap_or_default();
        Self {
            forwarding: setting("net/ipv4/ip_forward"),
            forwarding_v6: setting("net/ipv6/conf/all/forwarding"),
            global_v6: global_v6(
                &fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default(),
            ),
            nat_rules: nat_rules(text),
            forward_rules: forward_rules(text),
            rules_known: rules.is_some(),
            ipsec_policies: listing("ip", &["xfrm", "policy", "show"])
                .map_or(0, |text| text.lines().filter(|line| line.starts_with("src ")).count()),
            bridges: bridges(),
        }
    }
}

fn setting(name: &str) -> bool {
    fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|text| text.trim() != "0")
}

/// What a program prints, if it is there and content.
fn listing(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The sixth field is the name, the fourth the scope: 00 is global.
fn global_v6(table: &str) -> Vec<String> {
    let mut names: Vec<_> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() == 6 && fields[3] == "00")
        .map(|fields| fields[5].to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn nat_rules(ruleset: &str) -> Vec<String> {
    let words = ["masquerade", "snat", "dnat", "redirect"];
    let is_nat = |line: &&str| line.split_whitespace().any(|word| words.contains(&word));
    ruleset.lines().filter(is_nat).map(|line| line.trim().to_owned()).collect()
}

fn forward_rules(ruleset: &str) -> usize {
    ruleset.lines().filter(|line| line.contains("hook forward")).count()
}

fn bridges() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            ["docker", "virbr", "lxcbr", "podman", "br-"].iter().any(|it| name.starts_with(it))
        })
        .collect();
    names.sort();
    names
}

pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    vec![
        forwarding(facts),
        other_nat(facts),
        forward_chains(facts),
        ipsec(facts),
        leak_v6(facts),
        other_managers(facts),
    ]
}

fn check(name: &str, outcome: Outcome, found: String, remedy: Option<&str>) -> Check {
    Check { name: name.to_owned(), outcome, found, remedy: remedy.map(str::to_owned) }
}

fn forwarding(facts: &Facts) -> Check {
    let found = if facts.forwarding {
        check(
            "ip_forward",
            Outcome::Warning,
            "the kernel forwards IPv4 too".to_owned(),
            Some(
                "masq does not need it: sysctl net.ipv4.ip_forward=0, unless other interfaces do; \
                 while masq is attached nothing from its inside is forwarded untranslated",
            ),
        )
    } else {
        check("ip_forward", Outcome::Ok, "off, and masq does not need it".to_owned(), None)
    };
    found
}

fn other_nat(facts: &Facts) -> Check {
    if !facts.rules_known {
        return check(
            "other NAT",
            Outcome::Ok,
            "cannot be looked at: there is no `nft` program, or no permission".to_owned(),
            None,
        );
    }
    match facts.nat_rules.as_slice() {
        [] => check("other NAT", Outcome::Ok, "the kernel has no NAT rules".to_owned(), None),
        rules => check(
            "other NAT",
            Outcome::Warning,
            format!("{} NAT rules of the kernel: {}", rules.len(), shortened(rules)),
            Some(
                "packets of masq's interfaces do not meet them; remove those that were for the same \
                 hosts, and keep those of containers on other interfaces",
            ),
        ),
    }
}

fn shortened(rules: &[String]) -> String {
    let shown: Vec<_> = rules.iter().take(3).cloned().collect();
    let more = if rules.len() > shown.len() { "; …" } else { "" };
    format!("{}{more}", shown.join("; "))
}

fn forward_chains(facts: &Facts) -> Check {
    match facts.forward_rules {
        0 => check("forward rules", Outcome::Ok, "none that packets would bypass".to_owned(), None),
        count => check(
            "forward rules",
            Outcome::Warning,
            format!("{count} netfilter chains at the forward hook"),
            Some("masq's packets do not pass them: what they forbid is not forbidden any more"),
        ),
    }
}

fn ipsec(facts: &Facts) -> Check {
    match facts.ipsec_policies {
        0 => check("IPsec", Outcome::Ok, "no policies that packets would bypass".to_owned(), None),
        count => check(
            "IPsec",
            Outcome::Warning,
            format!("{count} IPsec policies"),
            Some(
                "masq's packets do not meet them: tunnel traffic of inside hosts would leave in clear",
            ),
        ),
    }
}

fn leak_v6(facts: &Facts) -> Check {
    if !facts.forwarding_v6 || facts.global_v6.is_empty() {
        return check("IPv6", Outcome::Ok, "not forwarded".to_owned(), None);
    }
    check(
        "IPv6",
        Outcome::Warning,
        format!("forwarded by the kernel, with global addresses on {}", facts.global_v6.join(", ")),
        Some(
            "inside hosts with global addresses are seen as they are: masq translates IPv4; \
             if that is not wanted: sysctl net.ipv6.conf.all.forwarding=0",
        ),
    )
}

fn other_managers(facts: &Facts) -> Check {
    if facts.bridges.is_empty() {
        return check(
            "containers",
            Outcome::Ok,
            "no bridges of Docker, libvirt or LXC".to_owned(),
            None,
        );
    }
    check(
        "containers",
        Outcome::Warning,
        format!("bridges of other managers: {}", facts.bridges.join(", ")),
        Some(
            "they are masqueraded by the kernel; name them as [[inside]] only after switching their \
             manager's NAT off",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_host_is_fine() {
        let facts = Facts { rules_known: true, ..Facts::default() };
        assert!(judge(&facts).iter().all(|check| check.outcome == Outcome::Ok));
    }

    #[test]
    fn everything_that_concerns_masq_is_noted() {
        let facts = Facts {
            forwarding: true,
            forwarding_v6: true,
            global_v6: vec!["eth1".into()],
            nat_rules: vec!["oifname \"eth0\" masquerade".into()],
            forward_rules: 1,
            rules_known: true,
            ipsec_policies: 2,
            bridges: vec!["docker0".into()],
        };
        let checks = judge(&facts);
        assert!(checks.iter().all(|check| check.outcome == Outcome::Warning), "{checks:?}");
        assert!(checks.iter().all(|check| check.remedy.is_some()));
    }

    #[test]
    fn nat_rules_are_found_in_a_listing() {
        let ruleset = "table ip nat {\n\tchain POSTROUTING {\n\t\ttype nat hook postrouting \
            priority srcnat; policy accept;\n\t\tip saddr 172.17.0.0/16 counter masquerade\n\t}\n\
            \tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n";
        assert_eq!(nat_rules(ruleset), ["ip saddr 172.17.0.0/16 counter masquerade"]);
        assert_eq!(forward_rules(ruleset), 1);
    }

    #[test]
    fn global_addresses_are_told_from_link_local_ones() {
        let table = "fe800000000000000000000000000001 02 40 20 80     eth0\n\
            20010db8000000000000000000000001 03 40 00 80     eth1\n";
        assert_eq!(global_v6(table), ["eth1"]);
    }
}
