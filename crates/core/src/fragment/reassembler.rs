//! Reassembly: fragments in any order become one datagram, within bounds.
//!
//! A NAT must translate fragments in whatever order they come (RFC 4787 REQ-14), and only the first
//! one has the ports. So fragments wait here until their datagram is whole; it is then translated
//! like any other and cut again for the way out.
//!
//! Limits:
//!
//! - *Overlaps.* A fragment that overlaps another one without being its exact copy condemns the
//!   datagram: what it holds is dropped, and what still comes for it too, until its time is up
//!   (RFC 5722 §4 for IPv6; RFC 1858, RFC 3128 and "teardrop" are the reasons in IPv4). So do
//!   two different ends, and data beyond the end.
//! - *Impossible fragments* are dropped alone: no payload, an inner length that is not a multiple of
//!   eight, an end beyond 65,535 bytes ("ping of death"), a TCP header torn apart (RFC 3128).
//! - *Memory.* Datagrams and bytes are bounded for each source and in total; a datagram's pieces
//!   are bounded by number. What is over a source's bound costs that source its oldest datagram. What
//!   is over the total costs the source that holds most, if it holds more than a quarter of
//!   its bound, and else the oldest of all: in a flood from invented sources, an honest
//!   datagram is complete long before it has become the oldest.
//! - *Time.* A datagram has a few seconds from its first fragment, and fragments do not extend them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;

use super::partial::{Fit, Partial, check_alone, cost};
use super::{DatagramKey, Fragment, FragmentError, Progress};
use crate::routes::PortId;
use crate::time::{Duration, Instant};

/// Bounds of what waits for its missing pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Time of a datagram from its first fragment on.
    pub timeout: Duration,
    /// Incomplete datagrams in all.
    pub datagrams: usize,
    /// Incomplete datagrams of one source.
    pub datagrams_per_source: usize,
    /// Bytes in all, with what the bookkeeping costs.
    pub bytes: usize,
    /// Bytes of one source.
    pub bytes_per_source: usize,
    /// Pieces of one datagram. A full one takes 119 of 576 bytes, 46 of 1500.
    pub pieces: usize,
}

impl ReassemblyLimits {
    /// Shortest time that can be configured, FRAGMENT_MIN of RFC 6146 §4.
    pub const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);
    /// Longest time that can be configured: with more, identifications come round (RFC 4963).
    pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

    /// Brings the timeout between its bounds.
    #[must_use]
    pub fn clamped(self) -> Self {
        let timeout = self.timeout.clamp(Self::SHORTEST_TIMEOUT, Self::LONGEST_TIMEOUT);
        Self { timeout, ..self }
    }
}

impl Default for ReassemblyLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            datagrams: 1024,
            datagrams_per_source: 64,
            bytes: 4 << 20,
            bytes_per_source: 1 << 20,
            pieces: 256,
        }
    }
}

/// A datagram whose time was up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Which one.
    pub key: DatagramKey,
    /// Header and payload of its first fragment, if that came: what an ICMP time exceeded quotes, and
    /// without which none is sent (RFC 792).
    pub first: Option<Vec<u8>>,
}

/// How many datagrams came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyCounts {
    /// Became whole.
    pub completed: u64,
    /// Were condemned for contradictions.
    pub condemned: u64,
    /// Made room for others.
    pub evicted: u64,
    /// Ran out of time.
    pub expired: u64,
}

/// The incomplete datagrams.
#[derive(Debug)]
pub struct Reassembler {
    limits: ReassemblyLimits,
    datagrams: BTreeMap<DatagramKey, Partial>,
    sources: BTreeMap<Source, Usage>,
    /// Datagrams by source and age.
    by_source: BTreeMap<(Source, u64), DatagramKey>,
    /// Datagrams by age, which is also the order of their deadlines.
    by_age: BTreeMap<u64, DatagramKey>,
    /// Sources by the number of their datagrams.
    by_number: BTreeSet<(usize, Source)>,
    bytes: usize,
    next_age: u64,
    counts: ReassemblyCounts,
}

/// A source is told apart by interface: on another one it may be somebody else.
type Source = (PortId, IpAddr);

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    datagrams: usize,
    bytes: usize,
}

impl Reassembler {
    /// Starts with nothing.
    #[must_use]
    pub fn new(limits: ReassemblyLimits) -> Self {
        Self {
            limits: limits.clamped(),
            datagrams: BTreeMap::new(),
            sources: BTreeMap::new(),
            by_source: BTreeMap::new(),
            by_age: BTreeMap::new(),
            by_number: BTreeSet::new(),
            bytes: 0,
            next_age: 0,
            counts: ReassemblyCounts::default(),
        }
    }

    /// Changes the limits; a shorter timeout does not apply to datagrams that wait already.
    pub fn set_limits(&mut self, limits: ReassemblyLimits) {
        self.limits = limits.clamped();
    }

