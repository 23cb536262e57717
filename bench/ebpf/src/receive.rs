//! The receiver: counts, checks and drops, in every run alike, so that its cost is the same for all.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::programs::XdpContext;
use masq_bench_packet::frame::Label;
use masq_bench_packet::settings::Learnt;
use masq_bench_packet::{Counts, Frame, Settings, SettingsFlags, Wrong};

use crate::{frame, maps};

/// What came from inside.
#[inline(always)]
pub(crate) fn outside(ctx: &XdpContext) -> u32 {
    receive(ctx, judge_outside)
}

/// What came from outside.
#[inline(always)]
pub(crate) fn inside(ctx: &XdpContext) -> u32 {
    receive(ctx, judge_inside)
}

/// Counts a packet of ours; others are the host's.
#[inline(always)]
fn receive(
    ctx: &XdpContext,
    judge: impl FnOnce(&Settings, &mut Counts, &Frame, Label) -> Option<Wrong>,
) -> u32 {
    let Some(packet) = frame::read::<Frame>(ctx) else { return XDP_PASS };
    let Some(label) = packet.label() else { return XDP_PASS };
    let (Some(settings), Some(counts)) = (maps::settings(), maps::counts()) else {
        return XDP_PASS;
    };
    match packet.fault(settings.ttl as u8).or_else(|| judge(settings, counts, &packet, label)) {
        None => {
            if label.numbering == 0 {
                counts.received[0] += 1;
                if settings.flags & SettingsFlags::ORDERED != 0 {
                    check_order(counts, label);
                }
            } else {
                counts.received[1] += 1;
            }
        }
        Some(wrong) => count_wrong(counts, &packet, wrong),
    }
    XDP_DROP
}

#[inline(always)]
fn judge_outside(
    settings: &Settings,
    counts: &mut Counts,
    packet: &Frame,
    label: Label,
) -> Option<Wrong> {
    let ends = settings.numbering(label.numbering.into()).ends(label.flow);
    if packet.destination_address != ends.remote || packet.destination_port != ends.remote_port {
        return Some(Wrong::OtherEnd);
    }
    if settings.flags & SettingsFlags::TRANSLATED == 0 {
        return match (packet.source_address == ends.inside, packet.source_port == ends.inside_port)
        {
            (true, true) => None,
            (true, false) => Some(Wrong::Port),
            (false, _) => Some(Wrong::Address),
        };
    }
    let Some(address) = settings.outside_index(packet.source_address) else {
        return Some(Wrong::Address);
    };
    if label.numbering != 0 {
        // Nobody asks later where these came from.
        return None;
    }
    let Some(known) = maps::flow(label.flow) else { return Some(Wrong::Flow) };
    let seen = Learnt { address, port: packet.source_port }.to_word();
    if known.outside == seen {
        None
    } else if known.outside == 0 && settings.flags & SettingsFlags::LEARN != 0 {
        known.outside = seen;
        counts.learnt += 1;
        None
    } else {
        Some(Wrong::Port)
    }
}

#[inline(always)]
fn judge_inside(
    settings: &Settings,
    _counts: &mut Counts,
    packet: &Frame,
    label: Label,
) -> Option<Wrong> {
    let ends = settings.numbering(label.numbering.into()).ends(label.flow);
    if packet.source_address != ends.remote || packet.source_port != ends.remote_port {
        Some(Wrong::OtherEnd)
    } else if packet.destination_address != ends.inside {
        Some(Wrong::Address)
    } else if packet.destination_port != ends.inside_port {
        Some(Wrong::Port)
    } else {
        None
    }
}

/// Sequence numbers of a flow only grow.
#[inline(always)]
fn check_order(counts: &mut Counts, label: Label) {
    let Some(known) = maps::flow(label.flow) else { return };
    let next = label.sequence.wrapping_add(1);
    if next <= known.next {
        counts.reordered += 1;
    } else {
        known.next = next;
    }
}

#[inline(always)]
fn count_wrong(counts: &mut Counts, packet: &Frame, wrong: Wrong) {
    // The verifier must see that the index is one.
    if let Some(count) = counts.wrong.get_mut(wrong as usize) {
        *count += 1;
    }
    if counts.first_wrong == [0; 4] {
        counts.first_wrong = [
            packet.source_address,
            packet.destination_address,
            u32::from(packet.source_port) | u32::from(packet.destination_port) << 16,
            packet.flow,
        ];
    }
}
