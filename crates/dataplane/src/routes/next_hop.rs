//! Next hops: the few (link, neighbour) pairs that packets really leave by, each with a number.
//!
//! Where routes allow smaller packets than the link does, there is a next hop for each size, so that
//! the fast path, which knows of no routes, sends to the engine what the engine would cut or refuse.
//!
//! # Contract
//!
//! A next hop gets its number when a look-up first asks for it ([`NextHops::intern`]), and keeps it
//! while it is used. Its state follows the link and the neighbour; whoever applies changes to the
//! mirror calls [`NextHops::refresh`] with what changed. Three things come out, to be drained after
//! each round: numbers whose state or value changed ([`NextHops::poll_changed`]), neighbours that
//! the kernel should resolve or confirm ([`NextHops::poll_resolve`]), and the time at which
//! [`NextHops::handle_timeout`] wants to be called.
//!
//! # States
//!
//! ```text
//!            intern                 neighbour known
//!   (none) ─────────► Resolving ◄──────────────────► Ready
//!                      │  ▲                            │
//!        no answer, or  │  │ asked again after a second │ neighbour failed, link down
//!        neighbour      ▼  │ (kernel resolves)          │
//!        failed        Failed ◄───────────────────────┘
//! ```
//!
//! # Limits
//!
//! Numbers are scarce (the array is shared with the eBPF programs), and each neighbour that is being
//! resolved occupies the kernel's neighbour table and the engine's memory for held packets. So at
//! most `RESOLVING_MAX` resolve at a time: what a scan of absent hosts asks beyond that fails at
//! once. A number is used again when its neighbour failed, or was not asked for during
//! `IDLE`, the one longest unused first; but while a session may name it in its record, it means
//! what it did. Sessions name next hops that were ready, and each walk over all sessions asks for
//! those in use and has the others forgotten. So what was ready has to be older than the last walk
//! that has come to its end ([`NextHops::set_walked`]).

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeSet, HashMap, VecDeque};

use masq_core::Instant;
use masq_flow::{NextHopId, NextHopState, NextHopValue};

use super::{Link, Mirror, Neighbour};

/// What a next hop is: a link, and the neighbour on it unless the link has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHopKey {
    /// The link to leave by.
    pub link: u32,
    /// The router or host on it; none on a link without neighbours (tun, ppp).
    pub neighbour: Option<IpAddr>,
    /// The largest packet that the route allows, where that is less than the link does.
    pub mtu: Option<u32>,
}

/// The table of next hops.
#[derive(Debug)]
pub struct NextHops {
    /// Indexed by number; number 0 means "none".
    entries: Vec<Option<Entry>>,
    ids: HashMap<NextHopKey, NextHopId>,
    /// What was found last of some links: packets that follow each other go to the same next hop.
    recent: [NextHopId; 8],
    /// What routes have allowed less than their links; a few.
    mtus: BTreeSet<Option<u32>>,
    /// Numbers never used yet, the lowest first.
    free: VecDeque<NextHopId>,
    /// Numbers of a predecessor of which nobody knows what they meant.
    forgotten: Vec<NextHopId>,
    /// When the last walk over all sessions began that has ended.
    walked: Instant,
    resolving: usize,
    changed: VecDeque<NextHopId>,
    resolve: VecDeque<NextHopKey>,
}

#[derive(Debug)]
struct Entry {
    key: NextHopKey,
    value: NextHopValue,
    /// When a look-up last asked for it.
    used: Instant,
    /// When it got into its state.
    since: Instant,
    /// It was ready when it was asked for, so that sessions may name it.
    named: bool,
}

impl NextHops {
    /// Makes a table for numbers below `capacity`.
    pub fn new(capacity: usize) -> Self {
        let last = u16::try_from(capacity.saturating_sub(1)).unwrap_or(u16::MAX);
        Self {
            entries: (0..=last).map(|_| None).collect(),
            ids: HashMap::new(),
            recent: [NextHopId::NONE; 8],
            mtus: BTreeSet::from([None]),
            forgotten: Vec::new(),
            walked: Instant::ZERO,
            free: (1..=last).map(NextHopId).collect(),
            resolving: 0,
            changed: VecDeque::new(),
            resolve: VecDeque::new(),
        }
    }

