//! What is found beside masq, with rules that others make, on a real kernel.

use super::*;
use crate::netlink::Netlink;
use crate::testing::{in_namespaces, run, run_all, succeeds};

/// What is translated, in a few words.
pub(super) fn text(translated: &Translated) -> String {
    let of = |wanted| {
        let ports = translated.ports.iter().filter(move |port| port.protocol == wanted);
        ranges(ports.map(|port| port.port)).join(", ")
    };
    let mut text = format!("tcp {}; udp {}", of(Protocol::TCP), of(Protocol::UDP));
    for range in scope::union(translated.sources.clone()) {
        let (first, last) = range.into_inner();
        let _ = write!(text, "; from {}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last));
    }
    for chain in &translated.whole {
        let _ = write!(text, "; whole {chain}");
    }
    text
}

fn translated_by_nft() -> String {
    text(&nft::ruleset(&nft::chains().unwrap()).unwrap().translated())
}

/// Runs nft with one line of its language.
fn nft(line: &str) {
    let output = std::process::Command::new("nft").arg(line).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A table with a chain where packets come in.
fn prerouting() {
    nft("add table ip t; add chain ip t pre { type nat hook prerouting priority -100; }");
}

#[test]
fn ports_are_read_from_however_a_rule_names_them() {
    for (rule, expected) in [
        ("fib daddr type local tcp dport 8080 dnat to 172.17.0.2:80", "tcp 8080; udp "),
        ("udp dport { 53, 5353, 6000-6010 } redirect to :5300", "tcp ; udp 53, 5353, 6000-6010"),
        ("tcp dport 20000-20100 dnat to 10.0.0.9", "tcp 20000-20100; udp "),
        ("tcp dport != 1-65000 dnat to 10.0.0.9", "tcp 0, 65001-65535; udp "),
        ("tcp dport > 65530 tcp dport < 65534 dnat to 10.0.0.9", "tcp 65531-65533; udp "),
        ("tcp dport >= 65530 tcp dport <= 65534 dnat to 10.0.0.9", "tcp 65530-65534; udp "),
        ("meta l4proto { tcp, udp } th dport 44 dnat to 10.1.1.2", "tcp 44; udp 44"),
        ("ip protocol udp th dport 44 dnat to 10.1.1.2", "tcp ; udp 44"),
        ("tcp sport 5 tcp dport 6 dnat to 10.1.1.4", "tcp 6; udp "),
        (
            "ip daddr . tcp dport { 203.0.113.1 . 12, 203.0.113.1 . 13 } dnat to 10.1.1.3",
            "tcp 12-13; udp ",
        ),
        ("iifname . tcp dport { lan . 12-13 } dnat to 10.1.1.3", "tcp 12-13; udp "),
        ("dnat to tcp dport map { 71 : 10.0.0.1, 72 : 10.0.0.2 }", "tcp 71-72; udp "),
        ("dnat to tcp dport map { 71 : 10.0.0.1 . 80 }", "tcp 71; udp "),
        ("ct state new meta mark set 7 tcp dport 9 counter log dnat to 10.0.0.1", "tcp 9; udp "),
        ("tcp dport 9 accept", "tcp ; udp "),
        ("ip protocol icmp dnat to 10.0.0.1", "tcp ; udp ; whole t pre"),
        ("ip daddr 203.0.113.9 dnat to 10.1.1.4", "tcp ; udp ; whole t pre"),
        ("tcp dport != 22 dnat to 10.1.1.4", "tcp ; udp ; whole t pre"),
    ] {
        in_namespaces(|| {
            prerouting();
            nft(&format!("add rule ip t pre {rule}"));
            assert_eq!(translated_by_nft(), expected, "{rule}");
        });
    }
}

#[test]
fn chains_maps_and_named_sets_are_followed() {
    in_namespaces(|| {
        prerouting();
        nft("add chain ip t there; add chain ip t nowhere; add rule ip t there dnat to 10.1.1.1");
        nft("add rule ip t nowhere tcp dport 99 dnat to 10.1.1.1");
        nft(
            "add rule ip t pre tcp dport vmap { 81 : jump there, 82-83 : goto there, 84 : accept }",
        );
        nft("add set ip t s { type inet_service; flags interval; }");
        nft("add rule ip t pre udp dport @s dnat to 10.0.0.9");
        assert_eq!(translated_by_nft(), "tcp 81-83; udp ");
        nft("add element ip t s { 90-91, 95 }");
        nft("add chain ip t out { type nat hook output priority -100; }");
        nft("add rule ip t out tcp dport 7 dnat to 10.0.0.1");
        assert_eq!(translated_by_nft(), "tcp 81-83; udp 90-91, 95");
    });
}

#[test]
fn networks_that_are_translated_are_found() {
    in_namespaces(|| {
        nft("add table inet n; add chain inet n post { type nat hook postrouting priority 100; }");
        nft("add rule inet n post ip saddr 172.17.0.0/16 oifname != docker0 masquerade");
        nft("add rule inet n post ip saddr 172.18.16.0/20 snat ip to 203.0.113.1");
        nft("add rule inet n post oifname wan masquerade");
        nft("add rule inet n post ip6 saddr fd00::/8 masquerade");
        assert_eq!(
            translated_by_nft(),
            "tcp ; udp ; from 172.17.0.0-172.17.255.255; from 172.18.16.0-172.18.31.255"
        );
    });
}

#[test]
fn rules_of_iptables_over_nf_tables_are_read_too() {
    in_namespaces(|| {
        if !succeeds("iptables-nft -V") {
            return;
        }
        run_all(
            "
            iptables-nft -t nat -N DOCKER
            iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
            iptables-nft -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:80
            iptables-nft -t nat -A DOCKER -p udp -m multiport --dports 82,90:99 -j DNAT --to-destination 172.17.0.2
            iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
            iptables-nft -t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3128
            ",
        );
        assert_eq!(
            translated_by_nft(),
            "tcp 80, 8081; udp 82, 90-99; from 172.17.0.0-172.17.255.255"
        );
    });
}

#[test]
fn findings_name_what_is_passed_by_and_what_to_do() {
    in_namespaces(|| {
        for name in ["lan", "wan", "docker0", "vms", "idle"] {
            run(&format!("ip link add {name} type bridge"));
        }
        run_all(
            "
            ip address add 172.17.0.1/16 dev docker0
            ip address add 10.9.0.1/24 dev vms
            ip address add 10.8.0.1/24 dev idle
            ip xfrm policy add src 10.0.0.0/8 dst 192.0.2.0/24 dir out
            ",
        );
        nft("add table ip n; add chain ip n post { type nat hook postrouting priority 100; }");
        nft("add rule ip n post ip saddr 10.9.0.0/16 masquerade");
        nft("add table ip fw; add chain ip fw forward { type filter hook forward priority 0; }");
        nft("add chain ip fw input { type filter hook input priority 0; }");
        nft(
            "add table netdev f; add chain netdev f i { type filter hook ingress device wan priority 0; }",
        );
        nft("add chain netdev f other { type filter hook ingress device vms priority 0; }");
        nft(
            "add table inet g; add chain inet g i { type filter hook ingress devices = { lan, idle } priority 0; }",
        );
        let mirror = Netlink::open().unwrap().picture().unwrap();
        let side = |name: &str| match name {
            "lan" => Some(Realm::Inside),
            "wan" => Some(Realm::Outside),
            _ => None,
        };

        let found = Seen::look().findings(&Outlook { links: mirror.links(), side: &side });

        let said: Vec<String> = found.iter().map(Finding::found).collect();
        assert_eq!(
            said,
            [
                "nftables translates addresses too, in n post",
                "the kernel translates for docker0 (172.17.0.0/16), vms (10.9.0.0/24)",
                "nftables has chains that forwarded packets do not pass now: fw forward",
                "nftables has ingress chains where masq takes packets before them: inet g i on lan, netdev f i on wan",
                "there are IPsec policies",
            ]
        );
        let remedy = found[1].remedy.clone().unwrap();
        assert!(remedy.contains("\n[[inside]]\ninterface = \"docker0\"\n"), "{remedy}");
    });
}
