//! Routing tables: longest prefix first, then the lowest metric, then the kernel's own order.
//!
//! A table keeps its routes in a hash map by prefix and counts how many prefixes there are of each
//! length, so that a look-up probes only lengths that occur: three or four on an ordinary host,
//! at most 33 for IPv4.

use core::net::IpAddr;
use std::collections::HashMap;

use super::Prefix;

/// What a route does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind {
    /// Dropped in silence.
    Blackhole,
    /// An address that means every host of a link.
    Broadcast,
    /// An address of this host (`local` and `anycast`).
    Local,
    /// Refused with ICMP "administratively prohibited".
    Prohibit,
    /// The look-up goes on with the next rule.
    Throw,
    /// Sent to a next hop.
    Unicast,
    /// Refused with ICMP "host unreachable".
    Unreachable,
}

/// One way out of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    /// The interface to leave by.
    pub link: u32,
    /// The router to hand the packet to; none when the destination itself is on the link.
    pub gateway: Option<IpAddr>,
    /// How much of the traffic goes this way, relative to the other hops.
    pub weight: u32,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// What it does.
    pub kind: RouteKind,
    /// Lower is preferred.
    pub metric: u32,
    /// The ways out; several for multipath.
    pub hops: Vec<Hop>,
    /// The source address that the host's own packets get.
    pub source: Option<IpAddr>,
    /// The MTU metric, where one is set.
    pub mtu: Option<u32>,
}

/// How a new route relates to others of the same prefix and metric (`ip route add`, `replace`,
/// `append`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// After those of the same metric.
    Append,
    /// Before those of the same metric.
    Prepend,
    /// In place of the first of the same metric.
    Replace,
}

/// One routing table.
#[derive(Clone, Debug)]
pub struct Table {
    routes: HashMap<Prefix, Vec<Route>>,
    /// How many prefixes there are of each length.
    lengths_v4: [u32; 33],
    lengths_v6: [u32; 129],
}

impl Default for Table {
    fn default() -> Self {
        Self { routes: HashMap::new(), lengths_v4: [0; 33], lengths_v6: [0; 129] }
    }
}

impl Table {
    /// Takes a route.
    pub fn insert(&mut self, prefix: Prefix, route: Route, placement: Placement) {
        let routes = self.routes.entry(prefix).or_default();
        if routes.is_empty() {
            *lengths(&mut self.lengths_v4, &mut self.lengths_v6, prefix) += 1;
        }
        let first = routes.partition_point(|known| known.metric < route.metric);
        let behind = routes.partition_point(|known| known.metric <= route.metric);
        match placement {
            Placement::Replace if first < behind => routes[first] = route,
            // A dump, and a notification that arrives while one is read, may tell the same twice.
            Placement::Append | Placement::Prepend | Placement::Replace
                if routes[first..behind].contains(&route) => {}
            Placement::Append => routes.insert(behind, route),
            Placement::Prepend | Placement::Replace => routes.insert(first, route),
        }
    }

    /// Forgets a route: that very one, or else the first of its metric and kind.
    pub fn remove(&mut self, prefix: Prefix, route: &Route) {
        let Some(routes) = self.routes.get_mut(&prefix) else { return };
        let alike = |known: &Route| known.metric == route.metric && known.kind == route.kind;
        let found = routes
            .iter()
            .position(|known| known == route)
            .or_else(|| routes.iter().position(alike));
        if let Some(at) = found {
            routes.remove(at);
        }
        if routes.is_empty() {
            self.routes.remove(&prefix);
            *lengths(&mut self.lengths_v4, &mut self.lengths_v6, prefix) -= 1;
        }
    }