    /// The number of a next hop, which is entered in the table if it is not there yet; none when
    /// the table is full of next hops in use.
    pub fn intern(&mut self, now: Instant, mirror: &Mirror, key: NextHopKey) -> Option<NextHopId> {
        if let Some(id) = self.find(key) {
            // An interned key has an entry.
            let entry = self.entry_mut(id)?;
            entry.used = now;
            entry.named |= entry.value.state == NextHopState::Ready;
            let (value, age) = (entry.value, now.saturating_sub(entry.since));
            if value.state == NextHopState::Failed && age >= RETRY {
                self.try_to_resolve(now, mirror, id);
            }
            return Some(id);
        }
        let (id, generation) = self.free_number(now)?;
        let value = NextHopValue { generation, ..evaluate(mirror, key, NextHopState::Failed) };
        self.enter(now, id, key, value);
        if value.state == NextHopState::Failed {
            self.try_to_resolve(now, mirror, id);
        } else if wants_confirmation(mirror, key) {
            self.resolve.push_back(key);
        }
        Some(id)
    }

    fn find(&mut self, key: NextHopKey) -> Option<NextHopId> {
        let recent = &mut self.recent[key.link as usize % 8];
        let known = self.entries.get(usize::from(recent.0)).and_then(Option::as_ref);
        if known.is_none_or(|entry| entry.key != key) {
            *recent = *self.ids.get(&key)?;
        }
        Some(*recent)
    }

    /// The number of a next hop that is ready, and is used from here on.
    pub fn known(&mut self, now: Instant, key: NextHopKey) -> Option<NextHopId> {
        let id = self.find(key)?;
        let entry = self.entry_mut(id)?;
        if entry.value.state != NextHopState::Ready {
            return None;
        }
        entry.used = now;
        entry.named = true;
        Some(id)
    }

    /// Takes over a next hop of a predecessor under its number, so that sessions which name it
    /// still mean the same; false, and the number is free, if it cannot be told which neighbour it
    /// was.
    ///
    /// The array holds link-layer addresses only. Any neighbour with that address on that link
    /// serves as well as the one that was meant.
    pub fn adopt(
        &mut self,
        now: Instant,
        mirror: &Mirror,
        id: NextHopId,
        old: &NextHopValue,
    ) -> bool {
        let neighbour = mirror.neighbours().with_mac(old.ifindex, old.destination);
        let Some(link) = mirror.links().get(old.ifindex) else { return false };
        let neighbour = if without_neighbours(link) { None } else { neighbour };
        let known = neighbour.is_some() || without_neighbours(link);
        let mtu = (old.mtu < link.mtu).then_some(old.mtu);
        let key = NextHopKey { link: old.ifindex, neighbour, mtu };
        let free = self.free.iter().position(|free| *free == id);
        let (Some(free), true, false) = (free, known, self.ids.contains_key(&key)) else {
            return false;
        };
        let generation = old.generation;
        let value = NextHopValue { generation, ..evaluate(mirror, key, NextHopState::Failed) };
        self.free.remove(free);
        self.enter(now, id, key, value);
        self.entry_mut(id).into_iter().for_each(|entry| entry.named = true);
        true
    }

    /// Notes that sessions may name a number of which nobody knows what it meant.
    pub fn forget(&mut self, id: NextHopId) {
        if let Some(free) = self.free.iter().position(|free| *free == id) {
            self.free.remove(free);
            self.forgotten.push(id);
        }
    }

    /// Notes that a walk over all sessions has ended, which began at that time.
    pub fn set_walked(&mut self, began: Instant) {
        self.walked = began;
        self.free.extend(self.forgotten.drain(..));
    }

    /// What is known of a next hop.
    pub fn value(&self, id: NextHopId) -> Option<NextHopValue> {
        Some(self.entries.get(usize::from(id.0))?.as_ref()?.value)
    }

