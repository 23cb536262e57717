//! What all parts counted, as one snapshot.

use core::time::Duration;

use masq_api::{
    Carrier, Count, DropCount, EngineStats, FastPathView, IndexStats, MemoryPart, StatsView,
    TableStats, Traffic, WayView,
};
use masq_config::FastPathMode;
use masq_core::{DropReason, MemoryUse};
use masq_dataplane::{DataplaneStats, Way};
use masq_flow::maps::{Counter, EarlyDrop};
use masq_flow::{Bucket, PerDirection, Shape, Total};

pub(super) fn view(
    instance: &str,
    uptime: Duration,
    counted: &DataplaneStats,
    (table, shape): (&masq_flow::TableStats, Shape),
    carried: PerDirection<Total>,
    fast_path: FastPathView,
) -> StatsView {
    let engine = &counted.worker.engine;
    let drops = drops(counted);
    let punted = counted.programs.counters.iter().skip(Counter::PUNTED as usize).sum();
    StatsView {
        instance: instance.to_owned(),
        uptime: uptime.as_secs_f64(),
        table: TableStats {
            sessions: engine.sessions,
            mappings: engine.mappings,
            capacity: u64::from(table.slots),
            refused: table.refused_no_slot + table.refused_index_full,
            index: index(&shape),
        },
        memory: memory(&counted.worker.memory),
        engine: EngineStats {
            created: engine.created,
            removed: engine.removed,
            adopted: engine.adopted,
            reassembling: engine.reassembling,
            icmp_sent: engine.icmp_sent,
            exhausted: engine.exhausted,
        },
        traffic: Traffic {
            egress: count(carried.egress),
            ingress: count(carried.ingress),
            local: engine.local,
            punted,
            bulk: counted.worker.punt.bulk,
            bulk_by_xdp: counted.worker.punt.redirected,
            dropped: drops.iter().map(|drop| drop.packets).sum(),
        },
        fast_path,
        drops,
    }
}

fn index(shape: &Shape) -> IndexStats {
    let per_mille = (shape.second * 1000).checked_div(shape.looked_at).unwrap_or(0);
    IndexStats {
        places: shape.places,
        entries: shape.entries,
        fullest: shape.fullest,
        bucket: u32::try_from(Bucket::ENTRIES).unwrap_or(u32::MAX),
        longest_probe: shape.longest_probe(),
        second_per_mille: u32::try_from(per_mille).unwrap_or(1000),
    }
}

fn memory(memory: &MemoryUse) -> Vec<MemoryPart> {
    let MemoryUse { records, index, slots, mappings, timers, reclaim, hosts, ports, events } =
        *memory;
    [
        ("records", records),
        ("index", index),
        ("slots", slots),
        ("mappings", mappings),
        ("timers", timers),
        ("reclaim", reclaim),
        ("hosts", hosts),
        ("ports", ports),
        ("events", events),
    ]
    .into_iter()
    .map(|(part, bytes)| MemoryPart { part: part.to_owned(), bytes: bytes as u64 })
    .collect()
}

/// What carries packets of sessions, and how many each carried.
pub(super) fn fast_path(
    mode: FastPathMode,
    counted: &DataplaneStats,
    ways: Vec<Way>,
) -> FastPathView {
    let counter = |counter: Counter| counted.programs.counters.get(counter as usize).copied();
    let way = |Way { from, to, carrier }| {
        let (by, because) = match carrier {
            masq_dataplane::Carrier::Engine => (Carrier::Engine, None),
            masq_dataplane::Carrier::Tc { interface, why } => {
                (Carrier::Tc, Some(why.of(&interface)))
            }
            masq_dataplane::Carrier::Xdp => (Carrier::Xdp, None),
        };
        WayView { from, to, by, because }
    };
    FastPathView {
        mode: mode.to_string(),
        xdp: counter(Counter::TranslatedXdp).unwrap_or(0),
        tc: counter(Counter::Translated).unwrap_or(0),
        engine: counter(Counter::Returned).unwrap_or(0),
        sent_on: counter(Counter::Forwarded).unwrap_or(0),
        ways: ways.into_iter().map(way).collect(),
    }
}

/// Every reason that was ever seen: the engine's, the programs', and the punt port's.
fn drops(counted: &DataplaneStats) -> Vec<DropCount> {
    let engine = DropReason::ALL.into_iter().map(|reason| {
        let packets = counted.worker.engine.drops(reason);
        (reason.as_str().to_owned(), reason.text(), packets)
    });
    let programs = EarlyDrop::ALL
        .into_iter()
        .zip(&counted.programs.drops)
        .map(|(reason, packets)| (reason.as_str().to_owned(), early(reason).to_owned(), *packets));
    let punt = &counted.worker.punt;
    let port = [
        ("foreign", "it came to the punt port without a header of ours", punt.foreign),
        ("busy", "too many packets were under way to the same next hop", punt.busy),
        ("no-buffer", "the gateway had no buffer for a packet of its own", punt.no_buffer),
        ("overrun", "the engine did not keep up", punt.overrun),
        ("nonsense", "the kernel described it by a descriptor that makes no sense", punt.nonsense),
    ]
    .map(|(reason, text, packets)| (reason.to_owned(), text.to_owned(), packets));
    engine
        .chain(programs)
        .chain(port)
        .filter(|(_, _, packets)| *packets > 0)
        .map(|(reason, text, packets)| DropCount { reason, text, packets })
        .collect()
}

fn early(reason: EarlyDrop) -> &'static str {
    match reason {
        EarlyDrop::Headroom => "the kernel gave no room for the punt header",
        EarlyDrop::NextHop => "its next hop was gone when it came back from the engine",
        EarlyDrop::NoPuntPort => "there is no punt port",
        EarlyDrop::NoWorker => "no engine is running, and nothing leaves untranslated",
        EarlyDrop::RateLimited => "its source begins more flows than it may",
        EarlyDrop::Stray => "it came to the punt port from somewhere else",
        EarlyDrop::TooBig => "it is larger than the punt port carries",
        EarlyDrop::Truncated => "it is shorter than an IPv4 header",
        EarlyDrop::Leak => "the kernel would have sent it out untranslated, with an inside source",
        EarlyDrop::Closed => {
            "its interface was renamed, and is closed until it is served or released"
        }
    }
}

fn count(total: Total) -> Count {
    Count { packets: total.packets, bytes: total.bytes }
}
