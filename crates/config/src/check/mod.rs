//! [`File`] to [`CheckedConfig`]: defaults filled in, contradictions found.
//!
//! A [`CheckedConfig`] cannot be made in any other way, so whoever holds one need not ask whether it
//! makes sense.

mod interfaces;
mod numbers;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use masq_core::Timeouts;
use masq_core::fragment::ReassemblyLimits;
use masq_core::held::HeldLimits;
use masq_core::icmp::ErrorRates;
use masq_core::limits::{HostLimits, Rate};
use masq_core::ports::HoldDown;
use toml::Spanned;

use crate::address::{AddressRange, Prefix};
use crate::file::File;
use crate::interface::InterfacePattern;
use crate::ports::PortRange;
use crate::report::Problem;
use crate::settings::{Dependence, FastPathMode, Nat, Pooling};

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
    pub hosts: HostLimits,
    /// How many packets that may begin a session one source may send; none for any number.
    pub first_packets: Option<Rate>,
    /// Reassembly.
    pub reassembly: ReassemblyLimits,
    /// What waits for a neighbour.
    pub neighbours: HeldLimits,
    /// Errors of our own; none is silence.
    pub icmp_errors: Option<ErrorRates>,
    /// Whether an unsolicited connection from outside is refused at last, or never answered.
    pub answer_inbound_syn: bool,
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
pub const TABLE_SESSIONS: u32 = 1 << 20;

/// Fills in the defaults and collects everything that is wrong or doubtful.
pub(crate) fn check(file: File, overrides: &Overrides) -> (CheckedConfig, Vec<Problem>) {
    let mut problems = Vec::new();
    let File { outside, inside, nat, timeouts, limits, fragments, neighbours, icmp, .. } = file;
    let profile = value(timeouts.profile.as_ref()).unwrap_or_default();
    let nat_default = Nat {
        mapping: value(nat.mapping.as_ref()).unwrap_or(Dependence::EndpointIndependent),
        filtering: value(nat.filtering.as_ref()).unwrap_or(Dependence::AddressAndPortDependent),
        pooling: value(nat.pooling.as_ref()).unwrap_or(Pooling::Paired),
        preserve_ports: value(nat.preserve_ports.as_ref()).unwrap_or(true),
    };
    let (insides, outsides) =
        interfaces::check(inside, outside, overrides, nat_default, profile, &mut problems);
    let fast_path = value(file.fast_path.mode.as_ref()).unwrap_or_default();
    let config = CheckedConfig {
        outsides,
        insides,
        carrier: value(nat.carrier.as_ref()).unwrap_or(false),
        timeouts: numbers::timeouts(&timeouts, profile, &mut problems),
        hosts: numbers::hosts(&limits, &mut problems),
        first_packets: numbers::first_packets(&limits, &mut problems),
        reassembly: numbers::reassembly(&fragments, &mut problems),
        neighbours: numbers::neighbours(&neighbours, &mut problems),
        icmp_errors: numbers::icmp_errors(&icmp, &mut problems),
        answer_inbound_syn: value(icmp.answer_inbound_syn.as_ref()).unwrap_or(true),
        hold_down: numbers::hold_down(&file.hold_down, &mut problems),
        table_sessions: numbers::sessions(file.table.sessions.as_ref(), &mut problems),
        fast_path,
        socket: numbers::socket(file.control.socket, &mut problems),
    };
    (config, problems)
}

fn value<T: Clone>(key: Option<&Spanned<T>>) -> Option<T> {
    key.map(|spanned| spanned.get_ref().clone())
}
