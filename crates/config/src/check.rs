//! [`File`] to [`CheckedConfig`]: defaults filled in, contradictions found.
//!
//! A [`CheckedConfig`] cannot be made in any other way, so whoever holds one need not ask whether it
//! makes sense.

use core::net::Ipv4Addr;
use core::ops::Range;
use core::time::Duration;
use std::path::PathBuf;

use toml::Spanned;

use crate::address::{AddressRange, POOL_LIMIT, Prefix};
use crate::duration::Lifetime;
use crate::file::{self, File};
use crate::interface::InterfacePattern;
use crate::list::{AutoOrList, Item};
use crate::ports::PortRange;
use crate::report::Problem;
use crate::settings::{
    Dependence, FastPathMode, Fragments, HoldDown, Icmp, Limits, Nat, Pooling, Profile, Timeouts,
};

/// A configuration that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedConfig {
    /// Towards the world, at least one.
    pub outsides: Vec<OutsideConfig>,
    /// Towards the hidden hosts, at least one.
    pub insides: Vec<InsideConfig>,
    /// Refuse as a carrier does: ICMP 3/1 in the place of 3/13 (RFC 6888 REQ-11).
    pub carrier: bool,
    /// How long sessions live.
    pub timeouts: Timeouts,
    /// What a host may have.
    pub limits: Limits,
    /// Reassembly.
    pub fragments: Fragments,
    /// Errors of our own.
    pub icmp: Icmp,
    /// Resting ports.
    pub hold_down: HoldDown,
    /// How many sessions fit.
    pub table_sessions: u32,
    /// What carries established flows.
    pub fast_path: FastPathMode,
    /// Where the control socket is, if not at its usual place.
    pub socket: Option<PathBuf>,
}

/// One interface, or all with a prefix, towards the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideConfig {
    /// Which.
    pub interface: InterfacePattern,
    /// The addresses that are shared.
    pub addresses: Addresses,
    /// The ports that may be used.
    pub ports: Ports,
    /// How it behaves.
    pub nat: Nat,
}

/// The shared addresses of an outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// The interface's own, followed as they change.
    Auto,
    /// These.
    Pool(Vec<AddressRange>),
}

/// The ports of an outside address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// 1024-65535 less what belongs to the host.
    Auto,
    /// These, less what the host listens on.
    Ranges(Vec<PortRange>),
}

/// One interface, or all with a prefix, with hidden hosts behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsideConfig {
    /// Which.
    pub interface: InterfacePattern,
    /// Whose packets are translated; `None`: the interface's own networks and those routed there.
    pub networks: Option<Vec<Prefix>>,
}

/// What the command line adds: when it names interfaces of a role, those are the ones of that role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--inside`
    pub insides: Vec<InterfacePattern>,
    /// `--outside`
    pub outsides: Vec<InterfacePattern>,
}

/// Sessions of a table when nobody says otherwise.
pub const TABLE_SESSIONS: u32 = 262_144;

/// The range of Linux 2.2: PORT_MASQ_BEGIN to PORT_MASQ_END.
const LINUX_2_2_PORTS: PortRange = PortRange { first: 61_000, last: 65_095 };

/// More is a mistake of the unit.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The most sessions: 24 bits of slots are 3.7 GB of records and index.
const MOST_SESSIONS: u32 = 1 << 24;

