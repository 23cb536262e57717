//! Mappings: which outside endpoint stands for an inside endpoint.
//!
//! Goals: the three mapping behaviours of RFC 4787 §4.1 and the three filtering behaviours of §5, each
//! chosen independently; constant time for every question; twenty-odd bytes for each session.
//!
//! Storage: a mapping is nothing but its sessions. They form a list through arrays that are indexed by
//! slot, and what they have in common (inside and outside endpoint) is read from the record of the
//! first, the *head*. So a mapping lives exactly as long as its last session, and a restart finds it
//! again from the records alone.
//!
//! ```text
//! by_inside ──► head ──► session ──► session ──► session        one mapping
//! by_outside ──►│        remote a    remote b    remote b
//!               remote a             ▲
//! by_remote ──► └────────────────────┘ the first of each remote address
//! ```
//!
//! - `by_inside` answers "does this inside endpoint have one": by inside endpoint, and remote address
//!   or endpoint where the mapping depends on it.
//! - `by_outside` answers "whose is this": by outside endpoint.
//! - `by_remote` answers "has it sent to this address" (address-dependent filtering): by outside
//!   endpoint and remote address. Sessions with the same remote address stand together in the list,
//!   so that the next one takes over when the first of them ends.
//!
//! Caveats: a protocol without ports has no outside endpoint of its own. Its mapping is the pair of
//! inside and remote address, found by its exact tuple alone; it is in `by_inside` only.

use core::net::IpAddr;

use masq_flow::{Secret, Session, Slot, Writer};
use masq_wire::{Endpoint, Protocol};

use crate::index::Index;
use crate::policy::{InForce, Mapping, Outside};

/// The mappings of all sessions.
#[derive(Debug)]
pub(crate) struct Mappings {
    by_inside: Index,
    by_outside: Index,
    by_remote: Index,
    /// The session after in the same mapping, as slot plus one.
    next: Vec<u32>,
    /// The session before.
    previous: Vec<u32>,
    hashes: Hashes,
}

/// What the sessions of a table are, as this module needs it.
#[derive(Clone, Copy)]
pub(crate) struct Book<'a> {
    pub(crate) table: &'a Writer,
    pub(crate) policy: &'a InForce,
}

impl Book<'_> {
    fn session(self, slot: Slot) -> Option<Session> {
        self.table.session(slot)
    }

    /// The behaviour of the outside that a session leaves by.
    fn mapping(self, session: &Session) -> Mapping {
        if !session.original.protocol.has_ports() {
            return Mapping::AddressDependent;
        }
        let outside = self.policy.outside_of(session.reply.destination.addr);
        outside.map_or_else(Mapping::default, |outside| outside.mapping)
    }
}

impl Mappings {
    /// No mappings, for a table of so many slots.
    pub(crate) fn new(slots: u32, secret: Secret) -> Self {
        Self {
            by_inside: Index::new(slots),
            by_outside: Index::new(slots),
            by_remote: Index::new(slots),
            next: vec![0; slots as usize],
            previous: vec![0; slots as usize],
            hashes: Hashes(secret),
        }
    }

    /// How many mappings there are.
    pub(crate) const fn len(&self) -> usize {
        self.by_inside.len()
    }

    /// Forgets everything, before it is built anew under another policy.
    pub(crate) fn clear(&mut self) {
        self.by_inside.clear();
        self.by_outside.clear();
        self.by_remote.clear();
        self.next.fill(0);
        self.previous.fill(0);
    }

    /// Finds the mapping that a packet from an inside endpoint to a remote uses at an outside.
    pub(crate) fn of_inside(
        &self,
        book: Book<'_>,
        outside: &Outside,
        protocol: Protocol,
        inside: Endpoint,
        remote: Endpoint,
    ) -> Option<Slot> {
        let mapping =
            if protocol.has_ports() { outside.mapping } else { Mapping::AddressDependent };
        let hash = self.hashes.inside(mapping, protocol, inside, remote);
        self.by_inside.find(hash, |slot| {
            let Some(session) = book.session(slot) else { return false };
            session.original.protocol == protocol
                && session.original.source == inside
                && depends_equally(mapping, session.original.destination, remote)
                && book.policy.shares(outside.port, session.reply.destination.addr)
        })
    }

    /// Finds the mapping that has an outside endpoint.
    pub(crate) fn of_outside(
        &self,
        book: Book<'_>,
        protocol: Protocol,
        outside: Endpoint,
    ) -> Option<Slot> {
        self.by_outside.find(self.hashes.outside(protocol, outside), |slot| {
            book.session(slot).is_some_and(|session| has_outside(&session, protocol, outside))
        })
    }

    /// Whether the mapping with an outside endpoint has a session with a remote address.
    pub(crate) fn has_remote(
        &self,
        book: Book<'_>,
        protocol: Protocol,
        outside: Endpoint,
        remote: IpAddr,
    ) -> bool {
        self.first_of_remote(book, protocol, outside, remote).is_some()
    }