    /// Every route that matches the address, the most specific first, each with its prefix's
    /// length.
    pub fn matching(&self, address: IpAddr) -> impl Iterator<Item = (u8, &Route)> {
        let counts: &[u32] = if address.is_ipv4() { &self.lengths_v4 } else { &self.lengths_v6 };
        counts
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, count)| **count > 0)
            .filter_map(move |(length, _)| {
                let length = length as u8;
                Some((length, self.routes.get(&Prefix::new(address, length))?))
            })
            .flat_map(|(length, routes)| routes.iter().map(move |route| (length, route)))
    }

    /// The destinations of routes that leave by a link, in order.
    #[expect(clippy::disallowed_methods, reason = "what is found is sorted")]
    pub fn networks_by(&self, link: u32) -> Vec<Prefix> {
        let leaves = |route: &Route| {
            route.kind == RouteKind::Unicast && route.hops.iter().any(|hop| hop.link == link)
        };
        let by_link =
            |(prefix, routes): (&Prefix, &Vec<Route>)| routes.iter().any(leaves).then_some(*prefix);
        let mut networks: Vec<_> = self.routes.iter().filter_map(by_link).collect();
        networks.sort_unstable();
        networks
    }

    /// Whether no route is left.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

fn lengths<'a>(v4: &'a mut [u32; 33], v6: &'a mut [u32; 129], prefix: Prefix) -> &'a mut u32 {
    let length = usize::from(prefix.length());
    if prefix.address().is_ipv4() { &mut v4[length] } else { &mut v6[length] }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap())
    }

    pub(crate) fn via(link: u32, gateway: &str) -> Route {
        Route {
            kind: RouteKind::Unicast,
            metric: 0,
            hops: vec![Hop { link, gateway: Some(gateway.parse().unwrap()), weight: 1 }],
            source: None,
            mtu: None,
        }
    }

    fn first(table: &Table, address: &str) -> Option<u32> {
        table.matching(address.parse().unwrap()).next().map(|(_, route)| route.hops[0].link)
    }

    #[test]
    fn the_longest_prefix_wins() {
        let mut table = Table::default();
        table.insert(prefix("0.0.0.0/0"), via(1, "192.0.2.1"), Placement::Prepend);
        table.insert(prefix("198.51.100.0/24"), via(2, "192.0.2.2"), Placement::Prepend);
        table.insert(prefix("198.51.100.7/32"), via(3, "192.0.2.3"), Placement::Prepend);
        assert_eq!(first(&table, "198.51.100.7"), Some(3));
        assert_eq!(first(&table, "198.51.100.8"), Some(2));
        assert_eq!(first(&table, "203.0.113.8"), Some(1));
        assert_eq!(first(&table, "2001:db8::1"), None);
    }

    #[test]
    fn the_lowest_metric_wins_whatever_the_order() {
        let mut table = Table::default();
        let net = prefix("0.0.0.0/0");
        table.insert(net, Route { metric: 200, ..via(2, "192.0.2.2") }, Placement::Prepend);
        table.insert(net, Route { metric: 100, ..via(1, "192.0.2.1") }, Placement::Prepend);
        assert_eq!(first(&table, "203.0.113.8"), Some(1));
        table.remove(net, &Route { metric: 100, ..via(1, "192.0.2.1") });
        assert_eq!(first(&table, "203.0.113.8"), Some(2));
    }

    #[test]
    fn replace_append_and_prepend_do_as_in_the_kernel() {
        let mut table = Table::default();
        let net = prefix("10.0.0.0/8");
        table.insert(net, via(1, "192.0.2.1"), Placement::Prepend);
        table.insert(net, via(2, "192.0.2.2"), Placement::Append);
        assert_eq!(first(&table, "10.1.1.1"), Some(1));
        table.insert(net, via(3, "192.0.2.3"), Placement::Replace);
        assert_eq!(first(&table, "10.1.1.1"), Some(3));
        assert_eq!(table.matching("10.1.1.1".parse().unwrap()).count(), 2);
        table.insert(net, via(4, "192.0.2.4"), Placement::Prepend);
        assert_eq!(first(&table, "10.1.1.1"), Some(4));
    }

    #[test]
    fn a_route_told_twice_is_kept_once() {
        let mut table = Table::default();
        let net = prefix("10.0.0.0/8");
        table.insert(net, via(1, "192.0.2.1"), Placement::Prepend);
        table.insert(net, via(1, "192.0.2.1"), Placement::Append);
        assert_eq!(table.matching("10.1.1.1".parse().unwrap()).count(), 1);
        table.remove(net, &via(1, "192.0.2.1"));
        assert!(table.is_empty());
        assert_eq!(first(&table, "10.1.1.1"), None);
    }
}
