//! The flow table, as the programs see it: look-ups in array maps.

use masq_flow::index::{self, Hit, Source};
use masq_flow::key::Key4;
use masq_flow::{Bucket, Record, Slot};

use crate::maps::{HEADER, INDEX, RECORDS};

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

/// The session that a packet with this tuple belongs to.
#[inline(always)]
pub(crate) fn find(key: &Key4) -> Option<Hit<'static>> {
    let header = HEADER.get(0)?;
    index::find(&Maps, header.mask(), header.secret(), key)
}
