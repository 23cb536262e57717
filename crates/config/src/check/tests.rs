//! Contradictions and defaults.

use super::*;
use crate::{Judged, SAMPLE, Source, judge};

fn source(text: &str) -> Source {
    Source { name: "masq.toml".into(), text: text.into() }
}

fn complaint(text: &str) -> String {
    match judge(source(text), &Overrides::default()) {
        Err(report) => report.to_string(),
        Ok(Judged { warnings: Some(report), .. }) => report.to_string(),
        Ok(Judged { warnings: None, .. }) => panic!("nothing to complain about"),
    }
}

fn pattern(text: &str) -> InterfacePattern {
    text.parse().unwrap()
}

/// A pair of interfaces, so that only the rest is judged.
const PAIR: &str = "[[outside]]\ninterface = 'eth0'\n[[inside]]\ninterface = 'eth1'\n";

#[test]
fn the_sample_is_the_defaults() {
    let sample = judge(source(SAMPLE), &Overrides::default()).unwrap();
    assert!(sample.warnings.is_none(), "{:?}", sample.warnings);
    let bare = judge(source(PAIR), &Overrides::default()).unwrap();
    assert_eq!(sample.config, bare.config);
}

/// The grammar itself names its keys in the error about a key that is none of them.
#[test]
fn the_sample_has_every_key_there_is() {
    let known = |text: &str| -> Vec<String> {
        let error = toml::from_str::<File>(text).unwrap_err();
        let words = error.message().split('`').skip(1).step_by(2).skip(1);
        words.map(str::to_owned).collect()
    };
    let table: toml::Table = SAMPLE.replace("# socket", "socket").parse().unwrap();
    let sections = known("none-such = 1");
    assert!(sections.len() > 5, "{sections:?}");
    for section in sections {
        let (text, keys) = if let Some(list) = table[&section].as_array() {
            (format!("[[{section}]]\ninterface='e'\nnone-such = 1"), list[0].as_table())
        } else {
            (format!("[{section}]\nnone-such = 1"), table[&section].as_table())
        };
        let keys = keys.unwrap();
        for key in known(&text) {
            let elsewhere =
                ["mapping", "filtering", "pooling", "preserve-ports"].contains(&key.as_str());
            assert!(keys.contains_key(&key) || elsewhere, "[{section}] {key} is not in the sample");
        }
    }
}

#[test]
fn the_command_line_is_enough() {
    let overrides = Overrides { insides: vec![pattern("eth1")], outsides: vec![pattern("ppp+")] };
    let config = judge(source(""), &overrides).unwrap().config;
    assert_eq!(config.outsides[0].interface, pattern("ppp+"));
    assert_eq!(config.outsides[0].addresses, Addresses::Auto);
    assert_eq!(config.table_sessions, TABLE_SESSIONS);
}

#[test]
fn the_command_line_picks_among_the_files_interfaces() {
    let text = format!("{PAIR}[[outside]]\ninterface = 'wan2'\nports = '5000-5999'\n");
    let overrides = Overrides { outsides: vec![pattern("wan2")], ..Overrides::default() };
    let config = judge(source(&text), &overrides).unwrap().config;
    assert_eq!(config.outsides.len(), 1);
    let ports = vec![PortRange { first: 5000, last: 5999 }];
    assert_eq!(config.outsides[0].ports, Ports::Ranges(ports));
    assert_eq!(config.insides[0].interface, pattern("eth1"));
}

#[test]
fn the_classic_profile_brings_its_ports() {
    let text = format!("{PAIR}[timeouts]\nprofile = 'linux-2.2'\nudp = '4m'\n");
    let config = judge(source(&text), &Overrides::default()).unwrap().config;
    assert_eq!(config.timeouts.tcp_established.as_secs(), 900);
    assert_eq!(config.timeouts.udp.as_secs(), 240);
    assert_eq!(
        config.outsides[0].ports,
        Ports::Ranges(vec![PortRange { first: 61_000, last: 65_095 }])
    );
}

#[test]
fn an_outside_may_differ_from_the_rest() {
    let text = "[nat]\nfiltering = 'address-dependent'\n[[inside]]\ninterface = 'i'\n[[outside]]\n\
        interface = 'a'\nfiltering = 'endpoint-independent'\n[[outside]]\ninterface = 'b'\n";
    let config = judge(source(text), &Overrides::default()).unwrap().config;
    assert_eq!(config.outsides[0].nat.filtering, Dependence::EndpointIndependent);
    assert_eq!(config.outsides[1].nat.filtering, Dependence::AddressDependent);
}