    /// The sessions of a mapping, from its head on.
    pub(crate) fn sessions(&self, head: Slot) -> impl Iterator<Item = Slot> + '_ {
        core::iter::successors(Some(head), |slot| self.after(*slot))
    }

    /// Whether a session is the only one of its mapping.
    pub(crate) fn is_alone(&self, slot: Slot) -> bool {
        let i = slot.index() as usize;
        self.next[i] == 0 && self.previous[i] == 0
    }

    /// Adds a session, to a mapping that exists or as the first of a new one.
    pub(crate) fn link(
        &mut self,
        book: Book<'_>,
        slot: Slot,
        session: &Session,
        head: Option<Slot>,
    ) {
        let Some(head) = head else {
            let hash = self.hashes.inside_of(book, session);
            self.by_inside.insert(hash, slot);
            if session.original.protocol.has_ports() {
                self.by_outside.insert(self.hashes.outside_of(session), slot);
                self.by_remote.insert(self.hashes.remote_of(session), slot);
            }
            return;
        };
        let (protocol, outside) = (session.original.protocol, session.reply.destination);
        let remote = session.original.destination.addr;
        match self.first_of_remote(book, protocol, outside, remote) {
            Some(first) if first != slot => self.insert_after(first, slot),
            Some(_) | None => {
                // As the new head, since behind the old one it would part sessions of one remote.
                let Some(old) = book.session(head) else { return };
                if self.hashes.inside_of(book, &old) == self.hashes.inside_of(book, session) {
                    self.insert_before(head, slot);
                    self.change_head(book, (head, &old), (slot, session));
                } else {
                    // A stranger that the filter let in does not decide for whom the mapping is.
                    let last = self.last_of_remote(book, head, &old);
                    self.insert_after(last, slot);
                }
                if protocol.has_ports() {
                    self.by_remote.insert(self.hashes.remote_of(session), slot);
                }
            }
        }
    }

    /// Takes a session out, which must still be in the table; whether its mapping ends with it.
    pub(crate) fn unlink(&mut self, book: Book<'_>, slot: Slot, session: &Session) -> bool {
        let (before, after) = (self.before(slot), self.after(slot));
        let has_ports = session.original.protocol.has_ports();
        if has_ports {
            self.leave_remote(book, slot, session, after);
        }
        let i = slot.index() as usize;
        if let Some(after) = after {
            self.previous[after.index() as usize] = self.previous[i];
        }
        if let Some(before) = before {
            self.next[before.index() as usize] = self.next[i];
        }
        self.next[i] = 0;
        self.previous[i] = 0;
        match (before, after) {
            (Some(_), _) => false,
            (None, Some(after)) => {
                if let Some(heir) = book.session(after) {
                    self.change_head(book, (slot, session), (after, &heir));
                }
                false
            }
            (None, None) => {
                let hash = self.hashes.inside_of(book, session);
                self.remove_inside(book, hash, slot);
                if has_ports {
                    let hash = self.hashes.outside_of(session);
                    self.remove_outside(book, hash, slot);
                }
                true
            }
        }
    }

    /// Puts a session into another slot, where it has the same tuples.
    pub(crate) fn substitute(&mut self, book: Book<'_>, session: &Session, old: Slot, new: Slot) {
        let (from, to) = (old.index() as usize, new.index() as usize);
        self.next[to] = core::mem::take(&mut self.next[from]);
        self.previous[to] = core::mem::take(&mut self.previous[from]);
        if let Some(after) = self.after(new) {
            self.previous[after.index() as usize] = new.index() + 1;
        }
        match self.before(new) {
            Some(before) => self.next[before.index() as usize] = new.index() + 1,
            None => {
                let hash = self.hashes.inside_of(book, session);
                self.by_inside.replace(hash, old, new);
                self.by_outside.replace(self.hashes.outside_of(session), old, new);
            }
        }
        self.by_remote.replace(self.hashes.remote_of(session), old, new);
    }

    fn first_of_remote(
        &self,
        book: Book<'_>,
        protocol: Protocol,
        outside: Endpoint,
        remote: IpAddr,
    ) -> Option<Slot> {
        self.by_remote.find(self.hashes.remote(protocol, outside, remote), |slot| {
            book.session(slot).is_some_and(|session| {
                has_outside(&session, protocol, outside)
                    && session.original.destination.addr == remote
            })
        })
    }

    /// The last of the sessions at the head of a list that have the head's remote address.
    fn last_of_remote(&self, book: Book<'_>, head: Slot, session: &Session) -> Slot {
        let remote = session.original.destination.addr;
        let same = |slot: &Slot| {
            book.session(*slot).is_some_and(|other| other.original.destination.addr == remote)
        };
        self.sessions(head).take_while(same).last().unwrap_or(head)
    }

    /// Gives a session's place in `by_remote`, if it has it, to the next with the same remote.
    fn leave_remote(&mut self, book: Book<'_>, slot: Slot, session: &Session, after: Option<Slot>) {
        let hash = self.hashes.remote_of(session);
        let remote = session.original.destination.addr;
        let heir = after.filter(|heir| {
            book.session(*heir).is_some_and(|heir| heir.original.destination.addr == remote)
        });
        if let Some(heir) = heir {
            self.by_remote.replace(hash, slot, heir);
            return;
        }
        let hashes = self.hashes;
        self.by_remote.remove(hash, slot, |other| {
            book.session(other).map_or(0, |session| hashes.remote_of(&session))
        });
    }

    fn change_head(
        &mut self,
        book: Book<'_>,
        (old, old_session): (Slot, &Session),
        (new, new_session): (Slot, &Session),
    ) {
        let from = self.hashes.inside_of(book, old_session);
        let to = self.hashes.inside_of(book, new_session);
        if from == to {
            self.by_inside.replace(from, old, new);
        } else {
            // An address-dependent mapping that let another remote in.
            self.remove_inside(book, from, old);
            self.by_inside.insert(to, new);
        }
        if old_session.original.protocol.has_ports() {
            self.by_outside.replace(self.hashes.outside_of(old_session), old, new);
        }
    }

    fn remove_inside(&mut self, book: Book<'_>, hash: u64, slot: Slot) {
        let hashes = self.hashes;
        self.by_inside.remove(hash, slot, |other| {
            book.session(other).map_or(0, |session| hashes.inside_of(book, &session))
        });
    }

    fn remove_outside(&mut self, book: Book<'_>, hash: u64, slot: Slot) {
        let hashes = self.hashes;
        self.by_outside.remove(hash, slot, |other| {
            book.session(other).map_or(0, |session| hashes.outside_of(&session))
        });
    }

    fn insert_after(&mut self, before: Slot, slot: Slot) {
        let (i, b) = (slot.index() as usize, before.index() as usize);
        let after = self.next[b];
        self.next[i] = after;
        self.previous[i] = before.index() + 1;
        self.next[b] = slot.index() + 1;
        if after != 0 {
            self.previous[after as usize - 1] = slot.index() + 1;
        }
    }

    fn insert_before(&mut self, head: Slot, slot: Slot) {
        self.next[slot.index() as usize] = head.index() + 1;
        self.previous[slot.index() as usize] = 0;
        self.previous[head.index() as usize] = slot.index() + 1;
    }

    fn after(&self, slot: Slot) -> Option<Slot> {
        self.next[slot.index() as usize].checked_sub(1).map(Slot::new)
    }

    fn before(&self, slot: Slot) -> Option<Slot> {
        self.previous[slot.index() as usize].checked_sub(1).map(Slot::new)
    }
}