/// Fills in the defaults and collects everything that is wrong or doubtful.
pub(crate) fn check(file: File, overrides: &Overrides) -> (CheckedConfig, Vec<Problem>) {
    let mut problems = Vec::new();
    let File { outside, inside, nat, timeouts, limits, fragments, icmp, hold_down, .. } = file;
    let profile = value(timeouts.profile.as_ref()).unwrap_or_default();
    let nat_default = Nat {
        mapping: value(nat.mapping.as_ref()).unwrap_or(Dependence::EndpointIndependent),
        filtering: value(nat.filtering.as_ref()).unwrap_or(Dependence::AddressAndPortDependent),
        pooling: value(nat.pooling.as_ref()).unwrap_or(Pooling::Paired),
    };
    let outsides = outsides(outside, overrides, nat_default, profile, &mut problems);
    let insides = insides(inside, overrides, &mut problems);
    roles(&insides, &outsides, &mut problems);
    networks(&insides, &mut problems);
    pools(&outsides, &insides, &mut problems);
    let fast_path = value(file.fast_path.mode.as_ref()).unwrap_or_default();
    if matches!(fast_path, FastPathMode::Xdp | FastPathMode::Tc) {
        let span = file.fast_path.mode.as_ref().map(Spanned::span);
        problems.push(
            Problem::warning(span, format!("`{fast_path}` has no effect in this release"))
                .help("every packet goes through the engine; write \"auto\" or leave it out"),
        );
    }
    let config = CheckedConfig {
        outsides: outsides.into_iter().map(|placed| placed.value).collect(),
        insides: insides.into_iter().map(|placed| placed.value).collect(),
        carrier: value(nat.carrier.as_ref()).unwrap_or(false),
        timeouts: lifetimes(&timeouts, profile, &mut problems),
        limits: host_limits(&limits, &mut problems),
        fragments: reassembly(&fragments, &mut problems),
        icmp: errors(&icmp, &mut problems),
        hold_down: resting(&hold_down, &mut problems),
        table_sessions: sessions(file.table.sessions.as_ref(), &mut problems),
        fast_path,
        socket: socket(file.control.socket, &mut problems),
    };
    (config, problems)
}

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

