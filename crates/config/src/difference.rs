//! What differs between two configurations, setting by setting, as the file names them.

use core::time::Duration;
use std::collections::BTreeMap;

use masq_core::Timeouts;
use masq_core::icmp::ErrorRates;
use masq_core::limits::Rate;

use crate::check::{Addresses, CheckedConfig, Ports};
use crate::duration::Lifetime;
use crate::settings::Nat;

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `nat.carrier`, `outside.eth0.ports` …
    pub key: String,
    /// Its value so far; `absent` when there was none.
    pub from: String,
    /// Its value to be.
    pub to: String,
    /// Whether it takes effect only when masq is started again.
    pub needs_restart: bool,
}

/// Settings that the running daemon cannot change.
const FIXED: [&str; 2] = ["table.sessions", "control.socket"];

impl CheckedConfig {
    /// Returns what a change to `other` would change, ordered by key.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (old, new) = (self.settings(), other.settings());
        let absent = || "absent".to_owned();
        let mut keys: Vec<_> = old.keys().chain(new.keys()).cloned().collect();
        keys.sort();
        keys.dedup();
        keys.into_iter()
            .filter(|key| old.get(key) != new.get(key))
            .map(|key| Difference {
                from: old.get(&key).cloned().unwrap_or_else(absent),
                to: new.get(&key).cloned().unwrap_or_else(absent),
                needs_restart: FIXED.contains(&key.as_str()),
                key,
            })
            .collect()
    }

    /// Every setting by its name in the file.
    fn settings(&self) -> BTreeMap<String, String> {
        let Self { outsides, insides, carrier, timeouts, hosts, reassembly, neighbours, .. } = self;
        let first = self.first_packets.unwrap_or(Rate { per_second: 0, burst: 0 });
        let Self { icmp_errors, answer_inbound_syn, hold_down, table_sessions, fast_path, .. } =
            self;
        let mut settings = BTreeMap::new();
        let mut set = |key: String, value: String| {
            settings.insert(key, value);
        };
        for outside in outsides {
            let at = |key: &str| format!("outside.{}.{key}", outside.interface);
            set(
                at("address"),
                match &outside.addresses {
                    Addresses::Auto => "auto".to_owned(),
                    Addresses::Pool(ranges) => list(ranges),
                },
            );
            set(
                at("ports"),
                match &outside.ports {
                    Ports::Auto => "auto".to_owned(),
                    Ports::Ranges(ranges) => list(ranges),
                },
            );
            let Nat { mapping, filtering, pooling, preserve_ports } = outside.nat;
            set(at("mapping"), mapping.to_string());
            set(at("filtering"), filtering.to_string());
            set(at("pooling"), pooling.to_string());
            set(at("preserve-ports"), preserve_ports.to_string());
        }
        for inside in insides {
            let networks =
                inside.networks.as_ref().map_or_else(|| "auto".to_owned(), |list_of| list(list_of));
            set(format!("inside.{}.networks", inside.interface), networks);
        }
        let Timeouts { tcp_established, tcp_opening, tcp_closing, tcp_reset, .. } = *timeouts;
        let Timeouts { tcp_inbound_syn, udp, icmp, other, .. } = *timeouts;
        for (key, value) in [
            ("nat.carrier", carrier.to_string()),
            ("timeouts.tcp-established", shown(tcp_established)),
            ("timeouts.tcp-opening", shown(tcp_opening)),
            ("timeouts.tcp-closing", shown(tcp_closing)),
            ("timeouts.tcp-reset", shown(tcp_reset)),
            ("timeouts.tcp-inbound-syn", shown(tcp_inbound_syn)),
            ("timeouts.udp", shown(udp)),
            ("timeouts.icmp", shown(icmp)),
            ("timeouts.other", shown(other)),
            ("limits.hosts", hosts.hosts.to_string()),
            ("limits.sessions-per-host", hosts.sessions.to_string()),
            ("limits.mappings-per-host", hosts.mappings.to_string()),
            ("limits.new-sessions-per-second", hosts.rate.map_or(0, |r| r.per_second).to_string()),
            ("limits.burst", hosts.rate.map_or(0, |rate| rate.burst).to_string()),
            ("limits.first-packets-per-second", first.per_second.to_string()),
            ("limits.first-packets-at-once", first.burst.to_string()),
            ("fragments.timeout", shown(reassembly.timeout)),
            ("fragments.datagrams", reassembly.datagrams.to_string()),
            ("fragments.datagrams-per-source", reassembly.datagrams_per_source.to_string()),
            ("fragments.memory", reassembly.bytes.to_string()),
            ("fragments.memory-per-source", reassembly.bytes_per_source.to_string()),
            ("fragments.pieces", reassembly.pieces.to_string()),
            ("neighbours.patience", shown(neighbours.patience)),
            ("neighbours.packets-per-neighbour", neighbours.packets_per_next_hop.to_string()),
            ("neighbours.packets", neighbours.packets.to_string()),
            ("neighbours.memory", neighbours.bytes.to_string()),
            ("icmp.answer-inbound-syn", answer_inbound_syn.to_string()),
            ("hold-down.time", shown(hold_down.duration)),
            ("hold-down.ports", hold_down.most.to_string()),
            ("hold-down.tcp-exempt", hold_down.tcp_exempt.to_string()),
            ("table.sessions", table_sessions.to_string()),
            ("fast-path.mode", fast_path.to_string()),
        ] {
            set(key.to_owned(), value);
        }
        set(
            "icmp.errors-per-second".to_owned(),
            icmp_errors.map_or(0, |rates| rates.side.per_second).to_string(),
        );
        if let Some(ErrorRates { destination, side }) = icmp_errors {
            set("icmp.burst".to_owned(), side.burst.to_string());
            set("icmp.errors-per-second-and-host".to_owned(), destination.per_second.to_string());
            set("icmp.burst-per-host".to_owned(), destination.burst.to_string());
        }
        if let Some(socket) = &self.socket {
            set("control.socket".to_owned(), socket.display().to_string());
        }
        settings
    }
}

fn shown(duration: Duration) -> String {
    Lifetime(duration).to_string()
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Overrides, Source, judge};

    fn config(text: &str) -> CheckedConfig {
        let text = format!("[[outside]]\ninterface='w'\n[[inside]]\ninterface='l'\n{text}");
        judge(Source { name: "t".into(), text }, &Overrides::default()).unwrap().config
    }

    #[test]
    fn the_same_is_no_difference() {
        let written = config("[timeouts]\nudp = '5m'\n");
        assert_eq!(config("").differences(&written), []);
    }

    #[test]
    fn what_differs_is_named_as_in_the_file() {
        let new = config(
            "[timeouts]\nudp = 120\n[table]\nsessions = 1000\n[fast-path]\nmode = 'xdp'\n[[inside]]\ninterface='x'",
        );
        let shown: Vec<_> = config("")
            .differences(&new)
            .into_iter()
            .map(|d| format!("{} {} {} {}", d.key, d.from, d.to, d.needs_restart))
            .collect();
        assert_eq!(
            shown,
            [
                "fast-path.mode auto xdp false",
                "inside.x.networks absent auto false",
                "table.sessions 1048576 1000 true",
                "timeouts.udp 5m 2m false",
            ]
        );
    }
}
