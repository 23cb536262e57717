//! The programs and the punt port on a real kernel, with a translation too simple to be a NAT's.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};

use masq_core::{Instant, Route, RouteQuery, Routes as _};
use masq_flow::index::Source as _;
use masq_flow::maps::{AddressFlags, Role};
use masq_flow::owned::Shared;
use masq_flow::punt::Return;
use masq_flow::{Direction, PerDirection, Session};
use masq_wire::{Endpoint, Packet, Protocol, Tuple};

use super::*;
use crate::bulk::Bulk;
use crate::netlink::{Netlink, PuntPair, create_pair};
use crate::punt::{PUNT_MTU, PuntPort};
use crate::routes::Router;
use crate::sys::ethtool::{self, Feature};
use crate::testing::{gateway_topology, in_namespaces, run, run_all};

const WORKSTATION: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

fn layout() -> Layout {
    Layout::for_sessions(1024)
}

fn pins() -> Pins {
    Pins::create(std::path::Path::new("/run/masq/bpf"), "test").unwrap()
}

impl Programs {
    /// Puts a program where packets leave an interface, until the answer is dropped.
    pub(crate) fn judge_what_leaves(
        &mut self,
        name: &str,
        attachment: Attachment,
    ) -> SchedClassifierLink {
        let options = match attachment {
            Attachment::Clsact => {
                tc::qdisc_add_clsact(name).unwrap();
                TcAttachOptions::Netlink(NlOptions::default())
            }
            Attachment::Auto | Attachment::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
        };
        let program = classifier(&mut self.ebpf, INGRESS).unwrap();
        let id = program.attach_with_options(name, TcAttachType::Egress, options).unwrap();
        program.take_link(id).unwrap()
    }
}

/// A gateway that puts one address in the place of another.
struct Simple {
    programs: Programs,
    memory: SharedMemory,
    port: PuntPort,
    netlink: Netlink,
    router: Router,
}

impl Simple {
    fn start(attachment: Attachment) -> Self {
        let mut netlink = Netlink::open().unwrap();
        let mut programs = Programs::load(pins(), layout(), attachment).unwrap();
        let memory = programs.memory().unwrap();
        drop(masq_flow::Writer::format(memory.table.clone(), masq_flow::Secret::new(1, 2)));
        let pair = PuntPair {
            near: "masq0-test".to_owned(),
            far: "masq1-test".to_owned(),
            alias: "masq test".to_owned(),
            mtu: PUNT_MTU,
        };
        create_pair(&mut netlink, &pair).unwrap();
        ethtool::set(&pair.near, Feature::TxChecksum, false).unwrap();
        ethtool::set(&pair.near, Feature::GenericSegmentation, false).unwrap();
        let mirror = netlink.picture().unwrap();
        let index = |name: &str| mirror.links().named(name).unwrap().index;
        let (near, far) = (index("masq0-test"), index("masq1-test"));
        programs.attach_punt_port(&pair.near, (far, &pair.far)).unwrap();
        netlink.set_up(near).unwrap();
        netlink.set_up(far).unwrap();
        let mut port = PuntPort::open(far, 1024).unwrap();
        programs.set_socket(&port).unwrap();
        let bulk = programs.bulk().expect("this kernel has all that sending in bulk takes");
        let (burst, outgoing) = memory.outgoing.clone();
        port.set_bulk(Bulk::new(bulk, far, burst, outgoing));
        let settings = Settings { punt_ifindex: near, ..Settings::default() };
        programs.set_settings(&settings).unwrap();
        for (name, role) in [("lan", Role::Inside), ("wan", Role::Outside)] {
            let link = mirror.links().named(name).unwrap();
            let interface = Interface {
                role: role as u32,
                mac: link.mac.unwrap(),
                mtu: link.mtu,
                ..Interface::default()
            };
            programs.set_interface(link.index, Some(&interface)).unwrap();
        }
        let shared = AddressFlags::LOCAL | AddressFlags::OUTSIDE_SHARED;
        programs.set_address(OUTSIDE, Some(shared)).unwrap();
        programs.set_address([192, 168, 1, 1].into(), Some(AddressFlags::LOCAL)).unwrap();
        for shared in [Shared::Icmp, Shared::Tcp, Shared::Udp] {
            memory.owned[0].set_ports(shared, 1024..=65_535, true);
        }
        for name in ["lan", "wan"] {
            programs.attach_ingress(index(name), name, false).unwrap();
        }
        let router = Router::new(netlink.picture().unwrap(), 1024);
        Self { programs, memory, port, netlink, router }
    }

