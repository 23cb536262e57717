//! What the engine asks of routing.
//!
//! Routing is the kernel's table, mirrored by the dataplane. The engine asks after translation, so
//! that replies, forwards and hairpins go where they really belong; a test answers from a list.

use core::fmt;
use core::net::IpAddr;

pub use masq_flow::NextHopId;
use masq_wire::Tuple;

/// An interface, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u32);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A packet as it would leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteQuery {
    /// Where it goes.
    pub destination: IpAddr,
    /// Where it says it comes from.
    pub source: IpAddr,
    /// Where it arrived; none if we made it ourselves.
    pub arriving: Option<PortId>,
    /// Its mark, for policy rules.
    pub mark: u32,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Dropped in silence, by the administrator.
    Blackhole,
    /// To a broadcast address of a link.
    Broadcast,
    /// To this host.
    Local,
    /// There is no route.
    NoRoute,
    /// Refused by the administrator.
    Prohibited,
    /// To a neighbour.
    Unicast(NextHop),
    /// Refused as unreachable.
    Unreachable,
}

/// The neighbour that a packet is handed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its number.
    pub id: NextHopId,
    /// The interface it is behind.
    pub port: PortId,
    /// The longest packet on the way to it.
    pub mtu: u32,
    /// Whether its link address is known.
    pub state: NextHopState,
}

/// What is known of a neighbour's link address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHopState {
    /// It does not answer.
    Failed,
    /// It is known.
    Ready,
    /// It is being asked for, or will be when the engine says so.
    Resolving,
}

/// Routing, as the engine sees it.
pub trait Routes {
    /// Finds out where a packet goes.
    fn route(&self, query: &RouteQuery) -> Route;

    /// Finds out to which neighbour a packet goes whose link address is known. Nobody is asked for it.
    fn known(&self, query: &RouteQuery) -> Option<NextHop> {
        let Route::Unicast(hop) = self.route(query) else { return None };
        (hop.state == NextHopState::Ready).then_some(hop)
    }

    /// Whether the gateway's own host has a flow whose answers arrive with this tuple. What the host
    /// uses is never an inside host's: who had it first does not matter.
    fn host_has(&self, arriving: &Tuple) -> bool {
        let _ = arriving;
        false
    }

    /// Returns what is known of a next hop.
    fn next_hop_state(&self, id: NextHopId) -> NextHopState;
}
