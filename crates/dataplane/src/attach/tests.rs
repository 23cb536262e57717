//! The programs and the punt port on a real kernel, with a translation too simple to be a NAT's.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::sync::atomic::{AtomicBool, Ordering};
use std::net::UdpSocket;

use aya::programs::LinkOrder;
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions};
use masq_core::{Route, RouteQuery, Routes as _};
use masq_flow::index::Source as _;
use masq_flow::maps::{AddressFlags, Interface, Role, Settings};
use masq_flow::owned::Shared;
use masq_flow::punt::Return;
use masq_flow::{Direction, NextHopId, PerDirection, Session};
use masq_wire::{Endpoint, Packet, Protocol, Tuple};

use super::*;
use crate::clock;
use crate::netlink::{Netlink, PuntPair, create_pair};
use crate::punt::{Origin, PUNT_MTU, PuntPort};
use crate::routes::Router;
use crate::sys::ethtool::{self, Feature};
use crate::testing::{
    attachments, gateway_topology, in_namespaces, in_namespaces_with_tcx, on_host, run, run_all,
};

const WORKSTATION: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 3);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

fn layout() -> Layout {
    Layout::for_sessions(1024)
}

fn pins() -> Pins {
    Pins::create(Path::new("/run/masq/bpf"), "test").unwrap()
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
        let program = classifier(&mut self.ebpf, Hook::Ingress.program()).unwrap();
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
        let bulk = programs.bulk(far, &memory);
        port.set_bulk(bulk.expect("this kernel has all that sending in bulk takes"));
        // Nobody beats here.
        let away_after_ns = u64::MAX;
        let settings = Settings { punt_ifindex: near, away_after_ns, ..Settings::default() };
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
        for shared in [Shared::Tcp, Shared::Udp] {
            memory.owned[0].set_ports(shared, 1024..=65_535, true);
        }
        // A ping's identifier is the number of its process, which may be a low one.
        memory.owned[0].set_ports(Shared::Icmp, 0..=65_535, true);
        for name in ["lan", "wan"] {
            programs.attach(Hook::Ingress, index(name), name, false).unwrap();
        }
        let router = Router::new(netlink.picture().unwrap(), 1024);
        Self { programs, memory, port, netlink, router }
    }

    /// One round of the worker.
    fn round(&mut self) {
        self.take(|_, _| {});
        self.port.flush(|_| {});
    }

    /// Takes what has arrived, and queues it to be sent to where it goes, or elsewhere.
    fn take(&mut self, mut alter: impl FnMut(&mut Origin, &mut Return)) {
        // A neighbour that did not answer in time is asked again later.
        self.router.set_now(clock::now());
        self.port.reclaim();
        let mut looked = false;
        while let Some(mut punted) = self.port.receive() {
            // Not each time: whoever asks all the time keeps the kernel from answering.
            if !core::mem::replace(&mut looked, true) {
                self.router.replace(self.netlink.picture().unwrap());
            }
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
            let mut to = Return::Forward { next_hop: hop.id, link: hop.port.0 as u16 };
            alter(&mut punted.origin, &mut to);
            self.port.send(punted.frame, punted.len, to, punted.origin);
        }
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
        let mut gateway = Simple::start(Attachment::Auto);
        // The first one waits for two neighbours, and this gateway holds nothing back.
        gateway.serve("ip netns exec inside ping -c 3 -i 0.2 -w 20 203.0.113.178");
        let counts = gateway.port.counts();
        assert!(counts.received >= 6 && counts.foreign == 0 && counts.nonsense == 0, "{counts:?}");
        run("ping -c 1 -W 1 192.168.1.3");
        assert_eq!(gateway.programs.attachment(), if has_tcx() { "tcx" } else { "clsact" });
    });
}

/// Two sockets, inside and outside, and bursts between them: of forty datagrams at most, as each takes a
/// page, of which a socket holds as few as fifty.
struct Burst {
    inside: UdpSocket,
    outside: UdpSocket,
}

