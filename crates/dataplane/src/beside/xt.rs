//! Matches and targets of x_tables: those of the old iptables, and those that `iptables-nft` puts into
//! nf_tables as they are.

use super::ruleset::Action;
use super::scope::{Field, Ranges, Scope, complement};

/// Narrows a scope by a match, if it says anything about what a scope knows.
pub(crate) fn narrow(scope: &mut Scope, name: &str, revision: u32, info: &[u8]) {
    let ports = match (name, revision) {
        // `struct xt_tcp` and `struct xt_udp`: source ports, destination ports, …, what is inverted.
        ("tcp", 0) => ports(info, info.get(11)),
        ("udp", 0) => ports(info, info.get(8)),
        ("multiport", 1) => multiport(info),
        _ => None,
    };
    if let Some(ports) = ports {
        scope.narrow(Field::Port, &ports);
    }
}

/// What a target does, if it translates.
pub(crate) fn action(target: &str) -> Option<Action> {
    match target {
        "DNAT" | "REDIRECT" => Some(Action::Destination),
        "MASQUERADE" | "SNAT" => Some(Action::Source),
        _ => None,
    }
}

/// A name in a field of fixed size.
pub(crate) fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The number at an offset, in the processor's order.
pub(crate) fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    let word = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*word).into())
}

fn ports(info: &[u8], inverted: Option<&u8>) -> Option<Ranges> {
    const DESTINATION: u8 = 0x02;
    let ports = vec![number(info, 4)?..=number(info, 6)?];
    Some(either(ports, inverted? & DESTINATION != 0))
}

/// `struct xt_multiport_v1`: what is looked at, how many, ports, which of them begin a range, inverted.
fn multiport(info: &[u8]) -> Option<Ranges> {
    const DESTINATION: u8 = 1;
    const PORTS: usize = 2;
    const FLAGS: usize = PORTS + 2 * 15;
    let (kind, count) = (*info.first()?, usize::from(*info.get(1)?));
    if kind != DESTINATION {
        return None;
    }
    let mut ports = Vec::new();
    let mut place = 0;
    while place < count {
        let first = number(info, PORTS + 2 * place)?;
        let is_range = *info.get(FLAGS + place)? != 0;
        place += usize::from(is_range);
        ports.push(first..=number(info, PORTS + 2 * place)?);
        place += 1;
    }
    Some(either(ports, *info.get(FLAGS + 15)? != 0))
}

fn either(ports: Ranges, inverted: bool) -> Ranges {
    if inverted { complement(ports, Field::Port.most()) } else { ports }
}
