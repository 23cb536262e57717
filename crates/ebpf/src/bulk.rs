//! What the worker sends, many packets at once.
//!
//! The kernel makes frames and runs the program on each (`BPF_PROG_RUN` with live frames, Linux 5.18),
//! and the program fills them with what the worker has left for it ([`Outgoing`]). No socket buffer is
//! made for a packet, no device is gone through on the way, and there is one softirq for all: a packet
//! costs a fifth of what it costs through the punt port, but a call costs as much as a dozen packets.
//!
//! What XDP cannot redirect is left to the kernel with its return header, and meets the program at the
//! punt port (`reinject`). And what it should not: where TC carries the session whose packet it is, the
//! next one must not leave by another queue of the device than this one.

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::helpers::{bpf_xdp_adjust_tail, bpf_xdp_store_bytes};
use aya_ebpf::programs::XdpContext;
use masq_flow::maps::{Counter, EarlyDrop};
use masq_flow::punt::{Return, ReturnHeader};
use masq_flow::{Burst, NextHopId, Outgoing};

use crate::bytes::Bytes as _;
use crate::counters::{count, drop_xdp};
use crate::maps;
use crate::xdp::{Frame, SHORTEST_FRAME};

/// Whether the kernel made the frame for [`next`].
#[inline(always)]
pub(crate) fn is_of_ours(ctx: &XdpContext) -> bool {
    let (mark, data) = (ctx.metadata(), ctx.data());
    if mark + Burst::MARK.len() > data {
        return false;
    }
    // SAFETY: that many bytes were just seen to lie there; bytes need no alignment.
    unsafe { (mark as *const [u8; 4]).read() == Burst::MARK }
}

/// Fills the frame with the next packet, and sends it.
#[inline(always)]
pub(crate) fn next(ctx: &XdpContext) -> u32 {
    let Some(outgoing) = maps::next_outgoing() else {
        return drop_xdp(EarlyDrop::Stray);
    };
    if fill(ctx, outgoing).is_none() {
        return drop_xdp(EarlyDrop::Headroom);
    }
    match outgoing.header().and_then(|header| header.get()) {
        Some(Return::Forward { next_hop, link }) => forward(ctx, outgoing, next_hop, link),
        Some(Return::Local { .. }) => left(outgoing),
        None => drop_xdp(EarlyDrop::Stray),
    }
}

#[inline(always)]
fn forward(ctx: &XdpContext, outgoing: &Outgoing, id: NextHopId, link: u16) -> u32 {
    let Some(hop) = maps::ready(id, link) else {
        return drop_xdp(EarlyDrop::NextHop);
    };
    if hop.layer3 || !outgoing.may_be_redirected() {
        return left(outgoing);
    }
    let Some(action) = maps::redirect(hop.ifindex) else { return left(outgoing) };
    // The kernel's own way fills up what is too short for a wire, and a driver may rely on it.
    if lengthen(ctx, outgoing.length(), SHORTEST_FRAME as u32).is_none() {
        return drop_xdp(EarlyDrop::Headroom);
    }
    if Frame::new(ctx).write(0, hop.addresses).is_none() {
        return drop_xdp(EarlyDrop::Headroom);
    }
    outgoing.note_redirected();
    count(Counter::Returned);
    action
}

#[inline(always)]
fn fill(ctx: &XdpContext, outgoing: &Outgoing) -> Option<()> {
    let length = outgoing.length();
    if length < ReturnHeader::LEN as u32 || length > Outgoing::LONGEST as u32 {
        return None;
    }
    lengthen(ctx, Burst::SHORTEST as u32, length)?;
    // SAFETY: the context is the one the kernel passed; the bytes are as many at least.
    let stored =
        unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, outgoing.bytes().cast_mut().cast(), length) };
    if stored == 0 { Some(()) } else { None }
}

/// Makes a frame longer, if it is not; what is added is zero.
#[inline(always)]
fn lengthen(ctx: &XdpContext, length: u32, least: u32) -> Option<()> {
    if length >= least {
        return Some(());
    }
    // SAFETY: the context is the one the kernel passed.
    let done = unsafe { bpf_xdp_adjust_tail(ctx.ctx, (least - length) as i32) };
    if done == 0 { Some(()) } else { None }
}

#[inline(always)]
fn left(outgoing: &Outgoing) -> u32 {
    outgoing.note_left();
    XDP_PASS
}
