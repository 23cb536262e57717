//! The values that settings can have, and their defaults.

use core::fmt;
use core::time::Duration;

use serde::Deserialize;

use crate::duration::Lifetime;

/// What a mapping or a filter depends on (RFC 4787 §4.1 and §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependence {
    /// Not on the remote at all.
    EndpointIndependent,
    /// On the remote's address.
    AddressDependent,
    /// On the remote's address and port.
    #[default]
    AddressAndPortDependent,
}

/// Whether one inside host keeps one outside address (RFC 4787 REQ-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// It does.
    #[default]
    Paired,
    /// Any address of the pool for any mapping.
    Arbitrary,
}

/// A set of timeouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Profile {
    /// What RFC 4787, 5382, 5508 and 7857 ask for.
    #[default]
    #[serde(rename = "rfc")]
    Rfc,
    /// What Linux 2.2 did, its port range included.
    #[serde(rename = "linux-2.2")]
    Linux22,
}

/// What carries established flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FastPathMode {
    /// The best there is.
    #[default]
    Auto,
    /// XDP where the interface can, TC elsewhere.
    Xdp,
    /// TC everywhere.
    Tc,
    /// The engine, for every packet.
    Off,
}

/// Behaviour towards the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// What an outside endpoint depends on.
    pub mapping: Dependence,
    /// Who may answer.
    pub filtering: Dependence,
    /// Whether a host keeps its address.
    pub pooling: Pooling,
}

impl Default for Nat {
    fn default() -> Self {
        Self {
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::AddressAndPortDependent,
            pooling: Pooling::Paired,
        }
    }
}

/// How long each kind of session lives without packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, both sides have answered.
    pub tcp_established: Duration,
    /// TCP, before that.
    pub tcp_opening: Duration,
    /// TCP, both sides have ended.
    pub tcp_closing: Duration,
    /// TCP after a reset.
    pub tcp_reset: Duration,
    /// An unsolicited SYN from outside waits silently.
    pub tcp_incoming_syn: Duration,
    /// UDP.
    pub udp: Duration,
    /// ICMP queries.
    pub icmp: Duration,
    /// Every other protocol.
    pub other: Duration,
}

impl Timeouts {
    /// The timeouts of a profile.
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        const fn seconds(seconds: u64) -> Duration {
            Duration::from_secs(seconds)
        }
        match profile {
            Profile::Rfc => Self {
                tcp_established: seconds(7440),
                tcp_opening: seconds(240),
                tcp_closing: seconds(240),
                tcp_reset: seconds(240),
                tcp_incoming_syn: seconds(6),
                udp: seconds(300),
                icmp: seconds(60),
                other: seconds(600),
            },
            Profile::Linux22 => Self {
                tcp_established: seconds(900),
                tcp_opening: seconds(120),
                tcp_closing: seconds(120),
                tcp_reset: seconds(10),
                tcp_incoming_syn: seconds(6),
                udp: seconds(300),
                icmp: seconds(60),
                other: seconds(900),
            },
        }
    }

    /// Key, value, the least that an RFC allows, and which.
    pub(crate) fn minima(self) -> [(&'static str, Duration, Duration, &'static str); 7] {
        let at_least = Duration::from_secs;
        [
            ("tcp-established", self.tcp_established, at_least(7440), "RFC 5382 REQ-5"),
            ("tcp-opening", self.tcp_opening, at_least(240), "RFC 5382 REQ-5"),
            ("tcp-closing", self.tcp_closing, at_least(240), "RFC 5382 REQ-5"),
            ("tcp-reset", self.tcp_reset, at_least(240), "RFC 7857 section 2.2"),
            ("tcp-incoming-syn", self.tcp_incoming_syn, at_least(6), "RFC 5382 REQ-4"),
            ("udp", self.udp, at_least(120), "RFC 4787 REQ-5"),
            ("icmp", self.icmp, at_least(60), "RFC 5508 REQ-2"),
        ]
    }
}

/// What one inside host may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Hosts that may have sessions at a time.
    pub hosts: u32,
    /// Sessions at a time.
    pub sessions_per_host: u32,
    /// Mappings at a time.
    pub mappings_per_host: u32,
    /// New sessions in a second; 0 is without limit.
    pub new_sessions_per_second: u32,
    /// New sessions that may come at once.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hosts: 65_536,
            sessions_per_host: 65_536,
            mappings_per_host: 16_384,
            new_sessions_per_second: 0,
            burst: 1000,
        }
    }
}

/// Bounds of reassembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragments {
    /// How long the first fragment waits for the others.
    pub timeout: Duration,
    /// Incomplete datagrams at a time.
    pub datagrams: u32,
    /// Of one source.
    pub datagrams_per_source: u32,
    /// Bytes for all of them.
    pub memory: u32,
}

impl Default for Fragments {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            datagrams: 1024,
            datagrams_per_source: 64,
            memory: 16 << 20,
        }
    }
}

/// ICMP errors that the gateway itself sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// In a second.
    pub errors_per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Default for Icmp {
    fn default() -> Self {
        Self { errors_per_second: 1000, burst: 100 }
    }
}

/// How long a freed outside port rests before another mapping gets it (RFC 6888 REQ-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldDown {
    /// How long.
    pub time: Duration,
    /// How many ports of an address may rest at a time.
    pub ports: u32,
}

impl Default for HoldDown {
    fn default() -> Self {
        Self { time: Duration::from_secs(120), ports: 4096 }
    }
}

impl fmt::Display for Dependence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
        })
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paired => "paired",
            Self::Arbitrary => "arbitrary",
        })
    }
}

impl fmt::Display for FastPathMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Xdp => "xdp",
            Self::Tc => "tc",
            Self::Off => "off",
        })
    }
}

/// A duration as the file would have it.
pub(crate) fn shown(duration: Duration) -> String {
    Lifetime(duration).to_string()
}