    /// Takes a fragment in.
    ///
    /// # Errors
    ///
    /// Why the fragment was dropped; with some reasons the whole datagram is.
    pub fn insert(
        &mut self,
        now: Instant,
        fragment: &Fragment<'_>,
    ) -> Result<Progress, FragmentError> {
        check_alone(fragment)?;
        let key = fragment.key;
        if let Some(partial) = self.datagrams.get(&key) {
            if partial.condemned {
                return Err(FragmentError::Condemned);
            }
            match partial.check(fragment, self.limits.pieces) {
                Ok(Fit::Duplicate) => return Ok(Progress::Duplicate),
                Ok(Fit::Hole) => {}
                Err(error) => {
                    self.condemn(key);
                    return Err(error);
                }
            }
        }
        self.make_room(fragment)?;
        let partial = match self.datagrams.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let age = self.next_age;
                self.next_age += 1;
                self.by_age.insert(age, key);
                self.by_source.insert((source(&key), age), key);
                entry.insert(Partial::new(age, now + self.limits.timeout))
            }
        };
        let new = partial.is_new();
        let added = partial.add(fragment);
        let complete = partial.is_complete();
        self.charge(source(&key), usize::from(new), added);
        if !complete {
            return Ok(Progress::Incomplete);
        }
        let Some(partial) = self.remove(key) else { return Ok(Progress::Incomplete) };
        let datagram = partial.into_datagram(key)?;
        self.counts.completed += 1;
        Ok(Progress::Complete(datagram))
    }

    /// Gives out one datagram whose time is up, the oldest first.
    pub fn expire(&mut self, now: Instant) -> Option<Expired> {
        if self.poll_timeout()? > now {
            return None;
        }
        let (_, key) = self.by_age.first_key_value()?;
        let key = *key;
        let partial = self.remove(key)?;
        self.counts.expired += 1;
        Some(Expired { key, first: partial.into_first_fragment() })
    }

    /// Returns when [`Reassembler::expire`] will have something to give.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (_, key) = self.by_age.first_key_value()?;
        self.datagrams.get(key).map(|partial| partial.deadline)
    }

    /// Returns the number of incomplete datagrams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Says whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Returns the memory in use, about.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what became of the datagrams.
    #[must_use]
    pub const fn counts(&self) -> ReassemblyCounts {
        self.counts
    }

    /// Gives up other datagrams until a fragment fits.
    fn make_room(&mut self, fragment: &Fragment<'_>) -> Result<(), FragmentError> {
        let (key, limits) = (fragment.key, self.limits);
        let new = !self.datagrams.contains_key(&key);
        let more = cost(fragment, new);
        loop {
            let usage = self.sources.get(&source(&key)).copied().unwrap_or_default();
            let source_full = usage.datagrams + usize::from(new) > limits.datagrams_per_source
                || usage.bytes + more > limits.bytes_per_source;
            let all_full = self.datagrams.len() + usize::from(new) > limits.datagrams
                || self.bytes + more > limits.bytes;
            let victim = match (source_full, all_full) {
                (false, false) => return Ok(()),
                (true, _) => self.oldest_of(source(&key), key),
                (false, true) => self.offender(key),
            };
            let Some(victim) = victim else {
                self.remove(key);
                return Err(FragmentError::Limit);
            };
            self.remove(victim);
            self.counts.evicted += 1;
        }
    }

    /// Picks the datagram that goes when all together are too many.
    fn offender(&self, keep: DatagramKey) -> Option<DatagramKey> {
        if let Some((datagrams, source)) = self.by_number.last()
            && *datagrams > self.limits.datagrams_per_source / 4
        {
            return self.oldest_of(*source, keep);
        }
        self.by_age.values().copied().find(|key| *key != keep)
    }

    fn oldest_of(&self, source: Source, keep: DatagramKey) -> Option<DatagramKey> {
        let datagrams = self.by_source.range((source, 0)..=(source, u64::MAX));
        datagrams.map(|(_, key)| *key).find(|key| *key != keep)
    }

    /// Drops what a datagram has, and remembers to drop the rest of it.
    fn condemn(&mut self, key: DatagramKey) {
        let Some(partial) = self.datagrams.get_mut(&key) else { return };
        let freed = partial.condemn();
        self.discharge(source(&key), 0, freed);
        self.counts.condemned += 1;
    }

    fn remove(&mut self, key: DatagramKey) -> Option<Partial> {
        let partial = self.datagrams.remove(&key)?;
        self.by_age.remove(&partial.age);
        self.by_source.remove(&(source(&key), partial.age));
        self.discharge(source(&key), 1, partial.charged);
        Some(partial)
    }

    fn charge(&mut self, source: Source, datagrams: usize, bytes: usize) {
        let usage = self.sources.entry(source).or_default();
        self.by_number.remove(&(usage.datagrams, source));
        usage.datagrams += datagrams;
        usage.bytes += bytes;
        self.by_number.insert((usage.datagrams, source));
        self.bytes += bytes;
    }

    fn discharge(&mut self, source: Source, datagrams: usize, bytes: usize) {
        let Some(usage) = self.sources.get_mut(&source) else { return };
        self.by_number.remove(&(usage.datagrams, source));
        usage.datagrams -= datagrams;
        usage.bytes -= bytes;
        self.bytes -= bytes;
        if usage.datagrams == 0 {
            self.sources.remove(&source);
        } else {
            self.by_number.insert((usage.datagrams, source));
        }
    }
}

const fn source(key: &DatagramKey) -> Source {
    (key.interface, key.source)
}
