//! The exact allocator of outside ports: one table for each outside address and protocol.
//!
//! Goals: a port is never given out twice (RFC 4787 REQ-3) and never lost; a source port is kept
//! when it is free, else replaced by one that nobody can guess (RFC 6056) of the same class
//! (REQ-3a) and, while there is one, the same parity (REQ-4); a freed port rests before a stranger
//! gets it (RFC 6888 REQ-8); and a full table answers as fast as an empty one.
//!
//! ```text
//!            allocate, claim                release
//!   free ───────────────────► in use ─────────────────► resting ──┐
//!    ▲                          │ at once, reclaimed              │ time is up, or too
//!    ├──────────────────────────┘                                 │ many are resting
//!    └────────────────────────────────────────────────────────────┘
//! ```
//!
//! - *Allowed* is what configuration leaves us of the 65,536 numbers: ranges, less the host's
//!   listeners and the host's own slice. It may change at any time; a port that is no longer allowed
//!   stays in use or at rest, and does not become free afterwards.
//! - *In use* is what was taken and not given back.
//! - *Resting* is a queue in order of time.
//! - *Free* is allowed, not in use and not resting, kept as a set of its own.
//!
//! Parity gives way when no port of the wanted one is free. Class does not: a service that asks for
//! a system port would refuse the other. Only where configuration allows no port of the class at
//! all (as with the single range of old masquerading) is the other class used.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use core::net::{IpAddr, Ipv6Addr};

use thiserror::Error;

use crate::policy::number;
use crate::port_set::{Parity, PortClass, PortSet};
use crate::random::Random;
use crate::time::{Duration, Instant};

/// The protocols with a number space of their own; ICMP's is that of query identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortSpace {
    /// TCP ports.
    Tcp,
    /// UDP ports.
    Udp,
    /// ICMP query identifiers (RFC 5508 REQ-1).
    Icmp,
}

impl PortSpace {
    /// Every space.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];
}

/// How long and how many freed ports rest (RFC 6888 REQ-8: both must be configurable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldDown {
    /// Time between release and the next use.
    pub duration: Duration,
    /// Ports of one address and protocol that may rest; beyond it the oldest become free early.
    pub most: usize,
    /// TCP ports become free at once, which REQ-8 (A) allows to a NAT that follows TCP's states.
    pub tcp_exempt: bool,
}

impl Default for HoldDown {
    /// Two minutes as RFC 6888 REQ-8 has it, for at most a quarter of the ports.
    fn default() -> Self {
        Self { duration: Duration::from_secs(120), most: 16_384, tcp_exempt: true }
    }
}

/// What a caller would like to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The inside port, or the query's identifier.
    pub port: u16,
    /// Give this very port when it is free.
    pub preserve: bool,
    /// Stay in its class, 0-1023 or 1024-65535.
    pub class: bool,
    /// Stay even or odd while there is a free one.
    pub parity: bool,
}

impl Wish {
    /// Asks for all that RFC 4787 recommends for a TCP or UDP port.
    #[must_use]
    pub const fn port(port: u16) -> Self {
        Self { port, preserve: true, class: true, parity: true }
    }

    /// Asks for a query identifier, which has neither class nor parity.
    #[must_use]
    pub const fn identifier(id: u16) -> Self {
        Self { port: id, preserve: true, class: false, parity: false }
    }
}

/// Why a port comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Its mapping ended; the port rests.
    Ended,
    /// Its mapping was given up for a new one under pressure; the port is free at once.
    Reclaimed,
    /// It was never shown to the outside; the port is free at once.
    Unused,
}

/// No port of the wanted kind is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no outside port is free: {in_use} in use, {resting} resting")]
pub struct Exhausted {
    /// Ports in use on this address and protocol.
    pub in_use: u32,
    /// Ports that rest until their hold-down ends.
    pub resting: u32,
}

/// The port is somebody's already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("outside port {port} is in use")]
pub struct Taken {
    /// The port.
    pub port: u16,
}

