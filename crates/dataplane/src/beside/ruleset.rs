//! The rules of another translator, and what follows from them: which ports of the host's addresses it
//! takes for itself, and which networks it translates.
//!
//! ```text
//!   prerouting ── rule: tcp dport 80 ── translate ──► tcp 80
//!        └─────── rule: local ── go ──► DOCKER ── rule: tcp dport 8080 ── translate ──► tcp 8080
//! ```
//!
//! Chains are followed from where packets come in, narrowing what is known of the packet on the way.
//! A rule that ends a packet's way is not looked at for those after it: a port may be taken that no
//! packet reaches, and never the other way round.
//!
//! A rule may be restricted to an interface that is none of masq's or to an address that masq does
//! not share: its ports are taken all the same, which costs masq a few ports and the host nothing.

use core::ops::RangeInclusive;
use std::collections::{BTreeMap, BTreeSet};

use masq_core::HostPort;
use masq_wire::Protocol;

use super::scope::{Field, Ranges, Scope};

/// What a rule does with the packets of its scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Gives them another destination.
    Destination,
    /// Has them judged by another chain.
    Go(Chain),
    /// Gives them another source.
    Source,
}

/// A chain, in a translator's own words.
pub(crate) type Chain = String;

/// What one rule does.
pub(crate) type Rule = Vec<(Scope, Action)>;

/// Chains of rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruleset {
    pub(crate) chains: BTreeMap<Chain, Vec<Rule>>,
    /// Those that packets enter by, before they are routed.
    pub(crate) before: Vec<Chain>,
    /// Those that packets leave by, after that.
    pub(crate) after: Vec<Chain>,
}

/// What is translated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Translated {
    /// Ports that get another destination.
    pub(crate) ports: BTreeSet<HostPort>,
    /// The chains with rules that name no ports, or too many.
    pub(crate) whole: BTreeSet<Chain>,
    /// The networks that get another source.
    pub(crate) sources: Ranges,
}

impl Ruleset {
    /// What becomes of packets.
    pub(crate) fn translated(&self) -> Translated {
        let mut translated = Translated::default();
        let mut budget = BUDGET;
        for chain in &self.before {
            self.walk(chain, &Scope::any(), 0, &mut budget, &mut |chain, scope, action| {
                if *action == Action::Destination {
                    translated.take(chain, scope);
                }
            });
        }
        for chain in &self.after {
            self.walk(chain, &Scope::any(), 0, &mut budget, &mut |_, scope, action| {
                if *action == Action::Source && !scope.is_any(Field::Source) {
                    translated.sources.extend(scope.of(Field::Source).iter().cloned());
                }
            });
        }
        if budget == 0 {
            tracing::warn!("the host has too many rules to see which ports they translate");
        }
        translated
    }

    fn walk(
        &self,
        chain: &Chain,
        scope: &Scope,
        depth: usize,
        budget: &mut u32,
        found: &mut dyn FnMut(&Chain, &Scope, &Action),
    ) {
        let rules = self.chains.get(chain).into_iter().flatten();
        for (wanted, action) in rules.flatten() {
            *budget = budget.saturating_sub(1);
            let mut scope = scope.clone();
            scope.narrow_by(wanted);
            if *budget == 0 || scope.is_empty() {
                continue;
            }
            match action {
                Action::Go(next) if depth < DEPTH => {
                    self.walk(next, &scope, depth + 1, budget, found);
                }
                Action::Go(_) | Action::Destination | Action::Source => {
                    found(chain, &scope, action);
                }
            }
        }
    }
}

impl Translated {
    /// Enters the ports of a rule.
    fn take(&mut self, chain: &Chain, scope: &Scope) {
        let holds = |protocol: &Protocol| {
            let number = u32::from(protocol.0);
            scope.of(Field::Protocol).iter().any(|range| range.contains(&number))
        };
        let protocols = [Protocol::TCP, Protocol::UDP].into_iter().filter(holds);
        let ports: Vec<RangeInclusive<u32>> = scope.of(Field::Port).to_vec();
        let count: u32 = ports.iter().map(|range| range.end() - range.start() + 1).sum();
        if count > MOST_PORTS {
            self.whole.insert(chain.clone());
            return;
        }
        for protocol in protocols {
            let numbers = ports.iter().cloned().flatten().filter_map(|port| port.try_into().ok());
            self.ports.extend(numbers.map(|port| HostPort { protocol, port }));
        }
    }
}

/// How many ports a rule may take: half of all. One that wants more is about an address.
const MOST_PORTS: u32 = 1 << 15;
/// How deep chains may be nested; the kernel allows as much.
const DEPTH: usize = 16;
/// How many rules are looked at. A cluster's proxy has tens of thousands.
const BUDGET: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(field: Field, values: RangeInclusive<u32>, action: Action) -> Rule {
        let mut scope = Scope::any();
        scope.narrow(field, &[values]);
        vec![(scope, action)]
    }

    #[test]
    fn chains_are_followed_and_scopes_narrowed_on_the_way() {
        let go = |name: &str| Action::Go(name.to_owned());
        let chains = [
            (
                "pre",
                vec![
                    rule(Field::Protocol, 6..=6, go("tcp")),
                    rule(Field::Port, 7..=7, Action::Destination),
                    rule(Field::Source, 1..=1, Action::Destination),
                ],
            ),
            (
                "tcp",
                vec![
                    rule(Field::Port, 80..=81, Action::Destination),
                    rule(Field::Port, 9..=9, go("tcp")),
                ],
            ),
            ("unreached", vec![rule(Field::Port, 99..=99, Action::Destination)]),
            (
                "post",
                vec![
                    rule(Field::Source, 10..=20, Action::Source),
                    vec![(Scope::any(), Action::Source)],
                ],
            ),
        ];
        let chains = chains.map(|(name, rules)| (name.to_owned(), rules)).into();
        let (before, after) = (vec!["pre".to_owned()], vec!["post".to_owned()]);

        let translated = Ruleset { chains, before, after }.translated();

        let port = |protocol, port| HostPort { protocol, port };
        let (tcp, udp) = (Protocol::TCP, Protocol::UDP);
        assert_eq!(
            translated.ports,
            [port(tcp, 7), port(tcp, 80), port(tcp, 81), port(udp, 7)].into()
        );
        assert_eq!(translated.whole, ["pre".to_owned()].into(), "that rule names no port");
        assert_eq!(translated.sources, [10..=20]);
    }
}