    /// Looks again at the next hops on a link, or at one neighbour on it, after they changed.
    pub fn refresh(&mut self, now: Instant, mirror: &Mirror, link: u32, neighbour: Option<IpAddr>) {
        if let Some(neighbour) = neighbour {
            let neighbour = Some(neighbour);
            let id = |mtu: &Option<u32>| {
                self.ids.get(&NextHopKey { link, neighbour, mtu: *mtu }).copied()
            };
            let ids: Vec<NextHopId> = self.mtus.iter().filter_map(id).collect();
            for id in ids {
                self.refresh_one(now, mirror, id);
            }
            return;
        }
        for id in self.numbers(|entry| entry.key.link == link) {
            self.refresh_one(now, mirror, id);
        }
    }

    /// Tries the next hops on a link again that failed, and asks again for those that did not
    /// answer so far, because the link is not what it was.
    pub fn retry_link(&mut self, now: Instant, mirror: &Mirror, link: u32) {
        for entry in self.entries.iter_mut().flatten() {
            if entry.key.link == link && entry.value.state == NextHopState::Resolving {
                entry.since = now;
                self.resolve.push_back(entry.key);
            }
        }
        let failed = |entry: &Entry| {
            entry.key.link == link
                && entry.value.state == NextHopState::Failed
                && now.saturating_sub(entry.used) < IN_USE
        };
        for id in self.numbers(failed) {
            self.try_to_resolve(now, mirror, id);
        }
    }

    /// Looks again at all next hops, after the whole mirror was replaced.
    pub fn refresh_all(&mut self, now: Instant, mirror: &Mirror) {
        for id in self.numbers(|_| true) {
            self.refresh_one(now, mirror, id);
        }
    }

    /// The next number whose state or value is not what it was when last polled.
    pub fn poll_changed(&mut self) -> Option<NextHopId> {
        self.changed.pop_front()
    }

    /// The next neighbour that the kernel should resolve or confirm.
    pub fn poll_resolve(&mut self) -> Option<NextHopKey> {
        self.resolve.pop_front()
    }

