//! At the punt port: what the worker sends back. It arrives at the first end, and what was left to the
//! kernel in bulk (see `bulk`) at the second.
//!
//! ```text
//!   [return header][type][IPv4 …]   forward ──► [next hop][our address][type][IPv4 …] out of its interface
//!                                   local   ──► arrives once more where it arrived first, marked
//! ```
//!
//! The worker names a next hop and does not know its address; whether it can be reached is seen here,
//! at the last moment. A frame without a return header was not sent by the worker and ends here.
//!
//! A ticket is given back last, when nothing remains but to hand the packet over; and also if it ends
//! here, since then nothing can overtake it.

use masq_flow::NextHopId;
use masq_flow::maps::{Counter, EarlyDrop, Role};
use masq_flow::punt::{LOCAL_MARK, OUT_MARK, Return, ReturnHeader};
use masq_wire::ethernet::MacAddr;

use crate::bytes::Bytes as _;
use crate::counters::{count, drop};
use crate::skb::Skb;
use crate::{maps, table};

/// Sends a frame of the worker where it says.
#[inline(always)]
pub(crate) fn handle(skb: Skb<'_>) -> i32 {
    let Some(header) = skb.read::<ReturnHeader>(0) else {
        return drop(EarlyDrop::Stray);
    };
    let action = match header.get() {
        Some(Return::Forward { next_hop, link }) => forward(skb, next_hop, link),
        Some(Return::Local { ifindex }) => local(skb, ifindex),
        None => return drop(EarlyDrop::Stray),
    };
    if let Some(ticket) = header.ticket() {
        table::give_back(ticket);
    }
    action
}

#[inline(always)]
fn forward(skb: Skb<'_>, id: NextHopId, link: u16) -> i32 {
    let Some(hop) = maps::ready(id, link) else {
        return drop(EarlyDrop::NextHop);
    };
    // The redirect takes the link-layer header off for a device that has none.
    if skb.write(0, hop.addresses).is_none() {
        return drop(EarlyDrop::Headroom);
    }
    // The return header's address was nobody's, which the kernel noted; that must not travel on.
    skb.address_to_this_station();
    // What is sent by an outside is translated, or our own.
    if maps::interface(hop.ifindex).is_some_and(|to| to.role == Role::Outside as u32) {
        skb.set_mark(OUT_MARK);
    }
    count(Counter::Returned);
    skb.redirect_out(hop.ifindex)
}

#[inline(always)]
fn local(skb: Skb<'_>, ifindex: u32) -> i32 {
    let Some(interface) = maps::interface(ifindex) else {
        return drop(EarlyDrop::NextHop);
    };
    // A station takes only frames that are sent to its own address.
    if skb.write(0, [MacAddr(interface.mac), MacAddr::ZERO]).is_none() {
        return drop(EarlyDrop::Headroom);
    }
    skb.address_to_this_station();
    skb.set_mark(LOCAL_MARK);
    count(Counter::ReturnedLocal);
    skb.redirect_in(ifindex)
}
