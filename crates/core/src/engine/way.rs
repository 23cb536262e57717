//! Where the packets of a session go: one set of rules for packets that come to the engine, and for
//! the records by which the fast path carries all others.

use masq_flow::{Direction, Flags, NextHopId, Session};

use super::Engine;
use crate::policy::Realm;
use crate::routes::{NextHop, NextHopState, PortId, Route, RouteQuery, Routes};
use crate::session::{Kind, arrival_port, realm_of_arrival};

/// Where packets of a session's direction go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the interface of an outside that is away.
    Away,
    /// Another way, where the session's outside address is not ours: it is over.
    Gone,
    /// The host's own stack forwards them.
    Host,
    /// Nowhere, and why.
    Refused(Route),
    /// To a neighbour.
    To(NextHop),
}

impl Engine {
    /// Where packets of a session's direction go that arrive at an interface, if they must arrive
    /// at one.
    pub(crate) fn way(
        &self,
        routes: &dyn Routes,
        session: &Session,
        direction: Direction,
        arriving: Option<PortId>,
    ) -> Way {
        if direction == Direction::Egress && !self.still_leads(session) {
            return Way::Gone;
        }
        let leaving = session.leaving(direction);
        let (source, destination) = (leaving.source.addr, leaving.destination.addr);
        let route = routes.route(&RouteQuery { destination, source, arriving, mark: 0 });
        if Kind::of(session) == Kind::Plain {
            return self.plain_way(route);
        }
        let hop = match route {
            Route::Unicast(hop) if self.suits(session, direction, hop.port) => hop,
            // The way out has changed; with this outside address there is none any more.
            Route::Unicast(_) | Route::Local if direction == Direction::Egress => return Way::Gone,
            Route::Blackhole
            | Route::Broadcast
            | Route::NoRoute
            | Route::Prohibited
            | Route::Unreachable
            | Route::Local
            | Route::Unicast(_) => return Way::Refused(route),
        };
        let away = self.policy.outside(hop.port).is_some_and(|outside| outside.away);
        if away { Way::Away } else { Way::To(hop) }
    }

    /// Where packets go that leave as they arrived.
    fn plain_way(&self, route: Route) -> Way {
        match route {
            Route::Unicast(hop) => match self.policy.realm(hop.port) {
                Some(Realm::Inside) => Way::To(hop),
                // It needs a mapping now.
                Some(Realm::Outside) => Way::Gone,
                None => Way::Host,
            },
            Route::Local => Way::Gone,
            Route::Blackhole
            | Route::Broadcast
            | Route::NoRoute
            | Route::Prohibited
            | Route::Unreachable => Way::Refused(route),
        }
    }

    /// The next hop that the record should name for a direction, without any packet; none if the
    /// engine is to see the next packet, because it cannot leave, or the session is over if it does.
    ///
    /// A direction that has no next hop gets none: which packets are still under way to the engine is
    /// known where packets are handled.
    pub(crate) fn next_hop(
        &self,
        routes: &dyn Routes,
        session: &Session,
        direction: Direction,
    ) -> NextHopId {
        let port = arrival_port(session, direction);
        let arriving = (port != ANY).then_some(port);
        let realm = realm_of_arrival(session, direction);
        if !session.next_hops[direction].is_some()
            || arriving.is_some_and(|port| self.policy.realm(port) != Some(realm))
        {
            return NextHopId::NONE;
        }
        match self.way(routes, session, direction, arriving) {
            // Only what is ready is named, so that the number of what never was can be another's.
            Way::To(hop) if hop.state == NextHopState::Ready => hop.id,
            Way::Host => NextHopId::HOST,
            Way::To(_) | Way::Away | Way::Gone | Way::Refused(_) => NextHopId::NONE,
        }
    }

    /// The neighbour that packets of a direction of a new session go to, as far as that is known.
    pub(crate) fn known_way(
        &self,
        routes: &dyn Routes,
        session: &Session,
        direction: Direction,
    ) -> Option<NextHop> {
        let port = arrival_port(session, direction);
        // Of the answers that are never seen, nothing is known.
        if port == ANY || self.policy.realm(port) != Some(realm_of_arrival(session, direction)) {
            return None;
        }
        let leaving = session.leaving(direction);
        let (source, destination) = (leaving.source.addr, leaving.destination.addr);
        let query = RouteQuery { destination, source, arriving: Some(port), mark: 0 };
        let hop = routes.known(&query)?;
        let away = self.policy.outside(hop.port).is_some_and(|outside| outside.away);
        (self.suits(session, direction, hop.port) && !away).then_some(hop)
    }

    /// Whether a session's packets may leave by an interface.
    pub(crate) fn suits(&self, session: &Session, direction: Direction, port: PortId) -> bool {
        let inwards = direction == Direction::Ingress || session.flags.contains(Flags::HAIRPIN);
        if inwards || Kind::of(session) == Kind::Plain {
            return self.policy.inside(port).is_some();
        }
        let address = session.reply.destination.addr;
        self.policy.shares(port, address)
    }
}

/// In a record: packets may arrive anywhere.
pub(crate) const ANY: PortId = PortId(0);
