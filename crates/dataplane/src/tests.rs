//! Whole gateways on a real kernel.

mod left_behind;

use core::net::IpAddr;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use aya::programs::{SchedClassifier, TcAttachType};
use masq_core::limits::Rate;
use masq_core::{Inside, Outside, Policy, PortRanges, Realm};
use masq_flow::Layout;

use super::*;
use crate::attach::has_tcx;
use crate::testing::{
    comes_true, enter_new_network, gateway_topology, in_namespaces, on_host, run, run_all,
    succeeds, tries,
};

/// Interfaces by name, and the policy that a user without a configuration gets.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) inside: &'static str,
    pub(crate) outside: &'static str,
    pub(crate) fast_path: FastPath,
}

pub(crate) const PLAIN: Plain = Plain { inside: "lan", outside: "wan", fast_path: FastPath::Off };

impl Configuration for Plain {
    fn side(&self, interface: &str) -> Option<Realm> {
        let is = |pattern: &str| match pattern.strip_suffix('+') {
            Some(prefix) => interface.starts_with(prefix),
            None => interface == pattern,
        };
        let outside = || is(self.outside).then_some(Realm::Outside);
        is(self.inside).then_some(Realm::Inside).or_else(outside)
    }

    fn fast_path(&self) -> FastPath {
        self.fast_path
    }

    fn first_packets(&self) -> Option<Rate> {
        None
    }

    fn required(&self) -> Vec<String> {
        let names = [self.inside, self.outside].into_iter().filter(|name| !name.ends_with('+'));
        names.map(str::to_owned).collect()
    }

    fn policy(&self, surroundings: &Surroundings) -> Policy {
        let ports = |side| surroundings.ports.iter().filter(move |port| port.side == side);
        let first = |port: &Port| -> Option<IpAddr> {
            port.addresses.iter().map(|found| found.address).find(IpAddr::is_ipv4)
        };
        let insides = ports(Realm::Inside).map(|port| Inside {
            port: port.id,
            address: first(port),
            networks: port.networks.clone(),
        });
        let outsides = ports(Realm::Outside)
            .map(|port| Outside::new(port.id, first(port).into_iter().collect()));
        let mut policy = Policy::new(insides.collect(), outsides.collect());
        policy.reserved = PortRanges(surroundings.host_ports().into_iter().collect());
        policy
    }
}

pub(crate) fn options() -> Options {
    Options { layout: Layout::for_sessions(4096), ..Options::new("test") }
}

fn gateway() -> Handle {
    start(options(), Box::new(PLAIN)).unwrap()
}

/// Everything of masq that can be seen from outside.
pub(crate) fn traces() -> Vec<String> {
    let mut traces = Vec::new();
    let links = run("ip -o link show");
    traces.extend(links.lines().filter(|line| line.contains("masq")).map(str::to_owned));
    for name in ["lan", "wan"] {
        let attached = run(&format!("bpftool net show dev {name}"));
        traces.extend(attached.lines().filter(|line| line.contains("masq")).map(str::to_owned));
    }
    for directory in ["/run/masq", "/run/masq/bpf"] {
        let entries = std::fs::read_dir(directory).unwrap().flatten();
        let names = entries.map(|entry| entry.path().display().to_string());
        // The file system itself is not masq's alone, and shows two files of its own.
        traces.extend(names.filter(|name| !name.ends_with("/bpf") && !name.ends_with(".debug")));
    }
    let reserved = run("sysctl -n net.ipv4.ip_local_reserved_ports");
    if !reserved.trim().is_empty() {
        traces.push(format!("reserved ports {reserved}"));
    }
    traces
}

#[test]
fn an_inside_host_reaches_the_outside() {
    in_namespaces(|| {
        gateway_topology();
        let gateway = gateway();
        assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
        run("ip netns exec inside ping -c 20 -i 0.01 -W 5 203.0.113.178");
        let stats = gateway.stats().unwrap();
        assert!(stats.worker.punt.forwarded >= 42, "{stats:?}");
        assert_eq!(stats.worker.punt.nonsense, 0);
        let ports = gateway.ports().unwrap();
        let expected = if has_tcx() { "tcx" } else { "clsact" };
        assert!(ports.iter().all(|port| port.attachment == Some(expected)), "{ports:?}");
        assert_eq!(run("sysctl -n net.ipv4.ip_forward").trim(), "0", "masq forwards by itself");
    });
}

