//! Timeouts, limits and sizes.

use core::time::Duration;
use std::path::PathBuf;

use masq_core::Timeouts;
use masq_core::fragment::ReassemblyLimits;
use masq_core::held::HeldLimits;
use masq_core::icmp::ErrorRates;
use masq_core::limits::{HostLimits, Rate};
use masq_core::ports::HoldDown;
use toml::Spanned;

use super::{TABLE_SESSIONS, value};
use crate::duration::Lifetime;
use crate::file;
use crate::report::Problem;
use crate::settings::Profile;

/// More is a mistake of the unit.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The most sessions: 2^24 of them are 2.7 GB of records and index.
const MOST_SESSIONS: u32 = 1 << 24;

/// The largest datagram there is; a memory that does not hold one holds nothing.
const LARGEST_DATAGRAM: u32 = 65_536;

pub(super) fn timeouts(
    file: &file::Timeouts,
    profile: Profile,
    problems: &mut Vec<Problem>,
) -> Timeouts {
    let mut timeouts = match profile {
        Profile::Rfc => Timeouts::rfc(),
        Profile::Linux22 => Timeouts::linux_2_2(),
    };
    // Name, what is written, where it goes, the least that an RFC allows and which one.
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let keys = [
        (
            "tcp-established",
            &file.tcp_established,
            &mut timeouts.tcp_established,
            minutes(124),
            "RFC 5382 REQ-5",
        ),
        ("tcp-opening", &file.tcp_opening, &mut timeouts.tcp_opening, minutes(4), "RFC 5382 REQ-5"),
        ("tcp-closing", &file.tcp_closing, &mut timeouts.tcp_closing, minutes(4), "RFC 5382 REQ-5"),
        ("tcp-reset", &file.tcp_reset, &mut timeouts.tcp_reset, minutes(4), "RFC 7857 section 2.2"),
        (
            "tcp-inbound-syn",
            &file.tcp_inbound_syn,
            &mut timeouts.tcp_inbound_syn,
            Duration::from_secs(6),
            "RFC 5382 REQ-4",
        ),
        ("udp", &file.udp, &mut timeouts.udp, minutes(2), "RFC 4787 REQ-5"),
        ("icmp", &file.icmp, &mut timeouts.icmp, minutes(1), "RFC 5508 REQ-2"),
        ("other", &file.other, &mut timeouts.other, Duration::ZERO, ""),
    ];
    for (name, key, timeout, least, source) in keys {
        let Some(key) = key else { continue };
        *timeout = duration(name, key, problems);
        if *timeout < least && !timeout.is_zero() {
            let message = format!("`{name}` = {} is less than RFCs allow", Lifetime(*timeout));
            problems.push(
                Problem::warning(Some(key.span()), message)
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
fn count(
    name: &str,
    key: Option<&Spanned<u32>>,
    default: usize,
    problems: &mut Vec<Problem>,
) -> usize {
    let Some(key) = key else { return default };
    if *key.get_ref() == 0 {
        let message = format!("`{name}` is zero: nothing would be possible");
        problems.push(
            Problem::error(Some(key.span()), message)
                .help(format!("leave the key out for the default, {default}")),
        );
    }
    usize::try_from(*key.get_ref()).unwrap_or(usize::MAX)
}

/// As [`count`], for numbers that are kept in 32 bits.
fn number(
    name: &str,
    key: Option<&Spanned<u32>>,
    default: u32,
    problems: &mut Vec<Problem>,
) -> u32 {
    let default = usize::try_from(default).unwrap_or(usize::MAX);
    u32::try_from(count(name, key, default, problems)).unwrap_or(u32::MAX)
}

/// Bytes that must hold at least one datagram.
fn memory(
    name: &str,
    key: Option<&Spanned<u32>>,
    default: usize,
    problems: &mut Vec<Problem>,
) -> usize {
    let bytes = count(name, key, default, problems);
    if let Some(key) = key
        && (1..LARGEST_DATAGRAM).contains(key.get_ref())
    {
        let message = format!("`{name}` = {bytes} does not hold one datagram");
        problems.push(
            Problem::error(Some(key.span()), message)
                .help(format!("{LARGEST_DATAGRAM} bytes are the least")),
        );
    }
    bytes
}

pub(super) fn hosts(file: &file::Limits, problems: &mut Vec<Problem>) -> HostLimits {
    let default = HostLimits::default();
    let sessions =
        number("sessions-per-host", file.sessions_per_host.as_ref(), default.sessions, problems);
    let mappings =
        number("mappings-per-host", file.mappings_per_host.as_ref(), default.mappings, problems);
    if let Some(key) = &file.mappings_per_host
        && mappings > sessions
    {
        let message = format!(
            "`mappings-per-host` = {mappings} is above `sessions-per-host` = {sessions} and has no \
             effect"
        );
        problems.push(Problem::warning(Some(key.span()), message));
    }
    let burst = number("burst", file.burst.as_ref(), BURST, problems);
    HostLimits {
        sessions,
        mappings,
        // Zero is the absence of this limit.
        rate: value(file.new_sessions_per_second.as_ref())
            .filter(|per_second| *per_second > 0)
            .map(|per_second| Rate { per_second, burst }),
        hosts: count("hosts", file.hosts.as_ref(), default.hosts, problems),
        announcement_interval: default.announcement_interval,
    }
}

pub(super) fn first_packets(file: &file::Limits, problems: &mut Vec<Problem>) -> Option<Rate> {
    let at_once = file.first_packets_at_once.as_ref();
    let burst = number("first-packets-at-once", at_once, FIRST_PACKETS.burst, problems);
    // Zero is the absence of this limit.
    let rate = value(file.first_packets_per_second.as_ref()).unwrap_or(FIRST_PACKETS.per_second);
    (rate > 0).then_some(Rate { per_second: rate, burst })
}

/// A tenth of what the engine opens in a second, so that one source leaves it to the others.
const FIRST_PACKETS: Rate = Rate { per_second: 20_000, burst: 4_000 };

/// New sessions at once, where their rate is limited: what a browser opens for a few pages.
const BURST: u32 = 1000;

pub(super) fn reassembly(file: &file::Fragments, problems: &mut Vec<Problem>) -> ReassemblyLimits {
    let default = ReassemblyLimits::default();
    let timeout = file.timeout.as_ref().map_or(default.timeout, |key| {
        let timeout = duration("timeout", key, problems);
        let (least, most) = (ReassemblyLimits::SHORTEST_TIMEOUT, ReassemblyLimits::LONGEST_TIMEOUT);
        if !(least..=most).contains(&timeout) {
            let range = format!("{} to {}", Lifetime(least), Lifetime(most));
            let message = format!("`timeout` = {} is not within {range}", Lifetime(timeout));
            problems.push(Problem::error(Some(key.span()), message).help(
                "shorter loses ordinary datagrams (RFC 6146), longer mixes them up (RFC 4963)",
            ));
        }
        timeout
    });
    ReassemblyLimits {
        timeout,
        datagrams: count("datagrams", file.datagrams.as_ref(), default.datagrams, problems),
        datagrams_per_source: count(
            "datagrams-per-source",
            file.datagrams_per_source.as_ref(),
            default.datagrams_per_source,
            problems,
        ),
        bytes: memory("memory", file.memory.as_ref(), default.bytes, problems),
        bytes_per_source: memory(
            "memory-per-source",
            file.memory_per_source.as_ref(),
            default.bytes_per_source,
            problems,
        ),
        pieces: count("pieces", file.pieces.as_ref(), default.pieces, problems),
    }
}

pub(super) fn neighbours(file: &file::Neighbours, problems: &mut Vec<Problem>) -> HeldLimits {
    let default = HeldLimits::default();
    HeldLimits {
        packets_per_next_hop: count(
            "packets-per-neighbour",
            file.packets_per_neighbour.as_ref(),
            default.packets_per_next_hop,
            problems,
        ),
        packets: count("packets", file.packets.as_ref(), default.packets, problems),
        bytes: memory("memory", file.memory.as_ref(), default.bytes, problems),
        patience: file
            .patience
            .as_ref()
            .map_or(default.patience, |key| duration("patience", key, problems)),
    }
}

/// `None` is silence (RFC 5508 REQ-9).
pub(super) fn icmp_errors(file: &file::Icmp, problems: &mut Vec<Problem>) -> Option<ErrorRates> {
    let ErrorRates { destination, side } = ErrorRates::default();
    let per_second = value(file.errors_per_second.as_ref()).unwrap_or(side.per_second);
    let rates = ErrorRates {
        side: Rate {
            per_second,
            burst: number("burst", file.burst.as_ref(), side.burst, problems),
        },
        destination: Rate {
            per_second: number(
                "errors-per-second-and-host",
                file.errors_per_second_and_host.as_ref(),
                destination.per_second,
                problems,
            ),
            burst: number(
                "burst-per-host",
                file.burst_per_host.as_ref(),
                destination.burst,
                problems,
            ),
        },
    };
    (per_second > 0).then_some(rates)
}

pub(super) fn hold_down(file: &file::HoldDown, problems: &mut Vec<Problem>) -> HoldDown {
    let default = HoldDown::default();
    // Zero is a wish here: ports do not rest.
    let rest = file.time.as_ref().map_or(default.duration, |key| {
        if key.get_ref().0.is_zero() { Duration::ZERO } else { duration("time", key, problems) }
    });
    let most = value(file.ports.as_ref()).map(usize::try_from).and_then(Result::ok);
    HoldDown {
        duration: rest,
        most: most.unwrap_or(default.most),
        tcp_exempt: value(file.tcp_exempt.as_ref()).unwrap_or(default.tcp_exempt),
    }
}

pub(super) fn sessions(key: Option<&Spanned<u32>>, problems: &mut Vec<Problem>) -> u32 {
    let sessions = number("sessions", key, TABLE_SESSIONS, problems);
    if let Some(key) = key
        && sessions > MOST_SESSIONS
    {
        let message = format!("`sessions` = {sessions} is more than {MOST_SESSIONS}");
        problems.push(Problem::error(Some(key.span()), message));
    }
    sessions
}

pub(super) fn socket(
    key: Option<Spanned<PathBuf>>,
    problems: &mut Vec<Problem>,
) -> Option<PathBuf> {
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
