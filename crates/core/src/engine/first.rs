//! The first packet of a flow: what is to become of it.
//!
//! One pipeline in two halves. **Deciding**, here, looks at everything and changes nothing, so that a
//! packet that is refused leaves no trace, and one that has to wait for its neighbour is judged again
//! when its time comes, as if it came then. **Carrying out** ([`carry`](super::carry)) does what was
//! decided.
//!
//! ```text
//!   from inside ──► a shared address? ──► hairpin: whose endpoint is it
//!              └──► route ─► the host, or a way that is not ours: Local
//!                        │   (a plain session, if there is room for one)
//!                        ├─► another inside: on as it is; the same
//!                        └─► an outside: mapping or address ─► route after translation ─┐
//!   from outside ─► mapping and filter ─► route to the inside host ────────────────────┤
//!              └──► nobody's: the host's, or refused (`ingress`)                       ▼
//!                                                     time to live ─► length ─► neighbour ─► Decision
//! ```
//!
//! Only what has to be taken to know whether there is any (a port, a place in the table, a share of the
//! host's limits) is refused later, and then all of it is given back.

use masq_flow::{Direction, Flags, PerDirection};
use masq_wire::icmp::error::Report;
use masq_wire::icmp::unreachable;
use masq_wire::{Endpoint, Packet, Transport, Tuple};

use super::Engine;
use super::arrival::Arrival;
use super::way::ANY;
use super::way_out::{WayOut, leaves};
use crate::policy::{Outside, Realm};
use crate::routes::{NextHop, PortId, Route};
use crate::session::{Opening, Place};
use crate::verdict::DropReason;

/// What is to become of a first packet. Nothing has been done for it yet.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) onward: Onward,
    /// The session that it begins.
    pub(crate) opening: Option<Opening>,
}

/// Where a first packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onward {
    /// Nowhere: it begins a session, but the filter of the one whom it is for does not let it in.
    Filtered,
    /// To the host's own stack.
    Local,
    /// To a neighbour.
    To(NextHop),
    /// To a neighbour, as soon as its address is known.
    Wait(NextHop),
}

/// Why a packet is dropped, and what else is to be done about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: DropReason,
    pub(crate) notice: Notice,
}

/// What follows a refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice {
    /// An attempt to connect, which may yet be matched (RFC 5382 REQ-4).
    Remember,
    /// The sender is told.
    Report(Report),
    Silence,
}

impl From<DropReason> for Refusal {
    fn from(reason: DropReason) -> Self {
        Self { reason, notice: Notice::Silence }
    }
}

impl Refusal {
    pub(crate) const fn told(reason: DropReason, report: Report) -> Self {
        Self { reason, notice: Notice::Report(report) }
    }

    /// A packet that no route leads on for.
    pub(crate) const fn of_route(route: Route) -> Self {
        let (reason, code) = match route {
            Route::Blackhole => (DropReason::Blackhole, None),
            Route::Broadcast => (DropReason::Broadcast, None),
            Route::Local | Route::Unicast(_) | Route::NoRoute => {
                (DropReason::NoRoute, Some(unreachable::NETWORK))
            }
            Route::Prohibited => {
                (DropReason::Prohibited, Some(unreachable::ADMINISTRATIVELY_PROHIBITED))
            }
            Route::Unreachable => (DropReason::Unreachable, Some(unreachable::HOST)),
        };
        let notice = match code {
            Some(code) => Notice::Report(Report::unreachable(code)),
            None => Notice::Silence,
        };
        Self { reason, notice }
    }
}

impl Decision {
    pub(crate) const LOCAL: Self = Self { onward: Onward::Local, opening: None };

    pub(crate) const fn to(way: WayOut, hop: NextHop, opening: Option<Opening>) -> Self {
        let onward = match way {
            WayOut::Held => Onward::Wait(hop),
            WayOut::Open => Onward::To(hop),
        };
        Self { onward, opening }
    }
}

impl Engine {
    /// Says what is to become of a packet that belongs to no session.
    pub(crate) fn decide(
        &self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        tuple: Tuple,
    ) -> Result<Decision, Refusal> {
        match arrival.realm {
            Realm::Inside => self.decide_from_inside(arrival, packet, tuple),
            Realm::Outside => self.decide_from_outside(arrival, packet, tuple),
        }
    }

    fn decide_from_inside(
        &self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        tuple: Tuple,
    ) -> Result<Decision, Refusal> {
        if let Some(outside) = self.policy.outside_of(tuple.destination.addr) {
            return self.decide_hairpin(arrival, packet, tuple, outside);
        }
        let route = arrival.route_of(&tuple);
        if route == Route::Local {
            return Ok(Decision::LOCAL);
        }
        let Route::Unicast(hop) = route else { return Err(Refusal::of_route(route)) };
        match self.policy.realm(hop.port) {
            Some(Realm::Outside) => self.decide_to_outside(arrival, packet, tuple, hop.port),
            Some(Realm::Inside) => {
                let way = leaves(arrival, packet, hop)?;
                Ok(Decision::to(way, hop, Some(plain(arrival, tuple, Some(hop.port)))))
            }
            // A way that is not ours: the host's own stack forwards it, and says so if it cannot.
            None => {
                let opening = Some(plain(arrival, tuple, None));
                Ok(Decision { onward: Onward::Local, opening })
            }
        }
    }