impl Burst {
    const REMOTE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 178), 9000);

    /// The neighbours are known then, and nothing is under way.
    fn begin(gateway: &mut Simple) -> Self {
        gateway.serve("ip netns exec inside ping -c 3 -i 0.2 -w 20 203.0.113.178");
        gateway.serve("ip netns exec inside ping -c 1 -W 20 203.0.113.178");
        let bind = |host, end: SocketAddrV4| on_host(host, || UdpSocket::bind(end).unwrap());
        let inside = bind("inside", SocketAddrV4::new(WORKSTATION, 7777));
        let outside = bind("outside", Self::REMOTE);
        for socket in [&inside, &outside] {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        Self { inside, outside }
    }

    /// Sends so many datagrams, whose length is chosen by their number, and has the gateway queue them.
    fn send(
        &self,
        gateway: &mut Simple,
        lengths: impl IntoIterator<Item = usize>,
        mut alter: impl FnMut(usize, &mut Origin, &mut Return),
    ) {
        let mut count = 0;
        for (number, length) in (0_u8..).zip(lengths) {
            self.inside.send_to(&vec![number; length], Self::REMOTE).unwrap();
            count += 1;
        }
        let mut taken = 0;
        let end = clock::now() + Duration::from_secs(5);
        while taken < count {
            assert!(clock::now() < end, "{taken} of {count}");
            gateway.take(|origin, to| {
                alter(taken, origin, to);
                taken += 1;
            });
        }
    }

    /// The numbers of those that arrive.
    fn arrive(&self, count: u8) -> Vec<u8> {
        let mut buffer = [0; 3000];
        (0..count).map(|_| self.outside.recv(&mut buffer).map(|_| buffer[0]).unwrap()).collect()
    }
}

impl Simple {
    /// Begins with XDP where packets arrive from inside, and redirects to both sides.
    fn start_with_xdp() -> Self {
        for end in ["inside", "outside"] {
            // What takes redirects on a veth is an end whose other end works in NAPI.
            run(&format!("ip netns exec {end} ethtool -K eth0 gro on"));
        }
        let mut gateway = Self::start(Attachment::Auto);
        let [lan, wan] = ["lan", "wan"].map(|name| sys::interface_index(name).unwrap());
        gateway.programs.attach_xdp(lan, "lan").unwrap();
        gateway.programs.set_redirects(&[lan, wan].into()).unwrap();
        gateway
    }

    /// Sends what is queued: how many of it past the port, how many of these by XDP, and how many
    /// tickets are given back at once.
    fn flush(&mut self) -> (u64, u64, u32) {
        let (before, mut tickets) = (self.port.counts(), 0);
        self.port.flush(|_| tickets += 1);
        let after = self.port.counts();
        (after.bulk - before.bulk, after.redirected - before.redirected, tickets)
    }
}

#[test]
fn many_packets_at_once_leave_past_the_punt_port() {
    for attachment in attachments() {
        in_namespaces(|| {
            gateway_topology();
            let mut gateway = Simple::start(attachment);
            let burst = Burst::begin(&mut gateway);
            burst.send(&mut gateway, [100; 40], |_, _, _| {});
            assert_eq!(gateway.flush(), (40, 0, 0));
            assert_eq!(burst.arrive(40), Vec::from_iter(0..40));
        });
    }
}

#[test]
fn many_packets_at_once_are_redirected_by_xdp_where_it_carries_sessions() {
    in_namespaces(|| {
        gateway_topology();
        let mut gateway = Simple::start_with_xdp();
        let burst = Burst::begin(&mut gateway);
        for length in [1, 1472] {
            burst.send(&mut gateway, [length; 40], |_, _, _| {});
            assert_eq!(gateway.flush(), (40, 40, 0));
            assert_eq!(burst.arrive(40), Vec::from_iter(0..40));
        }
    });
}

#[test]
fn no_packet_of_a_burst_overtakes_another_whatever_its_way_out() {
    in_namespaces(|| {
        gateway_topology();
        run_all(
            "
            ip link set lan mtu 3000
            ip link set wan mtu 3000
            ip netns exec inside ip link set eth0 mtu 3000
            ip netns exec outside ip link set eth0 mtu 3000
            ",
        );
        let mut gateway = Simple::start_with_xdp();
        let burst = Burst::begin(&mut gateway);
        // The engine sends some by itself, and one is too long.
        let lengths = |number| if number == 25 { 2500 } else { 20 };
        burst.send(&mut gateway, (0..40).map(lengths), |number, origin, _| {
            origin.xdp &= !(10..20).contains(&number);
        });
        assert_eq!(gateway.flush(), (25, 10, 0));
        assert_eq!(burst.arrive(40), Vec::from_iter(0..40));
    });
}

#[test]
fn tickets_come_back_at_once_with_packets_that_went_past_the_port_or_ended_there() {
    in_namespaces(|| {
        gateway_topology();
        let mut gateway = Simple::start_with_xdp();
        let (mut writer, _) = masq_flow::Writer::adopt(gateway.memory.table.clone(), 0).unwrap();
        writer.insert(0, &session(Protocol::UDP, 7777, Burst::REMOTE.into())).unwrap();
        let burst = Burst::begin(&mut gateway);
        burst.send(&mut gateway, [20; 20], |_, _, _| {});
        assert_eq!(gateway.flush(), (20, 20, 20));
        assert_eq!(burst.arrive(20), Vec::from_iter(0..20));
        burst.send(&mut gateway, [20; 20], |_, _, to| {
            *to = Return::Forward { next_hop: NextHopId(999), link: 1 };
        });
        assert_eq!(gateway.flush(), (0, 0, 20));
    });
}

