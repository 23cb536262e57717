//! The engine's question "where does this packet go", answered by mirror and next hops.
//!
//! The router belongs to the worker thread: it applies changes between batches and answers during
//! them. Asking enters a next hop in the table, so that is behind a [`RefCell`]; asking also needs
//! the time, which the worker sets once per batch.

use core::cell::{Cell, RefCell};

use masq_core::{Instant, NextHop, NextHopState, PortId, Route, RouteQuery, Routes};
use masq_flow::{NextHopId, NextHopState as Known, NextHopValue};
use masq_wire::Tuple;

use super::memo::{Leads, Memo};
use super::next_hop::without_neighbours;
use super::{Answer, Change, Effect, Mirror, NextHopKey, NextHops, Query};
use crate::host_flows::HostFlows;

/// The mirror and the next hops, as the engine sees them.
#[derive(Debug)]
pub struct Router {
    mirror: Mirror,
    next_hops: RefCell<NextHops>,
    memo: RefCell<Memo>,
    now: Cell<Instant>,
    /// What the host itself sends, where that is noted.
    host_flows: Option<HostFlows>,
}

impl Router {
    /// Makes a router for next hop numbers below `capacity`.
    pub fn new(mirror: Mirror, capacity: usize) -> Self {
        let next_hops = RefCell::new(NextHops::new(capacity));
        let memo = RefCell::new(Memo::new());
        Self { mirror, next_hops, memo, now: Cell::new(Instant::ZERO), host_flows: None }
    }

    /// The same, which knows the flows of the host.
    pub(crate) fn with_host_flows(self, host_flows: HostFlows) -> Self {
        Self { host_flows: Some(host_flows), ..self }
    }

    /// Takes over a next hop of a predecessor, see [`NextHops::adopt`].
    pub fn adopt(&mut self, id: NextHopId, old: &NextHopValue) -> bool {
        self.next_hops.get_mut().adopt(self.now.get(), &self.mirror, id, old)
    }

    /// Notes that sessions may name a number of a predecessor, see [`NextHops::forget`].
    pub fn forget(&mut self, id: NextHopId) {
        self.next_hops.get_mut().forget(id);
    }

    /// Notes that all sessions have been looked at, see [`NextHops::set_walked`].
    pub fn set_walked(&mut self, began: Instant) {
        self.next_hops.get_mut().set_walked(began);
    }

    /// The picture that answers are made from.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Sets the time of the batch and gives up neighbours that do not answer.
    pub fn set_now(&mut self, now: Instant) {
        self.now.set(now);
        self.next_hops.get_mut().handle_timeout(now);
    }

    /// When [`Router::set_now`] should be called even without a batch.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_hops.borrow().poll_timeout()
    }

    /// Takes one change.
    pub fn apply(&mut self, change: Change) -> Effect {
        let touched = match &change {
            Change::Link(link) => Some((link.index, None)),
            Change::LinkGone(index) => Some((*index, None)),
            Change::Neighbour { link, address, .. } => Some((*link, Some(*address))),
            // What could not be asked for without an address can be now.
            Change::Address(address) => Some((address.link, None)),
            Change::AddressGone(_)
            | Change::Route { .. }
            | Change::RouteGone { .. }
            | Change::Rule(_)
            | Change::RuleGone(_) => None,
        };
        let effect = self.mirror.apply(change);
        if let Some((link, neighbour)) = touched {
            let (next_hops, now) = (self.next_hops.get_mut(), self.now.get());
            next_hops.refresh(now, &self.mirror, link, neighbour);
            if effect.links {
                next_hops.retry_link(now, &self.mirror, link);
            }
        }
        effect
    }

    /// Takes a complete, fresh picture.
    pub fn replace(&mut self, fresh: Mirror) {
        self.mirror.replace(fresh);
        self.next_hops.get_mut().refresh_all(self.now.get(), &self.mirror);
    }

    /// The next number whose next hop is not what it was when last polled.
    pub fn poll_changed(&mut self) -> Option<(NextHopId, NextHopValue)> {
        let next_hops = self.next_hops.get_mut();
        let id = next_hops.poll_changed()?;
        Some((id, next_hops.value(id).unwrap_or_default()))
    }

    /// The next neighbour that the kernel should resolve or confirm.
    pub fn poll_resolve(&mut self) -> Option<NextHopKey> {
        self.next_hops.get_mut().poll_resolve()
    }

    /// What the engine calls a next hop of that value.
    pub fn state(value: &NextHopValue) -> NextHopState {
        match value.state {
            Known::Ready => NextHopState::Ready,
            Known::Resolving => NextHopState::Resolving,
            Known::Empty | Known::Failed => NextHopState::Failed,
        }
    }
}

impl Router {
    /// Where a query leads, from memory if it was asked before.
    fn leads(&self, query: &RouteQuery) -> Leads {
        let mut memo = self.memo.borrow_mut();
        if let Some(leads) = memo.recall(self.mirror.generation(), query) {
            return leads;
        }
        let mut of_source = self.mirror.rules_ask_for_source();
        let leads = self.look_up(query, &mut of_source);
        memo.note(query, of_source, leads);
        leads
    }

