//! Gateways on a real kernel that choose, change their mind, and lose nothing by it.

use std::path::Path;
use std::process::{Command, Stdio};

use masq_flow::Layout;
use masq_flow::maps::Counter;
use rustix::process::{Pid, Signal};

use super::*;
use crate::attach::{Attachment, Pins, Programs};
use crate::netlink::XdpFeatures;
use crate::sys::interface_index;
use crate::testing::{
    attachments, comes_true, gateway_topology, in_namespaces, in_namespaces_with_xdp, run, run_all,
    succeeds, tries,
};
use crate::tests::{PLAIN, Plain, options, traces};
use crate::{Handle, Outcome, RUN, detach, doctor, start};

const PING: &str = "ip netns exec inside ping -c 1 -W 1 203.0.113.178";
const PINGS: &str = "ip netns exec inside ping -c 20 -i 0.01 -W 1 203.0.113.178";

fn plain(fast_path: FastPath) -> Box<Plain> {
    Box::new(Plain { fast_path, ..PLAIN })
}

fn gateway(fast_path: FastPath) -> Handle {
    let gateway = start(options(), plain(fast_path)).unwrap();
    assert!(tries(PING));
    gateway
}

/// Hosts whose ends take redirects, and send complete packets.
fn hosts_fit_for_xdp() {
    gateway_topology();
    for host in ["inside", "outside"] {
        run(&format!("ip netns exec {host} ethtool -K eth0 gro on tx off"));
    }
}

fn counted(gateway: &Handle, counter: Counter) -> u64 {
    gateway.stats().unwrap().programs.counters[counter as usize]
}

/// Somebody else's programs, which leave every packet alone.
fn other_instance() -> Programs {
    let pins = Pins::create(Path::new("/run/masq/bpf"), "other").unwrap();
    Programs::load(pins, Layout::for_sessions(1024), Attachment::Auto).unwrap()
}

/// How many packets XDP and TC carry of twenty pings, forth and back.
fn carried(gateway: &Handle) -> (u64, u64) {
    let counts =
        || (counted(gateway, Counter::TranslatedXdp), counted(gateway, Counter::Translated));
    let before = counts();
    run(PINGS);
    let after = counts();
    (after.0 - before.0, after.1 - before.1)
}

fn carrier(gateway: &Handle, from: &str, to: &str) -> String {
    let ways = gateway.ways().unwrap();
    let way = ways.iter().find(|way| way.from == from && way.to == to);
    way.map_or_else(|| format!("not among {ways:?}"), |way| way.carrier.to_string())
}

fn becomes(gateway: &Handle, from: &str, to: &str, expected: &str) {
    let is = || carrier(gateway, from, to) == expected;
    // What is looked at every now and then may take longer than other things.
    assert!(comes_true(is) || comes_true(is), "{from} → {to}: {}", carrier(gateway, from, to));
}

fn has_xdp(interface: &str) -> bool {
    run(&format!("ip link show dev {interface}")).contains("prog/xdp")
}

/// Pings 500 times a second while something is done, and says how many were lost. The last one may
/// still be under way.
fn lost_while(act: impl FnOnce()) -> u32 {
    let pinging = Command::new("ip")
        .args(["netns", "exec", "inside"])
        .args(["ping", "-q", "-i", "0.002", "203.0.113.178"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    act();
    let process = Pid::from_child(&pinging);
    rustix::process::kill_process(process, Signal::INT).unwrap();
    let said = String::from_utf8(pinging.wait_with_output().unwrap().stdout).unwrap();
    let number = |unit: &str| -> u32 {
        let (before, _) = said.split_once(unit).unwrap_or_else(|| panic!("{said}"));
        before.rsplit(char::is_whitespace).next().unwrap().parse().unwrap()
    };
    number(" packets transmitted") - number(" received")
}

/// Waits until so many more packets have been counted.
fn awaits(gateway: &Handle, counter: Counter, more: u64) {
    let before = counted(gateway, counter);
    assert!(comes_true(|| counted(gateway, counter) >= before + more), "no more {counter:?}");
}

#[test]
fn xdp_carries_sessions_where_it_is_asked_for_and_outlives_the_daemon() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let before = traces();
        let first = gateway(FastPath::Xdp);
        let (by_xdp, _) = carried(&first);
        assert!(by_xdp >= 20, "{by_xdp}");
        first.stop();
        assert!(has_xdp("lan") && has_xdp("wan"));
        let program = || run("bpftool -j net show dev lan");
        let old = program();
        let second = gateway(FastPath::Xdp);
        assert_ne!(program(), old, "the program is the successor's");
        let (by_xdp, _) = carried(&second);
        assert!(by_xdp >= 20, "{by_xdp}");
        second.stop();
        detach(Path::new(RUN), "test").unwrap();
        assert!(comes_true(|| traces() == before), "{:?}", traces());
        assert!(!has_xdp("lan") && !has_xdp("wan"));
    });
}

