//! How many sessions and mappings one inside host may have, and how fast it may make them.
//!
//! One host that opens 65,000 flows must not take the ports of the others (RFC 6888 REQ-4), nor,
//! with many destinations behind one mapping, their memory (REQ-5). Each host with anything in the
//! table has one entry here:
//!
//! ```text
//!  admit ──► sessions < limit? ──► mappings < limit? ──► rate allows? ──► both counted
//!               │ no                  │ no                  │ no
//!               └─────────────────────┴─────────────────────┴──► Refused, announced once a minute
//! ```
//!
//! The table is open-addressed with a keyed hash, grows by doubling and never beyond a bound: a
//! flood of invented source addresses is refused as [`Limit::Hosts`] and costs no memory. An entry
//! goes when its host has nothing left and has paid off its rate.
//!
//! The rate is kept as one time per host, the "theoretical arrival time" of the generic cell rate
//! algorithm: each new session moves it one interval on, and a host whose time lies more than a
//! burst ahead of now has to wait. That is a token bucket in eight bytes.

use core::net::IpAddr;

use masq_flow::Secret;
use thiserror::Error;

use crate::random::Random;
use crate::time::{Duration, Instant};

/// Slots of an empty table.
const FIRST_SLOTS: usize = 16;
/// Slots that each admission of a new host looks through for entries that can go.
const SWEEP: usize = 8;

/// What one inside host may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// Sessions at the same time.
    pub sessions: u32,
    /// Mappings at the same time.
    pub mappings: u32,
    /// New sessions per second, if that is limited.
    pub rate: Option<Rate>,
    /// Hosts that may have anything at the same time.
    pub hosts: usize,
    /// Least time between two announcements that one host was refused.
    pub announcement_interval: Duration,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            sessions: 65_536,
            mappings: 16_384,
            rate: None,
            hosts: 65_536,
            announcement_interval: Duration::from_secs(60),
        }
    }
}

/// A rate with the number that may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many per second in the long run.
    pub per_second: u32,
    /// How many may follow each other without a pause.
    pub burst: u32,
}

/// The limit that a host has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Limit {
    /// Too many hosts have sessions.
    #[error("too many inside hosts have sessions")]
    Hosts,
    /// The host has as many mappings as it may.
    #[error("the host has too many mappings")]
    Mappings,
    /// The host makes sessions faster than it may.
    #[error("the host makes sessions too fast")]
    Rate,
    /// The host has as many sessions as it may.
    #[error("the host has too many sessions")]
    Sessions,
}

/// A session that was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{limit}")]
pub struct Refused {
    /// Why.
    pub limit: Limit,
    /// Nobody was told within the last interval, so this one is worth an event.
    pub announce: bool,
}

/// What a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Its sessions.
    pub sessions: u32,
    /// Its mappings.
    pub mappings: u32,
}

/// The inside hosts that have sessions or mappings.
#[derive(Debug)]
pub struct Hosts {
    limits: HostLimits,
    /// A power of two of them; probed linearly from the hash on.
    slots: Vec<Option<Host>>,
    occupied: usize,
    secret: Secret,
    sweep_at: usize,
    next_announcement: Instant,
}

#[derive(Clone, Debug)]
struct Host {
    address: IpAddr,
    usage: Usage,
    /// When the next session would be due at the configured rate.
    due: Instant,
    next_announcement: Instant,
}

impl Host {
    fn is_idle(&self, now: Instant) -> bool {
        self.usage == Usage::default() && self.due <= now
    }

    fn check(&self, now: Instant, new_mapping: bool, limits: &HostLimits) -> Result<(), Limit> {
        if self.usage.sessions >= limits.sessions {
            return Err(Limit::Sessions);
        }
        if new_mapping && self.usage.mappings >= limits.mappings {
            return Err(Limit::Mappings);
        }
        let Some(rate) = limits.rate else { return Ok(()) };
        if self.due > now + rate.tolerance() { Err(Limit::Rate) } else { Ok(()) }
    }
}

impl Rate {
    /// Time between two of them in the long run.
    pub(crate) fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    /// How far ahead of its time one may come.
    pub(crate) fn tolerance(self) -> Duration {
        self.interval() * self.burst.saturating_sub(1)
    }
}

