//! What shows only over real devices.
//!
//! ```text
//!   tap on lan-far ═══ lan ┐                        ┌ wan ═══ tap on wan-far
//!   test's own fd ──── tun ┴─ masq_ingress ─► masq0 ═══ masq1, tap (and masq_punt_xdp)
//! ```

use core::net::Ipv4Addr;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use masq_flow::maps::{EarlyDrop, InterfaceFlags};
use masq_flow::punt::{PuntFlags, PuntHeader, PuntReason, Return, ReturnHeader};
use masq_flow::{Direction, NextHopId, NextHopState, NextHopValue, Session};
use masq_wire::make::{self, at};
use masq_wire::{Endpoint, Packet};
use rustix::net::sockopt;
use zerocopy::IntoBytes;

use crate::devices::{Tap, Tun, until};
use crate::in_network;
use crate::rig::{OUTSIDE, Port, Rig, Role, SERVER, index, ip, run};

/// A gateway whose programs are attached, and a tap at every end.
pub(crate) struct Wire {
    pub(crate) rig: Rig,
    pub(crate) lan: Tap,
    pub(crate) wan: Tap,
    punt: Tap,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let mut rig = Rig::new();
        ip("link add masq0 type veth peer name masq1");
        for end in ["masq0", "masq1"] {
            ip(&format!("link set {end} mtu 3500 arp off up"));
        }
        run("ethtool -K masq0 tx off gso off tso off");
        let punt_ifindex = index("masq0");
        rig.punt_into(punt_ifindex);
        for interface in ["lan", "wan"] {
            rig.attach("masq_ingress", interface);
        }
        rig.attach("masq_return", "masq0");
        let [lan, wan, punt] = ["lan-far", "wan-far", "masq1"].map(Tap::new);
        Self { rig, lan, wan, punt }
    }

    /// Waits for a punted packet with this content; its header, and its frame.
    fn punted(&self, content: &[u8]) -> (PuntHeader, Vec<u8>) {
        let frame = self.punt.wait(|frame| holds(frame, content));
        let (header, rest) = PuntHeader::split(&frame).expect("a punt header");
        (header, rest.to_vec())
    }

    /// Sends something back as the worker would.
    fn send_back(&self, what: Return, packet: &[u8]) {
        self.punt.send(&[ReturnHeader::new(what, None).as_bytes(), &[8, 0], packet].concat());
    }

    /// Says that nothing of a session is under way.
    pub(crate) fn all_came_back(&self, session: &Session) {
        let (slot, _) = self.rig.table.lookup(&session.original).unwrap();
        Direction::ALL.iter().for_each(|direction| self.rig.table.settle(slot, *direction));
    }

    /// Makes a tun device that masq serves on the inside.
    pub(crate) fn tun(&mut self) -> (Tun, Port) {
        let tun = Tun::new("tun");
        ip("address add 10.9.0.1/24 dev tun");
        ip("link set tun up");
        let index = index("tun");
        let port = Port { index, mac: [0; 6], neighbour: [0; 6], role: Role::Inside };
        self.rig.set_interface(&port, InterfaceFlags::LAYER3);
        self.rig.attach("masq_ingress", "tun");
        (tun, port)
    }
}

#[test]
fn a_packet_from_a_tun_device_gets_an_ethernet_header() {
    in_network(|| {
        let mut wire = Wire::new();
        let (mut tun, port) = wire.tun();
        let packet = make::udp(at("10.9.0.2:1"), at("203.0.113.178:2"), b"tunnelled");

        tun.send(&packet);

        let (header, frame) = wire.punted(b"tunnelled");
        assert_eq!(header.reason(), Some(PuntReason::Inside));
        assert_eq!((header.ifindex(), header.flags()), (port.index, PuntFlags::LAYER3));
        assert_eq!(usize::from(header.length()), packet.len());
        assert_eq!(frame, [&[0; 12], &[8, 0][..], &packet].concat());
        tun.send(&packet[..19]);
        until("the stump is counted", || wire.rig.dropped(EarlyDrop::Truncated) == 1);
    });
}

#[test]
fn a_packet_to_a_tun_device_arrives_bare() {
    in_network(|| {
        let mut wire = Wire::new();
        let (mut tun, port) = wire.tun();
        let id = NextHopId(20);
        wire.rig.next_hops[20].store(&NextHopValue {
            state: NextHopState::Ready,
            ifindex: port.index,
            layer3: true,
            mtu: 1500,
            ..NextHopValue::default()
        });
        let packet = make::udp(at("203.0.113.178:1"), at("10.9.0.2:2"), b"to the tunnel");

        wire.send_back(Return::Forward { next_hop: id, link: port.index as u16 }, &packet);

        assert_eq!(tun.wait(|packet| holds(packet, b"to the tunnel")), packet);
    });
}

