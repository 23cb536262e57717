//! Counting: whatever becomes of a packet, one counter says so.

use aya_ebpf::bindings::xdp_action::XDP_DROP;
use aya_ebpf::maps::PerCpuArray;
use masq_flow::maps::{Counter, EarlyDrop};
use masq_flow::punt::PuntReason;

use crate::maps::{COUNTERS, DROPS};
use crate::skb::{DROP, PASS};

/// Leaves the packet to the host.
#[inline(always)]
pub(crate) fn pass() -> i32 {
    count(Counter::Passed);
    PASS
}

/// Ends the packet, and says why.
#[inline(always)]
pub(crate) fn drop(why: EarlyDrop) -> i32 {
    count_drop(why);
    DROP
}

/// The same in XDP.
#[inline(always)]
pub(crate) fn drop_xdp(why: EarlyDrop) -> u32 {
    count_drop(why);
    XDP_DROP
}

/// A packet of which something was made.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    add_one(&COUNTERS, counter as u32);
}

/// A packet that was punted.
#[inline(always)]
pub(crate) fn count_punt(why: PuntReason) {
    add_one(&COUNTERS, Counter::PUNTED + why as u32);
}

/// A packet that ended here.
#[inline(always)]
pub(crate) fn count_drop(why: EarlyDrop) {
    add_one(&DROPS, why as u32);
}

#[inline(always)]
fn add_one(map: &PerCpuArray<u64>, index: u32) {
    if let Some(value) = map.get_ptr_mut(index) {
        // SAFETY: the look-up returned a valid, aligned value, which is this processor's own;
        // programs of one hook do not interrupt each other.
        unsafe { *value += 1 };
    }
}