impl Hosts {
    /// Starts without hosts; the hash key comes from `random`.
    #[must_use]
    pub fn new(random: &mut Random, limits: HostLimits) -> Self {
        Self {
            limits,
            slots: vec![None; FIRST_SLOTS],
            occupied: 0,
            secret: Secret::new(random.next_u64(), random.next_u64()),
            sweep_at: 0,
            next_announcement: Instant::ZERO,
        }
    }

    /// Changes the limits; what hosts have beyond them stays.
    pub const fn set_limits(&mut self, limits: HostLimits) {
        self.limits = limits;
    }

    /// Counts a new session of a host, and its mapping if that is new too.
    ///
    /// # Errors
    ///
    /// The limit that forbids it; nothing is counted then.
    pub fn admit(
        &mut self,
        now: Instant,
        address: IpAddr,
        new_mapping: bool,
    ) -> Result<(), Refused> {
        let limits = self.limits;
        let Some(host) = self.entry(now, address) else {
            let announce = now >= self.next_announcement;
            if announce {
                self.next_announcement = now + limits.announcement_interval;
            }
            return Err(Refused { limit: Limit::Hosts, announce });
        };
        if let Err(limit) = host.check(now, new_mapping, &limits) {
            let announce = now >= host.next_announcement;
            if announce {
                host.next_announcement = now + limits.announcement_interval;
            }
            return Err(Refused { limit, announce });
        }
        host.usage.sessions += 1;
        host.usage.mappings += u32::from(new_mapping);
        if let Some(rate) = limits.rate {
            host.due = host.due.max(now) + rate.interval();
        }
        Ok(())
    }

    /// Counts what was found in the table after a restart, whatever the limits say of it; false if
    /// there is no room for another host.
    pub fn restore(&mut self, now: Instant, address: IpAddr, found: Usage) -> bool {
        let Some(host) = self.entry(now, address) else { return false };
        host.usage.sessions += found.sessions;
        host.usage.mappings += found.mappings;
        true
    }

    /// Takes back a session of a host.
    pub fn session_ended(&mut self, now: Instant, address: IpAddr) {
        self.take_back(now, address, Usage { sessions: 1, mappings: 0 });
    }

    /// Takes back a mapping of a host.
    pub fn mapping_ended(&mut self, now: Instant, address: IpAddr) {
        self.take_back(now, address, Usage { sessions: 0, mappings: 1 });
    }

    /// Returns what a host has.
    #[must_use]
    pub fn usage(&self, address: IpAddr) -> Usage {
        match self.find(address) {
            Ok(slot) => self.slots[slot].as_ref().map_or_else(Usage::default, |host| host.usage),
            Err(_) => Usage::default(),
        }
    }

    /// Lists the hosts that have anything, by address.
    #[must_use]
    pub fn list(&self) -> Vec<(IpAddr, Usage)> {
        let hosts = self.slots.iter().flatten().filter(|host| host.usage != Usage::default());
        let mut list: Vec<_> = hosts.map(|host| (host.address, host.usage)).collect();
        list.sort_unstable_by_key(|(address, _)| *address);
        list
    }