    fn decide_to_outside(
        &self,
        arrival: &Arrival<'_>,
        packet: &Packet<'_>,
        tuple: Tuple,
        port: PortId,
    ) -> Result<Decision, Refusal> {
        may_open(packet)?;
        check_ttl(packet)?;
        let outside = self.policy.outside(port).ok_or(DropReason::NoRoute)?;
        let (place, endpoint) = self.place(outside, arrival, &tuple, tuple.destination)?;
        let reply = Tuple::new(tuple.protocol, tuple.destination, endpoint);
        let route = arrival.route(endpoint.addr, tuple.destination.addr);
        let way = self.hop_at(Realm::Outside, route);
        let Some(hop) = way.filter(|hop| self.policy.shares(hop.port, endpoint.addr)) else {
            return Err(Refusal::of_route(route));
        };
        let way = leaves(arrival, packet, hop)?;
        let opening = Opening {
            original: tuple,
            reply,
            flags: Flags::empty(),
            ports: PerDirection::new(arrival.port, port),
            direction: Direction::Egress,
            place,
        };
        Ok(Decision::to(way, hop, Some(opening)))
    }

    /// Which mapping a flow from inside is to belong to, and its outside endpoint; the port of a new one
    /// is drawn when it is taken. Where the host has the answers of `answerer`, it is another one.
    pub(crate) fn place(
        &self,
        outside: &Outside,
        arrival: &Arrival<'_>,
        tuple: &Tuple,
        answerer: Endpoint,
    ) -> Result<(Place, Endpoint), Refusal> {
        if outside.away {
            return Err(self.out_of_resources(DropReason::NoOutsideAddress));
        }
        let (protocol, inside, remote) = (tuple.protocol, tuple.source, tuple.destination);
        let routes = arrival.routes;
        let usable = |endpoint| !routes.host_has(&Tuple::new(protocol, answerer, endpoint));
        let (book, pool) = (self.sessions.book(&self.policy), &outside.pool);
        let mappings = &self.sessions.mappings;
        let head = mappings.of_inside(book, pool, protocol, inside, remote, usable);
        if let Some(head) = head
            && let Some(first) = self.sessions.table.session(head)
        {
            return Ok((Place::Mapping, first.reply.destination));
        }
        let address = self.sessions.address_for(arrival.now, routes, pool, tuple);
        let address = address.map_err(|reason| self.out_of_resources(reason))?;
        Ok((Place::New, Endpoint::new(address, 0)))
    }

    /// The next hop of a route, if it is on a side.
    pub(crate) fn hop_at(&self, realm: Realm, route: Route) -> Option<NextHop> {
        let Route::Unicast(hop) = route else { return None };
        (self.policy.realm(hop.port) == Some(realm)).then_some(hop)
    }

    /// RFC 5508 REQ-8, RFC 6888 REQ-11: tells a host that it cannot have what it asked for.
    pub(crate) fn out_of_resources(&self, reason: DropReason) -> Refusal {
        let code = if self.policy.carrier {
            unreachable::HOST
        } else {
            unreachable::ADMINISTRATIVELY_PROHIBITED
        };
        Refusal::told(reason, Report::unreachable(code))
    }
}

/// A session of two ends that see each other as they are. Answers arrive where its packets leave, or are
/// never seen.
fn plain(arrival: &Arrival<'_>, tuple: Tuple, leaving: Option<PortId>) -> Opening {
    Opening {
        original: tuple,
        reply: tuple.reversed(),
        flags: Flags::UNTRANSLATED,
        ports: PerDirection::new(arrival.port, leaving.unwrap_or(ANY)),
        direction: Direction::Egress,
        place: Place::Apart,
    }
}

/// Refuses a packet that could not leave before anything else is looked at.
pub(crate) fn check_ttl(packet: &Packet<'_>) -> Result<(), Refusal> {
    if packet.ttl() > 1 {
        return Ok(());
    }
    Err(Refusal::told(DropReason::TtlExpired, Report::TTL_EXCEEDED))
}

/// Whether a packet from inside may begin a session.
///
/// A connection that is older than the table is picked up at any segment that is not a reset, nor an
/// answer to a SYN that nobody has let in.
pub(crate) fn may_open(packet: &Packet<'_>) -> Result<(), DropReason> {
    use masq_wire::tcp::Flags;
    match packet.transport() {
        Transport::Tcp(tcp) => {
            let answers = tcp.flags.contains(Flags::SYN | Flags::ACK);
            if tcp.flags.contains(Flags::RST) || answers {
                return Err(DropReason::TcpNotOpening);
            }
            if tcp.flags.intersects(Flags::SYN | Flags::ACK) {
                Ok(())
            } else {
                Err(DropReason::TcpNotOpening)
            }
        }
        Transport::IcmpQuery(query) if !query.request => Err(DropReason::IcmpReplyForNobody),
        Transport::FragmentTail
        | Transport::IcmpError(_)
        | Transport::IcmpOther { .. }
        | Transport::IcmpQuery(_)
        | Transport::Other
        | Transport::Udp(_) => Ok(()),
    }
}
