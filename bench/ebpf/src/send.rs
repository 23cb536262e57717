//! The generator: every run writes one whole packet.
//!
//! The kernel recycles frames as forwarding left them, so nothing of an earlier packet is relied upon.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use aya_ebpf::programs::XdpContext;
use masq_bench_packet::frame::Label;
use masq_bench_packet::settings::{Learnt, station};
use masq_bench_packet::{Ends, Frame, Settings, SettingsFlags};

use crate::{frame, maps};

/// A packet from inside.
#[inline(always)]
pub(crate) fn egress(ctx: &XdpContext) -> u32 {
    let Some(settings) = maps::settings() else { return XDP_DROP };
    let Some((label, ends)) = next(settings) else { return XDP_DROP };
    let (from, to) = (station::SENDER, station::GATEWAY_INSIDE);
    send(ctx, settings, [from, to], &ends, false, label)
}

/// A packet from outside. A flow of which nothing is known has none.
#[inline(always)]
pub(crate) fn ingress(ctx: &XdpContext) -> u32 {
    let Some(settings) = maps::settings() else { return XDP_DROP };
    let Some((label, mut ends)) = next(settings) else { return XDP_DROP };
    if settings.flags & SettingsFlags::TRANSLATED != 0 {
        let Some(known) = maps::flow(label.flow) else { return XDP_DROP };
        let Some(learnt) = Learnt::from_word(known.outside) else { return XDP_DROP };
        ends.inside = settings.outside_address(learnt.address);
        ends.inside_port = learnt.port;
    }
    let (from, to) = (station::RECEIVER, station::GATEWAY_OUTSIDE);
    send(ctx, settings, [from, to], &ends, true, label)
}

#[inline(always)]
fn send(
    ctx: &XdpContext,
    settings: &Settings,
    [from, to]: [usize; 2],
    ends: &Ends,
    from_remote: bool,
    label: Label,
) -> u32 {
    let (source, destination) = (settings.station(from), settings.station(to));
    let packet = Frame::write(source, destination, ends, from_remote, label);
    match frame::write(ctx, packet) {
        Some(()) => XDP_TX,
        None => XDP_DROP,
    }
}

/// The packet whose turn it is.
#[inline(always)]
fn next(settings: &Settings) -> Option<(Label, Ends)> {
    let streams = maps::streams()?;
    let stream = streams.choose();
    let (flow, sequence) = stream.advance();
    let number = stream.numbering;
    let ends = settings.numbering(number).ends(flow);
    Some((Label { flow, sequence, numbering: number as u16 }, ends))
}
