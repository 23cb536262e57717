//! What else on the host filters, translates or takes packets, and what follows for both sides.
//!
//! `masq doctor` and `masq run` say the same about it, each finding with what follows from it:
//! `doctor` once, `run` at its start and when something new appears ([`Beside`]).
//!
//! Ports that another translator's rules give another destination to are the host's, as those of its
//! sockets are: what arrives there is left to the kernel, whose connection tracking does the rest.

pub(crate) mod legacy;
pub(crate) mod nft;
pub(crate) mod ruleset;
pub(crate) mod scope;
mod watch;
mod xt;

use core::fmt::Write;
use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use std::collections::BTreeSet;
use std::io;

use masq_core::{HostPort, Realm};
use masq_wire::Protocol;
use netlink_sys::protocols;

use crate::doctor::Outcome;
use crate::routes::{Link, Links};
use nft::{Chain, Hook};
use ruleset::Translated;

pub(crate) use watch::Beside;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    chains: Vec<Chain>,
    nft: Translated,
    tables: Vec<String>,
    legacy: Translated,
    policies: bool,
}

/// From where it is looked at: the interfaces there are, and on which side masq has them.
pub(crate) struct Outlook<'a> {
    pub(crate) links: &'a Links,
    pub(crate) side: &'a dyn Fn(&str) -> Option<Realm>,
}

/// One kind of thing, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What the check is called.
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
    /// What is said before and after the items.
    words: (&'static str, &'static str),
    /// The things themselves.
    pub(crate) items: BTreeSet<String>,
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// What was found.
    pub(crate) fn found(&self) -> String {
        let items = self.items.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("{}{items}{}", self.words.0, self.words.1)
    }
}

impl Seen {
    /// Looks at everything.
    pub(crate) fn look() -> Self {
        let mut seen = Self::default();
        seen.read_nft();
        seen.read_others();
        seen
    }

    fn read_nft(&mut self) {
        let read = || -> io::Result<_> {
            let chains = nft::chains()?;
            let translated = nft::ruleset(&chains)?.translated();
            Ok((chains, translated))
        };
        match read() {
            Ok((chains, translated)) => (self.chains, self.nft) = (chains, translated),
            // A kernel without nf_tables has no rules there.
            Err(error) => tracing::debug!(%error, "cannot list nf_tables"),
        }
    }

    fn read_others(&mut self) {
        self.tables = legacy::tables();
        self.legacy = Translated::default();
        if self.tables.iter().any(|table| table == "nat") {
            match legacy::translated() {
                Ok(translated) => self.legacy = translated,
                Err(error) => tracing::debug!(%error, "cannot read the NAT table of iptables"),
            }
        }
        // Where there are any, there may be thousands, and once is enough.
        self.policies = self.policies || has_xfrm_policies().unwrap_or_default();
    }

    fn ports(&self) -> BTreeSet<HostPort> {
        self.nft.ports.union(&self.legacy.ports).copied().collect()
    }

    /// What there is to say.
    pub(crate) fn findings(&self, outlook: &Outlook<'_>) -> Vec<Finding> {
        let all = [
            self.translators(),
            self.published(),
            self.whole(),
            self.containers(outlook),
            self.filters(),
            self.early_filters(outlook),
            self.tables(),
            self.policies(),
        ];
        all.into_iter().filter(|finding| !finding.items.is_empty()).collect()
    }

    fn translators(&self) -> Finding {
        let nat = self.chains.iter().filter(|chain| {
            chain.kind == "nat" && [Hook::Prerouting, Hook::Postrouting].contains(&chain.hook)
        });
        warning(
            "other-nat",
            ("nftables translates addresses too, in ", ""),
            nat.map(|chain| chain.name.clone()),
            "what it translates for networks that masq does not serve goes on; packets of masq's \
             inside hosts do not pass there",
        )
    }

    fn published(&self) -> Finding {
        let ports = self.ports();
        let of = |protocol| ports.iter().filter(move |port| port.protocol == protocol);
        let items = [(Protocol::TCP, "tcp"), (Protocol::UDP, "udp")].map(|(protocol, name)| {
            let numbers = of(protocol).map(|port| port.port);
            ranges(numbers).into_iter().map(move |range| format!("{name} {range}"))
        });
        Finding {
            outcome: Outcome::Ok,
            remedy: None,
            ..warning(
                "published",
                ("the host's rules give other destinations to ", ": these ports are the host's"),
                items.into_iter().flatten(),
                "",
            )
        }
    }

    fn whole(&self) -> Finding {
        warning(
            "other-nat",
            ("rules in ", " give other destinations to packets without naming their ports"),
            self.nft.whole.union(&self.legacy.whole).cloned(),
            "on an address that masq shares, what arrives at masq's ports does not pass these rules: \
             name the ports that they are for (tcp dport …), at most half of all",
        )
    }

