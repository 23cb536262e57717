//! The interfaces of both sides, and what cannot be true of them together.

use core::net::Ipv4Addr;
use core::ops::Range;

use toml::Spanned;

use super::{Addresses, InsideConfig, OutsideConfig, Overrides, Ports, value};
use crate::address::{AddressRange, POOL_LIMIT, Prefix};
use crate::file;
use crate::interface::InterfacePattern;
use crate::list::{AutoOrList, Item};
use crate::ports::PortRange;
use crate::report::Problem;
use crate::settings::{Nat, Profile};

/// The range of Linux 2.2: PORT_MASQ_BEGIN to PORT_MASQ_END.
const LINUX_2_2_PORTS: PortRange = PortRange { first: 61_000, last: 65_095 };

/// A value with its place in the file.
struct Placed<T> {
    value: T,
    /// The whole section.
    span: Option<Range<usize>>,
    /// Its interface.
    interface: Option<Range<usize>>,
    /// Its networks or addresses, item by item.
    items: Vec<Option<Range<usize>>>,
}

/// Both sides, each by itself and then together.
pub(super) fn check(
    insides: Vec<Spanned<file::Inside>>,
    outsides: Vec<Spanned<file::Outside>>,
    overrides: &Overrides,
    nat: Nat,
    profile: Profile,
    problems: &mut Vec<Problem>,
) -> (Vec<InsideConfig>, Vec<OutsideConfig>) {
    let outsides = self::outsides(outsides, overrides, nat, profile, problems);
    let insides = self::insides(insides, overrides, problems);
    roles(&insides, &outsides, problems);
    networks(&insides, problems);
    pools(&outsides, &insides, problems);
    (
        insides.into_iter().map(|placed| placed.value).collect(),
        outsides.into_iter().map(|placed| placed.value).collect(),
    )
}

fn outsides(
    sections: Vec<Spanned<file::Outside>>,
    overrides: &Overrides,
    nat: Nat,
    profile: Profile,
    problems: &mut Vec<Problem>,
) -> Vec<Placed<OutsideConfig>> {
    let auto_ports = match profile {
        Profile::Rfc => Ports::Auto,
        Profile::Linux22 => Ports::Ranges(vec![LINUX_2_2_PORTS]),
    };
    let mut placed = Vec::new();
    for section in sections {
        let span = Some(section.span());
        let section = section.into_inner();
        let file::Outside { interface, address, ports, .. } = section;
        let (addresses, items) = match listed(address, "address", problems) {
            None => (Addresses::Auto, vec![]),
            Some(list) => {
                let items = list.iter().map(|item| item.span.clone()).collect();
                (Addresses::Pool(list.into_iter().map(|item| item.value).collect()), items)
            }
        };
        let ports = match listed(ports, "ports", problems) {
            None => auto_ports.clone(),
            Some(list) => {
                separate(&list, problems);
                Ports::Ranges(list.into_iter().map(|item| item.value).collect())
            }
        };
        let nat = Nat {
            mapping: value(section.mapping.as_ref()).unwrap_or(nat.mapping),
            filtering: value(section.filtering.as_ref()).unwrap_or(nat.filtering),
            pooling: value(section.pooling.as_ref()).unwrap_or(nat.pooling),
            preserve_ports: value(section.preserve_ports.as_ref()).unwrap_or(nat.preserve_ports),
        };
        let place = Some(interface.span());
        let value = OutsideConfig { interface: interface.into_inner(), addresses, ports, nat };
        placed.push(Placed { value, span, interface: place, items });
    }
    let fresh = |interface: InterfacePattern| OutsideConfig {
        interface,
        addresses: Addresses::Auto,
        ports: auto_ports.clone(),
        nat,
    };
    let placed = select(placed, &overrides.outsides, |config| &config.interface, fresh);
    if placed.is_empty() {
        problems.push(absent("outside", "eth0"));
    }
    placed
}

fn insides(
    sections: Vec<Spanned<file::Inside>>,
    overrides: &Overrides,
    problems: &mut Vec<Problem>,
) -> Vec<Placed<InsideConfig>> {
    let mut placed = Vec::new();
    for section in sections {
        let span = Some(section.span());
        let file::Inside { interface, networks } = section.into_inner();
        let list = listed(networks, "networks", problems);
        let items = list.iter().flatten().map(|item| item.span.clone()).collect();
        let networks = list.map(|list| list.into_iter().map(|item| item.value).collect());
        let place = Some(interface.span());
        let value = InsideConfig { interface: interface.into_inner(), networks };
        placed.push(Placed { value, span, interface: place, items });
    }
    let fresh = |interface| InsideConfig { interface, networks: None };
    let placed = select(placed, &overrides.insides, |config| &config.interface, fresh);
    if placed.is_empty() {
        problems.push(absent("inside", "eth1"));
    }
    placed
}

fn absent(role: &str, example: &str) -> Problem {
    Problem::error(None, format!("no {role} interface is named")).help(format!(
        "give --{role} {example}, or write [[{role}]] with interface = \"{example}\" in the file"
    ))
}

/// The interfaces of the command line, with what the file says about them; or else the file's.
fn select<T>(
    sections: Vec<Placed<T>>,
    wanted: &[InterfacePattern],
    interface: impl Fn(&T) -> &InterfacePattern,
    fresh: impl Fn(InterfacePattern) -> T,
) -> Vec<Placed<T>> {
    if wanted.is_empty() {
        return sections;
    }
    let mut sections = sections;
    let mut selected = Vec::new();
    for pattern in wanted {
        let found = sections.iter().position(|section| interface(&section.value) == pattern);
        selected.push(match found {
            Some(index) => sections.swap_remove(index),
            None => {
                let value = fresh(pattern.clone());
                Placed { value, span: None, interface: None, items: vec![] }
            }
        });
    }
    selected
}