#[test]
fn the_host_itself_is_left_alone() {
    in_namespaces(|| {
        gateway_topology();
        let _gateway = gateway();
        run("ping -c 1 -W 5 192.168.1.3");
        run("ping -c 1 -W 5 203.0.113.178");
        run("ip netns exec outside ping -c 1 -W 5 203.0.113.1");
        run("ip netns exec inside ping -c 1 -W 5 192.168.1.1");
        let reserved = run("sysctl -n net.ipv4.ip_local_reserved_ports");
        assert_eq!(reserved.trim(), "32768-56903");
    });
}

#[test]
fn nothing_is_left_after_detach() {
    in_namespaces(|| {
        gateway_topology();
        let before = traces();
        let gateway = gateway();
        assert!(matches!(detach(Path::new(RUN), "test"), Err(DetachError::Refused(_))));
        gateway.stop();
        assert_ne!(traces(), before, "a stopped gateway stays closed");
        detach(Path::new(RUN), "test").unwrap();
        assert_eq!(traces(), before);
        assert!(matches!(detach(Path::new(RUN), "test"), Err(DetachError::Unknown { .. })));
    });
}

#[test]
fn a_stopped_gateway_lets_nothing_through_and_a_successor_takes_over() {
    in_namespaces(|| {
        gateway_topology();
        run("sysctl -qw net.ipv4.ip_forward=1");
        let first = gateway();
        assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
        first.stop();
        let ping = "ip netns exec inside ping -c 1 -W 1 203.0.113.178";
        assert!(!succeeds(ping), "closed, though the kernel would forward");
        let _second = gateway();
        assert!(tries(ping));
    });
}

#[test]
fn bad_starts_say_why_and_leave_nothing() {
    in_namespaces(|| {
        gateway_topology();
        let before = traces();
        let fails = |options: Options, plain: Plain| {
            let error = start(options, Box::new(plain)).unwrap_err();
            assert_eq!(traces(), before, "{error}");
            error
        };
        let absent = fails(options(), Plain { outside: "ppp0", ..PLAIN });
        assert_eq!(absent.to_string(), "there is no interface ppp0; there are: lan, wan");
        let loopback = fails(options(), Plain { inside: "lo", ..PLAIN });
        assert!(matches!(loopback, StartError::Unusable { .. }), "{loopback}");
        run("ip link set lan mtu 9000");
        let jumbo = fails(options(), PLAIN);
        assert!(jumbo.to_string().contains("ip link set lan mtu 3462"), "{jumbo}");
        run("ip link set lan mtu 1500");
        let name = fails(Options { instance: "a/b".to_owned(), ..options() }, PLAIN);
        assert!(matches!(name, StartError::Name { .. }), "{name}");
        run("umount /run/masq/bpf");
        let private = fails(options(), PLAIN);
        assert!(private.to_string().contains("mount -t bpf bpf /run/masq/bpf"), "{private}");
    });
}

#[test]
fn an_interface_belongs_to_one_instance() {
    in_namespaces(|| {
        gateway_topology();
        let first = gateway();
        let again = start(options(), Box::new(PLAIN)).unwrap_err();
        assert_eq!(again.to_string(), "masq instance test is running already");
        let before = traces();
        let other = Options { instance: "other".to_owned(), ..options() };
        let claimed = start(other.clone(), Box::new(PLAIN)).unwrap_err();
        assert!(claimed.to_string().contains("used by masq instance test"), "{claimed}");
        assert_eq!(traces(), before);
        first.stop();
        let claimed = start(other, Box::new(PLAIN)).unwrap_err();
        assert!(claimed.to_string().contains("masq detach --instance test"), "{claimed}");
    });
}