fn value<T: Clone>(key: Option<&Spanned<T>>) -> Option<T> {
    key.map(|spanned| spanned.get_ref().clone())
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
        let file::Outside { interface, address, ports, mapping, filtering, pooling } =
            section.into_inner();
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
            mapping: value(mapping.as_ref()).unwrap_or(nat.mapping),
            filtering: value(filtering.as_ref()).unwrap_or(nat.filtering),
            pooling: value(pooling.as_ref()).unwrap_or(nat.pooling),
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

fn lifetimes(file: &file::Timeouts, profile: Profile, problems: &mut Vec<Problem>) -> Timeouts {
    let mut timeouts = Timeouts::of(profile);
    let keys = [
        ("tcp-established", &file.tcp_established, &mut timeouts.tcp_established),
        ("tcp-opening", &file.tcp_opening, &mut timeouts.tcp_opening),
        ("tcp-closing", &file.tcp_closing, &mut timeouts.tcp_closing),
        ("tcp-reset", &file.tcp_reset, &mut timeouts.tcp_reset),
        ("tcp-incoming-syn", &file.tcp_incoming_syn, &mut timeouts.tcp_incoming_syn),
        ("udp", &file.udp, &mut timeouts.udp),
        ("icmp", &file.icmp, &mut timeouts.icmp),
        ("other", &file.other, &mut timeouts.other),
    ];
    let mut written = Vec::new();
    for (name, key, timeout) in keys {
        let Some(key) = key else { continue };
        *timeout = duration(name, key, problems);
        written.push((name, key.span()));
    }
    for (name, timeout, least, source) in timeouts.minima() {
        let place = written.iter().find(|(written, _)| *written == name);
        if let Some((_, span)) = place
            && timeout < least
            && !timeout.is_zero()
        {
            let message =
                format!("`{name}` = {} is below what the RFC asks for", Lifetime(timeout));
            problems.push(
                Problem::warning(Some(span.clone()), message)
                    .help(format!("{source} wants at least {}", Lifetime(least))),
            );
        }
    }
    timeouts
}

fn duration(name: &str, key: &Spanned<Lifetime>, problems: &mut Vec<Problem>) -> Duration {
    let Lifetime(duration) = *key.get_ref();
    if duration.is_zero() {
        let message = format!("`{name}` is zero: nothing would live that long");
        problems.push(Problem::error(Some(key.span()), message));
    } else if duration > LONGEST {
        let message = format!("`{name}` = {} is more than a year", Lifetime(duration));
        problems.push(
            Problem::error(Some(key.span()), message).help("numbers without a unit are seconds"),
        );
    }
    duration
}

/// A count that must not be zero.
fn count(name: &str, key: Option<&Spanned<u32>>, default: u32, problems: &mut Vec<Problem>) -> u32 {
    let Some(key) = key else { return default };
    let count = *key.get_ref();
    if count == 0 {
        let message = format!("`{name}` is zero: nothing would be possible");
        problems.push(
            Problem::error(Some(key.span()), message)
                .help(format!("leave the key out for the default, {default}")),
        );
    }
    count
}

fn host_limits(file: &file::Limits, problems: &mut Vec<Problem>) -> Limits {
    let default = Limits::default();
    let mut number =
        |name, key: &Option<Spanned<u32>>, default| count(name, key.as_ref(), default, problems);
    let limits = Limits {
        hosts: number("hosts", &file.hosts, default.hosts),
        sessions_per_host: number(
            "sessions-per-host",
            &file.sessions_per_host,
            default.sessions_per_host,
        ),
        mappings_per_host: number(
            "mappings-per-host",
            &file.mappings_per_host,
            default.mappings_per_host,
        ),
        // Zero is the absence of this limit.
        new_sessions_per_second: value(file.new_sessions_per_second.as_ref())
            .unwrap_or(default.new_sessions_per_second),
        burst: number("burst", &file.burst, default.burst),
    };
    if let Some(key) = &file.mappings_per_host
        && limits.mappings_per_host > limits.sessions_per_host
    {
        let message = format!(
            "`mappings-per-host` = {} is above `sessions-per-host` = {} and has no effect",
            limits.mappings_per_host, limits.sessions_per_host
        );
        problems.push(Problem::warning(Some(key.span()), message));
    }
    limits
}

fn reassembly(file: &file::Fragments, problems: &mut Vec<Problem>) -> Fragments {
    let default = Fragments::default();
    let fragments = Fragments {
        timeout: file
            .timeout
            .as_ref()
            .map_or(default.timeout, |key| duration("timeout", key, problems)),
        datagrams: count("datagrams", file.datagrams.as_ref(), default.datagrams, problems),
        datagrams_per_source: count(
            "datagrams-per-source",
            file.datagrams_per_source.as_ref(),
            default.datagrams_per_source,
            problems,
        ),
        memory: count("memory", file.memory.as_ref(), default.memory, problems),
    };
    if let Some(key) = &file.memory
        && (1..65_536).contains(&fragments.memory)
    {
        let message = format!("`memory` = {} does not hold one datagram", fragments.memory);
        problems.push(Problem::error(Some(key.span()), message).help("65536 bytes are the least"));
    }
    fragments
}

fn errors(file: &file::Icmp, problems: &mut Vec<Problem>) -> Icmp {
    let default = Icmp::default();
    Icmp {
        // Zero is a wish: say nothing (RFC 5508 REQ-9).
        errors_per_second: value(file.errors_per_second.as_ref())
            .unwrap_or(default.errors_per_second),
        burst: count("burst", file.burst.as_ref(), default.burst, problems),
    }
}

fn resting(file: &file::HoldDown, problems: &mut Vec<Problem>) -> HoldDown {
    let default = HoldDown::default();
    // Zero is a wish here too: ports do not rest.
    let time = file.time.as_ref().map_or(default.time, |key| {
        if key.get_ref().0.is_zero() { Duration::ZERO } else { duration("time", key, problems) }
    });
    HoldDown { time, ports: value(file.ports.as_ref()).unwrap_or(default.ports) }
}

fn sessions(key: Option<&Spanned<u32>>, problems: &mut Vec<Problem>) -> u32 {
    let sessions = count("sessions", key, TABLE_SESSIONS, problems);
    if let Some(key) = key
        && sessions > MOST_SESSIONS
    {
        let message = format!("`sessions` = {sessions} is more than {MOST_SESSIONS}");
        problems.push(Problem::error(Some(key.span()), message));
    }
    sessions
}

fn socket(key: Option<Spanned<PathBuf>>, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let key = key?;
    if !key.get_ref().is_absolute() {
        let message = format!("`{}` is not an absolute path", key.get_ref().display());
        problems.push(
            Problem::error(Some(key.span()), message)
                .help("the daemon and the command line must find the same socket"),
        );
    }
    Some(key.into_inner())
}
