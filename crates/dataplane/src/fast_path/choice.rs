//! The choice itself: what is known of an interface, and what follows from it.

use core::fmt;

use crate::netlink::XdpFeatures;

/// What carries packets of established sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FastPath {
    /// XDP where it is certain that it can, TC elsewhere.
    #[default]
    Auto,
    /// XDP where it can; that arriving packets are complete is the administrator's word.
    Xdp,
    /// TC everywhere.
    Tc,
    /// The engine, for every packet.
    Off,
}

/// Why XDP does not carry a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The administrator does not want it.
    Mode,
    /// Packets have no link-layer header.
    Layer3,
    /// The driver has no XDP.
    NoNativeXdp,
    /// Frames may be longer than XDP takes.
    Mtu {
        /// The interface's.
        mtu: u32,
    },
    /// What arrives may wait for its checksum to be completed.
    Incomplete {
        /// What kind of interface it is.
        kind: String,
    },
    /// The kernel or the driver did not take the program.
    Refused {
        /// What it said.
        error: String,
    },
    /// The kernel does not say which interfaces take redirects.
    Unknown,
    /// The interface to leave by does not take redirects.
    NoRedirects {
        /// It is a veth, and it is up to its other end.
        veth: bool,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode => f.write_str("the configuration says so"),
            Self::Layer3 => f.write_str("its packets have no Ethernet header"),
            Self::NoNativeXdp => f.write_str("its driver has no XDP"),
            Self::Mtu { mtu } => {
                write!(f, "its MTU is {mtu}, and XDP takes at most {XDP_MTU}")
            }
            Self::Incomplete { kind } => {
                write!(f, "what arrives on a {kind} may lack its checksum")
            }
            Self::Refused { error } => write!(f, "the kernel refused the program: {error}"),
            Self::Unknown => {
                f.write_str("this kernel does not say what takes redirects (Linux 6.3 does)")
            }
            Self::NoRedirects { veth: true } => {
                f.write_str("its other end has neither an XDP program nor GRO")
            }
            Self::NoRedirects { veth: false } => f.write_str("its driver takes no redirects"),
        }
    }
}

/// What is known of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// What made it: `veth`, `tun` …; empty for hardware.
    pub(crate) kind: String,
    pub(crate) layer3: bool,
    pub(crate) mtu: u32,
    /// None where the kernel does not say.
    pub(crate) features: Option<XdpFeatures>,
}

impl Facts {
    /// Whether XDP may take what arrives here.
    pub(crate) fn arriving(&self, mode: FastPath) -> Result<(), Why> {
        let asked_for = match mode {
            FastPath::Off | FastPath::Tc => return Err(Why::Mode),
            FastPath::Auto => false,
            FastPath::Xdp => true,
        };
        if self.layer3 {
            return Err(Why::Layer3);
        }
        if self.features.is_some_and(|features| !features.is_native()) {
            return Err(Why::NoNativeXdp);
        }
        if self.mtu > XDP_MTU {
            return Err(Why::Mtu { mtu: self.mtu });
        }
        if !asked_for && !self.kind.is_empty() {
            return Err(Why::Incomplete { kind: self.kind.clone() });
        }
        Ok(())
    }

    /// Whether this interface takes what XDP redirects to it.
    pub(crate) fn leaving(&self) -> Result<(), Why> {
        if self.layer3 {
            return Err(Why::Layer3);
        }
        match self.features {
            None => Err(Why::Unknown),
            Some(features) if features.takes_redirects() => Ok(()),
            Some(_) => Err(Why::NoRedirects { veth: self.kind == "veth" }),
        }
    }
}

/// The longest packet of an interface whose driver keeps frames in one page, behind the headroom
/// that XDP wants and before the kernel's trailer, as a veth does.
const XDP_MTU: u32 = 3506;