#[test]
fn an_instance_stays_in_its_namespace() {
    in_namespaces(|| {
        gateway_topology();
        gateway().stop();
        // The same mounts, another network.
        std::thread::scope(|scope| {
            let elsewhere = scope.spawn(|| {
                enter_new_network();
                gateway_topology_again();
                start(options(), Box::new(PLAIN)).unwrap_err().to_string()
            });
            let error = elsewhere.join().unwrap();
            assert!(error.contains("another network namespace"), "{error}");
            assert!(!error.contains("masq detach"), "that would end it: {error}");
        });
    });
}

fn gateway_topology_again() {
    run_all("ip link add lan type veth peer name lan2 \n ip link add wan type veth peer name wan2");
}

/// The closed interfaces, and what they were called.
fn closed(gateway: &Handle) -> Vec<(String, String)> {
    let ports = gateway.ports().unwrap().into_iter();
    ports.filter_map(|port| Some((port.port.name, port.closed?))).collect()
}

/// Our TC programs on an interface, by links or filters.
fn programs_on(name: &str) -> Vec<String> {
    let mut programs = Vec::new();
    for (kind, hook) in [(TcAttachType::Egress, "egress"), (TcAttachType::Ingress, "ingress")] {
        let (_, linked) = SchedClassifier::query_tcx(name, kind).unwrap();
        programs.extend(linked.iter().filter_map(|one| one.name_as_str().map(str::to_owned)));
        let filters = run(&format!("tc filter show dev {name} {hook}"));
        programs.extend(
            filters.split_whitespace().filter(|word| word.starts_with("masq_")).map(str::to_owned),
        );
        // tc names the program of a filter twice.
        programs.dedup();
    }
    programs
}

#[test]
fn a_renamed_interface_stays_closed_until_it_is_released_whichever_daemon_runs() {
    for attachment in [Attachment::Tcx, Attachment::Clsact] {
        in_namespaces(|| {
            gateway_topology();
            let options = || Options { attachment, ..options() };
            let gateway = start(options(), Box::new(PLAIN)).unwrap();
            let error = gateway.release("lan").unwrap_err().to_string();
            assert_eq!(error, "interface lan is not closed; none is");
            let is_closed = [("other".to_owned(), "lan".to_owned())];
            // While no daemon looks.
            drop(gateway);
            run_all("ip link set lan down \n ip link set lan name other \n ip link set other up");
            run_all("ip link add lan type veth peer name lan-far");

            let gateway = start(options(), Box::new(PLAIN)).unwrap();
            assert_eq!(closed(&gateway), is_closed);
            let gateway = {
                drop(gateway);
                start(options(), Box::new(PLAIN)).unwrap()
            };
            assert_eq!(closed(&gateway), is_closed, "the one after it knows, too");
            assert_eq!(programs_on("other"), ["masq_ingress"]);
            let error = gateway.release("lan").unwrap_err().to_string();
            assert_eq!(error, "interface lan is not closed; closed: other");

            gateway.release("other").unwrap();
            assert_eq!(closed(&gateway), []);
            assert_eq!(programs_on("other"), Vec::<String>::new());
        });
    }
}

#[test]
fn interfaces_come_and_go_and_are_renamed() {
    in_namespaces(|| {
        gateway_topology();
        let gateway = start(options(), Box::new(Plain { outside: "wan+", ..PLAIN })).unwrap();
        let ping = "ip netns exec inside ping -c 1 -W 1 203.0.113.178";
        assert!(tries(ping));
        let served = |name: &str| {
            let ports = gateway.ports().unwrap();
            ports.iter().any(|port| {
                port.port.name == name && port.attachment.is_some() && port.closed.is_none()
            })
        };
        let wait_for = |what: &dyn Fn() -> bool| {
            assert!(comes_true(what), "not in time: {:?}", gateway.ports());
        };
        run_all("ip link set wan down \n ip link set wan name wan7 \n ip link set wan7 up");
        wait_for(&|| served("wan7") && !served("wan"));
        assert!(tries(ping), "renamed within the pattern: {:?}", gateway.stats());

        run_all("ip link set wan7 down \n ip link set wan7 name other \n ip link set other up");
        wait_for(&|| closed(&gateway) == [("other".to_owned(), "wan7".to_owned())]);
        assert_eq!(programs_on("other"), ["masq_egress", "masq_ingress"]);
        assert!(!tries(ping), "nothing passes");

        run_all("ip link set other down \n ip link set other name wan3 \n ip link set wan3 up");
        wait_for(&|| served("wan3"));
        assert!(tries(ping), "back under another name");

        run("ip link del wan3");
        wait_for(&|| !served("wan3"));
        run_all(
            "
            ip link add wan9 type veth peer name eth0 netns outside
            ip address add 203.0.113.1/24 dev wan9
            ip link set wan9 up
            ip netns exec outside ip link set eth0 up
            ip netns exec outside ip address add 203.0.113.178/24 dev eth0
            ",
        );
        wait_for(&|| served("wan9"));
        assert!(tries(ping), "a new interface in the place of the old one");
        assert!(gateway.is_running());
    });
}

