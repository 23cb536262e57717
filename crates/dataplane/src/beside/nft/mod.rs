//! nf_tables: the chains that packets pass, and what their rules translate.
//!
//! Packets that masq forwards do not pass the host's hooks. So rules there see them no more, and
//! another translator would wait for packets that never come.

mod registers;
mod rules;
mod sets;
mod wire;

use std::collections::BTreeSet;
use std::io;

use super::ruleset::{self, Ruleset};

pub(super) use wire::dump;

use wire::{Object, attributes, find, number, text};

/// A base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// `table chain`.
    pub(crate) name: String,
    /// Where packets pass it.
    pub(crate) hook: Hook,
    /// `filter`, `nat` or `route`.
    pub(crate) kind: String,
    /// The interfaces that it is on, if it is not on all.
    pub(crate) devices: BTreeSet<String>,
}

/// Where packets pass a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Egress,
    Forward,
    Ingress,
    Input,
    Output,
    Postrouting,
    Prerouting,
}

/// The base chains of this network namespace that IPv4 packets pass.
pub(crate) fn chains() -> io::Result<Vec<Chain>> {
    let mut chains = Vec::new();
    wire::list(Object::Chain, 0, &[], |family, attributes| {
        chains.extend(chain(family, attributes));
    })?;
    Ok(chains)
}

/// The interfaces with a chain that judges what leaves by them (family `netdev`, hook `egress`).
pub(crate) fn egress_devices() -> io::Result<BTreeSet<String>> {
    let mut devices = BTreeSet::new();
    wire::list(Object::Chain, NETDEV, &[], |family, attributes| {
        let chain = chain(family, attributes).filter(|chain| chain.hook == Hook::Egress);
        devices.extend(chain.into_iter().flat_map(|chain| chain.devices));
    })?;
    Ok(devices)
}

/// The rules of all chains that translate, or are called by those.
pub(crate) fn ruleset(chains: &[Chain]) -> io::Result<Ruleset> {
    let translating = |hook| {
        let wanted = move |chain: &&Chain| chain.kind == "nat" && chain.hook == hook;
        chains.iter().filter(wanted).map(|chain| chain.name.clone()).collect::<Vec<_>>()
    };
    let (before, after) = (translating(Hook::Prerouting), translating(Hook::Postrouting));
    if before.is_empty() && after.is_empty() {
        return Ok(Ruleset::default());
    }
    // Rules lead to chains of their own table only; others may be long, and have large sets.
    let tables: BTreeSet<&str> = before.iter().chain(&after).map(|chain| table_of(chain)).collect();
    let chains = rules::of(|chain| tables.contains(table_of(chain)))?;
    Ok(Ruleset { chains, before, after })
}

fn chain(family: u8, attributes: &[u8]) -> Option<Chain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const TYPE: u16 = 7;
    let hooked = find(attributes, HOOK)?;
    Some(Chain {
        name: chain_name(family, &text(find(attributes, TABLE)?), &text(find(attributes, NAME)?)),
        hook: hook(family, find(hooked, 1).and_then(number)?)?,
        kind: find(attributes, TYPE).map(text).unwrap_or_default(),
        devices: devices(hooked),
    })
}

/// `table chain`, with the family where it is not IPv4.
fn chain_name(family: u8, table: &str, chain: &str) -> ruleset::Chain {
    let family = match family {
        INET => "inet ",
        NETDEV => "netdev ",
        _ => "",
    };
    format!("{family}{table} {chain}")
}

fn table_of(chain: &str) -> &str {
    chain.rsplit_once(' ').map_or(chain, |(table, _)| table)
}

fn hook(family: u8, number: u32) -> Option<Hook> {
    Some(match (family, number) {
        (NETDEV, 0) | (INET, 5) => Hook::Ingress,
        (NETDEV, 1) => Hook::Egress,
        (INET | IPV4, 0) => Hook::Prerouting,
        (INET | IPV4, 1) => Hook::Input,
        (INET | IPV4, 2) => Hook::Forward,
        (INET | IPV4, 3) => Hook::Output,
        (INET | IPV4, 4) => Hook::Postrouting,
        _ => return None,
    })
}

fn devices(hooked: &[u8]) -> BTreeSet<String> {
    const DEVICE: u16 = 3;
    const DEVICES: u16 = 4;
    let one = find(hooked, DEVICE).map(text);
    let several = find(hooked, DEVICES).unwrap_or_default();
    one.into_iter().chain(attributes(several).map(|(_, name)| text(name))).collect()
}

const INET: u8 = 1;
const IPV4: u8 = 2;
const NETDEV: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_namespaces, run};

    #[test]
    fn interfaces_whose_egress_is_filtered_are_found() {
        in_namespaces(|| {
            run("ip link add wan type bridge");
            run("nft add table netdev shaping");
            run(
                "nft add chain netdev shaping in { type filter hook ingress device wan priority 0 ; }",
            );
            assert_eq!(egress_devices().unwrap(), BTreeSet::new());
            run(
                "nft add chain netdev shaping out { type filter hook egress device wan priority 0 ; }",
            );
            assert_eq!(egress_devices().unwrap(), BTreeSet::from(["wan".to_owned()]));
        });
    }

    #[test]
    fn base_chains_are_found_with_their_hooks() {
        in_namespaces(|| {
            assert_eq!(chains().unwrap(), []);
            run("nft add table ip masquerading");
            run("nft add chain ip masquerading out { type nat hook postrouting priority 100 ; }");
            run("nft add rule ip masquerading out masquerade");
            run("nft add table ip6 other");
            run("nft add chain ip6 other through { type filter hook forward priority 0 ; }");
            run("nft add chain ip masquerading plain");
            let found = chains().unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            let (name, kind) = ("masquerading out".to_owned(), "nat".to_owned());
            let devices = BTreeSet::new();
            assert_eq!(found[0], Chain { name, hook: Hook::Postrouting, kind, devices });
            run("ip link add wan type bridge");
            for family in ["netdev", "inet"] {
                run(&format!("nft add table {family} early"));
                run(&format!(
                    "nft add chain {family} early in {{ type filter hook ingress device wan priority 0 ; }}"
                ));
            }
            let early = chains().unwrap();
            let early: Vec<_> = early.iter().filter(|chain| chain.hook == Hook::Ingress).collect();
            let names: BTreeSet<_> = early.iter().map(|chain| chain.name.as_str()).collect();
            assert_eq!(names, ["inet early in", "netdev early in"].into());
            assert!(early.iter().all(|chain| chain.devices == ["wan".to_owned()].into()));
        });
    }
}
