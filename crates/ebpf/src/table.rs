//! The flow table, as the programs see it: look-ups in array maps.

use masq_flow::index::{self, Hit, Source};
use masq_flow::{Bucket, Header, Record, Slot, Ticket};

use crate::maps::{HEADER, INDEX, RECORDS};
use crate::parse::Packet;

/// Buckets and records behind map look-ups.
struct Maps;

impl Source for Maps {
    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&Bucket> {
        INDEX.get(number)
    }

    #[inline(always)]
    fn record(&self, slot: Slot) -> Option<&Record> {
        RECORDS.get(slot.index())
    }
}

/// What the table says of itself.
#[inline(always)]
pub(crate) fn header() -> Option<&'static Header> {
    HEADER.get(0)
}

/// The session that a packet belongs to.
#[inline(always)]
pub(crate) fn find(header: &'static Header, packet: &Packet) -> Option<Hit<'static>> {
    if !packet.kind.has_tuple() {
        return None;
    }
    index::find(&Maps, header, &packet.key)
}

/// Notes that a packet of a session has come back from the worker.
#[inline(always)]
pub(crate) fn give_back(ticket: Ticket) {
    if let Some(record) = RECORDS.get(ticket.slot.index()) {
        record.activity.give_back(ticket);
    }
}