    /// Bridges whose network the kernel translates, and which masq could serve.
    fn containers(&self, outlook: &Outlook<'_>) -> Finding {
        let others = outlook.links.iter().filter(|link| (outlook.side)(&link.name).is_none());
        let bridges: Vec<(&Link, String)> = others
            .filter_map(|link| {
                let named = CONTAINERS.iter().any(|prefix| link.name.starts_with(prefix));
                let network = outlook.links.addresses_of(link.index).find_map(|address| {
                    let network = ipv4_range(address.network())?;
                    let sources = self.nft.sources.iter().chain(&self.legacy.sources);
                    let translated = sources.clone().any(|source| {
                        source.contains(network.start()) && source.contains(network.end())
                    });
                    (named || translated).then(|| address.network().to_string())
                })?;
                Some((link, network))
            })
            .collect();
        let mut remedy = String::from(
            "to have masq translate it, and do without ports that are published from there, make it \
             an inside in masq.toml:",
        );
        for (link, _) in &bridges {
            // Writing to a string cannot fail.
            let _ = write!(remedy, "\n[[inside]]\ninterface = \"{}\"", link.name);
        }
        warning(
            "containers",
            ("the kernel translates for ", ""),
            bridges.iter().map(|(link, network)| format!("{} ({network})", link.name)),
            &remedy,
        )
    }

    fn filters(&self) -> Finding {
        let filters = self.chains.iter().filter(|chain| {
            chain.kind != "nat"
                && [Hook::Prerouting, Hook::Forward, Hook::Postrouting].contains(&chain.hook)
        });
        warning(
            "netfilter",
            ("nftables has chains that forwarded packets do not pass now: ", ""),
            filters.map(|chain| chain.name.clone()),
            "what should be filtered for inside hosts has to be masq's to filter",
        )
    }

    fn early_filters(&self, outlook: &Outlook<'_>) -> Finding {
        let early = self.chains.iter().filter(|chain| chain.hook == Hook::Ingress);
        let items = early.flat_map(|chain| {
            let served = chain.devices.iter().filter(|name| (outlook.side)(name).is_some());
            served.map(|name| format!("{} on {name}", chain.name))
        });
        warning(
            "netfilter",
            ("nftables has ingress chains where masq takes packets before them: ", ""),
            items,
            "they see what masq leaves to the host; what they should drop of inside hosts' packets \
             has to be dropped before this host",
        )
    }

    fn tables(&self) -> Finding {
        warning(
            "iptables",
            ("iptables (legacy) has tables in use: ", ""),
            self.tables.iter().cloned(),
            "packets that masq forwards do not pass FORWARD, PREROUTING and POSTROUTING",
        )
    }

    fn policies(&self) -> Finding {
        warning(
            "xfrm",
            ("there are ", ""),
            self.policies.then(|| "IPsec policies".to_owned()),
            "packets that masq forwards are not matched against them",
        )
    }
}

fn warning(
    name: &'static str,
    words: (&'static str, &'static str),
    items: impl IntoIterator<Item = String>,
    remedy: &str,
) -> Finding {
    let (outcome, items) = (Outcome::Warning, items.into_iter().collect());
    Finding { name, outcome, words, items, remedy: Some(remedy.to_owned()) }
}

/// Numbers as people write them: `80`, `8000-8100`.
fn ranges(numbers: impl Iterator<Item = u16>) -> Vec<String> {
    let single = |number: u16| u32::from(number)..=u32::from(number);
    let joined = scope::union(numbers.map(single).collect());
    let text = |range: RangeInclusive<u32>| {
        let (first, last) = range.into_inner();
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    joined.into_iter().map(text).collect()
}

/// The addresses of a network.
fn ipv4_range(network: crate::routes::Prefix) -> Option<RangeInclusive<u32>> {
    let core::net::IpAddr::V4(first) = network.address() else { return None };
    let hosts = u32::MAX.checked_shr(network.length().into()).unwrap_or(0);
    Some(first.to_bits()..=Ipv4Addr::to_bits(first) | hosts)
}

/// Whether there are policies of xfrm (IPsec).
fn has_xfrm_policies() -> io::Result<bool> {
    const GET_POLICY: u16 = 0x15;
    const NEW_POLICY: u16 = 0x13;
    let mut found = false;
    // `struct xfrm_userpolicy_id`, zeroed: all of them.
    nft::dump(protocols::NETLINK_XFRM, GET_POLICY, &[0; 64], |kind, _| {
        found |= kind == NEW_POLICY;
    })?;
    Ok(found)
}

/// How the bridges of containers and virtual machines are named.
const CONTAINERS: [&str; 5] = ["docker", "br-", "virbr", "podman", "cni"];

#[cfg(test)]
mod tests;
