//! The programs that the lab, the tests and the demo call.

use crate::process;

/// A program and the Debian package that brings it.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// What is called, and by whom.
const TOOLS: [Tool; 9] = [
    // Interfaces, addresses, routes and rules, as a user of the gateway would type them.
    Tool { program: "ip", package: "iproute2" },
    // The kernel's own masquerade is the oracle of the lab's scenarios.
    Tool { program: "nft", package: "nftables" },
    // Other translators beside masq, as Docker calls them.
    Tool { program: "iptables-legacy", package: "iptables" },
    Tool { program: "ping", package: "iputils-ping" },
    Tool { program: "traceroute", package: "traceroute" },
    // Checksum and segmentation offloads are switched off, as on a plain card.
    Tool { program: "ethtool", package: "ethtool" },
    // Which programs are attached where, by somebody else's word.
    Tool { program: "bpftool", package: "bpftool" },
    // Outside captures: nothing may leave untranslated.
    Tool { program: "tcpdump", package: "tcpdump" },
    Tool { program: "sysctl", package: "procps" },
];

/// Packages of the tools that are not there.
pub(crate) fn missing() -> Vec<String> {
    missing_of(&TOOLS)
}

/// The same of others.
pub(crate) fn missing_of(tools: &[Tool]) -> Vec<String> {
    tools
        .iter()
        .filter(|tool| process::find(tool.program).is_none())
        .map(|tool| tool.package.to_owned())
        .collect()
}