#[test]
fn the_outside_address_is_followed() {
    in_namespaces(|| {
        gateway_topology();
        let _gateway = gateway();
        let ping = "ip netns exec inside ping -c 1 -W 1 203.0.113.178";
        assert!(tries(ping));
        run_all("ip address del 203.0.113.1/24 dev wan \n ip address add 203.0.113.77/24 dev wan");
        assert!(tries(ping), "from the new address");
    });
}

#[test]
fn a_connection_outlives_the_daemon() {
    in_namespaces(|| {
        gateway_topology();
        let first = gateway();
        let listener = on_host("outside", || TcpListener::bind("203.0.113.178:8888").unwrap());
        let mut inside = on_host("inside", || TcpStream::connect("203.0.113.178:8888").unwrap());
        let (mut outside, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), "203.0.113.1".parse::<IpAddr>().unwrap());
        let mut talk = |words: &[u8]| {
            let mut heard = vec![0; words.len()];
            inside.write_all(words).unwrap();
            outside.read_exact(&mut heard).unwrap();
            outside.write_all(&heard).unwrap();
            inside.read_exact(&mut heard).unwrap();
            assert_eq!(heard, words);
        };
        talk(b"hello");
        first.stop();
        let second = gateway();
        talk(b"still there?");
        let adopted = second.stats().unwrap().worker.engine.adopted;
        assert!(adopted >= 1, "{adopted} sessions taken over");
        assert_eq!(second.flows().sessions().count() as u64, adopted, "and no other made");
    });
}

#[test]
fn a_megabyte_passes_intact_each_way() {
    in_namespaces(|| {
        gateway_topology();
        let _gateway = gateway();
        let data: Vec<u8> =
            (0..1_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let listener = on_host("outside", || TcpListener::bind("203.0.113.178:8888").unwrap());
        let mut inside = on_host("inside", || TcpStream::connect("203.0.113.178:8888").unwrap());
        let (mut outside, _) = listener.accept().unwrap();
        let (mut from_inside, mut from_outside) =
            (inside.try_clone().unwrap(), outside.try_clone().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| inside.write_all(&data).unwrap());
            // What arrives outside goes back as it is.
            scope.spawn(|| std::io::copy(&mut from_outside, &mut outside));
            let mut heard = vec![0; data.len()];
            from_inside.read_exact(&mut heard).unwrap();
            assert!(heard == data, "what came back is what was sent");
            from_inside.shutdown(std::net::Shutdown::Both).unwrap();
        });
    });
}

#[test]
fn clsact_gateways_come_and_go_like_others() {
    in_namespaces(|| {
        gateway_topology();
        let before = traces();
        let options = Options { attachment: Attachment::Clsact, ..options() };
        let gateway = start(options.clone(), Box::new(PLAIN)).unwrap();
        assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
        gateway.stop();
        let again = start(options.clone(), Box::new(PLAIN)).unwrap();
        assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
        let other = Options { instance: "other".to_owned(), ..options };
        let claimed = start(other, Box::new(PLAIN)).unwrap_err();
        assert!(matches!(claimed, StartError::Claimed { .. }), "{claimed}");
        again.stop();
        detach(Path::new(RUN), "test").unwrap();
        assert_eq!(traces(), before);
        assert!(!run("tc qdisc show dev lan").contains("clsact"), "masq made it");
    });
}