    /// The memory that is taken, in bytes.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Host>>()
    }

    fn take_back(&mut self, now: Instant, address: IpAddr, ended: Usage) {
        let Ok(slot) = self.find(address) else { return };
        let Some(host) = &mut self.slots[slot] else { return };
        host.usage.sessions = host.usage.sessions.saturating_sub(ended.sessions);
        host.usage.mappings = host.usage.mappings.saturating_sub(ended.mappings);
        if host.is_idle(now) {
            self.remove(slot);
        }
    }

    /// Finds or makes the entry of a host.
    fn entry(&mut self, now: Instant, address: IpAddr) -> Option<&mut Host> {
        let mut found = self.find(address);
        if found.is_err() {
            self.sweep(now);
            if self.occupied >= self.limits.hosts {
                return None;
            }
            if (self.occupied + 1) * 4 > self.slots.len() * 3 {
                self.grow();
            }
            found = self.find(address);
        }
        let slot = match found {
            Ok(slot) => slot,
            Err(slot) => {
                let (usage, due) = (Usage::default(), Instant::ZERO);
                self.slots[slot] = Some(Host { address, usage, due, next_announcement: due });
                self.occupied += 1;
                slot
            }
        };
        self.slots[slot].as_mut()
    }

    /// Returns the slot of a host, or else the free slot where it belongs.
    fn find(&self, address: IpAddr) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = self.home(address);
        // Ends because a quarter of the slots is always free.
        while let Some(host) = &self.slots[slot] {
            if host.address == address {
                return Ok(slot);
            }
            slot = (slot + 1) & mask;
        }
        Err(slot)
    }

    /// Empties a slot and moves those behind it up, so that no probe meets a gap too early.
    fn remove(&mut self, mut gap: usize) {
        let mask = self.slots.len() - 1;
        self.slots[gap] = None;
        self.occupied -= 1;
        let mut slot = (gap + 1) & mask;
        while let Some(host) = &self.slots[slot] {
            let home = self.home(host.address);
            // The host may move into the gap when its probe passes there: home, gap, slot in a row.
            if slot.wrapping_sub(home) & mask >= slot.wrapping_sub(gap) & mask {
                self.slots.swap(gap, slot);
                gap = slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Removes idle entries from a few slots on, a little for each newcomer.
    fn sweep(&mut self, now: Instant) {
        let mask = self.slots.len() - 1;
        for _ in 0..SWEEP {
            match &self.slots[self.sweep_at & mask] {
                // Another entry may move into the slot, so the hand stays.
                Some(host) if host.is_idle(now) => self.remove(self.sweep_at & mask),
                Some(_) | None => self.sweep_at = (self.sweep_at + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let doubled = self.slots.len() * 2;
        for host in core::mem::replace(&mut self.slots, vec![None; doubled]).into_iter().flatten() {
            if let Err(slot) = self.find(host.address) {
                self.slots[slot] = Some(host);
            }
        }
    }

    fn home(&self, address: IpAddr) -> usize {
        let bits = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let hash = self.secret.hash([bits as u64, (bits >> 64) as u64]);
        hash as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const C1: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 3));
    const C2: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 4));
    const START: Instant = Instant::ZERO;

    #[test]
    fn rfc_6888_req_4_one_host_at_its_limit_does_not_hold_up_another() {
        let mut hosts = hosts(HostLimits { mappings: 100, ..HostLimits::default() });
        for _ in 0..100 {
            hosts.admit(START, C1, true).unwrap();
        }

        assert_eq!(refused(&mut hosts, START, C1, true), Limit::Mappings);
        assert_eq!(hosts.admit(START, C1, false), Ok(()), "a session of a mapping that exists");
        assert_eq!(hosts.admit(START, C2, true), Ok(()));
    }

    #[test]
    fn rfc_6888_req_5_sessions_are_limited_besides_mappings() {
        let mut hosts = hosts(HostLimits { sessions: 3, ..HostLimits::default() });
        for _ in 0..3 {
            hosts.admit(START, C1, false).unwrap();
        }

        assert_eq!(refused(&mut hosts, START, C1, false), Limit::Sessions);
        hosts.session_ended(START, C1);
        assert_eq!(hosts.admit(START, C1, false), Ok(()));
    }

    #[test]
    fn the_rate_allows_a_burst_and_then_one_per_interval() {
        let rate = Some(Rate { per_second: 10, burst: 5 });
        let mut hosts = hosts(HostLimits { rate, ..HostLimits::default() });
        for _ in 0..5 {
            hosts.admit(START, C1, true).unwrap();
        }

        assert_eq!(refused(&mut hosts, START, C1, true), Limit::Rate);
        assert_eq!(hosts.admit(START, C2, true), Ok(()));
        let next = START + Duration::from_millis(100);
        assert_eq!(hosts.admit(next, C1, true), Ok(()));
        assert_eq!(refused(&mut hosts, next, C1, true), Limit::Rate);
        let rested = next + Duration::from_secs(60);
        let admitted = (0..20).filter(|_| hosts.admit(rested, C1, true).is_ok()).count();
        assert_eq!(admitted, 5, "a pause earns one burst, not more");
    }

    #[test]
    fn a_host_cannot_shed_its_rate_by_ending_its_sessions() {
        let rate = Some(Rate { per_second: 1, burst: 1 });
        let mut hosts = hosts(HostLimits { rate, ..HostLimits::default() });
        hosts.admit(START, C1, true).unwrap();
        hosts.session_ended(START, C1);
        hosts.mapping_ended(START, C1);

        assert_eq!(refused(&mut hosts, START, C1, true), Limit::Rate);
    }

    #[test]
    fn a_refusal_is_announced_once_per_interval_and_host() {
        let mut hosts = hosts(HostLimits { sessions: 1, ..HostLimits::default() });
        let announced = |hosts: &mut Hosts, now, address| {
            hosts.admit(now, address, true).is_err_and(|refused| refused.announce)
        };
        hosts.admit(START, C1, true).unwrap();
        hosts.admit(START, C2, true).unwrap();

        assert!(announced(&mut hosts, START, C1));
        assert!(!announced(&mut hosts, START + Duration::from_secs(59), C1));
        assert!(announced(&mut hosts, START + Duration::from_secs(59), C2));
        assert!(announced(&mut hosts, START + Duration::from_secs(60), C1));
    }

    #[test]
    fn invented_sources_are_refused_and_cost_no_memory() {
        let mut hosts = hosts(HostLimits { hosts: 1000, ..HostLimits::default() });
        let admitted = (0..100_000).filter(|n| hosts.admit(START, host(*n), true).is_ok()).count();

        assert_eq!(admitted, 1000);
        assert_eq!(hosts.slots.len(), 2048);
        assert_eq!(refused(&mut hosts, START, C1, true), Limit::Hosts);
        hosts.session_ended(START, host(5));
        hosts.mapping_ended(START, host(5));
        assert_eq!(hosts.admit(START, C1, true), Ok(()));
    }

    #[test]
    fn idle_hosts_that_had_to_be_remembered_make_room_in_time() {
        let rate = Some(Rate { per_second: 1, burst: 1 });
        let mut hosts = hosts(HostLimits { rate, hosts: 100, ..HostLimits::default() });
        for n in 0..100 {
            hosts.admit(START, host(n), false).unwrap();
            hosts.session_ended(START, host(n));
        }
        assert_eq!(refused(&mut hosts, START, C1, true), Limit::Hosts);

        let later = START + Duration::from_secs(2);
        let tries = (0..256 / SWEEP).take_while(|_| hosts.admit(later, C1, true).is_err()).count();
        assert!(tries < 256 / SWEEP);
    }

    #[test]
    fn the_list_is_in_order_of_address() {
        let mut hosts = hosts(HostLimits::default());
        hosts.admit(START, C2, true).unwrap();
        hosts.restore(START, C1, Usage { sessions: 7, mappings: 2 });

        let (one, two) = (Usage { sessions: 7, mappings: 2 }, Usage { sessions: 1, mappings: 1 });
        assert_eq!(hosts.list(), [(C1, one), (C2, two)]);
        assert_eq!(hosts.usage(C1), one);
    }

    proptest! {
        #[test]
        fn it_counts_like_a_tree_map(
            seed in any::<u64>(),
            steps in prop::collection::vec((0..60u32, 0..4u8), 0..500),
        ) {
            let mut hosts = Hosts::new(&mut Random::from_u64(seed), HostLimits::default());
            let mut model = BTreeMap::<IpAddr, Usage>::new();
            for (n, step) in steps {
                let usage = model.entry(host(n)).or_default();
                match step {
                    0 | 1 => {
                        prop_assert!(hosts.admit(START, host(n), step == 0).is_ok());
                        usage.sessions += 1;
                        usage.mappings += u32::from(step == 0);
                    }
                    2 => {
                        hosts.session_ended(START, host(n));
                        usage.sessions = usage.sessions.saturating_sub(1);
                    }
                    _ => {
                        hosts.mapping_ended(START, host(n));
                        usage.mappings = usage.mappings.saturating_sub(1);
                    }
                }
            }
            model.retain(|_, usage| *usage != Usage::default());

            prop_assert_eq!(hosts.list(), model.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(hosts.occupied, hosts.list().len());
        }
    }

    fn hosts(limits: HostLimits) -> Hosts {
        Hosts::new(&mut Random::from_u64(1), limits)
    }

    fn host(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    fn refused(hosts: &mut Hosts, now: Instant, address: IpAddr, new_mapping: bool) -> Limit {
        hosts.admit(now, address, new_mapping).unwrap_err().limit
    }
}
