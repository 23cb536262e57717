//! Answers of the mirror that were asked for lately.
//!
//! Rules and tables are searched by hash, prefix length by prefix length; yet most packets go where
//! others went just before. An answer is kept until anything changes that could change it
//! ([`Mirror::generation`](super::Mirror::generation)). Where it does not depend on the packet's
//! source, as nearly always, it serves every source.

use core::net::IpAddr;

use masq_core::{Route, RouteQuery};

use super::NextHopKey;

/// The next hop that a query leads to and the longest packet on the way; or the answer, if it leads to
/// none.
pub(super) type Leads = Result<(NextHopKey, u32), Route>;

/// What was answered.
#[derive(Debug)]
pub(super) struct Memo {
    generation: u64,
    entries: Vec<Option<Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    query: RouteQuery,
    of_source: bool,
    leads: Leads,
}

impl Memo {
    pub(super) fn new() -> Self {
        Self { generation: 0, entries: vec![None; PLACES] }
    }

    /// The answer to a query, if it was given before under this generation of the mirror.
    pub(super) fn recall(&mut self, generation: u64, query: &RouteQuery) -> Option<Leads> {
        if generation != self.generation {
            self.generation = generation;
            self.entries.fill(None);
        }
        let entry = self.entries[place(query.destination)].as_ref()?;
        let same = entry.query.destination == query.destination
            && entry.query.arriving == query.arriving
            && entry.query.mark == query.mark
            && (!entry.of_source || entry.query.source == query.source);
        same.then_some(entry.leads)
    }

    /// Keeps an answer, which may depend on the source or not.
    pub(super) fn note(&mut self, query: &RouteQuery, of_source: bool, leads: Leads) {
        let entry = Entry { query: *query, of_source, leads };
        self.entries[place(query.destination)] = Some(entry);
    }
}

/// Where the answers for a destination are; another that comes to the same place takes it over.
fn place(destination: IpAddr) -> usize {
    let bits = match destination {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u32 ^ v6.to_bits() as u32,
    };
    bits.wrapping_mul(0x9e37_79b1) as usize >> 16 & (PLACES - 1)
}

/// A power of two.
const PLACES: usize = 512;