    /// When the first unanswered neighbour has to be given up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.resolving == 0 {
            return None;
        }
        let resolving = |entry: &&Entry| entry.value.state == NextHopState::Resolving;
        self.entries.iter().flatten().filter(resolving).map(|entry| entry.since + GIVE_UP).min()
    }

    /// Gives up neighbours of which nothing was heard in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.resolving == 0 {
            return;
        }
        let overdue = self.numbers(|entry| {
            entry.value.state == NextHopState::Resolving
                && now.saturating_sub(entry.since) >= GIVE_UP
        });
        for id in overdue {
            if let Some(entry) = self.entry_mut(id) {
                let value = NextHopValue { state: NextHopState::Failed, ..entry.value };
                self.change(now, id, value);
            }
        }
    }

    fn refresh_one(&mut self, now: Instant, mirror: &Mirror, id: NextHopId) {
        let Some(entry) = self.entry_mut(id) else { return };
        let (key, was) = (entry.key, entry.value.state);
        let in_use = now.saturating_sub(entry.used) < IN_USE;
        // A neighbour that failed stays failed while the kernel probes it again.
        let unknown = match was {
            NextHopState::Resolving => NextHopState::Resolving,
            NextHopState::Empty | NextHopState::Failed | NextHopState::Ready => {
                NextHopState::Failed
            }
        };
        let generation = entry.value.generation;
        let value = NextHopValue { generation, ..evaluate(mirror, key, unknown) };
        self.change(now, id, value);
        let lost = was == NextHopState::Ready && value.state == NextHopState::Failed;
        if in_use && lost && !has_failed(mirror, key) {
            self.try_to_resolve(now, mirror, id);
        } else if in_use && wants_confirmation(mirror, key) {
            self.resolve.push_back(key);
        }
    }

    /// Has the kernel resolve a next hop, if that makes sense and not too many resolve already.
    fn try_to_resolve(&mut self, now: Instant, mirror: &Mirror, id: NextHopId) {
        let room = self.resolving < RESOLVING_MAX;
        let Some(entry) = self.entry_mut(id) else { return };
        let link = mirror.links().get(entry.key.link);
        let can = link.is_some_and(|link| link.up && !without_neighbours(link));
        if room && can && entry.key.neighbour.is_some() {
            let (key, value) = (entry.key, entry.value);
            self.change(now, id, NextHopValue { state: NextHopState::Resolving, ..value });
            self.resolve.push_back(key);
        }
    }

    fn change(&mut self, now: Instant, id: NextHopId, value: NextHopValue) {
        let Some(entry) = self.entry_mut(id) else { return };
        let before = core::mem::replace(&mut entry.value, value);
        if before == value {
            return;
        }
        if before.state != value.state {
            entry.since = now;
        }
        let counts = |value: NextHopValue| usize::from(value.state == NextHopState::Resolving);
        self.resolving = self.resolving + counts(value) - counts(before);
        if self.changed.back() != Some(&id) {
            self.changed.push_back(id);
        }
    }

    fn enter(&mut self, now: Instant, id: NextHopId, key: NextHopKey, value: NextHopValue) {
        let named = value.state == NextHopState::Ready;
        self.ids.insert(key, id);
        self.mtus.insert(key.mtu);
        let entry = Entry { key, value, used: now, since: now, named };
        self.entries[usize::from(id.0)] = Some(entry);
        self.changed.push_back(id);
    }

    fn entry_mut(&mut self, id: NextHopId) -> Option<&mut Entry> {
        self.entries.get_mut(usize::from(id.0))?.as_mut()
    }

    fn numbers(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<NextHopId> {
        let number = |(number, entry): (usize, &Option<Entry>)| {
            entry.as_ref().is_some_and(&wanted).then_some(NextHopId(number as u16))
        };
        self.entries.iter().enumerate().filter_map(number).collect()
    }

    /// A number that is free, or that nobody will miss, and how often it meant something else.
    fn free_number(&mut self, now: Instant) -> Option<(NextHopId, u32)> {
        if let Some(id) = self.free.pop_front() {
            return Some((id, 0));
        }
        let expendable = |entry: &Entry| {
            let idle = now.saturating_sub(entry.used);
            let forgotten = !entry.named || entry.used < self.walked;
            forgotten
                && match entry.value.state {
                    NextHopState::Failed => idle >= RETRY,
                    NextHopState::Empty | NextHopState::Ready | NextHopState::Resolving => {
                        idle >= IDLE
                    }
                }
        };
        let (number, _) = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(number, entry)| Some((number, entry.as_ref()?)))
            .filter(|(_, entry)| expendable(entry))
            .min_by_key(|(_, entry)| entry.used)?;
        let old = self.entries[number].take()?;
        self.resolving -= usize::from(old.value.state == NextHopState::Resolving);
        self.ids.remove(&old.key);
        Some((NextHopId(number as u16), old.value.generation.wrapping_add(1)))
    }
}

/// What the mirror says of a next hop; `unknown` when it says nothing of the neighbour.
fn evaluate(mirror: &Mirror, key: NextHopKey, unknown: NextHopState) -> NextHopValue {
    let failed =
        NextHopValue { state: NextHopState::Failed, ifindex: key.link, ..NextHopValue::default() };
    let Some(link) = mirror.links().get(key.link) else { return failed };
    let source = link.mac.unwrap_or_default();
    let mtu = key.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu));
    let value = NextHopValue { mtu, layer3: link.layer3, source, ..failed };
    if !link.up {
        return value;
    }
    if without_neighbours(link) {
        // The kernel addresses frames on links without ARP to the link itself.
        return NextHopValue { state: NextHopState::Ready, destination: source, ..value };
    }
    match key.neighbour.and_then(|address| mirror.neighbours().get(key.link, address)) {
        Some(Neighbour::Reachable(destination) | Neighbour::Stale(destination)) => {
            NextHopValue { state: NextHopState::Ready, destination, ..value }
        }
        Some(Neighbour::Failed) => value,
        Some(Neighbour::Incomplete) | None => NextHopValue { state: unknown, ..value },
    }
}

/// Whether the kernel resolves nobody on that link.
pub(super) fn without_neighbours(link: &Link) -> bool {
    link.layer3 || link.no_arp || link.loopback
}