/// The keys of the three indexes, hashed with a secret.
#[derive(Clone, Copy, Debug)]
struct Hashes(Secret);

impl Hashes {
    fn inside_of(self, book: Book<'_>, session: &Session) -> u64 {
        let original = &session.original;
        let mapping = book.mapping(session);
        self.inside(mapping, original.protocol, original.source, original.destination)
    }

    fn outside_of(self, session: &Session) -> u64 {
        self.outside(session.original.protocol, session.reply.destination)
    }

    fn remote_of(self, session: &Session) -> u64 {
        let remote = session.original.destination.addr;
        self.remote(session.original.protocol, session.reply.destination, remote)
    }

    fn inside(
        self,
        mapping: Mapping,
        protocol: Protocol,
        inside: Endpoint,
        remote: Endpoint,
    ) -> u64 {
        match mapping {
            Mapping::EndpointIndependent => self.hash(1, protocol, inside, None, 0),
            Mapping::AddressDependent => self.hash(2, protocol, inside, Some(remote.addr), 0),
            Mapping::AddressAndPortDependent => {
                self.hash(3, protocol, inside, Some(remote.addr), remote.port)
            }
        }
    }

    fn outside(self, protocol: Protocol, outside: Endpoint) -> u64 {
        self.hash(4, protocol, outside, None, 0)
    }

    fn remote(self, protocol: Protocol, outside: Endpoint, remote: IpAddr) -> u64 {
        self.hash(5, protocol, outside, Some(remote), 0)
    }

    fn hash(
        self,
        kind: u8,
        protocol: Protocol,
        endpoint: Endpoint,
        remote: Option<IpAddr>,
        remote_port: u16,
    ) -> u64 {
        let [a, b] = words(endpoint.addr);
        let [c, d] = remote.map_or([0, 0], words);
        let rest = u64::from(kind) << 56
            | u64::from(protocol.0) << 48
            | u64::from(endpoint.port) << 32
            | u64::from(remote_port);
        self.0.hash([a, b, c, d, rest])
    }
}

/// Whether two remotes are one as far as a mapping depends on them.
fn depends_equally(mapping: Mapping, one: Endpoint, other: Endpoint) -> bool {
    match mapping {
        Mapping::EndpointIndependent => true,
        Mapping::AddressDependent => one.addr == other.addr,
        Mapping::AddressAndPortDependent => one == other,
    }
}

fn has_outside(session: &Session, protocol: Protocol, outside: Endpoint) -> bool {
    session.original.protocol == protocol && session.reply.destination == outside
}

fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(v4) => [0, u64::from(v4.to_bits())],
        IpAddr::V6(v6) => [(v6.to_bits() >> 64) as u64, v6.to_bits() as u64],
    }
}