/// What an allocator did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// The port asked for was given.
    pub preserved: u64,
    /// Another port was given.
    pub replaced: u64,
    /// Of those, how many had to change parity.
    pub parity_lost: u64,
    /// Nothing was free.
    pub exhausted: u64,
    /// Ports taken from mappings under pressure.
    pub reclaimed: u64,
    /// Ports freed before their rest was over, because too many rested.
    pub rest_cut_short: u64,
}

/// The ports of every outside address.
#[derive(Debug)]
pub struct Ports {
    /// By address, as a number, and protocol.
    tables: BTreeMap<(u128, PortSpace), PortTable>,
    hold_down: HoldDown,
    random: Random,
}

impl Ports {
    /// Starts without any address.
    #[must_use]
    pub fn new(random: Random, hold_down: HoldDown) -> Self {
        Self { tables: BTreeMap::new(), hold_down, random }
    }

    /// Sets the allowed ports of an address and protocol; ports in use stay in use.
    ///
    /// The set is shared: a pool of addresses needs one.
    pub fn set_allowed(&mut self, address: IpAddr, space: PortSpace, allowed: Arc<PortSet>) {
        match self.tables.get_mut(&(number(address), space)) {
            Some(table) => table.set_allowed(allowed),
            None => {
                self.tables.insert((number(address), space), PortTable::new(allowed));
            }
        }
    }

    /// Forgets an address that is not ours any more, with all its ports.
    pub fn remove_address(&mut self, address: IpAddr) {
        self.tables.retain(|(ours, _), _| *ours != number(address));
    }

    /// Changes the hold-down; ports at rest keep the time that they were given.
    pub const fn set_hold_down(&mut self, hold_down: HoldDown) {
        self.hold_down = hold_down;
    }

    /// Takes a free port of an address.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] when no port of the wished class is free, or the address has no ports at all.
    pub fn allocate(
        &mut self,
        now: Instant,
        address: IpAddr,
        space: PortSpace,
        wish: Wish,
    ) -> Result<u16, Exhausted> {
        let Some(table) = self.tables.get_mut(&(number(address), space)) else {
            return Err(Exhausted { in_use: 0, resting: 0 });
        };
        table.allocate(now, wish, &mut self.random)
    }

    /// Whether an address has a port that fits a wish.
    #[must_use]
    pub fn has_free(&self, now: Instant, address: IpAddr, space: PortSpace, wish: Wish) -> bool {
        self.table(address, space).is_some_and(|table| table.has_free(now, wish))
    }

    /// Takes one very port, allowed or not: a configured forward, or a session found after a restart.
    ///
    /// # Errors
    ///
    /// [`Taken`] when the port is in use. A resting port can be claimed: who asks for one by number
    /// means it.
    pub fn claim_exact(
        &mut self,
        address: IpAddr,
        space: PortSpace,
        port: u16,
    ) -> Result<(), Taken> {
        let table = self
            .tables
            .entry((number(address), space))
            .or_insert_with(|| PortTable::new(Arc::default()));
        table.claim_exact(port)
    }

    /// Gives a port back; false if it was not in use.
    pub fn release(
        &mut self,
        now: Instant,
        address: IpAddr,
        space: PortSpace,
        port: u16,
        why: Release,
    ) -> bool {
        let exempt = space == PortSpace::Tcp && self.hold_down.tcp_exempt;
        let hold_down = match why {
            Release::Ended if !exempt => Some(&self.hold_down),
            Release::Ended | Release::Reclaimed | Release::Unused => None,
        };
        let Some(table) = self.tables.get_mut(&(number(address), space)) else { return false };
        table.counts.reclaimed += u64::from(why == Release::Reclaimed);
        table.release(now, port, hold_down)
    }

    /// Lets a port rest that was freed before a restart; false if it is in use or not allowed.
    pub fn rest(&mut self, address: IpAddr, space: PortSpace, port: u16, until: Instant) -> bool {
        let Some(table) = self.tables.get_mut(&(number(address), space)) else { return false };
        table.rest(port, until, self.hold_down.most)
    }

    /// Says whether a port is in use.
    #[must_use]
    pub fn in_use(&self, address: IpAddr, space: PortSpace, port: u16) -> bool {
        self.table(address, space).is_some_and(|table| table.used.contains(port))
    }

