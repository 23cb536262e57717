//! The mirror against a real kernel, which says itself where it would send a packet.

use core::time::Duration;

use super::*;
use crate::clock;
use crate::routes::{Answer, Neighbour, Query};
use crate::testing::{in_namespaces, run, run_all};

/// Forwarding is on so that the kernel answers for packets that arrive; the mirror does not care.
const TOPOLOGY: &str = "
    sysctl -qw net.ipv4.ip_forward=1
    ip link add lan type bridge
    ip link add wan type veth peer name isp
    ip link add wan2 type bridge
    ip link set lan up
    ip link set wan up
    ip link set isp up
    ip link set wan2 up
    ip address add 192.168.1.1/24 dev lan
    ip address add 203.0.113.1/24 dev wan
    ip address add 198.51.100.1/28 dev wan2
    ip route add default via 203.0.113.254
    ip route add default via 198.51.100.14 metric 500
    ip route add 10.0.0.0/8 via 198.51.100.2
    ip route add 10.1.0.0/16 via 192.168.1.7 src 192.168.1.1 mtu 1400
    ip route add unreachable 10.2.0.0/16
    ip route add prohibit 10.3.0.0/16
    ip route add blackhole 10.4.0.0/16
    ip route add throw 10.5.0.0/16
    ip route add 10.6.0.0/16 dev wan2
    ip route add default via 198.51.100.9 table 100
    ip route add 10.1.0.0/16 via 198.51.100.10 table 100
    ip rule add from 192.168.1.128/25 lookup 100 priority 1000
    ip rule add fwmark 0x10/0xf0 lookup 100 priority 1001
    ip rule add iif lan to 203.0.113.200/29 lookup 100 priority 1002
";

const DESTINATIONS: [&str; 18] = [
    "192.168.1.1",
    "192.168.1.255",
    "192.168.1.9",
    "203.0.113.1",
    "203.0.113.9",
    "203.0.113.201",
    "198.51.100.1",
    "198.51.100.3",
    "8.8.8.8",
    "10.9.9.9",
    "10.1.2.3",
    "10.2.0.1",
    "10.3.0.1",
    "10.4.0.1",
    "10.5.0.1",
    "10.6.7.8",
    "127.0.0.1",
    "203.0.113.255",
];

/// What the kernel says, in a few words.
fn asked(destination: &str, how: &str) -> String {
    let mut command = std::process::Command::new("ip");
    command.args(["route", "get", destination]).args(how.split_ascii_whitespace());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let after = |word: &str| {
        let mut words = text.split_ascii_whitespace().skip_while(|found| *found != word);
        words.nth(1).map(str::to_owned)
    };
    match text.split_ascii_whitespace().next() {
        Some("local") => "local".to_owned(),
        Some("broadcast") => "broadcast".to_owned(),
        Some(_) => format!("{} via {:?}", after("dev").unwrap(), after("via")),
        None if error.contains("No route to host") => "unreachable".to_owned(),
        None if error.contains("Permission denied") => "prohibited".to_owned(),
        None if error.contains("Invalid argument") => "blackhole".to_owned(),
        None if error.contains("Network is unreachable") => "no route".to_owned(),
        None => error,
    }
}

/// What the mirror says, in the same words.
fn answered(mirror: &Mirror, query: &Query) -> String {
    match mirror.lookup(query) {
        Answer::Local => "local".to_owned(),
        Answer::Broadcast => "broadcast".to_owned(),
        Answer::Unicast(hop, _) => {
            let name = &mirror.links().get(hop.link).unwrap().name;
            format!("{name} via {:?}", hop.gateway.map(|gateway| gateway.to_string()))
        }
        Answer::Unreachable => "unreachable".to_owned(),
        Answer::Prohibited => "prohibited".to_owned(),
        Answer::Blackhole => "blackhole".to_owned(),
        Answer::NoRoute => "no route".to_owned(),
    }
}