    /// One round of the worker.
    fn round(&mut self) {
        self.router.set_now(Instant::from_secs(1));
        self.router.replace(self.netlink.picture().unwrap());
        self.port.reclaim();
        while let Some(punted) = self.port.receive() {
            let mut bytes = self.port.packet(&punted.frame)[..punted.len].to_vec();
            let mut packet = Packet::parse(&mut bytes).expect("the kernel sends no nonsense");
            if packet.source() == WORKSTATION {
                let id = packet.tuple().unwrap().source.port;
                packet.rewrite_source(Endpoint::v4(OUTSIDE, id));
            } else {
                let id = packet.tuple().unwrap().destination.port;
                packet.rewrite_destination(Endpoint::v4(WORKSTATION, id));
            }
            packet.decrement_ttl();
            let query = RouteQuery {
                destination: packet.destination().into(),
                source: packet.source().into(),
                arriving: Some(punted.port),
                mark: 0,
            };
            let Route::Unicast(hop) = self.router.route(&query) else { panic!("a route") };
            while let Some(key) = self.router.poll_resolve() {
                self.netlink.resolve(key.link, key.neighbour.unwrap()).unwrap();
            }
            while let Some((id, value)) = self.router.poll_changed() {
                self.memory.next_hops[usize::from(id.0)].store(&value);
            }
            self.port.packet(&punted.frame)[..punted.len].copy_from_slice(&bytes);
            let to = Return::Forward { next_hop: hop.id, link: hop.port.0 as u16 };
            self.port.send(punted.frame, punted.len, to, punted.origin);
        }
        self.port.flush(|_| {});
    }

    /// Works while a command runs.
    fn serve(&mut self, command: &str) -> String {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let command = scope.spawn(|| {
                let output = run(command);
                done.store(true, Ordering::Release);
                output
            });
            while !command.is_finished() {
                self.round();
                std::thread::yield_now();
            }
            command.join().unwrap()
        })
    }
}

#[test]
fn packets_go_through_the_punt_port_and_back() {
    in_namespaces(|| {
        gateway_topology();
        let mut gateway = Simple::start(Attachment::Tcx);
        // The first one waits for two neighbours, and this gateway holds nothing back.
        gateway.serve("ip netns exec inside ping -c 3 -i 0.2 -w 20 203.0.113.178");
        let counts = gateway.port.counts();
        assert!(counts.received >= 6 && counts.foreign == 0 && counts.nonsense == 0, "{counts:?}");
        run("ping -c 1 -W 1 192.168.1.3");
        assert_eq!(gateway.programs.attachment(), "tcx");
    });
}

/// Sixty packets at once, and their answers.
const BURST: &str = "ip netns exec inside ping -q -c 60 -l 60 -i 0.2 -w 20 203.0.113.178";

#[test]
fn many_packets_at_once_leave_past_the_punt_port() {
    for attachment in [Attachment::Tcx, Attachment::Clsact] {
        in_namespaces(|| {
            gateway_topology();
            let mut gateway = Simple::start(attachment);
            gateway.serve("ip netns exec inside ping -c 3 -i 0.2 -w 20 203.0.113.178");
            let printed = gateway.serve(BURST);
            assert!(printed.contains("60 received"), "{printed}");
            let counts = gateway.port.counts();
            assert!(counts.bulk >= 60 && counts.redirected == 0, "{counts:?}");
        });
    }
}

#[test]
fn many_packets_at_once_are_redirected_by_xdp_where_it_carries_sessions() {
    in_namespaces(|| {
        gateway_topology();
        for end in ["inside", "outside"] {
            // What takes redirects on a veth is an end whose other end works in NAPI.
            run(&format!("ip netns exec {end} ethtool -K eth0 gro on"));
        }
        let mut gateway = Simple::start(Attachment::Tcx);
        let [lan, wan] = ["lan", "wan"].map(|name| sys::interface_index(name).unwrap());
        gateway.programs.attach_xdp(lan, "lan").unwrap();
        gateway.programs.set_redirects(&[lan, wan].into()).unwrap();
        gateway.serve("ip netns exec inside ping -c 3 -i 0.2 -w 20 203.0.113.178");
        let printed = gateway.serve(BURST);
        assert!(printed.contains("60 received"), "{printed}");
        let counts = gateway.port.counts();
        // The answers arrive where TC carries sessions, and leave as they would.
        let there = counts.redirected;
        assert!(there >= 30 && counts.bulk >= there + 30, "{counts:?}");
    });
}

