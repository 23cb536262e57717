//! What is measured: the same path between two hosts, with something else in the middle each time.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What forwards between the two hosts of a bench.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The kernel forwards; nobody translates.
    Forward,
    /// The kernel masquerades (nftables).
    Nft,
    /// The same with a flow table, where the kernel has them.
    NftFlowtable,
    /// masq, its fast path on TC.
    MasqTc,
    /// masq, its fast path on XDP.
    MasqXdp,
    /// A TC program that rewrites the link addresses and redirects, translating nothing, and one where
    /// packets leave that tells them from the host's: what no gateway on TC can beat.
    BareTcRedirect,
    /// An XDP program that rewrites the link addresses and redirects, translating nothing: what no
    /// gateway on XDP can beat.
    BareRedirect,
    /// An XDP program that drops at the gateway's first interface: what the generator alone costs.
    Drop,
}

impl Subject {
    /// Every subject, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Forward,
        Self::Nft,
        Self::NftFlowtable,
        Self::MasqTc,
        Self::MasqXdp,
        Self::BareTcRedirect,
        Self::BareRedirect,
        Self::Drop,
    ];

    /// Those that carry connections of real stacks.
    pub const GATEWAYS: [Self; 5] =
        [Self::Forward, Self::Nft, Self::NftFlowtable, Self::MasqTc, Self::MasqXdp];

    /// Its name in results.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Nft => "nft",
            Self::NftFlowtable => "nft-flowtable",
            Self::MasqTc => "masq-tc",
            Self::MasqXdp => "masq-xdp",
            Self::BareTcRedirect => "bare-tc-redirect",
            Self::BareRedirect => "bare-redirect",
            Self::Drop => "drop",
        }
    }

    /// Its name for readers.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Forward => "plain forwarding",
            Self::Nft => "nft masquerade",
            Self::NftFlowtable => "nft with flowtable",
            Self::MasqTc => "masq on TC",
            Self::MasqXdp => "masq on XDP",
            Self::BareTcRedirect => "bare TC redirect",
            Self::BareRedirect => "bare XDP redirect",
            Self::Drop => "XDP drop",
        }
    }

    /// Whether it rewrites addresses.
    #[must_use]
    pub const fn translates(self) -> bool {
        match self {
            Self::Nft | Self::NftFlowtable | Self::MasqTc | Self::MasqXdp => true,
            Self::Forward | Self::BareTcRedirect | Self::BareRedirect | Self::Drop => false,
        }
    }

    /// Whether a packet has lived a little less when it has passed.
    #[must_use]
    pub const fn is_router(self) -> bool {
        !matches!(self, Self::BareTcRedirect | Self::BareRedirect | Self::Drop)
    }

    /// Whether it is the program of this project.
    #[must_use]
    pub const fn is_masq(self) -> bool {
        matches!(self, Self::MasqTc | Self::MasqXdp)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}
