//! What the sessions take of the machine's memory.

use masq_flow::{Bucket, Record};

use super::Engine;

/// Bytes, by what they are for. All of it is taken when the engine starts, but for what belongs to
/// hosts, outside addresses and events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// The records of the table, which are shared with the fast path.
    pub records: usize,
    /// The index of the table, which is shared with the fast path.
    pub index: usize,
    /// Which slots are free, and sums of what was counted in them.
    pub slots: usize,
    /// Which sessions are one mapping, and how mappings are found.
    pub mappings: usize,
    /// When sessions are looked at.
    pub timers: usize,
    /// Which sessions are given up first.
    pub reclaim: usize,
    /// What each inside host has.
    pub hosts: usize,
    /// The ports of each outside address.
    pub ports: usize,
    /// Events that wait to be fetched.
    pub events: usize,
}

impl MemoryUse {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> usize {
        let Self { records, index, slots, mappings, timers, reclaim, hosts, ports, events } = *self;
        records + index + slots + mappings + timers + reclaim + hosts + ports + events
    }
}

impl Engine {
    /// What the sessions take, as it is allocated; used or not.
    #[must_use]
    pub fn memory(&self) -> MemoryUse {
        let sessions = &self.sessions;
        let layout = sessions.table.layout();
        MemoryUse {
            records: layout.slots as usize * size_of::<Record>(),
            index: layout.buckets as usize * size_of::<Bucket>(),
            slots: sessions.table.own_memory(),
            mappings: sessions.mappings.memory(),
            timers: sessions.timers.memory(),
            reclaim: sessions.reclaim.memory(),
            hosts: sessions.hosts.memory(),
            ports: sessions.ports.memory(),
            events: self.events.memory(),
        }
    }
}
