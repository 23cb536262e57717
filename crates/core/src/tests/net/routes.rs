//! Routing as a list.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, BTreeSet};

use masq_wire::{Endpoint, Protocol, Tuple};

use super::{GATEWAY, INSIDE, LAN, OUTSIDE};
use crate::{NextHop, NextHopId, NextHopState, Policy, Route, RouteQuery, Routes};

/// The routes of the picture: hosts of the inside network are neighbours, everything else is behind
/// the router.
pub(in crate::tests) struct Table {
    pub(in crate::tests) inside_mtu: u32,
    pub(in crate::tests) outside_mtu: u32,
    local: BTreeSet<IpAddr>,
    special: BTreeMap<IpAddr, Route>,
    states: BTreeMap<NextHopId, NextHopState>,
    asked: Cell<usize>,
    host: BTreeSet<Tuple>,
}

impl Table {
    /// The neighbour that everything outside is behind.
    pub(in crate::tests) const ROUTER: NextHopId = NextHopId(1000);

    pub(super) fn new(policy: &Policy) -> Self {
        let shared =
            policy.outsides.iter().flat_map(|outside| outside.pool.addresses.iter().copied());
        Self {
            inside_mtu: 1500,
            outside_mtu: 1500,
            local: shared.chain([GATEWAY.into()]).collect(),
            special: BTreeMap::new(),
            states: BTreeMap::new(),
            asked: Cell::new(0),
            host: BTreeSet::new(),
        }
    }

    /// Gives a destination a route of its own.
    pub(in crate::tests) fn set(&mut self, destination: Ipv4Addr, route: Route) {
        self.special.insert(destination.into(), route);
    }

    pub(in crate::tests) fn set_state(&mut self, id: NextHopId, state: NextHopState) {
        self.states.insert(id, state);
    }

    /// How often it was asked since this was called last.
    pub(in crate::tests) const fn asked(&self) -> usize {
        self.asked.replace(0)
    }

    /// The gateway's own host begins a flow of a protocol.
    pub(in crate::tests) fn host_sends(
        &mut self,
        protocol: Protocol,
        from: Endpoint,
        to: Endpoint,
    ) {
        self.host.insert(Tuple::new(protocol, to, from));
    }

    /// Takes a destination's own route away.
    pub(in crate::tests) fn unset(&mut self, destination: Ipv4Addr) {
        self.special.remove(&IpAddr::from(destination));
    }

    /// The neighbour that an inside host is.
    pub(in crate::tests) fn neighbour(host: Ipv4Addr) -> NextHopId {
        NextHopId(u16::from(host.octets()[3]))
    }

    fn next_hop(&self, id: NextHopId) -> NextHop {
        let (port, mtu) = if id == Self::ROUTER {
            (OUTSIDE, self.outside_mtu)
        } else {
            (INSIDE, self.inside_mtu)
        };
        NextHop { id, port, mtu, state: self.next_hop_state(id) }
    }
}

impl Routes for Table {
    fn route(&self, query: &RouteQuery) -> Route {
        self.asked.set(self.asked.get() + 1);
        let IpAddr::V4(destination) = query.destination else { return Route::NoRoute };
        if let Some(route) = self.special.get(&query.destination) {
            return *route;
        }
        if self.local.contains(&query.destination) {
            return Route::Local;
        }
        let is_broadcast = destination.octets()[3] == 255;
        match LAN.contains(query.destination) {
            true if is_broadcast => Route::Broadcast,
            true => Route::Unicast(self.next_hop(Self::neighbour(destination))),
            false => Route::Unicast(self.next_hop(Self::ROUTER)),
        }
    }

    fn host_has(&self, arriving: &Tuple) -> bool {
        self.host.contains(arriving)
    }

    fn next_hop_state(&self, id: NextHopId) -> NextHopState {
        self.states.get(&id).copied().unwrap_or(NextHopState::Ready)
    }
}
