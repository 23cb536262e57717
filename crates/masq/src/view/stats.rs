//! `masq stats`: counters, the most frequent drop first.

use core::fmt::Write;

use masq_api::{Carrier, IndexStats, MemoryPart, StatsView, WayView};

use super::flows::count;
use super::table::{Column, Table};
use super::units;

pub(crate) fn text(stats: &StatsView) -> String {
    let StatsView { instance, uptime, table, memory, engine, traffic, fast_path, drops } = stats;
    let mut text = String::new();
    let full = percentage(table.sessions, table.capacity);
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line("instance", format!("{instance}, up {}", units::seconds(*uptime)));
    line(
        "table",
        format!(
            "{} sessions of {} ({full:.1} %), {} mappings, {} refused by a full index",
            units::grouped(table.sessions),
            units::grouped(table.capacity),
            units::grouped(table.mappings),
            units::grouped(table.refused),
        ),
    );
    line("index", index(&table.index));
    line("memory", memory_of(memory, table.capacity));
    line(
        "sessions",
        format!(
            "{} created, {} ended, {} adopted from the daemon before",
            units::grouped(engine.created),
            units::grouped(engine.removed),
            units::grouped(engine.adopted),
        ),
    );
    line("out", count(traffic.egress));
    line("in", count(traffic.ingress));
    line("local", format!("{} packets of the host itself", units::grouped(traffic.local)));
    line("punted", format!("{} packets to the engine", units::grouped(traffic.punted)));
    line(
        "bulk",
        format!(
            "{} packets of the engine sent many at once, {} of them by XDP",
            units::grouped(traffic.bulk),
            units::grouped(traffic.bulk_by_xdp)
        ),
    );
    line(
        "engine",
        format!(
            "{} datagrams under reassembly, {} ICMP errors sent, {} times out of ports",
            units::grouped(engine.reassembling),
            units::grouped(engine.icmp_sent),
            units::grouped(engine.exhausted),
        ),
    );
    line("dropped", units::grouped(traffic.dropped));
    line(
        "fast path",
        format!(
            "{}: {} packets by XDP, {} by TC, {} by the engine",
            fast_path.mode,
            units::grouped(fast_path.xdp),
            units::grouped(fast_path.tc),
            units::grouped(fast_path.engine),
        ),
    );
    if fast_path.sent_on > 0 {
        let packets = units::grouped(fast_path.sent_on);
        line("", format!("{packets} packets between insides without a session, by TC"));
    }
    text.push_str(&ways(&fast_path.ways));
    if drops.is_empty() {
        return text;
    }
    let mut drops: Vec<_> = drops.iter().collect();
    drops.sort_by(|a, b| b.packets.cmp(&a.packets).then_with(|| a.reason.cmp(&b.reason)));
    let rows: Vec<_> = drops
        .iter()
        .map(|drop| [units::grouped(drop.packets), drop.reason.clone(), drop.text.clone()])
        .collect();
    let mut table = Table::new([
        Column::right("PACKETS", 9),
        Column::left("DROPPED AS", 0),
        Column::left("BECAUSE", 0),
    ]);
    text.push('\n');
    text.push_str(&table.page(&rows));
    text
}

fn index(index: &IndexStats) -> String {
    let full = percentage(index.entries, index.places);
    let second = f64::from(index.second_per_mille) / 10.0;
    let buckets = if index.longest_probe == 1 { "bucket" } else { "buckets" };
    format!(
        "{full:.1} % full, longest probe {} {buckets} ({second:.1} % of the entries lie in their second), \
         fullest bucket {} of {}",
        index.longest_probe, index.fullest, index.bucket,
    )
}

/// Bytes of each session that fits, and of what; what is not worth a byte is left to the JSON.
fn memory_of(parts: &[MemoryPart], capacity: u64) -> String {
    let total: u64 = parts.iter().map(|part| part.bytes).sum();
    let each = |bytes: u64| (bytes + capacity / 2).checked_div(capacity).unwrap_or(0);
    let shares: Vec<_> = parts
        .iter()
        .filter(|part| each(part.bytes) > 0)
        .map(|part| format!("{} {}", part.part, each(part.bytes)))
        .collect();
    format!("{}, {} bytes a session ({})", units::bytes(total), each(total), shares.join(", "))
}

fn percentage(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    // Exact enough for a percentage.
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs three digits")]
    let percentage = part as f64 * 100.0 / whole as f64;
    percentage
}

/// What carries packets from where to where, and why it is not XDP.
fn ways(ways: &[WayView]) -> String {
    let pairs: Vec<_> = ways.iter().map(|way| format!("{} → {}", way.from, way.to)).collect();
    let width = pairs.iter().map(|pair| pair.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (way, pair) in ways.iter().zip(pairs) {
        let by = match way.by {
            Carrier::Engine => "the engine",
            Carrier::Tc => "TC",
            Carrier::Xdp => "XDP",
        };
        let because =
            way.because.as_ref().map_or_else(String::new, |why| format!(", because {why}"));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<12}{pair:<width$}  {by}{because}", "");
    }
    text
}

#[cfg(test)]
mod tests {
    use masq_api::{Count, DropCount, EngineStats, FastPathView, TableStats, Traffic};

    use super::*;

    #[test]
    fn counters_and_drops() {
        let drop = |reason: &str, text: &str, packets| DropCount {
            reason: reason.into(),
            text: text.into(),
            packets,
        };
        let way = |from: &str, to: &str, by, because: Option<&str>| WayView {
            from: from.into(),
            to: to.into(),
            by,
            because: because.map(str::to_owned),
        };
        let part = |part: &str, bytes| MemoryPart { part: part.into(), bytes };
        let stats = StatsView {
            instance: "default".into(),
            uptime: 3725.0,
            table: TableStats {
                sessions: 1200,
                mappings: 800,
                capacity: 65_536,
                refused: 0,
                index: IndexStats {
                    places: 262_144,
                    entries: 2400,
                    fullest: 3,
                    bucket: 8,
                    longest_probe: 2,
                    second_per_mille: 9,
                },
            },
            memory: vec![part("records", 8 << 20), part("index", 2 << 20), part("hosts", 4000)],
            engine: EngineStats { created: 5000, removed: 3810, adopted: 10, ..<_>::default() },
            traffic: Traffic {
                egress: Count { packets: 120_000, bytes: 9_600_000 },
                ingress: Count { packets: 240_000, bytes: 340_000_000 },
                local: 311,
                punted: 360_311,
                bulk: 120_000,
                bulk_by_xdp: 90_000,
                dropped: 17,
            },
            fast_path: FastPathView {
                mode: "auto".into(),
                xdp: 300_000,
                tc: 59_000,
                engine: 1000,
                sent_on: 0,
                ways: vec![
                    way("eth1", "eth1", Carrier::Xdp, None),
                    way(
                        "eth1",
                        "ppp0",
                        Carrier::Tc,
                        Some("packets of ppp0 have no Ethernet header"),
                    ),
                ],
            },
            drops: vec![
                drop("no-mapping", "no mapping wants this packet", 2),
                drop("bad-checksum", "the IPv4 header checksum is wrong", 15),
            ],
        };
        insta::assert_snapshot!(text(&stats));
    }
}