#[test]
fn tickets_come_back_with_their_packets() {
    in_namespaces(|| {
        gateway_topology();
        let mut gateway = Simple::start(Attachment::Tcx);
        let table = gateway.memory.table.clone();
        let (mut writer, _) = masq_flow::Writer::adopt(table.clone(), 0).unwrap();
        let (host, own) = (Endpoint::v4(WORKSTATION, 7777), Endpoint::v4(OUTSIDE, 7777));
        let remote = Endpoint::v4([203, 0, 113, 178].into(), 0);
        let session = Session {
            original: Tuple::new(Protocol::ICMP, host, remote),
            reply: Tuple::new(Protocol::ICMP, remote, own),
            flags: masq_flow::Flags::empty(),
            class: 0,
            state: 0,
            next_hops: PerDirection::default(),
            interfaces: PerDirection::default(),
            epoch: 0,
            rule_path: 0,
            created: 0,
        };
        let slot = writer.insert(0, &session).unwrap();
        let settled = || {
            let activity = &table.record(slot).unwrap().activity;
            Direction::ALL.map(|direction| activity.is_settled(direction))
        };
        assert_eq!(settled(), [false, false]);
        gateway.serve("ip netns exec inside ping -e 7777 -c 4 -i 0.2 -W 1 203.0.113.178");
        assert_eq!(settled(), [true, true]);
    });
}

#[test]
fn clsact_serves_where_tcx_is_missing() {
    in_namespaces(|| {
        gateway_topology();
        let mut gateway = Simple::start(Attachment::Clsact);
        gateway.serve("ip netns exec inside ping -c 3 -i 0.2 -w 20 203.0.113.178");
        let lan = gateway.router.mirror().links().named("lan").unwrap().index;
        gateway.programs.attach_ingress(lan, "lan", true).unwrap();
        let filters = run("tc filter show dev lan ingress");
        assert_eq!(filters.matches("handle 0x6d71").count(), 1, "{filters}");
        gateway.serve("ip netns exec inside ping -c 1 -W 1 203.0.113.178");
        gateway.programs.detach_ingress(lan, Some("lan"));
        assert_eq!(run("tc filter show dev lan ingress").trim(), "");
    });
}

#[test]
fn a_successor_takes_over_links_and_maps() {
    in_namespaces(|| {
        gateway_topology();
        let first = Simple::start(Attachment::Auto);
        let (memory, lan) =
            (first.memory.clone(), first.router.mirror().links().named("lan").unwrap().index);
        drop(first);
        let attached = || SchedClassifier::query_tcx("lan", TcAttachType::Ingress).unwrap().1;
        let before = attached();
        assert_eq!(before.len(), 1, "pinned links outlive the process");

        let mut second = Programs::load(pins(), layout(), Attachment::Auto).unwrap();
        assert!(!second.is_claimed(lan, "lan"));
        second.attach_ingress(lan, "lan", true).unwrap();
        let after = attached();
        assert_eq!(after.len(), 1);
        assert_ne!(before[0].id(), after[0].id(), "the program is the successor's");
        memory.owned[0].set_port(Shared::Tcp, 77, true);
        assert!(second.memory().unwrap().owned[0].has_port(Shared::Tcp, 77), "the same maps");

        let other = Pins::create(std::path::Path::new("/run/masq/bpf"), "other").unwrap();
        let other = Programs::load(other, layout(), Attachment::Auto).unwrap();
        assert!(other.is_claimed(lan, "lan"));
    });
}

