//! What else on the host filters or translates forwarded packets (nf_tables, iptables, xfrm).
//!
//! Packets that masq forwards do not pass the host's hooks. So rules there see them no more, and
//! another translator would wait for packets that never come, or fight over those that do.

use core::ops::ControlFlow;
use std::collections::BTreeSet;
use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NlasIterator};
use netlink_sys::{Socket, protocols};
use zerocopy::IntoBytes;

use crate::netlink::dialogue::{self, Header};

/// A base chain of nf_tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// `table chain`.
    pub(crate) name: String,
    /// The hook: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub(crate) hook: u32,
    /// `filter`, `nat` or `route`.
    pub(crate) kind: String,
    /// How many rules it holds, where the kernel says so.
    pub(crate) rules: u32,
}

/// The base chains of this network namespace that IPv4 packets pass.
pub(crate) fn chains() -> io::Result<Vec<Chain>> {
    const GET_CHAIN: u16 = SUBSYSTEM_NF_TABLES << 8 | 4;
    const NEW_CHAIN: u16 = SUBSYSTEM_NF_TABLES << 8 | 3;
    let mut chains = Vec::new();
    dump(protocols::NETLINK_NETFILTER, GET_CHAIN, &[0; 4], |kind, message| {
        // `struct nfgenmsg` begins with the family.
        let ipv4 =
            message.first().is_some_and(|family| [FAMILY_INET, FAMILY_IPV4].contains(family));
        if let (NEW_CHAIN, true, Some(attributes)) = (kind, ipv4, message.get(4..)) {
            chains.extend(chain(attributes));
        }
    })?;
    Ok(chains)
}

/// The interfaces with a chain that judges what leaves by them (family `netdev`, hook `egress`).
pub(crate) fn egress_devices() -> io::Result<BTreeSet<String>> {
    const GET_CHAIN: u16 = SUBSYSTEM_NF_TABLES << 8 | 4;
    let mut devices = BTreeSet::new();
    let question = [FAMILY_NETDEV, 0, 0, 0];
    dump(protocols::NETLINK_NETFILTER, GET_CHAIN, &question, |_, message| {
        if let (Some(&FAMILY_NETDEV), Some(attributes)) = (message.first(), message.get(4..)) {
            devices.extend(egress_devices_of(attributes));
        }
    })?;
    Ok(devices)
}

/// How many policies of xfrm (IPsec) there are.
pub(crate) fn xfrm_policies() -> io::Result<usize> {
    const GET_POLICY: u16 = 0x15;
    const NEW_POLICY: u16 = 0x13;
    let mut policies = 0;
    // `struct xfrm_userpolicy_id`, zeroed: all of them.
    dump(protocols::NETLINK_XFRM, GET_POLICY, &[0; 64], |kind, _| {
        policies += usize::from(kind == NEW_POLICY);
    })?;
    Ok(policies)
}

/// The tables of the old iptables that are in use.
pub(crate) fn iptables() -> Vec<String> {
    let names = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names");
    names.unwrap_or_default().lines().map(str::to_owned).collect()
}

fn chain(attributes: &[u8]) -> Option<Chain> {
    const TABLE: u16 = 1;
    const NAME: u16 = 3;
    const HOOK: u16 = 4;
    const USE: u16 = 6;
    const TYPE: u16 = 7;
    const NESTED: u16 = 1 << 15;
    let (mut table, mut name, mut kind) = (String::new(), String::new(), String::new());
    let (mut hook, mut rules) = (None, 0);
    for attribute in NlasIterator::new(attributes).flatten() {
        let value = attribute.value();
        match attribute.kind() & !NESTED {
            TABLE => table = text(value),
            NAME => name = text(value),
            TYPE => kind = text(value),
            USE => rules = number(value).unwrap_or(0),
            HOOK => {
                let mut inner = NlasIterator::new(value).flatten();
                let inner = inner.find(|inner| inner.kind() & !NESTED == 1);
                hook = inner.and_then(|inner| number(inner.value()));
            }
            _ => {}
        }
    }
    Some(Chain { name: format!("{table} {name}"), hook: hook?, kind, rules })
}

/// The devices of a chain, if it is at the egress hook.
fn egress_devices_of(chain: &[u8]) -> Vec<String> {
    const HOOK: u16 = 4;
    const NUMBER: u16 = 1;
    const DEVICE: u16 = 3;
    const DEVICES: u16 = 4;
    const NESTED: u16 = 1 << 15;
    const EGRESS: u32 = 1;
    let hook = NlasIterator::new(chain).flatten().find(|found| found.kind() & !NESTED == HOOK);
    let (mut devices, mut egress) = (Vec::new(), false);
    for attribute in hook.iter().flat_map(|hook| NlasIterator::new(hook.value()).flatten()) {
        match attribute.kind() & !NESTED {
            NUMBER => egress = number(attribute.value()) == Some(EGRESS),
            DEVICE => devices.push(text(attribute.value())),
            DEVICES => {
                let names = NlasIterator::new(attribute.value()).flatten();
                devices.extend(names.map(|name| text(name.value())));
            }
            _ => {}
        }
    }
    if egress { devices } else { Vec::new() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Asks for all objects of a kind.
fn dump(
    protocol: isize,
    kind: u16,
    body: &[u8],
    mut take: impl FnMut(u16, &[u8]),
) -> io::Result<()> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    let header = Header {
        length: (size_of::<Header>() + body.len()) as u32,
        kind,
        flags: NLM_F_REQUEST | NLM_F_DUMP,
        sequence: 1,
        port: 0,
    };
    let mut request = header.as_bytes().to_vec();
    request.extend_from_slice(body);
    dialogue::ask(&socket, &request, |kind, message| {
        take(kind, message);
        ControlFlow::Continue(())
    })
}

const SUBSYSTEM_NF_TABLES: u16 = 10;
const FAMILY_INET: u8 = 1;
const FAMILY_IPV4: u8 = 2;
const FAMILY_NETDEV: u8 = 5;

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
            let chain = Chain { rules: 0, ..found[0].clone() };
            let (name, kind) = ("masquerading out".to_owned(), "nat".to_owned());
            assert_eq!(chain, Chain { name, hook: 4, kind, rules: 0 });
        });
    }
}
