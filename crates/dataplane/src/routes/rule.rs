//! Policy rules: which routing table a packet is looked up in.
//!
//! A rule with a selector that masq's question cannot carry (type of service, transport protocol,
//! ports, tunnel) never matches, except that `invert` turns the answer of the whole rule; the
//! kernel's own forwarding asks with a user id of zero and without an outgoing interface, and so
//! does this.

use core::net::IpAddr;
use core::ops::RangeInclusive;

use super::{Links, Prefix, Query};

/// What a rule does with the packets that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Drops them in silence.
    Blackhole,
    /// Goes on with the first rule of at least that priority.
    Goto(u32),
    /// Does nothing.
    Nop,
    /// Refuses them with ICMP.
    Prohibit,
    /// Looks them up in a table.
    Table(u32),
    /// Looks them up in the table of the arriving interface's VRF.
    VrfTable,
    /// Refuses them with ICMP.
    Unreachable,
}

/// One policy rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Lower comes first.
    pub priority: u32,
    /// What happens on a match.
    pub action: RuleAction,
    /// Matches what the selectors do not.
    pub invert: bool,
    /// The source address lies here.
    pub source: Option<Prefix>,
    /// The destination address lies here.
    pub destination: Option<Prefix>,
    /// The packet arrives here; `lo` means that the host itself sends it.
    pub arriving: Option<String>,
    /// The packet's mark, under this mask, equals this.
    pub mark: Option<(u32, u32)>,
    /// User ids of the sending socket.
    pub uids: Option<RangeInclusive<u32>>,
    /// Asks something that a forwarded packet's look-up does not tell: an outgoing interface, a
    /// type of service, a protocol, ports, a tunnel.
    pub beyond_us: bool,
    /// An answer from a prefix of this length or shorter does not count.
    pub suppress_length: Option<u8>,
}

impl Rule {
    /// The rules of a kernel without policy routing.
    pub fn defaults() -> [Self; 3] {
        let rule = |priority, table| Self {
            priority,
            action: RuleAction::Table(table),
            invert: false,
            source: None,
            destination: None,
            arriving: None,
            mark: None,
            uids: None,
            beyond_us: false,
            suppress_length: None,
        };
        [rule(0, TABLE_LOCAL), rule(32766, TABLE_MAIN), rule(32767, TABLE_DEFAULT)]
    }

    /// Whether the rule applies to the packet.
    pub fn matches(&self, query: &Query, links: &Links) -> bool {
        self.selects(query, links) != self.invert
    }

    fn selects(&self, query: &Query, links: &Links) -> bool {
        let inside = |prefix: Option<Prefix>, address: IpAddr| {
            prefix.is_none_or(|prefix| prefix.contains(address))
        };
        let arrives = self.arriving.as_ref().is_none_or(|name| match query.arriving {
            Some(link) => links.get(link).is_some_and(|link| link.name == *name),
            None => name == "lo",
        });
        !self.beyond_us
            && arrives
            && inside(self.source, query.source)
            && inside(self.destination, query.destination)
            && self.mark.is_none_or(|(mark, mask)| (query.mark ^ mark) & mask == 0)
            && self.uids.as_ref().is_none_or(|uids| uids.contains(&0))
    }
}

/// The policy rules, in the order in which the kernel tries them.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Takes a rule, behind those of the same priority.
    pub fn insert(&mut self, rule: Rule) {
        if !self.0.contains(&rule) {
            let at = self.0.partition_point(|known| known.priority <= rule.priority);
            self.0.insert(at, rule);
        }
    }

    /// Forgets a rule.
    pub fn remove(&mut self, rule: &Rule) {
        if let Some(at) = self.0.iter().position(|known| known == rule) {
            self.0.remove(at);
        }
    }

    /// Whether a rule asks where a packet comes from.
    pub fn ask_for_source(&self) -> bool {
        self.0.iter().any(|rule| rule.source.is_some())
    }

    /// The rules that apply to the packet, one after the other.
    pub fn matching<'a>(
        &'a self,
        query: &'a Query,
        links: &'a Links,
    ) -> impl Iterator<Item = &'a Rule> {
        let mut at = 0;
        core::iter::from_fn(move || {
            loop {
                let rule = self.0.get(at)?;
                at += 1;
                if !rule.matches(query, links) {
                    continue;
                }
                let RuleAction::Goto(priority) = rule.action else { return Some(rule) };
                // The kernel only accepts jumps forward; max() keeps a look-up finite anyway.
                at = self.0.partition_point(|known| known.priority < priority).max(at);
            }
        })
    }
}

