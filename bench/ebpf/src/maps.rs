//! The maps: what user space says, and what the programs know and count.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use masq_bench_packet::settings::Known;
use masq_bench_packet::{Counts, Settings, Streams};

#[map(name = "BENCH_SETTINGS")]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

#[map(name = "BENCH_STREAMS")]
static STREAMS: PerCpuArray<Streams> = PerCpuArray::with_max_entries(1, 0);

#[map(name = "BENCH_COUNTS")]
static COUNTS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(1, 0);

/// Packets dropped by `bench_drop`.
#[map(name = "BENCH_DROPPED")]
static DROPPED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// What is known of each flow. User space says how many there are.
#[map(name = "BENCH_FLOWS")]
static FLOWS: Array<Known> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What user space said.
#[inline(always)]
pub(crate) fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

/// What this processor's generator sends.
#[inline(always)]
pub(crate) fn streams() -> Option<&'static mut Streams> {
    // SAFETY: the value is this processor's own, and only the generator that runs on it uses it.
    STREAMS.get_ptr_mut(0).map(|streams| unsafe { &mut *streams })
}

/// What this processor's receiver counts.
#[inline(always)]
pub(crate) fn counts() -> Option<&'static mut Counts> {
    // SAFETY: the value is this processor's own; receivers do not interrupt each other.
    COUNTS.get_ptr_mut(0).map(|counts| unsafe { &mut *counts })
}

/// A packet dropped on purpose.
#[inline(always)]
pub(crate) fn count_dropped() {
    if let Some(dropped) = DROPPED.get_ptr_mut(0) {
        // SAFETY: the value is this processor's own.
        unsafe { *dropped += 1 };
    }
}

/// What is known of a flow.
#[inline(always)]
pub(crate) fn flow(flow: u32) -> Option<&'static mut Known> {
    // SAFETY: the look-up returned a valid, aligned value. A flow's packets go by one processor at a
    // time, and user space writes while none are on the way.
    FLOWS.get_ptr_mut(flow).map(|known| unsafe { &mut *known })
}