    /// Returns the number of ports in use.
    #[must_use]
    pub fn used_count(&self, address: IpAddr, space: PortSpace) -> u32 {
        self.table(address, space).map_or(0, |table| table.used.len())
    }

    /// Returns the number of ports that could be given out; those whose rest ended count after the
    /// next allocation.
    #[must_use]
    pub fn free_count(&self, address: IpAddr, space: PortSpace) -> u32 {
        self.table(address, space).map_or(0, |table| table.free.len())
    }

    /// Returns the number of ports at rest.
    #[must_use]
    pub fn resting_count(&self, address: IpAddr, space: PortSpace) -> u32 {
        self.table(address, space).map_or(0, |table| table.resting.len() as u32)
    }

    /// Returns the ports in use, for the bitmap by which the fast path tells ours from the host's.
    #[must_use]
    pub fn used(&self, address: IpAddr, space: PortSpace) -> Option<&PortSet> {
        self.table(address, space).map(|table| &table.used)
    }

    /// Says whether a port may be given out.
    #[must_use]
    pub fn is_allowed(&self, address: IpAddr, space: PortSpace, port: u16) -> bool {
        self.table(address, space).is_some_and(|table| table.allowed.contains(port))
    }

    /// Returns what was done on one address and protocol.
    #[must_use]
    pub fn counts(&self, address: IpAddr, space: PortSpace) -> PortCounts {
        self.table(address, space).map_or_else(PortCounts::default, |table| table.counts)
    }

    /// Visits every address and protocol that has ports, in order.
    pub fn spaces(&self) -> impl Iterator<Item = (IpAddr, PortSpace)> + '_ {
        self.tables.keys().map(|(address, space)| {
            let address = Ipv6Addr::from_bits(*address).to_canonical();
            (address, *space)
        })
    }

    /// The memory that is taken, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.tables.values().map(PortTable::memory).sum()
    }

    fn table(&self, address: IpAddr, space: PortSpace) -> Option<&PortTable> {
        self.tables.get(&(number(address), space))
    }
}

/// The ports of one address and protocol.
#[derive(Debug)]
struct PortTable {
    allowed: Arc<PortSet>,
    free: PortSet,
    used: PortSet,
    /// In order of time.
    resting: VecDeque<(Instant, u16)>,
    counts: PortCounts,
}

impl PortTable {
    fn new(allowed: Arc<PortSet>) -> Self {
        Self {
            free: allowed.as_ref().clone(),
            allowed,
            used: PortSet::new(),
            resting: VecDeque::new(),
            counts: PortCounts::default(),
        }
    }

    /// With its sets, but for the one that others share.
    fn memory(&self) -> usize {
        let resting = self.resting.capacity() * size_of::<(Instant, u16)>();
        size_of::<Self>() + 2 * PortSet::HEAP + resting
    }

    fn set_allowed(&mut self, allowed: Arc<PortSet>) {
        self.free = allowed.as_ref().clone();
        self.free.subtract(&self.used);
        for (_, port) in &self.resting {
            self.free.remove(*port);
        }
        self.allowed = allowed;
    }

    fn allocate(
        &mut self,
        now: Instant,
        wish: Wish,
        random: &mut Random,
    ) -> Result<u16, Exhausted> {
        self.end_rests(now);
        if wish.preserve && self.free.remove(wish.port) {
            self.used.insert(wish.port);
            self.counts.preserved += 1;
            return Ok(wish.port);
        }
        let Some(port) = self.choose(wish, random) else {
            self.counts.exhausted += 1;
            return Err(Exhausted { in_use: self.used.len(), resting: self.resting.len() as u32 });
        };
        self.free.remove(port);
        self.used.insert(port);
        self.counts.replaced += 1;
        Ok(port)
    }

    /// Whether there is a port that fits a wish, at the latest when those have rested whose time is up.
    fn has_free(&self, now: Instant, wish: Wish) -> bool {
        let rested = self.resting.front().is_some_and(|(until, _)| *until <= now);
        let preserved = wish.preserve && self.free.contains(wish.port);
        let fits = |class: &PortClass| {
            Parity::ALL.iter().any(|parity| self.free.len_of(*class, *parity) > 0)
        };
        rested || preserved || self.classes(wish).iter().any(fits)
    }