#[test]
fn by_itself_tc_carries_what_arrives_on_a_veth() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let gateway = gateway(FastPath::Auto);
        let (by_xdp, by_tc) = carried(&gateway);
        assert!(by_xdp == 0 && by_tc >= 20, "{by_xdp} {by_tc}");
        let said = carrier(&gateway, "lan", "wan");
        assert_eq!(said, "TC, because packets may arrive on lan (veth) without their checksum");
        assert!(!has_xdp("lan") && !has_xdp("wan"));
    });
}

#[test]
fn a_far_end_that_takes_no_redirects_is_served_by_tc() {
    in_namespaces_with_xdp(|| {
        gateway_topology();
        run("ip netns exec inside ethtool -K eth0 gro on tx off");
        let gateway = gateway(FastPath::Xdp);
        let said = carrier(&gateway, "lan", "wan");
        let expected = "TC, because the other end of wan has neither an XDP program nor GRO";
        assert_eq!(said, expected);
        assert_eq!(carrier(&gateway, "wan", "lan"), "XDP");
        let (by_xdp, by_tc) = carried(&gateway);
        assert!(by_xdp >= 10 && by_tc >= 10, "one direction each: {by_xdp} {by_tc}");
    });
}

#[test]
fn a_far_end_that_ceases_to_take_redirects_costs_few_packets() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let gateway = gateway(FastPath::Xdp);
        assert_eq!(carrier(&gateway, "lan", "wan"), "XDP");
        let lost = lost_while(|| {
            awaits(&gateway, Counter::TranslatedXdp, 100);
            run("ip netns exec outside ethtool -K eth0 gro off");
            awaits(&gateway, Counter::Translated, 100);
        });
        assert!(lost <= 50, "{lost} lost, which is more than a tenth of a second");
        let expected = "TC, because the other end of wan has neither an XDP program nor GRO";
        assert_eq!(carrier(&gateway, "lan", "wan"), expected);
        let (_, by_tc) = carried(&gateway);
        assert!(by_tc >= 10, "{by_tc}");
        run("ip netns exec outside ethtool -K eth0 gro on");
        becomes(&gateway, "lan", "wan", "XDP");
    });
}

#[test]
fn a_reload_changes_what_carries_packets_and_loses_none() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let gateway = gateway(FastPath::Off);
        assert_eq!(
            carrier(&gateway, "lan", "wan"),
            "the engine, because the configuration says so"
        );
        let lost = lost_while(|| {
            for (mode, counter) in [
                (FastPath::Xdp, Counter::TranslatedXdp),
                (FastPath::Tc, Counter::Translated),
                (FastPath::Xdp, Counter::TranslatedXdp),
                (FastPath::Off, Counter::Returned),
                (FastPath::Tc, Counter::Translated),
            ] {
                gateway.reload(plain(mode)).unwrap();
                awaits(&gateway, counter, 50);
            }
        });
        assert!(lost <= 1, "{lost} lost");
        assert!(comes_true(|| !has_xdp("lan")));
        assert_eq!(carrier(&gateway, "lan", "wan"), "TC, because the configuration says so");
        let (by_xdp, by_tc) = carried(&gateway);
        assert!(by_xdp == 0 && by_tc >= 20, "{by_xdp} {by_tc}");
        gateway.reload(plain(FastPath::Xdp)).unwrap();
        assert!(carried(&gateway).0 >= 20);
        gateway.reload(plain(FastPath::Off)).unwrap();
        assert_eq!(carried(&gateway), (0, 0));
        assert!(comes_true(|| !has_xdp("lan") && !has_xdp("wan")));
    });
}