#[test]
fn a_gateway_whose_engine_panics_ends_closed() {
    in_namespaces(|| {
        gateway_topology();
        run("sysctl -qw net.ipv4.ip_forward=1");
        let gateway = gateway();
        let ping = "ip netns exec inside ping -c 1 -W 1 203.0.113.178";
        assert!(tries(ping));
        let answer = gateway.look(|_| panic!("a test of what happens then"));
        assert_eq!(answer, Err::<(), _>(Ended));
        assert!(comes_true(|| !gateway.is_running()), "nobody notices");
        assert_eq!(gateway.stats().unwrap_err(), Ended);
        assert_eq!(
            gateway.reload(Box::new(PLAIN)).unwrap_err().to_string(),
            "the gateway is ending"
        );
        gateway.stop();
        assert!(!succeeds(ping), "closed, though the kernel would forward");
        let _again = start(options(), Box::new(PLAIN)).unwrap();
        assert!(tries(ping));
    });
}

/// A configuration that is too much for whoever follows it.
struct Panics;

impl Configuration for Panics {
    fn side(&self, _: &str) -> Option<Realm> {
        panic!("a test of what happens then")
    }

    fn fast_path(&self) -> FastPath {
        panic!("a test of what happens then")
    }

    fn first_packets(&self) -> Option<Rate> {
        None
    }

    fn required(&self) -> Vec<String> {
        Vec::new()
    }

    fn policy(&self, _: &Surroundings) -> Policy {
        panic!("a test of what happens then")
    }
}

#[test]
fn a_gateway_whose_control_panics_ends_as_well() {
    in_namespaces(|| {
        gateway_topology();
        let gateway = gateway();
        assert!(matches!(gateway.reload(Box::new(Panics)), Err(ReloadError::Ending)));
        assert!(comes_true(|| !gateway.is_running()), "nobody notices");
        // Which does not wait for the other thread in vain.
        gateway.stop();
        let _again = start(options(), Box::new(PLAIN)).unwrap();
        assert!(tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"));
    });
}

#[test]
fn what_cannot_be_followed_changes_nothing() {
    in_namespaces(|| {
        gateway_topology();
        run_all("ip link add lan2 type bridge \n ip link add wan2 type bridge");
        let _first = gateway();
        let other = Options { instance: "other".to_owned(), ..options() };
        let own = Plain { inside: "lan2", outside: "wan2", ..PLAIN };
        let second = start(other, Box::new(own.clone())).unwrap();
        let before = (traces(), second.ports().unwrap());
        let cases = [
            (Plain { outside: "ppp0", ..own.clone() }, "there is no interface ppp0"),
            (Plain { inside: "lo", ..own.clone() }, "lo cannot be inside or outside"),
            (Plain { inside: "masq1-other", ..own.clone() }, "masq1-other cannot be"),
            (Plain { outside: "wan", ..own.clone() }, "wan is used by masq instance test"),
            (Plain { outside: "wan+", ..own }, "wan is used by masq instance test"),
        ];
        for (plain, expected) in cases {
            for refused in
                [second.plan(Box::new(plain.clone())), second.reload(Box::new(plain.clone()))]
            {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains(expected), "{error}");
            }
            assert_eq!((traces(), second.ports().unwrap()), before, "{plain:?}");
        }
    });
}

#[test]
fn a_gateway_without_its_punt_port_ends() {
    in_namespaces(|| {
        gateway_topology();
        let gateway = gateway();
        run("ip link del masq0-test");
        assert!(comes_true(|| !gateway.is_running()), "it goes on without a punt port");
        gateway.stop();
        let _again = start(options(), Box::new(PLAIN)).unwrap();
        assert!(
            tries("ip netns exec inside ping -c 1 -W 1 203.0.113.178"),
            "and can be started anew"
        );
    });
}