    /// Where a query leads; notes if that depends on its source.
    fn look_up(&self, query: &RouteQuery, of_source: &mut bool) -> Leads {
        let asked = Query {
            destination: query.destination,
            source: query.source,
            arriving: query.arriving.map(|port| port.0),
            mark: query.mark,
        };
        let (hop, route) = match self.mirror.lookup(&asked) {
            Answer::Blackhole => return Err(Route::Blackhole),
            Answer::Broadcast => return Err(Route::Broadcast),
            Answer::Local => return Err(Route::Local),
            Answer::NoRoute => return Err(Route::NoRoute),
            Answer::Prohibited => return Err(Route::Prohibited),
            Answer::Unreachable => return Err(Route::Unreachable),
            Answer::Unicast(hop, route) => (hop, route),
        };
        *of_source |= route.hops.len() > 1;
        let link = self.mirror.links().get(hop.link).ok_or(Route::NoRoute)?;
        let neighbour = if without_neighbours(link) {
            None
        } else {
            Some(hop.gateway.unwrap_or(query.destination))
        };
        let mtu = route.mtu.filter(|mtu| *mtu < link.mtu);
        Ok((NextHopKey { link: hop.link, neighbour, mtu }, mtu.unwrap_or(link.mtu)))
    }
}

impl Routes for Router {
    fn route(&self, query: &RouteQuery) -> Route {
        let (key, mtu) = match self.leads(query) {
            Ok(leads) => leads,
            Err(nowhere) => return nowhere,
        };
        let mut next_hops = self.next_hops.borrow_mut();
        let id = next_hops.intern(self.now.get(), &self.mirror, key);
        let value = id.and_then(|id| next_hops.value(id));
        Route::Unicast(NextHop {
            // A table full of next hops in use cannot be told from a neighbour that is absent.
            id: id.unwrap_or(NextHopId::NONE),
            port: PortId(key.link),
            mtu,
            state: value.map_or(NextHopState::Failed, |value| Self::state(&value)),
        })
    }

    fn known(&self, query: &RouteQuery) -> Option<NextHop> {
        let (key, mtu) = self.leads(query).ok()?;
        let id = self.next_hops.borrow_mut().known(self.now.get(), key)?;
        Some(NextHop { id, port: PortId(key.link), mtu, state: NextHopState::Ready })
    }

    fn next_hop_state(&self, id: NextHopId) -> NextHopState {
        let value = self.next_hops.borrow().value(id);
        value.map_or(NextHopState::Failed, |value| Self::state(&value))
    }