#[test]
fn a_program_of_somebody_else_is_left_alone() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let mut other = other_instance();
        let lan = interface_index("lan").unwrap();
        other.attach_xdp(lan, "lan").unwrap();
        let program = || run("bpftool -j net show dev lan");
        let before = program();

        let gateway = gateway(FastPath::Xdp);
        let said = carrier(&gateway, "lan", "wan");
        assert!(said.starts_with("TC, because lan has the XDP program masq_xdp (id "), "{said}");
        assert!(program().contains(xdp_part(&before)), "{before} became {}", program());
        let (_, by_tc) = carried(&gateway);
        assert!(by_tc >= 10, "{by_tc}");
        let checks = doctor(&options(), Some(&*plain(FastPath::Xdp)));
        let warned = checks.iter().find(|check| check.found.contains("of somebody else"));
        assert_eq!(warned.map(|check| check.outcome), Some(Outcome::Warning), "{checks:?}");

        other.detach_xdp(lan);
        becomes(&gateway, "lan", "wan", "XDP");
        assert!(carried(&gateway).0 >= 20);
    });
}

fn ways(gateway: &Handle) -> String {
    format!("{:?}", gateway.ways().unwrap())
}

/// What bpftool says of XDP, without what it says of TC.
fn xdp_part(said: &str) -> &str {
    said.split("\"tc\"").next().unwrap()
}

#[test]
fn a_program_that_was_taken_off_is_put_back() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let gateway = gateway(FastPath::Xdp);
        let lan = interface_index("lan").unwrap();
        run(&format!("bpftool link detach pinned /run/masq/bpf/test/xdp-{lan}"));
        assert!(!has_xdp("lan"));
        assert!(succeeds(PING), "TC carries it meanwhile");
        assert!(comes_true(|| has_xdp("lan")));
        assert!(carried(&gateway).0 >= 20);
    });
}

#[test]
fn what_xdp_would_go_around_is_left_to_tc() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let gateway = gateway(FastPath::Xdp);
        assert_eq!(carrier(&gateway, "lan", "wan"), "XDP");
        run("tc qdisc add dev wan root tbf rate 100mbit burst 100kb latency 50ms");
        let queued = "TC, because wan has a queueing discipline of its own (tbf)";
        becomes(&gateway, "lan", "wan", queued);
        assert_eq!(carrier(&gateway, "wan", "lan"), "XDP", "the way back has none");
        run("tc qdisc del dev wan root");
        becomes(&gateway, "lan", "wan", "XDP");
        let filtered = "TC, because what leaves by wan is filtered there";
        let mut other = other_instance();
        for attachment in attachments() {
            let judging = other.judge_what_leaves("wan", attachment);
            becomes(&gateway, "lan", "wan", filtered);
            drop(judging);
            becomes(&gateway, "lan", "wan", "XDP");
        }
        run("nft add table netdev shaping");
        run("nft add chain netdev shaping out { type filter hook egress device wan priority 0 ; }");
        becomes(&gateway, "lan", "wan", filtered);
    });
}

#[test]
fn interfaces_that_come_later_or_change_their_address_are_followed() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let later = Plain { outside: "wan+", fast_path: FastPath::Xdp, ..PLAIN };
        let gateway = start(options(), Box::new(later)).unwrap();
        assert!(tries(PING));
        assert!(carried(&gateway).0 >= 20);

        run("ip link set lan address 02:00:00:00:00:77");
        run("ip netns exec inside ip neighbour flush all");
        assert!(tries(PING));
        assert!(carried(&gateway).0 >= 20, "frames to the new address are XDP's");

        run("ip link del wan");
        run_all(
            "
            ip link add wan9 type veth peer name eth0 netns outside
            ip netns exec outside ethtool -K eth0 gro on tx off
            ip address add 203.0.113.1/24 dev wan9
            ip link set wan9 up
            ip netns exec outside ip link set eth0 up
            ip netns exec outside ip address add 203.0.113.178/24 dev eth0
            ",
        );
        becomes(&gateway, "lan", "wan9", "XDP");
        assert!(tries(PING));
        assert!(carried(&gateway).0 >= 20);
        assert_eq!(carrier(&gateway, "lan", "wan"), format!("not among {}", ways(&gateway)));
        let pins = std::fs::read_dir("/run/masq/bpf/test").unwrap().flatten();
        let names = pins.filter_map(|pin| pin.file_name().into_string().ok());
        assert_eq!(names.filter(|name| name.starts_with("xdp-")).count(), 2);
    });
}

