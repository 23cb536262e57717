//! The old iptables: which of its tables are in use, and what its NAT rules translate.
//!
//! The kernel keeps a table as one piece of memory, the rules of its built-in chains first; a chain of
//! the administrator's is a place in it where rules jump to, and ends where the next one begins. It
//! announces no change.

use std::collections::BTreeSet;
use std::io;

use super::ruleset::{Action, Chain, Rule, Ruleset, Translated};
use super::scope::{Field, Ranges, Scope, complement};
use super::xt;
use crate::sys::ip_tables::{self, Table};

/// The tables that are in use.
pub(crate) fn tables() -> Vec<String> {
    let names = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names");
    names.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What the NAT table translates; it must be in use.
pub(crate) fn translated() -> io::Result<Translated> {
    let mut translated = ruleset(&ip_tables::table("nat")?).translated();
    // A place in memory says nothing to the administrator.
    if !translated.whole.is_empty() {
        translated.whole = [NAT.to_owned()].into();
    }
    Ok(translated)
}

fn ruleset(table: &Table) -> Ruleset {
    let (before, after) = (table.entries[PREROUTING], table.entries[POSTROUTING]);
    let mut ruleset =
        Ruleset { before: vec![chain(before)], after: vec![chain(after)], ..Ruleset::default() };
    let mut unread = vec![before, after];
    let mut known = BTreeSet::new();
    while let Some(start) = unread.pop() {
        if known.insert(start) {
            let rules = rules(table, start, &mut unread);
            ruleset.chains.insert(chain(start), rules);
        }
    }
    ruleset
}

/// The rules from one on, to the end of their chain; where they jump to is added to `jumps`.
fn rules(table: &Table, start: u32, jumps: &mut Vec<u32>) -> Vec<Rule> {
    let (mut rules, mut place) = (Vec::new(), start as usize);
    while let Some(entry) = table.rules.get(place..).and_then(Entry::parse) {
        if entry.target == "ERROR" {
            break;
        }
        let action = match entry.jump {
            Some(to) => {
                jumps.push(to);
                Some(Action::Go(chain(to)))
            }
            None => xt::action(&entry.target),
        };
        rules.extend(action.map(|action| vec![(entry.scope, action)]));
        if table.ends.contains(&(place as u32)) {
            break;
        }
        place += entry.length;
    }
    rules
}

fn chain(place: u32) -> Chain {
    format!("{NAT} {place}")
}

/// `struct ipt_entry` with its matches and its target.
struct Entry {
    scope: Scope,
    target: String,
    /// Where it jumps to.
    jump: Option<u32>,
    length: usize,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Option<Self> {
        const MATCHES: usize = 112;
        let (target, length) = (xt::number(bytes, 88)? as usize, xt::number(bytes, 90)? as usize);
        if length < MATCHES || target < MATCHES {
            return None;
        }
        let mut scope = packet(bytes)?;
        let mut place = MATCHES;
        while place < target {
            let found = Extension::parse(bytes.get(place..target)?)?;
            xt::narrow(&mut scope, &found.name, found.revision, found.data);
            place += found.length;
        }
        let found = Extension::parse(bytes.get(target..length)?)?;
        let verdict = found.data.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
        let jump = verdict.filter(|_| found.name.is_empty()).and_then(|to| to.try_into().ok());
        Some(Self { scope, target: found.name, jump, length })
    }
}

/// The packets of `struct ipt_ip`.
fn packet(bytes: &[u8]) -> Option<Scope> {
    const NOT_SOURCE: u8 = 0x08;
    const NOT_PROTOCOL: u8 = 0x40;
    let address = |offset: usize| -> Option<u32> {
        Some(u32::from_be_bytes(*bytes.get(offset..)?.first_chunk()?))
    };
    let (source, mask, inverted) = (address(0)?, address(8)?, *bytes.get(83)?);
    let mut scope = Scope::any();
    let mut narrow = |field: Field, range: Ranges, not: u8| {
        let is_not = inverted & not != 0;
        scope.narrow(field, &if is_not { complement(range, field.most()) } else { range });
    };
    if mask != 0 && mask.leading_ones() + mask.trailing_zeros() == 32 {
        narrow(Field::Source, vec![source & mask..=source | !mask], NOT_SOURCE);
    }
    let protocol = xt::number(bytes, 80)?;
    if protocol != 0 {
        narrow(Field::Protocol, vec![protocol..=protocol], NOT_PROTOCOL);
    }
    Some(scope)
}

/// `struct xt_entry_match` or `struct xt_entry_target`.
struct Extension<'a> {
    name: String,
    revision: u32,
    data: &'a [u8],
    length: usize,
}

impl<'a> Extension<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        const DATA: usize = 32;
        let length = xt::number(bytes, 0)? as usize;
        let (name, revision) = (xt::name(bytes.get(2..31)?), u32::from(*bytes.get(31)?));
        Some(Self { name, revision, data: bytes.get(DATA..length)?, length })
    }
}

/// Netfilter's hooks.
const PREROUTING: usize = 0;
const POSTROUTING: usize = 4;
/// What its chains are called.
const NAT: &str = "iptables nat";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beside::tests::text;
    use crate::testing::{in_namespaces, run_all, succeeds};

    #[test]
    fn published_ports_and_translated_networks_are_read_from_the_kernel() {
        in_namespaces(|| {
            assert_eq!(tables(), Vec::<String>::new());
            if !succeeds("iptables-legacy -V") {
                // Nothing else makes such tables.
                return;
            }
            run_all(
                "
                iptables-legacy -t nat -N DOCKER
                iptables-legacy -t nat -N EMPTY
                iptables-legacy -t nat -A PREROUTING -j EMPTY
                iptables-legacy -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
                iptables-legacy -t nat -A DOCKER -i docker0 -j RETURN
                iptables-legacy -t nat -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
                iptables-legacy -t nat -A DOCKER -p udp -m multiport --dports 53,6000:6002 -j DNAT --to-destination 172.17.0.3
                iptables-legacy -t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3128
                iptables-legacy -t nat -A OUTPUT -p tcp --dport 81 -j DNAT --to-destination 172.17.0.2
                iptables-legacy -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
                ",
            );
            assert_eq!(tables(), ["nat"]);

            let found = translated().unwrap();

            assert_eq!(
                text(&found),
                "tcp 80, 8080; udp 53, 6000-6002; from 172.17.0.0-172.17.255.255"
            );
            run_all(
                "iptables-legacy -t nat -A PREROUTING -d 203.0.113.9 -j DNAT --to-destination 172.17.0.4",
            );
            assert!(text(&translated().unwrap()).ends_with("; whole iptables nat"));
        });
    }
}
