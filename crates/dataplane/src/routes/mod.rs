//! A mirror of the kernel's routing: links, addresses, policy rules, routing tables, neighbours.
//!
//! The mirror is pure: it is fed with [`Change`]s, which [`decode()`] makes from rtnetlink messages,
//! and answers the question "where would the kernel send a packet like this" ([`Mirror::lookup`])
//! without asking the kernel. It can be wrong for the moment that a notification takes, and it is
//! replaced as a whole when notifications were lost.
//!
//! ```text
//! rtnetlink ─► decode ─► Change ─► Mirror ──lookup──► link and gateway
//!                                     │                     │
//!                                     └─ neighbours ─► NextHops ─► ids, MACs, states
//! ```
//!
//! [`Router`] puts the two together behind the engine's `Routes` trait.
//!
//! # What the kernel does not say
//!
//! When a link goes down, or the last address that a route prefers as source goes away, the kernel
//! drops IPv4 routes without a notification. The look-up ignores hops over links that are down, and
//! [`Effect::reread`] asks for a fresh dump after such a change.

mod decode;
mod link;
mod memo;
mod neighbour;
mod next_hop;
mod prefix;
mod router;
mod rule;
mod table;

use core::net::IpAddr;
use std::collections::BTreeMap;

pub use decode::decode;
pub use link::{Address, Link, Links};
pub use neighbour::{Neighbour, Neighbours};
pub use next_hop::{NextHopKey, NextHops};
pub use prefix::Prefix;
pub use router::Router;

pub use rule::{Rule, RuleAction, Rules};
pub use table::{Hop, Placement, Route, RouteKind, Table};

/// One thing that changed in the kernel's routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An address is there, or changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A link is there, or changed.
    Link(Link),
    /// A link is gone.
    LinkGone(u32),
    /// News of a neighbour; `None` when the kernel forgot it.
    Neighbour {
        /// The link it is on.
        link: u32,
        /// Its IP address.
        address: IpAddr,
        /// What is known of it.
        neighbour: Option<Neighbour>,
    },
    /// A route is there.
    Route {
        /// In this table.
        table: u32,
        /// For these destinations.
        prefix: Prefix,
        /// The route.
        route: Route,
        /// How it relates to others of the same prefix and metric.
        placement: Placement,
    },
    /// A route is gone.
    RouteGone {
        /// From this table.
        table: u32,
        /// For these destinations.
        prefix: Prefix,
        /// The route.
        route: Route,
    },
    /// A policy rule is there.
    Rule(Rule),
    /// A policy rule is gone.
    RuleGone(Rule),
}

/// What a change did, and what has to follow from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Answers of [`Mirror::lookup`] may differ from before.
    pub routing: bool,
    /// Links or addresses differ from before.
    pub links: bool,
    /// The kernel may have dropped routes without saying so: dump them again.
    pub reread: bool,
}

/// What a look-up is asked with: the packet as it would leave, after translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Where it goes.
    pub destination: IpAddr,
    /// Where it says it comes from.
    pub source: IpAddr,
    /// The link it arrived on; `None` when this host sends it.
    pub arriving: Option<u32>,
    /// Its mark.
    pub mark: u32,
}

/// What a look-up finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'m> {
    /// Dropped in silence.
    Blackhole,
    /// A broadcast address.
    Broadcast,
    /// An address of this host.
    Local,
    /// No route at all.
    NoRoute,
    /// Refused by the administrator.
    Prohibited,
    /// Sent by that hop of that route.
    Unicast(&'m Hop, &'m Route),
    /// Refused as unreachable.
    Unreachable,
}

/// The kernel's routing as last told.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    links: Links,
    tables: BTreeMap<u32, Table>,
    rules: Rules,
    neighbours: Neighbours,
    generation: u64,
}

impl Mirror {
    /// The links and addresses.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// The neighbours.
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// The destinations of all routes that leave by a link, in any table.
    pub fn networks_by(&self, link: u32) -> Vec<Prefix> {
        let mut networks: Vec<_> =
            self.tables.values().flat_map(|table| table.networks_by(link)).collect();
        networks.sort_unstable();
        networks.dedup();
        networks
    }