#[test]
fn the_host_takes_what_comes_back_for_it() {
    in_network(|| {
        let mut wire = Wire::new();
        let (mut tun, port) = wire.tun();
        let wan = wire.rig.wan;
        let ping = |from: &str, to: [u8; 4]| make::echo_request(at(from), to, 1, b"are you there");
        let station = wan.neighbour.map(|byte| format!("{byte:02x}")).join(":");
        ip(&format!("address add {OUTSIDE}/24 dev wan"));
        ip(&format!("neighbour replace {SERVER} lladdr {station} dev wan"));
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 41_500)).unwrap();
        let datagram = make::udp(at("203.0.113.178:9"), at("203.0.113.1:41500"), b"for the host");

        wire.send_back(
            Return::Local { ifindex: wan.index },
            &ping("203.0.113.178:5", [203, 0, 113, 1]),
        );
        wire.send_back(Return::Local { ifindex: port.index }, &ping("10.9.0.2:5", [10, 9, 0, 1]));
        wire.send_back(Return::Local { ifindex: wan.index }, &datagram);

        wire.wan.wait(|frame| holds(frame, b"are you there") && frame[34] == 0);
        tun.wait(|packet| holds(packet, b"are you there") && packet[20] == 0);
        let mut received = [0; 100];
        let length = socket.recv(&mut received).unwrap();
        assert_eq!(&received[..length], b"for the host", "and it was not punted again");
    });
}

#[test]
fn segments_reach_the_worker_cut_and_complete() {
    in_network(|| {
        let wire = Wire::new();
        let socket = workstation_socket();
        segment_by(&socket, 1400);

        socket.send_to(&b"gso-data".repeat(5000), (SERVER, 7)).unwrap();

        for segment in wire.punt.wait_for(29, |frame| holds(frame, b"gso-data")) {
            let (header, frame) = PuntHeader::split(&segment).expect("each has the header");
            assert_eq!(header.length(), 0, "which does not know where it is cut");
            let mut packet = frame[14..].to_vec();
            assert!(make::checksums_verify(&packet));
            let length = packet.len();
            assert_eq!(Packet::parse(&mut packet).unwrap().total_len(), length);
        }
    });
}

#[test]
fn what_is_left_for_hardware_to_complete_is_complete_at_the_worker() {
    in_network(|| {
        let wire = Wire::new();
        workstation_socket().send_to(b"checksum me", (SERVER, 7)).unwrap();
        let (header, frame) = wire.punted(b"checksum me");
        assert_eq!(usize::from(header.length()), frame.len() - 14);
        assert!(make::checksums_verify(&frame[14..]));
    });
}

#[test]
fn frames_of_a_vlan_are_not_the_gateways() {
    in_network(|| {
        let wire = Wire::new();
        let lan = wire.rig.lan;
        let packet = |payload| make::udp(at("192.168.1.3:1"), at("203.0.113.178:2"), payload);
        let head = [lan.mac, lan.neighbour].concat();
        // The kernel takes the tag off before any program sees the frame.
        let tagged = [&head[..], &[0x81, 0, 0, 5, 8, 0], &packet(b"of a vlan")].concat();

        wire.lan.send(&tagged);
        wire.lan.send(&lan.frame(&packet(b"untagged")));

        let first = wire.punt.wait(|frame| holds(frame, b"of a vlan") || holds(frame, b"untagged"));
        assert!(holds(&first, b"untagged"));
    });
}

#[test]
fn without_the_punt_port_nothing_leaks() {
    in_network(|| {
        let wire = Wire::new();
        let (lan, wan) = (wire.rig.lan, wire.rig.wan);
        run("sysctl -qw net.ipv4.ip_forward=1");
        let station = wan.neighbour.map(|byte| format!("{byte:02x}")).join(":");
        ip(&format!("address add {OUTSIDE}/24 dev wan"));
        ip(&format!("neighbour replace {SERVER} lladdr {station} dev wan"));
        ip("link delete masq0");
        let leak = make::udp(at("192.168.1.3:1"), at("203.0.113.178:2"), b"leak");

        wire.lan.send(&lan.frame(&leak));
        wire.wan.send(&wan.frame(&make::echo_request(at("203.0.113.178:5"), OUTSIDE, 1, b"ping")));

        // The answer comes after what would have been forwarded.
        let seen =
            wire.wan.wait(|frame| holds(frame, b"leak") || holds(frame, b"ping") && frame[34] == 0);
        assert!(!holds(&seen, b"leak"));
    });
}

/// A socket whose packets come from the far end of the inside cable.
pub(crate) fn workstation_socket() -> UdpSocket {
    ip("address add 192.168.1.3/24 dev lan-far");
    ip("route add 203.0.113.178 via 192.168.1.1 dev lan-far");
    ip("neighbour replace 192.168.1.1 lladdr 02:00:00:00:01:01 dev lan-far");
    let inside: Endpoint = at("192.168.1.3:5555");
    UdpSocket::bind((inside.addr, inside.port)).unwrap()
}

/// Has what a socket sends cut into payloads of a size, as late as possible.
pub(crate) fn segment_by(socket: &UdpSocket, size: i32) {
    sockopt::set_socket_send_buffer_size(socket, 1 << 20).unwrap();
    let length = size_of::<i32>() as libc::socklen_t;
    let value = (&raw const size).cast();
    // SAFETY: UDP_SEGMENT reads an int; pointer and length are those of one.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, value, length)
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// Whether bytes contain others.
pub(crate) fn holds(bytes: &[u8], content: &[u8]) -> bool {
    bytes.windows(content.len()).any(|window| window == content)
}
