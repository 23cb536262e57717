//! Where the engines of the targets are: a gateway, hosts inside, remotes outside, and two routers.
//!
//! ```text
//!   192.168.1.2 … .9 ─── lan 192.168.1.1 [ gateway ] 203.0.113.1 wan ─┬─ router A ─┬─ 198.51.100.2 … .5
//!                                                                    └─ router B ─┘
//! ```

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use masq_core::{
    Engine, Frame, Inside, Instant, NextHop, NextHopId, NextHopState, Outside, Policy, PortId,
    Prefix, Route, RouteQuery, Routes, Transmit, Verdict,
};
use masq_wire::{Endpoint, make};

/// The gateway's own address inside.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
/// The address that all hosts share, and the gateway too.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The hosts' network.
pub(crate) const LAN: Prefix = Prefix::v4(Ipv4Addr::new(192, 168, 1, 0), 24);

/// The two ways to the world.
pub(crate) const ROUTERS: [NextHopId; 2] = [NextHopId(50), NextHopId(51)];

/// A host inside.
#[must_use]
pub(crate) const fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 1, 2 + number % 8)
}

/// A host outside.
#[must_use]
pub(crate) const fn remote(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 2 + number % 4)
}

/// The neighbour that an address inside is.
#[must_use]
pub(crate) const fn neighbour(host: Ipv4Addr) -> NextHopId {
    let [.., last] = host.octets();
    NextHopId(100 + last as u16)
}

/// The gateway's interfaces, by number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// To the hosts.
    pub(crate) lan: PortId,
    /// To the world.
    pub(crate) wan: PortId,
}

/// The interfaces of an engine that is nowhere.
pub(crate) const PORTS: Ports = Ports { lan: PortId(1), wan: PortId(2) };

/// The policy of the picture, with the defaults of the RFCs.
#[must_use]
pub(crate) fn policy(ports: Ports) -> Policy {
    let inside = Inside { port: ports.lan, address: Some(GATEWAY.into()), networks: vec![LAN] };
    Policy::new(vec![inside], vec![Outside::new(ports.wan, vec![OUTSIDE.into()])])
}

/// The routes of the picture.
#[derive(Clone, Debug)]
pub(crate) struct Routing {
    /// The interfaces.
    pub(crate) ports: Ports,
    /// Which of the routers leads to the world.
    pub(crate) router: usize,
    /// What the way to the world takes.
    pub(crate) mtu: u32,
    /// Neighbours of which something other is known than their address.
    pub(crate) states: BTreeMap<NextHopId, NextHopState>,
}

impl Routing {
    /// All neighbours are known, and the first router leads to the world.
    #[must_use]
    pub(crate) fn new(ports: Ports) -> Self {
        Self { ports, router: 0, mtu: 1500, states: BTreeMap::new() }
    }

    /// Every neighbour there is.
    pub(crate) fn neighbours() -> impl Iterator<Item = NextHopId> {
        (0..8).map(|number| neighbour(host(number))).chain(ROUTERS)
    }

    /// What is known of a neighbour.
    #[must_use]
    pub(crate) fn next_hop(&self, id: NextHopId) -> NextHop {
        let (port, mtu) =
            if ROUTERS.contains(&id) { (self.ports.wan, self.mtu) } else { (self.ports.lan, 1500) };
        NextHop { id, port, mtu, state: self.next_hop_state(id) }
    }
}

impl Routes for Routing {
    fn route(&self, query: &RouteQuery) -> Route {
        let IpAddr::V4(destination) = query.destination else { return Route::NoRoute };
        match destination {
            GATEWAY | OUTSIDE => Route::Local,
            _ if !LAN.contains(query.destination) => {
                Route::Unicast(self.next_hop(ROUTERS[self.router % 2]))
            }
            _ if destination.octets()[3] == 255 => Route::Broadcast,
            _ if (2..10).contains(&destination.octets()[3]) => {
                Route::Unicast(self.next_hop(neighbour(destination)))
            }
            _ => Route::Unreachable,
        }
    }

    fn next_hop_state(&self, id: NextHopId) -> NextHopState {
        self.states.get(&id).copied().unwrap_or(NextHopState::Ready)
    }
}

/// Sends some ordinary packets both ways through an engine at [`PORTS`], which may refuse any.
pub(crate) fn exercise(engine: &mut Engine, now: Instant) {
    let routes = Routing::new(PORTS);
    for number in 0..4 {
        let inside = Endpoint::v4(host(number), 4000);
        let to = Endpoint::v4(remote(number), 80);
        let mut bytes = make::udp(inside, to, b"out");
        let length = bytes.len();
        let mut frame = Frame::new(&mut bytes, length);
        match engine.process(now, &routes, PORTS.lan, &mut frame) {
            Verdict::Forward(_) => {}
            Verdict::Drop(_) | Verdict::Held | Verdict::Local => continue,
        }
        let mut sent = frame.packet().to_vec();
        let Ok(packet) = masq_wire::Packet::parse(&mut sent) else { panic!("not a packet") };
        let outside = packet.tuple().expect("a datagram has ports").source;
        let mut bytes = make::udp(to, outside, b"in");
        let mut frame = Frame::new(&mut bytes, length - 1);
        let verdict = engine.process(now, &routes, PORTS.wan, &mut frame);
        assert!(matches!(verdict, Verdict::Forward(_)), "the answer is {verdict:?}");
    }
    while transmitted(engine, now, &routes).is_some() {}
}

/// The next packet that an engine sends by itself.
pub(crate) fn transmitted(
    engine: &mut Engine,
    now: Instant,
    routes: &dyn Routes,
) -> Option<(Transmit, Vec<u8>)> {
    let mut buffer = [0; 4096];
    let mut frame = Frame::empty(&mut buffer);
    let way = engine.poll_transmit(now, routes, &mut frame)?;
    Some((way, frame.packet().to_vec()))
}