/// Addresses of the host and broadcast addresses.
pub(super) const TABLE_LOCAL: u32 = 255;
/// Where routes go unless told otherwise.
pub(super) const TABLE_MAIN: u32 = 254;
/// Looked at last; usually empty.
pub(super) const TABLE_DEFAULT: u32 = 253;

#[cfg(test)]
mod tests {
    use super::super::link::tests::ethernet;
    use super::*;

    fn query(source: &str, arriving: Option<u32>, mark: u32) -> Query {
        Query {
            destination: "203.0.113.9".parse().unwrap(),
            source: source.parse().unwrap(),
            arriving,
            mark,
        }
    }

    fn tables(rules: &Rules, query: &Query, links: &Links) -> Vec<RuleAction> {
        rules.matching(query, links).map(|rule| rule.action).collect()
    }

    fn rule(priority: u32, table: u32) -> Rule {
        Rule { priority, action: RuleAction::Table(table), ..Rule::defaults()[1].clone() }
    }

    #[test]
    fn selectors_choose_by_source_interface_and_mark() {
        let mut links = Links::default();
        links.insert(ethernet(3, "lan"));
        let mut rules = Rules::default();
        Rule::defaults().into_iter().for_each(|rule| rules.insert(rule));
        let net = Prefix::new("192.0.2.0".parse().unwrap(), 24);
        rules.insert(Rule { source: Some(net), ..rule(100, 1) });
        rules.insert(Rule { arriving: Some("lan".to_owned()), ..rule(101, 2) });
        rules.insert(Rule { mark: Some((0x10, 0xf0)), ..rule(102, 3) });
        rules.insert(Rule { arriving: Some("lo".to_owned()), ..rule(103, 4) });

        let table = |n| RuleAction::Table(n);
        let default = [table(TABLE_MAIN), table(TABLE_DEFAULT)];
        let expect = |chosen: &[u32]| {
            let chosen = chosen.iter().map(|n| table(*n));
            core::iter::once(table(TABLE_LOCAL)).chain(chosen).chain(default).collect::<Vec<_>>()
        };
        assert_eq!(tables(&rules, &query("192.0.2.9", Some(7), 0), &links), expect(&[1]));
        assert_eq!(tables(&rules, &query("198.51.100.9", Some(3), 0), &links), expect(&[2]));
        assert_eq!(tables(&rules, &query("198.51.100.9", Some(7), 0x1f), &links), expect(&[3]));
        assert_eq!(tables(&rules, &query("198.51.100.9", None, 0), &links), expect(&[4]));
    }

    #[test]
    fn invert_and_goto_are_followed() {
        let links = Links::default();
        let net = Prefix::new("192.0.2.0".parse().unwrap(), 24);
        let mut rules = Rules::default();
        rules.insert(Rule { source: Some(net), invert: true, ..rule(10, 1) });
        rules.insert(Rule { action: RuleAction::Goto(30), ..rule(20, 0) });
        rules.insert(rule(25, 2));
        rules.insert(rule(30, 3));
        let table = |n| RuleAction::Table(n);
        assert_eq!(tables(&rules, &query("192.0.2.9", None, 0), &links), [table(3)]);
        assert_eq!(tables(&rules, &query("198.51.100.9", None, 0), &links), [table(1), table(3)]);
    }

    #[test]
    fn equal_priorities_keep_their_order_and_removal_is_exact() {
        let links = Links::default();
        let mut rules = Rules::default();
        rules.insert(rule(10, 1));
        rules.insert(rule(10, 2));
        rules.remove(&rule(10, 3));
        let table = |n| RuleAction::Table(n);
        assert_eq!(tables(&rules, &query("192.0.2.9", None, 0), &links), [table(1), table(2)]);
        rules.remove(&rule(10, 1));
        assert_eq!(tables(&rules, &query("192.0.2.9", None, 0), &links), [table(2)]);
    }

    #[test]
    fn a_rule_that_asks_for_more_than_we_know_does_not_match() {
        let links = Links::default();
        let mut rules = Rules::default();
        rules.insert(Rule { beyond_us: true, ..rule(10, 1) });
        rules.insert(Rule { uids: Some(1000..=2000), ..rule(11, 2) });
        rules.insert(Rule { uids: Some(0..=2000), ..rule(12, 3) });
        let found = tables(&rules, &query("192.0.2.9", None, 0), &links);
        assert_eq!(found, [RuleAction::Table(3)]);
    }
}