#[test]
fn nothing_named() {
    insta::assert_snapshot!(complaint(""), @r#"
    masq.toml: no outside interface is named
      = give --outside eth0, or write [[outside]] with interface = "eth0" in the file
    masq.toml: no inside interface is named
      = give --inside eth1, or write [[inside]] with interface = "eth1" in the file
    "#);
}

#[test]
fn one_interface_on_both_sides() {
    let text = "[[outside]]\ninterface = 'eth0'\n[[inside]]\ninterface = 'eth0'\n";
    insta::assert_snapshot!(complaint(text), @r"
    masq.toml:2:13: interface `eth0` is both inside and outside
      |
    2 | interface = 'eth0'
      |             ^^^^^^
      = every interface has one role: inside faces the hidden hosts, outside the world
    ");
    let text = "[[outside]]\ninterface = 'eth+'\n[[inside]]\ninterface = 'eth0'\n";
    assert!(complaint(text).contains("outside `eth+` and inside `eth0` name the same interfaces"));
    let text = format!("{PAIR}[[inside]]\ninterface = 'eth1'\n");
    assert!(complaint(&text).contains("`eth1` is named twice as inside"));
}

#[test]
fn networks_at_two_places() {
    let text = "[[outside]]\ninterface = 'w'\n[[inside]]\ninterface = 'a'\n\
        networks = ['192.168.0.0/16']\n[[inside]]\ninterface = 'b'\n\
        networks = ['10.0.0.0/8', '192.168.1.0/24']\n";
    insta::assert_snapshot!(complaint(text), @r"
    masq.toml:8:27: network 192.168.1.0/24 overlaps 192.168.0.0/16 of inside `a`
      |
    8 | networks = ['10.0.0.0/8', '192.168.1.0/24']
      |                           ^^^^^^^^^^^^^^^^
      = each inside address may be at one place only
    ");
}

#[test]
fn addresses_twice_or_inside() {
    let text = "[[inside]]\ninterface = 'l'\nnetworks = '203.0.113.64/28'\n[[outside]]\n\
        interface = 'w'\naddress = ['203.0.113.5', '203.0.113.0/29', '203.0.113.70']\n";
    let said = complaint(text);
    assert!(said.contains("6:27: address 203.0.113.5 is twice in the pool"), "{said}");
    assert!(said.contains("203.0.113.70 is in the inside network 203.0.113.64/28"), "{said}");
}

#[test]
fn empty_and_overlapping_ports() {
    let text = |ports: &str| format!("{PAIR}[[outside]]\ninterface = 'w'\nports = {ports}\n");
    assert!(complaint(&text("[]")).contains("7:9: `ports` is empty"));
    assert!(complaint(&text("'9000-8000'")).contains("write 8000-9000"));
    let said = complaint(&text("['1024-2047', '2000-3000']"));
    assert!(said.contains("ports 2000-3000 overlap 1024-2047"), "{said}");
}

#[test]
fn short_timeouts_are_warned_of_and_zero_is_refused() {
    let text = |timeouts: &str| format!("{PAIR}[timeouts]\n{timeouts}\n");
    let short = text("udp = 30");
    let judged = judge(source(&short), &Overrides::default()).unwrap();
    assert_eq!(judged.config.timeouts.udp.as_secs(), 30);
    insta::assert_snapshot!(judged.warnings.unwrap(), @r"
    masq.toml:6:7: warning: `udp` = 30s is less than RFCs allow
      |
    6 | udp = 30
      |       ^^
      = RFC 4787 REQ-5 wants at least 2m
    ");
    assert!(judge(source(&text("udp = 0")), &Overrides::default()).is_err());
    assert!(judge(source(&text("udp = '400d'")), &Overrides::default()).is_err());
}

#[test]
fn numbers_that_make_nothing_possible() {
    for text in [
        "[table]\nsessions = 0",
        "[table]\nsessions = 99999999",
        "[limits]\nsessions-per-host = 0",
        "[fragments]\nmemory = 1000",
        "[control]\nsocket = 'here.sock'",
    ] {
        let text = format!("{PAIR}{text}\n");
        assert!(judge(source(&text), &Overrides::default()).is_err(), "{text}");
    }
}

#[test]
fn all_contradictions_are_reported_in_the_order_of_the_file() {
    let text = format!("{PAIR}[timeouts]\nudp = 0\n[limits]\nhosts = 0\n[table]\nsessions = 0\n");
    let said = complaint(&text);
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("masq.toml:")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    let numbers: Vec<u32> =
        lines.iter().map(|line| line.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, [6, 8, 10]);
}
