//! The values that settings can have, and their defaults.

use core::fmt;

use masq_core::{Filtering, Mapping};
use serde::Deserialize;

/// What a mapping or a filter depends on (RFC 4787 §4.1 and §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependence {
    /// Not on the remote at all.
    EndpointIndependent,
    /// On the remote's address.
    AddressDependent,
    /// On the remote's address and port.
    AddressAndPortDependent,
}

/// Whether one inside host keeps one outside address (RFC 4787 REQ-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// It does.
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
    /// Whether a free port is kept, or always another drawn.
    pub preserve_ports: bool,
}

impl From<Dependence> for Mapping {
    fn from(dependence: Dependence) -> Self {
        match dependence {
            Dependence::AddressAndPortDependent => Self::AddressAndPortDependent,
            Dependence::AddressDependent => Self::AddressDependent,
            Dependence::EndpointIndependent => Self::EndpointIndependent,
        }
    }
}

impl From<Dependence> for Filtering {
    fn from(dependence: Dependence) -> Self {
        match dependence {
            Dependence::AddressAndPortDependent => Self::AddressAndPortDependent,
            Dependence::AddressDependent => Self::AddressDependent,
            Dependence::EndpointIndependent => Self::EndpointIndependent,
        }
    }
}

impl From<Pooling> for masq_core::Pooling {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Arbitrary => Self::Arbitrary,
            Pooling::Paired => Self::Paired,
        }
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
