//! The host's own flows, as the program at the egress of outsides notes them (`masq_ebpf::host`).
//!
//! The worker asks whether the host has a flow, before an inside host's session gets the same endpoint.
//! The control thread forgets flows that have been silent for long. Neither has to be there for the
//! programs to tell the host's packets from ours.
//!
//! How long a flow is kept after its last packet was sent is what the kernel's own translation does
//! (`nf_conntrack`): five days of a connection, ten minutes of anything else. One that is forgotten too
//! early is noted again by its next packet.

use core::time::Duration;
use std::path::Path;

use aya::maps::{HashMap, Map, MapData, MapError};
use masq_core::Instant;
use masq_flow::key::{AnyKey, unpack_ports};
use masq_flow::maps::HostFlow;
use masq_flow::owned::{Hint, Owned, Shared};
use masq_flow::{Memory, Region};
use masq_wire::{Protocol, Tuple};

/// The flows, and the hints that say when it is worth looking.
#[derive(Debug)]
pub(crate) struct HostFlows {
    map: HashMap<MapData, Key, u64>,
    table: Memory,
    owned: Region<Owned>,
}

/// A [`HostFlow`] as the library takes it.
type Key = [u32; 4];

impl HostFlows {
    /// The flows that are noted in the map pinned at `pin`.
    pub(crate) fn open(
        pin: &Path,
        table: Memory,
        owned: Region<Owned>,
    ) -> Result<Self, Box<dyn core::error::Error + Send + Sync>> {
        let map = Map::LruHashMap(MapData::from_pin(pin)?);
        Ok(Self { map: map.try_into()?, table, owned })
    }

    /// Whether the host has a flow whose answers arrive with this tuple. The kernel is asked only where
    /// there is a hint.
    pub(crate) fn has(&self, answer: &Tuple) -> bool {
        let Some(AnyKey::V4(key)) = AnyKey::new(answer) else { return false };
        let flow = HostFlow::answered_by(&key);
        self.table.header().has_host_flows()
            && is_hinted(&self.owned[0], &flow)
            && self.map.get(&zerocopy::transmute!(flow), 0).is_ok()
    }

    /// Forgets the flows that have been silent for long.
    pub(crate) fn sweep(&mut self, now: Instant) {
        if !self.table.header().has_host_flows() {
            return;
        }
        match self.try_sweep(now) {
            Ok(hints) => {
                self.table.header().set_host_flows(!hints.is_empty());
                self.owned[0].set_hints(hints);
                self.hint_again();
            }
            Err(error) => tracing::warn!(%error, "the host's flows cannot be read"),
        }
    }

    /// Gives hints of what was noted while the others were looked at: a program notes first and hints then.
    fn hint_again(&self) {
        for key in self.map.keys().flatten() {
            match hint(&zerocopy::transmute!(key)) {
                Hint::Port(shared, port) => self.owned[0].hint_port(shared, port),
                Hint::Protocol(protocol) => self.owned[0].hint_protocol(protocol),
            }
            self.table.header().set_host_flows(true);
        }
    }

    /// Gives the hints of those that are left.
    fn try_sweep(&mut self, now: Instant) -> Result<Vec<Hint>, MapError> {
        let (mut hints, mut silent) = (Vec::new(), Vec::new());
        for key in self.map.keys() {
            let key = key?;
            let flow: HostFlow = zerocopy::transmute!(key);
            // It may have been forgotten for another meanwhile.
            let Ok(seen) = self.map.get(&key, 0) else { continue };
            let age = now.saturating_sub(Instant::from_nanos(seen));
            if age > lifetime(&flow) { silent.push(key) } else { hints.push(hint(&flow)) }
        }
        for key in silent {
            let _ = self.map.remove(&key);
        }
        Ok(hints)
    }
}

fn is_hinted(owned: &Owned, flow: &HostFlow) -> bool {
    match hint(flow) {
        Hint::Port(shared, port) => owned.hints_port(shared, port),
        Hint::Protocol(protocol) => owned.hints_protocol(protocol),
    }
}

fn hint(flow: &HostFlow) -> Hint {
    let protocol = Protocol(flow.protocol as u8);
    match Shared::of(protocol) {
        Some(shared) => Hint::Port(shared, unpack_ports(flow.ports).1),
        None => Hint::Protocol(protocol),
    }
}

fn lifetime(flow: &HostFlow) -> Duration {
    match Protocol(flow.protocol as u8) {
        Protocol::TCP => CONNECTION,
        _ => ANYTHING_ELSE,
    }
}

/// `nf_conntrack_tcp_timeout_established`.
const CONNECTION: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// `nf_conntrack_generic_timeout`.
const ANYTHING_ELSE: Duration = Duration::from_secs(600);