fn has_failed(mirror: &Mirror, key: NextHopKey) -> bool {
    let Some(address) = key.neighbour else { return false };
    mirror.neighbours().get(key.link, address) == Some(Neighbour::Failed)
}

fn wants_confirmation(mirror: &Mirror, key: NextHopKey) -> bool {
    let Some(address) = key.neighbour else { return false };
    matches!(mirror.neighbours().get(key.link, address), Some(Neighbour::Stale(_)))
}

/// How many neighbours may be resolving at a time.
pub(super) const RESOLVING_MAX: usize = 256;
/// The kernel's three probes, a second apart, are over by then.
const GIVE_UP: Duration = Duration::from_secs(5);
/// A packet that comes so long after its neighbour failed has it asked for again.
const RETRY: Duration = Duration::from_secs(1);
/// A next hop asked for so recently is kept confirmed.
const IN_USE: Duration = Duration::from_secs(120);
/// A next hop not asked for during that time gives its number to another.
const IDLE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::super::Change;
    use super::super::link::tests::ethernet;
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn key(host: u8) -> NextHopKey {
        NextHopKey { link: 2, neighbour: Some(IpAddr::from([192, 0, 2, host])), mtu: None }
    }

    fn hear(mirror: &mut Mirror, hops: &mut NextHops, now: u64, host: u8, what: Option<Neighbour>) {
        let address = key(host).neighbour.unwrap();
        mirror.apply(Change::Neighbour { link: 2, address, neighbour: what });
        hops.refresh(at(now), mirror, 2, Some(address));
    }

    fn state(hops: &NextHops, id: NextHopId) -> NextHopState {
        hops.value(id).unwrap().state
    }

    fn drained(hops: &mut NextHops) -> (Vec<NextHopId>, Vec<NextHopKey>) {
        let changed = core::iter::from_fn(|| hops.poll_changed()).collect();
        (changed, core::iter::from_fn(|| hops.poll_resolve()).collect())
    }

    fn wan() -> Mirror {
        let mut mirror = Mirror::default();
        mirror.apply(Change::Link(ethernet(2, "wan")));
        mirror
    }

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

    #[test]
    fn a_next_hop_resolves_is_ready_and_keeps_its_number() {
        let (mut mirror, mut hops) = (wan(), NextHops::new(16));
        let id = hops.intern(at(1), &mirror, key(1)).unwrap();
        assert_eq!(drained(&mut hops), (vec![id], vec![key(1)]));
        assert_eq!(state(&hops, id), NextHopState::Resolving);
        hear(&mut mirror, &mut hops, 1, 1, Some(Neighbour::Reachable(MAC)));
        assert_eq!(drained(&mut hops), (vec![id], vec![]));
        let value = hops.value(id).unwrap();
        assert_eq!((value.state, value.destination), (NextHopState::Ready, MAC));
        assert_eq!(value.source, mirror.links().get(2).unwrap().mac.unwrap());
        assert_eq!(hops.intern(at(2), &mirror, key(1)), Some(id));
        assert_eq!(drained(&mut hops), (vec![], vec![]));
    }

    #[test]
    fn silence_is_given_up_and_asked_again_a_second_later() {
        let (mut mirror, mut hops) = (wan(), NextHops::new(16));
        let id = hops.intern(at(1), &mirror, key(1)).unwrap();
        assert_eq!(hops.poll_timeout(), Some(at(6)));
        hops.handle_timeout(at(5));
        assert_eq!(state(&hops, id), NextHopState::Resolving);
        hops.handle_timeout(at(6));
        assert_eq!(state(&hops, id), NextHopState::Failed);
        assert_eq!(hops.poll_timeout(), None);
        drained(&mut hops);
        hops.intern(at(6), &mirror, key(1));
        hops.intern(at(6), &mirror, key(1));
        assert_eq!(drained(&mut hops).1, [], "too early");
        hear(&mut mirror, &mut hops, 6, 1, Some(Neighbour::Incomplete));
        assert_eq!(state(&hops, id), NextHopState::Failed, "probing alone is no reason for hope");
        hops.intern(at(7), &mirror, key(1));
        hops.intern(at(7), &mirror, key(1));
        assert_eq!(drained(&mut hops).1, [key(1)], "once, not for each packet");
        assert_eq!(state(&hops, id), NextHopState::Resolving);
        hear(&mut mirror, &mut hops, 10, 1, Some(Neighbour::Failed));
        assert_eq!(state(&hops, id), NextHopState::Failed);
        hear(&mut mirror, &mut hops, 10, 1, Some(Neighbour::Reachable(MAC)));
        assert_eq!(state(&hops, id), NextHopState::Ready);
    }

    #[test]
    fn a_neighbour_in_use_is_confirmed_and_a_forgotten_one_resolved_again() {
        let (mut mirror, mut hops) = (wan(), NextHops::new(16));
        let id = hops.intern(at(1), &mirror, key(1)).unwrap();
        hear(&mut mirror, &mut hops, 1, 1, Some(Neighbour::Reachable(MAC)));
        drained(&mut hops);
        hear(&mut mirror, &mut hops, 31, 1, Some(Neighbour::Stale(MAC)));
        assert_eq!(drained(&mut hops), (vec![], vec![key(1)]));
        hear(&mut mirror, &mut hops, 40, 1, None);
        assert_eq!(state(&hops, id), NextHopState::Resolving);
        assert_eq!(drained(&mut hops), (vec![id], vec![key(1)]));
        hear(&mut mirror, &mut hops, 41, 1, Some(Neighbour::Reachable(MAC)));
        drained(&mut hops);
        hear(&mut mirror, &mut hops, 500, 1, Some(Neighbour::Stale(MAC)));
        assert_eq!(drained(&mut hops), (vec![], vec![]), "nobody uses it");
    }

    #[test]
    fn links_without_neighbours_are_ready_at_once() {
        let mut mirror = Mirror::default();
        mirror.apply(Change::Link(Link { layer3: true, mac: None, ..ethernet(5, "tun0") }));
        let mut hops = NextHops::new(16);
        let key = NextHopKey { link: 5, neighbour: None, mtu: None };
        let id = hops.intern(at(1), &mirror, key).unwrap();
        assert_eq!(state(&hops, id), NextHopState::Ready);
        assert_eq!(drained(&mut hops), (vec![id], vec![]));
        mirror.apply(Change::LinkGone(5));
        hops.refresh(at(2), &mirror, 5, None);
        assert_eq!(state(&hops, id), NextHopState::Failed);
    }

    #[test]
    fn a_scan_of_absent_hosts_is_bounded_and_its_numbers_come_back() {
        let (mirror, mut hops) = (wan(), NextHops::new(1024));
        let absent =
            |n: u32| NextHopKey { neighbour: Some(IpAddr::from(n.to_be_bytes())), ..key(1) };
        for n in 0..1023 {
            hops.intern(at(1), &mirror, absent(n)).unwrap();
        }
        assert_eq!(drained(&mut hops).1.len(), RESOLVING_MAX);
        let present = hops.intern(at(2), &mirror, absent(5000)).unwrap();
        assert_eq!(state(&hops, present), NextHopState::Failed, "still too many at a time");
        hops.handle_timeout(at(6));
        let present = hops.intern(at(7), &mirror, absent(5001)).unwrap();
        assert_eq!(state(&hops, present), NextHopState::Resolving);
    }

    #[test]
    fn a_link_that_comes_back_is_used_at_once() {
        let (mut mirror, mut hops) = (wan(), NextHops::new(16));
        let id = hops.intern(at(1), &mirror, key(1)).unwrap();
        hear(&mut mirror, &mut hops, 1, 1, Some(Neighbour::Reachable(MAC)));
        mirror.apply(Change::Link(Link { up: false, ..ethernet(2, "wan") }));
        hops.refresh(at(2), &mirror, 2, None);
        assert_eq!(state(&hops, id), NextHopState::Failed);
        hear(&mut mirror, &mut hops, 2, 1, None);
        mirror.apply(Change::Link(ethernet(2, "wan")));
        hops.retry_link(at(2), &mirror, 2);
        assert_eq!(state(&hops, id), NextHopState::Resolving);
    }

    #[test]
    fn a_predecessors_next_hop_keeps_its_number() {
        let (mut mirror, mut hops) = (wan(), NextHops::new(16));
        let old = NextHopValue {
            state: NextHopState::Ready,
            ifindex: 2,
            destination: MAC,
            generation: 5,
            ..NextHopValue::default()
        };
        let old = NextHopValue { mtu: 1500, ..old };
        assert!(!hops.adopt(at(1), &mirror, NextHopId(7), &old), "nobody has that address");
        let address = key(1).neighbour.unwrap();
        let neighbour = Some(Neighbour::Stale(MAC));
        mirror.apply(Change::Neighbour { link: 2, address, neighbour });
        assert!(hops.adopt(at(1), &mirror, NextHopId(7), &old));
        assert_eq!(hops.value(NextHopId(7)).map(|value| value.generation), Some(5));
        assert_eq!(hops.intern(at(1), &mirror, key(1)), Some(NextHopId(7)));
        assert_eq!(hops.intern(at(1), &mirror, key(2)), Some(NextHopId(1)));
        assert!(!hops.adopt(at(1), &mirror, NextHopId(7), &old), "the number is taken");
    }

    #[test]
    fn next_hops_in_use_are_never_displaced() {
        let (mut mirror, mut hops) = (wan(), NextHops::new(3));
        for host in 1..=2 {
            hops.intern(at(1), &mirror, key(host)).unwrap();
            hear(&mut mirror, &mut hops, 1, host, Some(Neighbour::Reachable(MAC)));
            hops.intern(at(1), &mirror, key(host)).unwrap();
        }
        assert_eq!(hops.intern(at(60), &mirror, key(3)), None);
        hops.intern(at(3000), &mirror, key(2));
        assert_eq!(hops.intern(at(3700), &mirror, key(3)), None, "a session may name it");
        hops.set_walked(at(3660));
        let id = hops.intern(at(3700), &mirror, key(3)).unwrap();
        assert_eq!(hops.value(id).map(|value| value.state), Some(NextHopState::Resolving));
        assert!(hops.ids.contains_key(&key(2)) && !hops.ids.contains_key(&key(1)));
    }

    #[test]
    fn a_number_that_sessions_may_name_means_what_it_did_until_they_were_looked_at() {
        let (mut mirror, mut hops) = (wan(), NextHops::new(2));
        let id = hops.intern(at(1), &mirror, key(1)).unwrap();
        hear(&mut mirror, &mut hops, 1, 1, Some(Neighbour::Reachable(MAC)));
        hops.intern(at(2), &mirror, key(1));
        hear(&mut mirror, &mut hops, 3, 1, Some(Neighbour::Failed));
        hops.set_walked(at(2));
        assert_eq!(hops.intern(at(10), &mirror, key(2)), None, "asked for when the walk began");
        hops.set_walked(at(3));
        assert_eq!(hops.intern(at(10), &mirror, key(2)), Some(id));
        hops.handle_timeout(at(16));
        assert_eq!(hops.intern(at(20), &mirror, key(3)), Some(id), "which was never ready");
    }

    #[test]
    fn a_number_of_a_predecessor_that_nobody_knows_is_free_after_a_walk() {
        let (mirror, mut hops) = (wan(), NextHops::new(2));
        hops.forget(NextHopId(1));
        assert_eq!(hops.intern(at(1), &mirror, key(1)), None);
        hops.set_walked(at(1));
        assert_eq!(hops.intern(at(2), &mirror, key(1)), Some(NextHopId(1)));
    }

    #[test]
    fn a_neighbours_news_reach_its_next_hop_of_each_size() {
        let (mut mirror, mut hops) = (wan(), NextHops::new(16));
        let small = NextHopKey { mtu: Some(1280), ..key(1) };
        let ids = [key(1), small].map(|key| hops.intern(at(1), &mirror, key).unwrap());
        hear(&mut mirror, &mut hops, 1, 1, Some(Neighbour::Reachable(MAC)));
        let values = ids.map(|id| hops.value(id).unwrap());
        assert_eq!(values.map(|value| value.state), [NextHopState::Ready; 2]);
        assert_eq!(values.map(|value| value.mtu), [1500, 1280]);
    }
}