fn agrees_with_the_kernel(mirror: &Mirror) {
    let lan = mirror.links().named("lan").unwrap().index;
    for destination in DESTINATIONS {
        for (source, mark, how) in [
            ("192.168.1.5", 0, "from 192.168.1.5 iif lan"),
            ("192.168.1.200", 0, "from 192.168.1.200 iif lan"),
            ("192.168.1.5", 0x13, "from 192.168.1.5 iif lan mark 0x13"),
        ] {
            let query = Query {
                destination: destination.parse().unwrap(),
                source: source.parse().unwrap(),
                arriving: Some(lan),
                mark,
            };
            let kernel = asked(destination, how);
            // Asked for a packet to 127.0.0.1 that arrives from outside, the kernel says EINVAL.
            if destination != "127.0.0.1" {
                assert_eq!(answered(mirror, &query), kernel, "{destination} {how}");
            }
        }
    }
}

/// Applies what is heard until the condition holds.
fn hear_until(watch: &Watch, mirror: &mut Mirror, condition: impl Fn(&Mirror) -> bool) {
    let end = clock::now() + Duration::from_secs(5);
    while !condition(mirror) {
        match watch.hear().unwrap() {
            Heard::Changes(changes) => changes.into_iter().for_each(|change| {
                mirror.apply(change);
            }),
            Heard::Lost => panic!("nothing is lost in a quiet namespace"),
            Heard::Nothing => std::thread::yield_now(),
        }
        assert!(clock::now() < end, "not heard in time");
    }
}

/// Hears everything that has been announced so far.
fn catch_up(watch: &Watch, mirror: &mut Mirror) {
    // The kernel queues announcements before the command that caused them returns, so a link made
    // after it is announced after it.
    run("ip link add marker type bridge");
    hear_until(watch, mirror, |mirror| mirror.links().named("marker").is_some());
    run("ip link del marker");
    hear_until(watch, mirror, |mirror| mirror.links().named("marker").is_none());
}

#[test]
fn a_picture_agrees_with_the_kernel() {
    in_namespaces(|| {
        run_all(TOPOLOGY);
        let mirror = Netlink::open().unwrap().picture().unwrap();
        agrees_with_the_kernel(&mirror);
        let query = Query {
            destination: "10.1.2.3".parse().unwrap(),
            source: "192.168.1.5".parse().unwrap(),
            arriving: None,
            mark: 0,
        };
        let Answer::Unicast(_, route) = mirror.lookup(&query) else { panic!("a route") };
        assert_eq!((route.mtu, route.source), (Some(1400), Some("192.168.1.1".parse().unwrap())));
        assert_eq!(mirror.links().named("wan").unwrap().kind, "veth");
    });
}

#[test]
fn changes_heard_lead_to_the_same_picture() {
    in_namespaces(|| {
        let watch = Watch::open().unwrap();
        let mut mirror = Netlink::open().unwrap().picture().unwrap();
        run_all(TOPOLOGY);
        catch_up(&watch, &mut mirror);
        agrees_with_the_kernel(&mirror);

        run_all(
            "
            ip route replace default via 203.0.113.253
            ip route del 10.1.0.0/16 table 100
            ip route append 10.0.0.0/8 via 198.51.100.3
            ip rule del priority 1000
            ip route change 10.6.0.0/16 via 192.168.1.77
            ",
        );
        catch_up(&watch, &mut mirror);
        agrees_with_the_kernel(&mirror);
    });
}

#[test]
fn a_link_that_goes_down_needs_a_fresh_picture_only_for_what_comes_back() {
    in_namespaces(|| {
        run_all(TOPOLOGY);
        let watch = Watch::open().unwrap();
        let mut netlink = Netlink::open().unwrap();
        let mut mirror = netlink.picture().unwrap();
        run("ip link set wan down");
        catch_up(&watch, &mut mirror);
        let query = Query {
            destination: "8.8.8.8".parse().unwrap(),
            source: "192.168.1.5".parse().unwrap(),
            arriving: None,
            mark: 0,
        };
        assert_eq!(answered(&mirror, &query), "wan2 via Some(\"198.51.100.14\")");
        // The kernel dropped the default route by wan without a word.
        run("ip link set wan up");
        catch_up(&watch, &mut mirror);
        mirror.replace(netlink.picture().unwrap());
        agrees_with_the_kernel(&mirror);
    });
}

#[test]
fn a_rename_is_heard_under_the_same_number() {
    in_namespaces(|| {
        run_all(TOPOLOGY);
        let watch = Watch::open().unwrap();
        let mut mirror = Netlink::open().unwrap().picture().unwrap();
        let index = mirror.links().named("wan2").unwrap().index;
        run_all("ip link set wan2 down \n ip link set wan2 name uplink \n ip link set uplink up");
        catch_up(&watch, &mut mirror);
        let link = mirror.links().get(index).unwrap();
        assert_eq!((link.name.as_str(), link.up), ("uplink", true));
    });
}