    fn host_has(&self, arriving: &Tuple) -> bool {
        self.host_flows.as_ref().is_some_and(|flows| flows.has(arriving))
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::tests::{address, ethernet};
    use super::super::rule::TABLE_MAIN;
    use super::super::table::tests::{prefix, via};
    use super::super::{Link, Neighbour, Placement, Route as KernelRoute, Rule};
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

    fn router() -> Router {
        let mut router = Router::new(Mirror::default(), 16);
        router.apply(Change::Link(ethernet(2, "wan")));
        router.apply(Change::Link(Link { layer3: true, ..ethernet(5, "tun0") }));
        Rule::defaults().into_iter().for_each(|rule| {
            router.apply(Change::Rule(rule));
        });
        let mut add = |net, route| {
            let (prefix, placement) = (prefix(net), Placement::Prepend);
            router.apply(Change::Route { table: TABLE_MAIN, prefix, route, placement });
        };
        add("0.0.0.0/0", KernelRoute { mtu: Some(1280), ..via(2, "192.0.2.254") });
        add("10.0.0.0/8", via(5, "10.0.0.1"));
        router
    }

    fn ask(router: &Router, destination: &str) -> NextHop {
        let query = RouteQuery {
            destination: destination.parse().unwrap(),
            source: "192.0.2.1".parse().unwrap(),
            arriving: None,
            mark: 0,
        };
        let Route::Unicast(next_hop) = router.route(&query) else { panic!("{destination}") };
        next_hop
    }

    #[test]
    fn a_gateway_is_one_next_hop_for_all_destinations_behind_it() {
        let mut router = router();
        let first = ask(&router, "203.0.113.1");
        assert_eq!((first.port, first.mtu), (PortId(2), 1280));
        assert_eq!(first.state, NextHopState::Resolving);
        assert_eq!(ask(&router, "203.0.113.2").id, first.id);
        let gateway = "192.0.2.254".parse().unwrap();
        let key = NextHopKey { link: 2, neighbour: Some(gateway), mtu: Some(1280) };
        assert_eq!(router.poll_resolve(), Some(key));
        assert_eq!(router.poll_resolve(), None);

        let neighbour = Some(Neighbour::Reachable(MAC));
        router.apply(Change::Neighbour { link: 2, address: gateway, neighbour });
        assert_eq!(ask(&router, "203.0.113.2").state, NextHopState::Ready);
        assert_eq!(router.next_hop_state(first.id), NextHopState::Ready);
        let (id, value) = core::iter::from_fn(|| router.poll_changed()).last().unwrap();
        assert_eq!((id, value.destination, value.ifindex), (first.id, MAC, 2));
    }

    #[test]
    fn what_is_known_is_told_without_asking_for_it() {
        let mut router = router();
        let query = RouteQuery {
            destination: "203.0.113.1".parse().unwrap(),
            source: "192.0.2.1".parse().unwrap(),
            arriving: None,
            mark: 0,
        };
        assert_eq!(router.known(&query), None);
        assert_eq!(router.poll_resolve(), None, "nobody is asked for");

        let first = ask(&router, "203.0.113.1");
        assert_eq!(router.known(&query), None, "it does not answer yet");
        let neighbour = Some(Neighbour::Reachable(MAC));
        let address = "192.0.2.254".parse().unwrap();
        router.apply(Change::Neighbour { link: 2, address, neighbour });
        let known = router.known(&query);
        assert_eq!(known, Some(NextHop { state: NextHopState::Ready, ..first }));
    }

    #[test]
    fn engine_and_programs_are_told_the_same_size_for_each_route() {
        let mut router = router();
        let mut add = |net, mtu| {
            let (prefix, placement) = (prefix(net), Placement::Prepend);
            let route = KernelRoute { mtu, ..via(2, "192.0.2.254") };
            router.apply(Change::Route { table: TABLE_MAIN, prefix, route, placement });
        };
        add("198.51.100.0/24", Some(1400));
        add("198.18.0.0/16", None);
        add("198.19.0.0/16", Some(9000));
        let told = |router: &Router, destination| {
            let hop = ask(router, destination);
            let programs = router.next_hops.borrow().value(hop.id).unwrap();
            [hop.mtu, programs.mtu]
        };
        for (destination, mtu) in [
            ("203.0.113.1", 1280),
            ("198.51.100.1", 1400),
            ("198.18.0.1", 1500),
            ("198.19.0.1", 1500),
            ("10.9.9.9", 1500),
        ] {
            assert_eq!(told(&router, destination), [mtu; 2], "{destination}");
        }
        let [without, beyond] = ["198.18.0.1", "198.19.0.1"].map(|to| ask(&router, to).id);
        assert_eq!(without, beyond, "a size that the link does not take makes no difference");
        router.apply(Change::Link(Link { mtu: 1300, ..ethernet(2, "wan") }));
        for (destination, mtu) in [("203.0.113.1", 1280), ("198.51.100.1", 1300)] {
            assert_eq!(told(&router, destination), [mtu; 2], "{destination}");
        }
    }

    #[test]
    fn an_answer_is_given_again_until_routes_change() {
        let mut router = router();
        let from = |source: &str| RouteQuery {
            destination: "203.0.113.1".parse().unwrap(),
            source: source.parse().unwrap(),
            arriving: None,
            mark: 0,
        };
        let leads = |router: &Router, source| router.leads(&from(source)).unwrap().0;
        let first = leads(&router, "192.0.2.1");
        assert_eq!(leads(&router, "192.0.2.2"), first);

        let (net, placement) = (prefix("203.0.113.0/24"), Placement::Prepend);
        let other = KernelRoute { mtu: None, ..via(2, "192.0.2.7") };
        router.apply(Change::Route { table: 7, prefix: net, route: other, placement });
        assert_eq!(leads(&router, "192.0.2.1"), first, "no rule leads to that table");
        let source = Some(prefix("192.0.2.2/32"));
        let action = super::super::RuleAction::Table(7);
        let [_, main, _] = Rule::defaults();
        router.apply(Change::Rule(Rule { priority: 5, source, action, ..main }));
        assert_eq!(leads(&router, "192.0.2.1"), first);
        let second = leads(&router, "192.0.2.2");
        assert_eq!(second.neighbour, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(leads(&router, "192.0.2.1"), first, "one source's way is not another's");
    }

    #[test]
    fn who_could_not_be_asked_for_is_when_the_link_gets_an_address() {
        let mut router = router();
        let id = ask(&router, "203.0.113.1").id;
        let key = router.poll_resolve().unwrap();
        assert_eq!(router.poll_resolve(), None);
        router.set_now(Instant::from_nanos(4_000_000_000));
        router.apply(Change::Address(address(2, "192.0.2.1", 24)));
        assert_eq!(router.poll_resolve(), Some(key));
        router.set_now(Instant::from_nanos(8_000_000_000));
        assert_eq!(router.next_hop_state(id), NextHopState::Resolving, "it has its whole time");
        router.set_now(Instant::from_nanos(9_000_000_000));
        assert_eq!(router.next_hop_state(id), NextHopState::Failed);
        router.apply(Change::Address(address(2, "192.0.2.2", 24)));
        assert_eq!(router.poll_resolve(), Some(key));
        assert_eq!(router.poll_resolve(), None);
    }

    #[test]
    fn a_link_without_neighbours_needs_no_gateway() {
        let router = router();
        let next_hop = ask(&router, "10.9.9.9");
        assert_eq!((next_hop.port, next_hop.state), (PortId(5), NextHopState::Ready));
        assert_eq!(ask(&router, "10.8.8.8").id, next_hop.id);
    }
}
