//! What differs between two configurations, setting by setting, as the file names them.

use std::collections::BTreeMap;

use crate::check::{Addresses, CheckedConfig, Ports};
use crate::settings::{Fragments, HoldDown, Icmp, Limits, Nat, Timeouts, shown};

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
        let Self {
            outsides,
            insides,
            carrier,
            timeouts,
            limits,
            fragments,
            icmp,
            hold_down,
            table_sessions,
            fast_path,
            socket,
        } = self;
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
            let Nat { mapping, filtering, pooling } = outside.nat;
            set(at("mapping"), mapping.to_string());
            set(at("filtering"), filtering.to_string());
            set(at("pooling"), pooling.to_string());
        }
        for inside in insides {
            let networks =
                inside.networks.as_ref().map_or_else(|| "auto".to_owned(), |list_of| list(list_of));
            set(format!("inside.{}.networks", inside.interface), networks);
        }
        let Timeouts {
            tcp_established,
            tcp_opening,
            tcp_closing,
            tcp_reset,
            tcp_incoming_syn,
            udp,
            icmp: icmp_query,
            other,
        } = *timeouts;
        let Limits { hosts, sessions_per_host, mappings_per_host, new_sessions_per_second, burst } =
            *limits;
        let Fragments { timeout, datagrams, datagrams_per_source, memory } = *fragments;
        let Icmp { errors_per_second, burst: icmp_burst } = *icmp;
        let HoldDown { time, ports } = *hold_down;
        for (key, value) in [
            ("nat.carrier", carrier.to_string()),
            ("timeouts.tcp-established", shown(tcp_established)),
            ("timeouts.tcp-opening", shown(tcp_opening)),
            ("timeouts.tcp-closing", shown(tcp_closing)),
            ("timeouts.tcp-reset", shown(tcp_reset)),
            ("timeouts.tcp-incoming-syn", shown(tcp_incoming_syn)),
            ("timeouts.udp", shown(udp)),
            ("timeouts.icmp", shown(icmp_query)),
            ("timeouts.other", shown(other)),
            ("limits.hosts", hosts.to_string()),
            ("limits.sessions-per-host", sessions_per_host.to_string()),
            ("limits.mappings-per-host", mappings_per_host.to_string()),
            ("limits.new-sessions-per-second", new_sessions_per_second.to_string()),
            ("limits.burst", burst.to_string()),
            ("fragments.timeout", shown(timeout)),
            ("fragments.datagrams", datagrams.to_string()),
            ("fragments.datagrams-per-source", datagrams_per_source.to_string()),
            ("fragments.memory", memory.to_string()),
            ("icmp.errors-per-second", errors_per_second.to_string()),
            ("icmp.burst", icmp_burst.to_string()),
            ("hold-down.time", shown(time)),
            ("hold-down.ports", ports.to_string()),
            ("table.sessions", table_sessions.to_string()),
            ("fast-path.mode", fast_path.to_string()),
        ] {
            set(key.to_owned(), value);
        }
        if let Some(socket) = socket {
            set("control.socket".to_owned(), socket.display().to_string());
        }
        settings
    }
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
        let new =
            config("[timeouts]\nudp = 120\n[table]\nsessions = 1000\n[[inside]]\ninterface='x'");
        let shown: Vec<_> = config("")
            .differences(&new)
            .into_iter()
            .map(|d| format!("{} {} {} {}", d.key, d.from, d.to, d.needs_restart))
            .collect();
        assert_eq!(
            shown,
            [
                "inside.x.networks absent auto false",
                "table.sessions 262144 1000 true",
                "timeouts.udp 5m 2m false",
            ]
        );
    }
}