#[test]
fn interfaces_whose_numbers_share_places_are_told_apart_until_there_is_none() {
    in_namespaces(|| {
        let mut programs = Programs::load(pins(), layout(), Attachment::Auto).unwrap();
        let served = Interface { role: Role::Inside as u32, ..Interface::default() };
        let like = |n: u32| 7 + n * maps::INTERFACE_PLACES;
        for n in 0..Interface::CHOICES {
            programs.set_interface(like(n), Some(&served)).unwrap();
            programs.set_interface(like(n), Some(&served)).unwrap();
        }
        let full = programs.set_interface(like(Interface::CHOICES), Some(&served));
        assert!(matches!(full, Err(AttachError::NoPlace { .. })), "{full:?}");
        let mut entered = programs.entered().0;
        entered.sort_unstable();
        assert_eq!(entered, (0..Interface::CHOICES).map(like).collect::<Vec<_>>());

        programs.set_interface(like(3), None).unwrap();
        assert!(!programs.entered().0.contains(&like(3)));
        programs.set_interface(like(Interface::CHOICES), Some(&served)).unwrap();
    });
}

#[test]
fn a_table_of_another_size_is_kept_as_it_is() {
    in_namespaces(|| {
        let first = Programs::load(pins(), layout(), Attachment::Auto).unwrap();
        first.memory().unwrap().owned[0].set_port(Shared::Tcp, 77, true);
        drop(first);
        let second = Programs::load(pins(), Layout::for_sessions(4096), Attachment::Auto).unwrap();
        let memory = second.memory().unwrap();
        assert_eq!(memory.table.layout(), layout());
        assert!(memory.owned[0].has_port(Shared::Tcp, 77), "the same maps");
    });
}

#[test]
fn a_table_of_another_kind_is_not_taken_over() {
    in_namespaces(|| {
        let first = Programs::load(pins(), layout(), Attachment::Auto).unwrap();
        first.memory().unwrap().owned[0].set_port(Shared::Tcp, 77, true);
        drop(first);
        std::fs::rename(pins().map(maps::NEXT_HOPS), pins().map(maps::RECORDS)).unwrap();
        let second = Programs::load(pins(), layout(), Attachment::Auto).unwrap();
        assert!(!second.memory().unwrap().owned[0].has_port(Shared::Tcp, 77));
        assert_eq!(pins().remove_except(&Default::default()).len(), 0);
        assert!(!pins().list().iter().any(|path| path.exists()));
    });
}

#[test]
fn a_link_left_on_a_vanished_interface_is_replaced() {
    in_namespaces(|| {
        gateway_topology();
        let mut programs = Programs::load(pins(), layout(), Attachment::Tcx).unwrap();
        run_all("ip link add uplink type bridge");
        let index =
            || Netlink::open().unwrap().picture().unwrap().links().named("uplink").unwrap().index;
        let first = index();
        programs.attach_ingress(first, "uplink", false).unwrap();
        run_all("ip link del uplink");
        // The number is given to another interface before masq notices.
        run(&format!("ip link add uplink index {first} type bridge"));
        assert_eq!(index(), first);
        programs.attach_ingress(first, "uplink", true).unwrap();
        let (_, attached) = SchedClassifier::query_tcx("uplink", TcAttachType::Ingress).unwrap();
        assert_eq!(attached.len(), 1);
    });
}

#[test]
fn an_interface_that_has_the_name_of_another_by_now_is_left_alone() {
    in_namespaces(|| {
        run_all("ip link add uplink type bridge\n ip link add spare type bridge");
        let index = sys::interface_index("uplink").unwrap();
        run_all("ip link set uplink name old\n ip link set spare name uplink");
        for attachment in [Attachment::Tcx, Attachment::Clsact] {
            let mut programs = Programs::load(pins(), layout(), attachment).unwrap();
            let error = programs.attach_ingress(index, "uplink", false).unwrap_err();
            assert!(matches!(error, AttachError::Renamed { .. }), "{error}");
            for name in ["old", "uplink"] {
                let attached = SchedClassifier::query_tcx(name, TcAttachType::Ingress).unwrap().1;
                assert_eq!(attached.len(), 0, "{name}");
                assert!(!run(&format!("tc qdisc show dev {name}")).contains("clsact"));
            }
        }
    });
}

#[test]
fn an_interface_that_takes_no_xdp_is_left_as_it_was() {
    in_namespaces(|| {
        run("ip link add uplink type bridge");
        let mut programs = Programs::load(pins(), layout(), Attachment::Auto).unwrap();
        let index = sys::interface_index("uplink").unwrap();
        let error = programs.attach_xdp(index, "uplink").unwrap_err();
        assert_eq!(error.to_string(), "cannot attach the eBPF program masq_xdp to uplink");
        assert!(!pins().xdp(index).exists());
        assert!(!run("ip link show dev uplink").contains("xdp"));
    });
}