#[test]
fn the_kernel_resolves_neighbours_on_request() {
    in_namespaces(|| {
        run_all(TOPOLOGY);
        run_all(
            "
            ip link add peer type veth peer name far
            ip link set peer up
            ip address add 172.16.0.1/24 dev peer
            ip link set far up
            ip address add 172.16.0.2/24 dev far
            sysctl -qw net.ipv4.conf.all.arp_ignore=0
            sysctl -qw net.ipv4.conf.far.accept_local=1
            ",
        );
        let watch = Watch::open().unwrap();
        let mut netlink = Netlink::open().unwrap();
        let mut mirror = netlink.picture().unwrap();
        let wan = mirror.links().named("wan").unwrap().index;
        let absent = "203.0.113.77".parse().unwrap();
        netlink.resolve(wan, absent).unwrap();
        hear_until(&watch, &mut mirror, |mirror| {
            mirror.neighbours().get(wan, absent) == Some(Neighbour::Failed)
        });
        let peer = mirror.links().named("peer").unwrap().index;
        let far = mirror.links().named("far").unwrap().mac.unwrap();
        let present = "172.16.0.2".parse().unwrap();
        run("ip neigh add 172.16.0.2 dev peer lladdr 02:00:00:00:00:01 nud stale");
        netlink.resolve(peer, present).unwrap();
        hear_until(&watch, &mut mirror, |mirror| {
            mirror.neighbours().get(peer, present).is_some_and(|found| found.mac().is_some())
        });
        assert_ne!(far, [0; 6]);
    });
}

#[test]
fn neighbours_are_asked_for_in_the_name_of_the_link_or_of_the_host() {
    in_namespaces(|| {
        run_all(TOPOLOGY);
        let mut netlink = Netlink::open().unwrap();
        let mirror = netlink.picture().unwrap();
        let index = |name: &str| mirror.links().named(name).unwrap().index;
        let (lo, wan) = (index("lo"), index("wan"));
        let mut asks = |expected: bool| {
            assert_eq!(netlink.can_ask_on(wan, lo).unwrap(), expected, "{}", run("ip address"));
        };
        asks(true);
        run("ip address del 203.0.113.1/24 dev wan");
        asks(false);
        run("ip address add 203.0.113.1/24 dev wan scope host");
        asks(false);
        run("ip address add 169.254.1.1/16 dev wan scope link");
        asks(true);
        run("ip address flush dev wan");
        run("ip address add 198.51.100.77/32 dev lo scope host");
        asks(false);
        run("ip address add 198.51.100.78/32 dev lo");
        asks(true);
    });
}

#[test]
fn the_punt_pair_is_made_and_goes_as_one() {
    in_namespaces(|| {
        let mut netlink = Netlink::open().unwrap();
        let pair = PuntPair {
            near: "masq0-test".to_owned(),
            far: "masq1-test".to_owned(),
            alias: "masq test".to_owned(),
            mtu: 3500,
        };
        create_pair(&mut netlink, &pair).unwrap();
        let again = create_pair(&mut netlink, &pair).unwrap_err();
        assert_eq!(again.errno(), Some(libc::EEXIST));
        let mirror = netlink.picture().unwrap();
        let near = mirror.links().named("masq0-test").unwrap();
        let far = mirror.links().named("masq1-test").unwrap();
        assert!(near.no_arp && far.no_arp && near.mtu == 3500 && far.mtu == 3500 && !near.up);
        netlink.set_up(near.index).unwrap();
        delete_link(&mut netlink, near.index).unwrap();
        let left = netlink.picture().unwrap();
        assert!(left.links().named("masq1-test").is_none());
    });
}

#[test]
fn lost_announcements_are_noticed() {
    in_namespaces(|| {
        let watch = Watch::open().unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&watch, 1).unwrap();
        for n in 0..20 {
            run(&format!("ip link add flood{n} type bridge"));
        }
        let mut heard = core::iter::from_fn(|| match watch.hear().unwrap() {
            Heard::Nothing => None,
            heard @ (Heard::Changes(_) | Heard::Lost) => Some(heard),
        });
        assert!(heard.any(|heard| matches!(heard, Heard::Lost)));
    });
}