    /// The classes that a port for a wish may be of.
    fn classes(&self, wish: Wish) -> &'static [PortClass] {
        let class = PortClass::of(wish.port);
        let possible = Parity::ALL.iter().any(|parity| self.allowed.len_of(class, *parity) > 0);
        match (wish.class && possible, class) {
            (true, PortClass::System) => &[PortClass::System],
            (true, PortClass::User) => &[PortClass::User],
            (false, _) => &PortClass::ALL,
        }
    }

    /// Picks one of the free ports that fit the wish best, all with the same probability.
    fn choose(&mut self, wish: Wish, random: &mut Random) -> Option<u16> {
        let classes = self.classes(wish);
        let parity = Parity::of(wish.port);
        if !wish.parity {
            return pick(&self.free, classes, &Parity::ALL, random);
        }
        if let Some(port) = pick(&self.free, classes, &[parity], random) {
            return Some(port);
        }
        let port = pick(&self.free, classes, &[parity.other()], random)?;
        self.counts.parity_lost += 1;
        Some(port)
    }

    fn claim_exact(&mut self, port: u16) -> Result<(), Taken> {
        if !self.used.insert(port) {
            return Err(Taken { port });
        }
        if !self.free.remove(port) {
            self.resting.retain(|(_, resting)| *resting != port);
        }
        Ok(())
    }

    fn release(&mut self, now: Instant, port: u16, hold_down: Option<&HoldDown>) -> bool {
        if !self.used.remove(port) {
            return false;
        }
        match hold_down {
            Some(hold_down) => self.push_rest(now + hold_down.duration, port, hold_down.most),
            None => self.set_free(port),
        }
        true
    }

    fn rest(&mut self, port: u16, until: Instant, most: usize) -> bool {
        let free = self.free.remove(port);
        if free {
            self.push_rest(until, port, most);
        }
        free
    }

    /// Appends to the queue. When a shorter hold-down was configured in the meantime, the port
    /// waits for those before it, which keeps the queue in order.
    fn push_rest(&mut self, until: Instant, port: u16, most: usize) {
        let until = self.resting.back().map_or(until, |(last, _)| until.max(*last));
        self.resting.push_back((until, port));
        while self.resting.len() > most {
            self.end_oldest_rest();
            self.counts.rest_cut_short += 1;
        }
    }

    fn end_rests(&mut self, now: Instant) {
        while self.resting.front().is_some_and(|(until, _)| *until <= now) {
            self.end_oldest_rest();
        }
    }

    fn end_oldest_rest(&mut self) {
        if let Some((_, port)) = self.resting.pop_front() {
            self.set_free(port);
        }
    }

    fn set_free(&mut self, port: u16) {
        if self.allowed.contains(port) {
            self.free.insert(port);
        }
    }
}

/// Draws one member of some classes and parities, each with the same probability.
///
/// While there are many, it is a number drawn at random, for as often as none of a few draws was a
/// member; then counting finds one. Either is uniform, so both together are.
fn pick(
    free: &PortSet,
    classes: &[PortClass],
    parities: &[Parity],
    random: &mut Random,
) -> Option<u16> {
    let areas = || classes.iter().flat_map(|class| parities.iter().map(|parity| (*class, *parity)));
    let members = areas().map(|(class, parity)| free.len_of(class, parity)).sum();
    if members == 0 {
        return None;
    }
    if let (&[class], &[parity]) = (classes, parities) {
        let (first, numbers) = class.numbers(parity);
        let few = if members >= u32::from(numbers / 4) { DRAWS } else { 0 };
        let mut drawn = (0..few).map(|_| first + 2 * random.below(numbers.into()) as u16);
        if let Some(member) = drawn.find(|port| free.contains(*port)) {
            return Some(member);
        }
    }
    let mut n = random.below(members);
    for (class, parity) in areas() {
        let here = free.len_of(class, parity);
        if n < here {
            return free.nth(class, parity, n);
        }
        n -= here;
    }
    None
}

/// Numbers that are drawn in the hope that they are free.
const DRAWS: u32 = 4;

#[cfg(test)]
mod tests;
