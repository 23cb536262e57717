//! The file as written: every key optional, every value with its place.
//!
//! This is the grammar, and the only place that names keys; defaults and sense are judged in
//! [`crate::check`]. Unknown keys are errors.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use crate::address::{AddressRange, Prefix};
use crate::duration::Lifetime;
use crate::interface::InterfacePattern;
use crate::list::AutoOrList;
use crate::ports::PortRange;
use crate::settings::{Dependence, FastPathMode, Pooling, Profile};

type Key<T> = Option<Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    #[serde(default)]
    pub(crate) outside: Vec<Spanned<Outside>>,
    #[serde(default)]
    pub(crate) inside: Vec<Spanned<Inside>>,
    #[serde(default)]
    pub(crate) nat: Nat,
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) fragments: Fragments,
    #[serde(default)]
    pub(crate) neighbours: Neighbours,
    #[serde(default)]
    pub(crate) icmp: Icmp,
    #[serde(default)]
    pub(crate) hold_down: HoldDown,
    #[serde(default)]
    pub(crate) table: Table,
    #[serde(default)]
    pub(crate) fast_path: FastPath,
    #[serde(default)]
    pub(crate) control: Control,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Outside {
    pub(crate) interface: Spanned<InterfacePattern>,
    pub(crate) address: Key<AutoOrList<AddressRange>>,
    pub(crate) ports: Key<AutoOrList<PortRange>>,
    pub(crate) mapping: Key<Dependence>,
    pub(crate) filtering: Key<Dependence>,
    pub(crate) pooling: Key<Pooling>,
    pub(crate) preserve_ports: Key<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Inside {
    pub(crate) interface: Spanned<InterfacePattern>,
    pub(crate) networks: Key<AutoOrList<Prefix>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Nat {
    pub(crate) mapping: Key<Dependence>,
    pub(crate) filtering: Key<Dependence>,
    pub(crate) pooling: Key<Pooling>,
    pub(crate) preserve_ports: Key<bool>,
    pub(crate) carrier: Key<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Timeouts {
    pub(crate) profile: Key<Profile>,
    pub(crate) tcp_established: Key<Lifetime>,
    pub(crate) tcp_opening: Key<Lifetime>,
    pub(crate) tcp_closing: Key<Lifetime>,
    pub(crate) tcp_reset: Key<Lifetime>,
    pub(crate) tcp_inbound_syn: Key<Lifetime>,
    pub(crate) udp: Key<Lifetime>,
    pub(crate) icmp: Key<Lifetime>,
    pub(crate) other: Key<Lifetime>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Limits {
    pub(crate) hosts: Key<u32>,
    pub(crate) sessions_per_host: Key<u32>,
    pub(crate) mappings_per_host: Key<u32>,
    pub(crate) new_sessions_per_second: Key<u32>,
    pub(crate) burst: Key<u32>,
    pub(crate) first_packets_per_second: Key<u32>,
    pub(crate) first_packets_at_once: Key<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Fragments {
    pub(crate) timeout: Key<Lifetime>,
    pub(crate) datagrams: Key<u32>,
    pub(crate) datagrams_per_source: Key<u32>,
    pub(crate) memory: Key<u32>,
    pub(crate) memory_per_source: Key<u32>,
    pub(crate) pieces: Key<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Neighbours {
    pub(crate) patience: Key<Lifetime>,
    pub(crate) packets_per_neighbour: Key<u32>,
    pub(crate) packets: Key<u32>,
    pub(crate) memory: Key<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Icmp {
    pub(crate) errors_per_second: Key<u32>,
    pub(crate) burst: Key<u32>,
    pub(crate) errors_per_second_and_host: Key<u32>,
    pub(crate) burst_per_host: Key<u32>,
    pub(crate) answer_inbound_syn: Key<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HoldDown {
    pub(crate) time: Key<Lifetime>,
    pub(crate) ports: Key<u32>,
    pub(crate) tcp_exempt: Key<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Table {
    pub(crate) sessions: Key<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct FastPath {
    pub(crate) mode: Key<FastPathMode>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Control {
    pub(crate) socket: Key<PathBuf>,
}