    /// Rises with every change that may change an answer of [`Mirror::lookup`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a rule asks where a packet comes from.
    pub fn rules_ask_for_source(&self) -> bool {
        self.rules.ask_for_source()
    }

    /// Takes a complete, fresh picture in place of this one.
    pub fn replace(&mut self, fresh: Self) {
        let generation = self.generation + 1;
        *self = Self { generation, ..fresh };
    }

    /// Takes one change.
    pub fn apply(&mut self, change: Change) -> Effect {
        let effect = self.apply_inner(change);
        self.generation += u64::from(effect.routing);
        effect
    }

    fn apply_inner(&mut self, change: Change) -> Effect {
        let routing = Effect { routing: true, ..Effect::default() };
        match change {
            Change::Link(link) => {
                let was_up = self.links.get(link.index).is_some_and(|known| known.up);
                let reread = was_up != link.up;
                let links = self.links.insert(link);
                Effect { routing: links, links, reread }
            }
            Change::LinkGone(index) => {
                self.neighbours.remove_link(index);
                let links = self.links.remove(index);
                Effect { routing: links, links, reread: links }
            }
            Change::Address(address) => {
                let links = self.links.insert_address(address);
                Effect { routing: false, links, reread: false }
            }
            Change::AddressGone(address) => {
                let links = self.links.remove_address(address);
                Effect { routing: false, links, reread: links }
            }
            Change::Neighbour { link, address, neighbour } => {
                self.neighbours.set(link, address, neighbour);
                Effect::default()
            }
            Change::Route { table, prefix, route, placement } => {
                self.tables.entry(table).or_default().insert(prefix, route, placement);
                routing
            }
            Change::RouteGone { table, prefix, route } => {
                if let Some(routes) = self.tables.get_mut(&table) {
                    routes.remove(prefix, &route);
                    if routes.is_empty() {
                        self.tables.remove(&table);
                    }
                }
                routing
            }
            Change::Rule(rule) => {
                self.rules.insert(rule);
                routing
            }
            Change::RuleGone(rule) => {
                self.rules.remove(&rule);
                routing
            }
        }
    }

    /// Asks where the kernel would send the packet.
    pub fn lookup(&self, query: &Query) -> Answer<'_> {
        for rule in self.rules.matching(query, &self.links) {
            let table = match rule.action {
                RuleAction::Blackhole => return Answer::Blackhole,
                RuleAction::Prohibit => return Answer::Prohibited,
                RuleAction::Unreachable => return Answer::Unreachable,
                RuleAction::Goto(_) | RuleAction::Nop => continue,
                RuleAction::Table(table) => Some(table),
                RuleAction::VrfTable => query.arriving.and_then(|link| self.links.vrf_table(link)),
            };
            let Some(table) = table.and_then(|table| self.tables.get(&table)) else { continue };
            if let Some((length, answer)) = self.search(table, query) {
                if rule.suppress_length.is_some_and(|limit| length <= limit) {
                    continue;
                }
                return answer;
            }
        }
        Answer::NoRoute
    }

    /// The first route of the table that can be used; none when the search ends in `throw`.
    fn search<'m>(&'m self, table: &'m Table, query: &Query) -> Option<(u8, Answer<'m>)> {
        for (length, route) in table.matching(query.destination) {
            let answer = match route.kind {
                RouteKind::Blackhole => Answer::Blackhole,
                RouteKind::Broadcast => Answer::Broadcast,
                RouteKind::Local => Answer::Local,
                RouteKind::Prohibit => Answer::Prohibited,
                RouteKind::Throw => return None,
                RouteKind::Unreachable => Answer::Unreachable,
                RouteKind::Unicast => match self.choose(&route.hops, query) {
                    Some(hop) => Answer::Unicast(hop, route),
                    None => continue,
                },
            };
            return Some((length, answer));
        }
        None
    }

    /// Chooses among the hops of a multipath route by addresses, so that a flow keeps its way
    /// (RFC 2992 wants no reordering within a flow).
    fn choose<'m>(&self, hops: &'m [Hop], query: &Query) -> Option<&'m Hop> {
        let usable = |hop: &&Hop| self.links.get(hop.link).is_some_and(|link| link.up);
        let mut candidates = hops.iter().filter(usable);
        let first = candidates.next()?;
        let total: u64 = hops.iter().filter(usable).map(|hop| u64::from(hop.weight)).sum();
        let mut point = spread(query.source, query.destination) % total.max(1);
        for hop in core::iter::once(first).chain(candidates) {
            let weight = u64::from(hop.weight);
            if point < weight {
                return Some(hop);
            }
            point -= weight;
        }
        Some(first)
    }
}