/// A session of the workstation's, under the same port outside.
fn session(protocol: Protocol, port: u16, remote: Endpoint) -> Session {
    let (host, own) = (Endpoint::v4(WORKSTATION, port), Endpoint::v4(OUTSIDE, port));
    Session {
        original: Tuple::new(protocol, host, remote),
        reply: Tuple::new(protocol, remote, own),
        flags: masq_flow::Flags::empty(),
        class: 0,
        state: 0,
        next_hops: PerDirection::default(),
        interfaces: PerDirection::default(),
        epoch: 0,
        rule_path: 0,
        created: 0,
    }
}

#[test]
fn tickets_come_back_with_their_packets() {
    in_namespaces(|| {
        gateway_topology();
        let mut gateway = Simple::start(Attachment::Auto);
        let table = gateway.memory.table.clone();
        let (mut writer, _) = masq_flow::Writer::adopt(table.clone(), 0).unwrap();
        let remote = Endpoint::v4([203, 0, 113, 178].into(), 0);
        let slot = writer.insert(0, &session(Protocol::ICMP, 7777, remote)).unwrap();
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
        gateway.programs.attach(Hook::Ingress, lan, "lan", true).unwrap();
        let filters = run("tc filter show dev lan ingress");
        assert_eq!(filters.matches("handle 0x6d71").count(), 1, "{filters}");
        gateway.serve("ip netns exec inside ping -c 1 -W 1 203.0.113.178");
        gateway.programs.detach(Hook::Ingress, lan, Some("lan"));
        assert_eq!(run("tc filter show dev lan ingress").trim(), "");
    });
}

#[test]
fn a_successor_takes_over_links_and_maps() {
    in_namespaces_with_tcx(|| {
        gateway_topology();
        let first = Simple::start(Attachment::Auto);
        let (memory, lan) =
            (first.memory.clone(), first.router.mirror().links().named("lan").unwrap().index);
        drop(first);
        let attached = || SchedClassifier::query_tcx("lan", TcAttachType::Ingress).unwrap().1;
        let before = attached();
        assert_eq!(before.len(), 1, "pinned links outlive the process");

        let mut second = Programs::load(pins(), layout(), Attachment::Auto).unwrap();
        assert!(second.foreign(lan, "lan").is_empty());
        second.attach(Hook::Ingress, lan, "lan", true).unwrap();
        let after = attached();
        assert_eq!(after.len(), 1);
        assert_ne!(before[0].id(), after[0].id(), "the program is the successor's");
        memory.owned[0].set_port(Shared::Tcp, 77, true);
        assert!(second.memory().unwrap().owned[0].has_port(Shared::Tcp, 77), "the same maps");

        let other = Pins::create(Path::new("/run/masq/bpf"), "other").unwrap();
        let other = Programs::load(other, layout(), Attachment::Auto).unwrap();
        assert!(!other.foreign(lan, "lan").is_empty());
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
        let numbers = |programs: &Programs| -> Vec<u32> {
            programs.entered().0.iter().map(|interface| interface.index).collect()
        };
        let mut entered = numbers(&programs);
        entered.sort_unstable();
        assert_eq!(entered, (0..Interface::CHOICES).map(like).collect::<Vec<_>>());

        programs.set_interface(like(3), None).unwrap();
        assert!(!numbers(&programs).contains(&like(3)));
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
    in_namespaces_with_tcx(|| {
        gateway_topology();
        let mut programs = Programs::load(pins(), layout(), Attachment::Tcx).unwrap();
        run_all("ip link add uplink type bridge");
        let index =
            || Netlink::open().unwrap().picture().unwrap().links().named("uplink").unwrap().index;
        let first = index();
        programs.attach(Hook::Ingress, first, "uplink", false).unwrap();
        run_all("ip link del uplink");
        // The number is given to another interface before masq notices.
        run(&format!("ip link add uplink index {first} type bridge"));
        assert_eq!(index(), first);
        programs.attach(Hook::Ingress, first, "uplink", true).unwrap();
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
        for attachment in attachments() {
            let mut programs = Programs::load(pins(), layout(), attachment).unwrap();
            let error = programs.attach(Hook::Ingress, index, "uplink", false).unwrap_err();
            assert!(matches!(error, AttachError::Renamed { .. }), "{error}");
            for name in ["old", "uplink"] {
                let attached = SchedClassifier::query_tcx(name, TcAttachType::Ingress);
                assert!(
                    attached.is_ok_and(|(_, attached)| attached.is_empty()) || !has_tcx(),
                    "{name}"
                );
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