/// The items of a list, each with the best place there is; `None` is automatic.
fn listed<T>(
    key: Option<Spanned<AutoOrList<T>>>,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Item<T>>> {
    let key = key?;
    let span = key.span();
    let AutoOrList::List(mut list) = key.into_inner() else { return None };
    if list.is_empty() {
        problems.push(
            Problem::error(Some(span), format!("`{name}` is empty"))
                .help("write \"auto\" or leave the key out to have it chosen"),
        );
        return None;
    }
    for item in &mut list {
        item.span.get_or_insert_with(|| span.clone());
    }
    Some(list)
}

fn separate(ranges: &[Item<PortRange>], problems: &mut Vec<Problem>) {
    for (index, range) in ranges.iter().enumerate() {
        if let Some(other) = ranges[..index].iter().find(|other| other.value.overlaps(range.value))
        {
            let message = format!("ports {} overlap {} of the same list", range.value, other.value);
            problems.push(Problem::error(range.span.clone(), message));
        }
    }
}

/// No interface twice, and none on both sides.
fn roles(
    insides: &[Placed<InsideConfig>],
    outsides: &[Placed<OutsideConfig>],
    problems: &mut Vec<Problem>,
) {
    let both =
        insides.iter().map(|placed| ("inside", &placed.value.interface, &placed.interface)).chain(
            outsides.iter().map(|placed| ("outside", &placed.value.interface, &placed.interface)),
        );
    let all: Vec<_> = both.collect();
    for (index, (role, interface, span)) in all.iter().enumerate() {
        for (other_role, other, _) in &all[..index] {
            if !interface.overlaps(other) {
                continue;
            }
            let message = if role == other_role && interface == other {
                format!("interface `{interface}` is named twice as {role}")
            } else if role == other_role {
                format!("`{interface}` and `{other}` of {role} name the same interfaces")
            } else if interface == other {
                format!("interface `{interface}` is both inside and outside")
            } else {
                format!("{role} `{interface}` and {other_role} `{other}` name the same interfaces")
            };
            problems.push(Problem::error((*span).clone(), message).help(
                "every interface has one role: inside faces the hidden hosts, outside the world",
            ));
        }
    }
}

/// No inside network twice: a reply could not tell the hosts apart.
fn networks(insides: &[Placed<InsideConfig>], problems: &mut Vec<Problem>) {
    let all: Vec<_> = insides
        .iter()
        .flat_map(|placed| {
            let networks = placed.value.networks.iter().flatten();
            networks
                .zip(&placed.items)
                .map(|(network, span)| (&placed.value.interface, network, span))
        })
        .collect();
    for (index, (interface, network, span)) in all.iter().enumerate() {
        if network.length() == 0 {
            problems.push(
                Problem::error((*span).clone(), format!("{network} is every address there is"))
                    .help("name the networks of the inside hosts, or write \"auto\""),
            );
            continue;
        }
        let earlier = all[..index].iter().find(|(_, other, _)| network.overlaps(**other));
        if let Some((other_interface, other, _)) = earlier {
            let place = if interface == other_interface {
                "of the same interface".to_owned()
            } else {
                format!("of inside `{other_interface}`")
            };
            let message = format!("network {network} overlaps {other} {place}");
            problems.push(
                Problem::error((*span).clone(), message)
                    .help("each inside address may be at one place only"),
            );
        }
    }
}

/// No outside address twice, none inside, and not too many.
fn pools(
    outsides: &[Placed<OutsideConfig>],
    insides: &[Placed<InsideConfig>],
    problems: &mut Vec<Problem>,
) {
    let mut seen: Vec<(AddressRange, &InterfacePattern)> = Vec::new();
    let mut total = 0_u64;
    for placed in outsides {
        let Addresses::Pool(ranges) = &placed.value.addresses else { continue };
        for (range, span) in ranges.iter().zip(&placed.items) {
            total += range.count();
            let twice =
                seen.iter().find_map(|(other, at)| Some((range.common(*other)?, (*at).clone())));
            if let Some((address, at)) = twice {
                let message = if at == placed.value.interface {
                    format!("address {address} is twice in the pool")
                } else {
                    format!("address {address} is in the pool of `{at}` too")
                };
                problems.push(Problem::error(span.clone(), message));
            }
            seen.push((*range, &placed.value.interface));
            if let Some((address, network)) = inside_of(*range, insides) {
                let message =
                    format!("outside address {address} is in the inside network {network}");
                problems.push(
                    Problem::error(span.clone(), message)
                        .help("an address is either shared outside or belongs to an inside host"),
                );
            }
        }
        if total > u64::from(POOL_LIMIT) {
            let message = format!("the pools hold {total} addresses: {POOL_LIMIT} are possible");
            problems.push(Problem::error(placed.span.clone(), message));
            return;
        }
    }
}

fn inside_of(range: AddressRange, insides: &[Placed<InsideConfig>]) -> Option<(Ipv4Addr, Prefix)> {
    let networks = insides.iter().flat_map(|placed| placed.value.networks.iter().flatten());
    networks.copied().find_map(|network| {
        let last = network.address().to_bits()
            | u32::MAX.checked_shr(network.length().into()).unwrap_or(0);
        let network_range =
            AddressRange { first: network.address(), last: Ipv4Addr::from_bits(last) };
        Some((range.common(network_range)?, network))
    })
}
