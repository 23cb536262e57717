//! Counters of everything that the engine does.

use crate::verdict::DropReason;

/// A snapshot of the counters, all since the engine was made.
///
/// What was translated is not among them: the table has it ([`Writer::totals`]), since the fast path
/// counts there too, and since it outlives the engine.
///
/// [`Writer::totals`]: masq_flow::Writer::totals
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Packets that the engine forwarded between inside interfaces, which are not translated, with a
    /// session or without.
    pub between_insides: Count,
    /// Packets given to the host.
    pub local: u64,
    /// Packets kept for later.
    pub held: u64,
    /// ICMP errors that the engine made.
    pub icmp_sent: u64,
    /// ICMP errors that were not sent for being too many.
    pub icmp_suppressed: u64,
    /// Sessions created.
    pub created: u64,
    /// Sessions that ended.
    pub removed: u64,
    /// Of these: to make room.
    pub reclaimed: u64,
    /// Sessions that moved to another outside address.
    pub moved: u64,
    /// Sessions taken over from a predecessor.
    pub adopted: u64,
    /// Times that no port was left.
    pub exhausted: u64,
    /// Events forgotten because nobody fetched them.
    pub events_forgotten: u64,
    /// Sessions alive.
    pub sessions: u64,
    /// Mappings alive.
    pub mappings: u64,
    /// Datagrams under reassembly.
    pub reassembling: u64,
    pub(crate) drops: [u64; DropReason::COUNT],
}

/// Packets and their bytes, by IP length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many packets.
    pub packets: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

impl Count {
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            between_insides: Count::default(),
            local: 0,
            held: 0,
            icmp_sent: 0,
            icmp_suppressed: 0,
            created: 0,
            removed: 0,
            reclaimed: 0,
            moved: 0,
            adopted: 0,
            exhausted: 0,
            events_forgotten: 0,
            sessions: 0,
            mappings: 0,
            reassembling: 0,
            drops: [0; DropReason::COUNT],
        }
    }
}

impl Stats {
    /// How many packets were dropped for a reason.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason.index()]
    }

    /// How many packets were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.drops[reason.index()] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_apart() {
        let mut stats = Stats::default();
        stats.count_drop(DropReason::Filtered);
        stats.count_drop(DropReason::Filtered);
        stats.count_drop(DropReason::Malformed(masq_wire::Malformed::Version));
        assert_eq!(stats.drops(DropReason::Filtered), 2);
        assert_eq!(stats.dropped(), 3);
    }
}