/// Mixes two addresses into a number whose every bit depends on all of them.
fn spread(source: IpAddr, destination: IpAddr) -> u64 {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    [source, destination].into_iter().map(bits).fold(0x9e37_79b9_7f4a_7c15, |state, bits| {
        [bits as u64, (bits >> 64) as u64].into_iter().fold(state, |state, word| {
            // The finalizer of SplitMix64.
            let mixed = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::link::tests::{address, ethernet};
    use super::rule::{TABLE_LOCAL, TABLE_MAIN};
    use super::table::tests::{prefix, via};
    use super::*;

    fn mirror() -> Mirror {
        let mut mirror = Mirror::default();
        mirror.apply(Change::Link(ethernet(1, "lan")));
        mirror.apply(Change::Link(ethernet(2, "wan")));
        mirror.apply(Change::Link(ethernet(3, "wan2")));
        Rule::defaults().into_iter().for_each(|rule| {
            mirror.apply(Change::Rule(rule));
        });
        mirror
    }

    fn add(mirror: &mut Mirror, table: u32, net: &str, route: Route) {
        let placement = Placement::Prepend;
        mirror.apply(Change::Route { table, prefix: prefix(net), route, placement });
    }

    fn plain(kind: RouteKind) -> Route {
        Route { kind, hops: Vec::new(), ..via(0, "0.0.0.0") }
    }

    fn query(destination: &str) -> Query {
        let source = "198.51.100.1".parse().unwrap();
        Query { destination: destination.parse().unwrap(), source, arriving: Some(1), mark: 0 }
    }

    fn leaves_by(mirror: &Mirror, destination: &str) -> Option<u32> {
        let Answer::Unicast(hop, _) = mirror.lookup(&query(destination)) else { return None };
        Some(hop.link)
    }

    #[test]
    fn every_kind_of_route_has_its_answer() {
        let mut mirror = mirror();
        add(&mut mirror, TABLE_LOCAL, "192.0.2.1/32", plain(RouteKind::Local));
        add(&mut mirror, TABLE_LOCAL, "192.0.2.255/32", plain(RouteKind::Broadcast));
        add(&mut mirror, TABLE_MAIN, "10.1.0.0/16", plain(RouteKind::Blackhole));
        add(&mut mirror, TABLE_MAIN, "10.2.0.0/16", plain(RouteKind::Unreachable));
        add(&mut mirror, TABLE_MAIN, "10.3.0.0/16", plain(RouteKind::Prohibit));
        add(&mut mirror, TABLE_MAIN, "10.4.0.0/16", plain(RouteKind::Throw));
        assert_eq!(mirror.lookup(&query("192.0.2.1")), Answer::Local);
        assert_eq!(mirror.lookup(&query("192.0.2.255")), Answer::Broadcast);
        assert_eq!(mirror.lookup(&query("10.1.0.1")), Answer::Blackhole);
        assert_eq!(mirror.lookup(&query("10.2.0.1")), Answer::Unreachable);
        assert_eq!(mirror.lookup(&query("10.3.0.1")), Answer::Prohibited);
        assert_eq!(mirror.lookup(&query("10.4.0.1")), Answer::NoRoute);
        assert_eq!(mirror.lookup(&query("203.0.113.1")), Answer::NoRoute);
        add(&mut mirror, 253, "0.0.0.0/0", via(2, "192.0.2.254"));
        assert_eq!(leaves_by(&mirror, "10.4.0.1"), Some(2), "throw goes on with the next rule");
    }

    #[test]
    fn routes_over_links_that_are_down_or_gone_are_not_used() {
        let mut mirror = mirror();
        add(&mut mirror, TABLE_MAIN, "0.0.0.0/0", via(2, "192.0.2.254"));
        add(&mut mirror, TABLE_MAIN, "0.0.0.0/0", Route { metric: 9, ..via(3, "192.0.2.253") });
        assert_eq!(leaves_by(&mirror, "203.0.113.1"), Some(2));
        let down = mirror.apply(Change::Link(Link { up: false, ..ethernet(2, "wan") }));
        assert!(down.reread && down.routing);
        assert_eq!(leaves_by(&mirror, "203.0.113.1"), Some(3));
        assert!(mirror.apply(Change::LinkGone(3)).reread);
        assert_eq!(leaves_by(&mirror, "203.0.113.1"), None);
    }

    #[test]
    fn multipath_follows_the_weights_and_keeps_a_flow_on_its_way() {
        let mut mirror = mirror();
        let hop = |link, weight| Hop { link, weight, ..via(link, "192.0.2.9").hops[0].clone() };
        let route = Route { hops: vec![hop(2, 3), hop(3, 1)], ..via(0, "0.0.0.0") };
        add(&mut mirror, TABLE_MAIN, "0.0.0.0/0", route);
        let ways = |mirror: &Mirror| {
            (0..4000u32)
                .filter_map(|n| leaves_by(mirror, &core::net::Ipv4Addr::from(n << 8).to_string()))
                .collect::<Vec<_>>()
        };
        let first = ways(&mirror);
        let by_wan = first.iter().filter(|link| **link == 2).count();
        assert!((2850..3150).contains(&by_wan), "{by_wan} of 4000 by the hop of weight 3 of 4");
        assert_eq!(first, ways(&mirror));
    }

    #[test]
    fn a_default_route_can_be_suppressed() {
        let mut mirror = mirror();
        add(&mut mirror, TABLE_MAIN, "0.0.0.0/0", via(2, "192.0.2.254"));
        add(&mut mirror, TABLE_MAIN, "10.0.0.0/8", via(2, "192.0.2.254"));
        add(&mut mirror, 51820, "0.0.0.0/0", via(3, "192.0.2.253"));
        let [_, main, _] = Rule::defaults();
        let suppressing = Rule { priority: 100, suppress_length: Some(0), ..main.clone() };
        mirror.apply(Change::Rule(suppressing));
        let action = RuleAction::Table(51820);
        mirror.apply(Change::Rule(Rule { priority: 101, action, ..main }));
        assert_eq!(leaves_by(&mirror, "10.0.0.1"), Some(2));
        assert_eq!(leaves_by(&mirror, "203.0.113.1"), Some(3));
    }

    #[test]
    fn packets_from_a_vrf_use_its_table() {
        let mut mirror = mirror();
        mirror.apply(Change::Link(Link { vrf_table: Some(10), ..ethernet(9, "red") }));
        mirror.apply(Change::Link(Link { master: Some(9), ..ethernet(1, "lan") }));
        let [_, main, _] = Rule::defaults();
        mirror.apply(Change::Rule(Rule { priority: 1000, action: RuleAction::VrfTable, ..main }));
        add(&mut mirror, TABLE_MAIN, "0.0.0.0/0", via(2, "192.0.2.254"));
        add(&mut mirror, 10, "0.0.0.0/0", via(3, "192.0.2.253"));
        assert_eq!(leaves_by(&mirror, "203.0.113.1"), Some(3));
    }

    #[test]
    fn the_generation_rises_with_routing_and_not_with_neighbours() {
        let mut mirror = mirror();
        let before = mirror.generation();
        let neighbour = Some(Neighbour::Reachable([2, 0, 0, 0, 0, 9]));
        let peer = "192.0.2.9".parse().unwrap();
        mirror.apply(Change::Neighbour { link: 2, address: peer, neighbour });
        mirror.apply(Change::Address(address(2, "192.0.2.1", 24)));
        assert_eq!(mirror.generation(), before);
        add(&mut mirror, TABLE_MAIN, "0.0.0.0/0", via(2, "192.0.2.254"));
        assert_eq!(mirror.generation(), before + 1);
        mirror.replace(Mirror::default());
        assert_eq!(mirror.generation(), before + 2);
    }
}