#[test]
fn a_successor_that_wants_no_xdp_takes_it_off() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        gateway(FastPath::Xdp).stop();
        assert!(has_xdp("lan"));
        let second = gateway(FastPath::Tc);
        assert!(comes_true(|| !has_xdp("lan") && !has_xdp("wan")));
        let (by_xdp, by_tc) = carried(&second);
        assert!(by_xdp == 0 && by_tc >= 20, "{by_xdp} {by_tc}");
    });
}

#[test]
fn doctor_says_what_would_be_chosen() {
    in_namespaces_with_xdp(|| {
        hosts_fit_for_xdp();
        let found = |mode| -> Vec<String> {
            let checks = doctor(&options(), Some(&*plain(mode)));
            let ours = checks.into_iter().filter(|check| check.name == "fast-path");
            ours.map(|check| check.found).collect()
        };
        assert_eq!(found(FastPath::Xdp), ["lan → lan: XDP", "lan → wan: XDP", "wan → lan: XDP"]);
        let because = "TC, because packets may arrive on lan (veth) without their checksum";
        assert_eq!(found(FastPath::Auto)[1], format!("lan → wan: {because}"));
        run("ip link set wan mtu 9000");
        let because = "TC, because wan has an MTU of 9000, and XDP takes at most 3506";
        assert_eq!(found(FastPath::Xdp)[2], format!("wan → lan: {because}"));
        assert!(!has_xdp("lan"), "and changes nothing");
    });
}

#[test]
fn a_card_whose_packets_all_leave_by_something_else_gets_no_program() {
    let card = |features| Facts { mtu: 1500, features: Some(features), ..Facts::default() };
    let line = Facts { layer3: true, ..card(XdpFeatures::NONE) };
    let ports = [
        Served { index: 1, name: "eth1", side: Realm::Inside },
        Served { index: 2, name: "ppp0", side: Realm::Outside },
    ];
    let chosen = |inside: &Facts, outside: &Facts| -> Vec<String> {
        let facts = BTreeMap::from([(1, inside.clone()), (2, outside.clone())]);
        let verdicts = Verdicts::forecast(FastPath::Auto, &facts, &ports);
        let ways = verdicts.ways(FastPath::Auto, &ports).into_iter();
        ways.map(|Way { from, to, carrier }| format!("{from} → {to}: {carrier}")).collect()
    };
    assert_eq!(
        chosen(&card(XdpFeatures::ALL), &line),
        [
            "eth1 → eth1: TC, because no other interface takes redirects of what arrives on eth1",
            "eth1 → ppp0: TC, because packets of ppp0 have no Ethernet header",
            "ppp0 → eth1: TC, because packets of ppp0 have no Ethernet header",
        ]
    );
    let inside = Served { index: 3, name: "eth2", side: Realm::Inside };
    let facts = [(1, card(XdpFeatures::ALL)), (2, line), (3, card(XdpFeatures::ALL))].into();
    let ports = [ports[0], ports[1], inside];
    let verdicts = Verdicts::forecast(FastPath::Auto, &facts, &ports);
    let ways = verdicts.ways(FastPath::Auto, &ports);
    let between = ways.iter().find(|way| way.from == "eth1" && way.to == "eth2").unwrap();
    assert_eq!(between.carrier, Carrier::Xdp, "but from one inside to another it is of use");
    let both = chosen(&card(XdpFeatures::ALL), &card(XdpFeatures::ALL));
    assert_eq!(both, ["eth1 → eth1: XDP", "eth1 → ppp0: XDP", "ppp0 → eth1: XDP"]);
}

#[test]
fn a_card_that_was_told_to_leave_tags_in_is_told_otherwise_by_detach() {
    in_namespaces(|| {
        gateway_topology();
        gateway(FastPath::Tc).stop();
        let path = Path::new(RUN).join("test.state");
        let mut state = State::read(&path).unwrap();
        state.add_untagging(interface_index("lan").unwrap()).unwrap();
        ethtool::strip_vlan_tags("lan", false).unwrap();
        detach(Path::new(RUN), "test").unwrap();
        assert!(ethtool::strips_vlan_tags("lan").unwrap());
    });
}
