//! Counters.

use serde::{Deserialize, Serialize};

use crate::Count;

/// One snapshot of everything that is counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatsView {
    /// The instance's name.
    pub instance: String,
    /// Seconds since the daemon started. Counters of the table live longer: they survive it.
    pub uptime: f64,
    /// The session table.
    pub table: TableStats,
    /// What the sessions take of the machine's memory, by what it is for.
    #[serde(default)]
    pub memory: Vec<MemoryPart>,
    /// What the engine did.
    pub engine: EngineStats,
    /// Packets by what became of them.
    pub traffic: Traffic,
    /// What carries packets of established sessions.
    #[serde(default)]
    pub fast_path: FastPathView,
    /// Packets that were dropped, by reason; reasons never seen are absent.
    pub drops: Vec<DropCount>,
}

/// The session table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStats {
    /// Sessions alive.
    pub sessions: u64,
    /// Mappings alive.
    pub mappings: u64,
    /// How many sessions fit.
    pub capacity: u64,
    /// Sessions refused because their places in the index were taken.
    pub refused: u64,
    /// How the index of the table is filled.
    #[serde(default)]
    pub index: IndexStats,
}

/// The index of the session table: buckets of some places each, and two buckets to choose from for each
/// of a session's two entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexStats {
    /// Places for entries.
    pub places: u64,
    /// Entries.
    pub entries: u64,
    /// Entries of the fullest bucket.
    pub fullest: u32,
    /// Places of each bucket.
    pub bucket: u32,
    /// The most buckets that a search looks into.
    pub longest_probe: u32,
    /// Of a thousand entries, those in the second of their buckets. In a large index a part of the
    /// buckets stands for all.
    pub second_per_mille: u32,
}

/// What some of the gateway's memory is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// What for.
    pub part: String,
    /// How much is taken, used or not.
    pub bytes: u64,
}

/// Sessions and held packets over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStats {
    /// Sessions created since the daemon started.
    pub created: u64,
    /// Sessions that ended.
    pub removed: u64,
    /// Sessions taken over from the daemon before.
    pub adopted: u64,
    /// Datagrams under reassembly at this moment.
    pub reassembling: u64,
    /// ICMP errors that the gateway itself sent.
    pub icmp_sent: u64,
    /// Times that no port was left.
    pub exhausted: u64,
}

/// Packets by what became of them.
///
/// What was translated counts from when the table was made, whoever translated it: the totals outlive
/// sessions and daemons, and go with the table when the gateway is detached. The others count from
/// the start of the daemon or, for those of the programs, from when they were loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Translated, inside to outside, by the programs and by the engine.
    pub egress: Count,
    /// Translated, outside to inside, by the programs and by the engine.
    pub ingress: Count,
    /// Given to the host itself.
    pub local: u64,
    /// Punted by the programs to the engine.
    pub punted: u64,
    /// Packets that the engine sent many at once, past the punt port.
    pub bulk: u64,
    /// Of these: redirected by XDP.
    pub bulk_by_xdp: u64,
    /// Dropped, for any reason.
    pub dropped: u64,
}

/// What carries packets of established sessions, and what carried them since the programs were loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FastPathView {
    /// What is asked for: `auto`, `xdp`, `tc` or `off`.
    pub mode: String,
    /// Packets that the XDP program translated.
    pub xdp: u64,
    /// Packets that the TC program translated. One that is yet to be segmented counts once.
    pub tc: u64,
    /// Packets that the engine sent on.
    pub engine: u64,
    /// Packets between insides that the TC program sent on without a session: fragments, ICMP errors, and
    /// first packets that the engine could not be asked about.
    #[serde(default)]
    pub sent_on: u64,
    /// Each pair of interfaces.
    pub ways: Vec<WayView>,
}

/// What carries packets from one interface to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayView {
    /// Where they arrive.
    pub from: String,
    /// Where they leave.
    pub to: String,
    /// What carries them.
    pub by: Carrier,
    /// Why it is not XDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// What carries packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// The engine, in the daemon.
    Engine,
    /// The eBPF program at TC.
    Tc,
    /// The eBPF program in the driver.
    Xdp,
}

/// Drops for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// The reason's name.
    pub reason: String,
    /// The reason in words.
    pub text: String,
    /// How many packets.
    pub packets: u64,
}
