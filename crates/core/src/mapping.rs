//! Mappings: which outside endpoint stands for an inside endpoint.
//!
//! Goals: the three mapping behaviours of RFC 4787 §4.1 and the three filtering behaviours of §5, each
//! chosen independently; constant time for every question; 21 bytes for each session.
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
//!   so that the next one takes over when the first of them ends. A session that is alone in its
//!   mapping, as most are, is not in it: the mapping's head says the same.
//!
//! All three share one index. A mapping of one session has two entries there, and one of more
//! sessions two and one for each remote, so there are never more than twice as many as sessions.
//!
//! Caveats: when the policy says that mappings depend on something else, those that exist are filed
//! under their new keys one by one ([`Mappings::file`]). One that is not yet is not found by its
//! inside endpoint, and until then a new session of that endpoint may get another mapping. Sessions
//! keep their outside endpoints in any case.
//!
//! What the gateway's own host uses is no inside host's, so a session whose answers would be the host's
//! gets a mapping *beside* the one that its inside endpoint has. Both are in `by_inside`, under one key.
//! Remotes that come later get the one that was made first, unless the host has their answers there; then
//! one that was made beside it, that with the least outside endpoint first.
//!
//! A protocol without ports has no outside endpoint of its own. Its mapping is the pair of
//! inside and remote address, found by its exact tuple alone; it is in `by_inside` only.

use core::net::IpAddr;

use masq_flow::{Secret, Session, Slot, Writer};
use masq_wire::{Endpoint, Protocol, Tuple};

use crate::index::Index;
use crate::policy::InForce;
use crate::pool::{Mapping, Pool};

/// The mappings of all sessions.
#[derive(Debug)]
pub(crate) struct Mappings {
    /// By inside, by outside and by remote.
    index: Index,
    links: Vec<Link>,
    filed: Vec<Filed>,
    len: usize,
    hashes: Hashes,
}

/// How the mapping of a session stands in `by_inside`.
#[derive(Clone, Copy, Debug, Default)]
struct Filed {
    /// What it depends on, or did when its key was made: the policy may say otherwise by now.
    mapping: Mapping,
    /// Another one had the key when it was made.
    beside: bool,
}

/// A session's neighbours in the list of its mapping, as slot plus one.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    next: u32,
    previous: u32,
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
        let pool = self.policy.pool_of(session.reply.destination.addr);
        pool.map_or_else(Mapping::default, |pool| pool.mapping)
    }
}

impl Mappings {
    /// No mappings, for a table of so many slots.
    pub(crate) fn new(slots: u32, secret: Secret) -> Self {
        Self {
            index: Index::new(2 * slots as usize, slots),
            links: (0..slots).map(|_| Link::default()).collect(),
            filed: (0..slots).map(|_| Filed::default()).collect(),
            len: 0,
            hashes: Hashes(secret),
        }
    }

    /// How many mappings there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The memory that is taken, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        let links = self.links.capacity() * size_of::<Link>();
        self.index.memory() + links + self.filed.capacity() * size_of::<Filed>()
    }

    /// Asks memory for what the first session of an inside endpoint needs, if that is the outside
    /// endpoint that it will get.
    pub(crate) fn anticipate(&self, mapping: Mapping, tuple: &Tuple, outside: Endpoint) {
        let Tuple { protocol, source, destination } = *tuple;
        self.index.anticipate(self.hashes.inside(mapping, protocol, source, destination));
        self.index.anticipate(self.hashes.outside(protocol, outside));
    }

    /// Finds the mapping of a pool that a packet from an inside endpoint to a remote uses: of those whose
    /// outside endpoint is usable, the first that was made, else that with the least endpoint.
    pub(crate) fn of_inside(
        &self,
        book: Book<'_>,
        pool: &Pool,
        protocol: Protocol,
        inside: Endpoint,
        remote: Endpoint,
        usable: impl Fn(Endpoint) -> bool,
    ) -> Option<Slot> {
        let mapping = if protocol.has_ports() { pool.mapping } else { Mapping::AddressDependent };
        let hash = self.hashes.inside(mapping, protocol, inside, remote);
        let mut best: Option<(Endpoint, Slot)> = None;
        let first = self.index.find(hash, |slot| {
            let Some(session) = book.session(slot) else { return false };
            let endpoint = session.reply.destination;
            let fits = session.original.protocol == protocol
                && session.original.source == inside
                && depends_equally(mapping, session.original.destination, remote)
                && book.policy.is_of(endpoint.addr, pool)
                && usable(endpoint);
            let beside = self.filed[slot.index() as usize].beside;
            if fits && beside && best.is_none_or(|(least, _)| endpoint < least) {
                best = Some((endpoint, slot));
            }
            fits && !beside
        });
        first.or_else(|| best.map(|(_, slot)| slot))
    }

    /// Finds the mapping that has an outside endpoint.
    pub(crate) fn of_outside(
        &self,
        book: Book<'_>,
        protocol: Protocol,
        outside: Endpoint,
    ) -> Option<Slot> {
        self.index.find(self.hashes.outside(protocol, outside), |slot| {
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
        let Some(head) = self.of_outside(book, protocol, outside) else { return false };
        if self.is_alone(head) {
            let head = book.session(head);
            return head.is_some_and(|head| head.original.destination.addr == remote);
        }
        self.first_of_remote(book, protocol, outside, remote).is_some()
    }

    /// The sessions of a mapping, from its head on.
    pub(crate) fn sessions(&self, head: Slot) -> impl Iterator<Item = Slot> + '_ {
        core::iter::successors(Some(head), |slot| self.after(*slot))
    }

    /// Whether a session is the only one of its mapping.
    pub(crate) fn is_alone(&self, slot: Slot) -> bool {
        let link = self.link_of(slot);
        link.next == 0 && link.previous == 0
    }

    /// Adds a session, to a mapping that exists or as the first of a new one.
    pub(crate) fn link(
        &mut self,
        book: Book<'_>,
        slot: Slot,
        session: &Session,
        head: Option<Slot>,
    ) {
        let beside = match head {
            Some(head) => self.filed[head.index() as usize].beside,
            None => self.has_inside(book, session),
        };
        self.filed[slot.index() as usize] = Filed { mapping: book.mapping(session), beside };
        let Some(head) = head else {
            self.index.insert(self.inside_of(slot, session), slot);
            if session.original.protocol.has_ports() {
                self.index.insert(self.hashes.outside_of(session), slot);
            }
            self.len += 1;
            return;
        };
        let (protocol, outside) = (session.original.protocol, session.reply.destination);
        let remote = session.original.destination.addr;
        let Some(old) = book.session(head) else { return };
        if self.is_alone(head) && protocol.has_ports() {
            self.index.insert(self.hashes.remote_of(&old), head);
        }
        match self.first_of_remote(book, protocol, outside, remote) {
            Some(first) if first != slot => self.insert_after(first, slot),
            Some(_) | None => {
                // As the new head, since behind the old one it would part sessions of one remote.
                if self.inside_of(head, &old) == self.inside_of(slot, session) {
                    self.insert_before(head, slot);
                    self.change_head((head, &old), (slot, session));
                } else {
                    // A stranger that the filter let in does not decide for whom the mapping is.
                    let last = self.last_of_remote(book, head, &old);
                    self.insert_after(last, slot);
                }
                if protocol.has_ports() {
                    self.index.insert(self.hashes.remote_of(session), slot);
                }
            }
        }
    }

    /// Takes a session out, which must still be in the table; whether its mapping ends with it.
    pub(crate) fn unlink(&mut self, book: Book<'_>, slot: Slot, session: &Session) -> bool {
        let (before, after) = (self.before(slot), self.after(slot));
        let has_ports = session.original.protocol.has_ports();
        if has_ports && !self.is_alone(slot) {
            self.leave_remote(book, slot, session, after);
        }
        let link = core::mem::take(self.link_of_mut(slot));
        if let Some(after) = after {
            self.link_of_mut(after).previous = link.previous;
        }
        if let Some(before) = before {
            self.link_of_mut(before).next = link.next;
        }
        let heir = match (before, after) {
            (Some(before), _) => before,
            (None, Some(after)) => {
                if let Some(heir) = book.session(after) {
                    self.change_head((slot, session), (after, &heir));
                }
                after
            }
            (None, None) => {
                self.index.remove(self.inside_of(slot, session), slot);
                if has_ports {
                    self.index.remove(self.hashes.outside_of(session), slot);
                }
                self.len -= 1;
                return true;
            }
        };
        if has_ports
            && self.is_alone(heir)
            && let Some(last) = book.session(heir)
        {
            self.index.remove(self.hashes.remote_of(&last), heir);
        }
        false
    }

    /// Puts a session into another slot, where it has the same tuples.
    pub(crate) fn substitute(&mut self, session: &Session, old: Slot, new: Slot) {
        *self.link_of_mut(new) = core::mem::take(self.link_of_mut(old));
        self.filed[new.index() as usize] = self.filed[old.index() as usize];
        if let Some(after) = self.after(new) {
            self.link_of_mut(after).previous = new.index() + 1;
        }
        match self.before(new) {
            Some(before) => self.link_of_mut(before).next = new.index() + 1,
            None => {
                self.index.replace(self.inside_of(new, session), old, new);
                self.index.replace(self.hashes.outside_of(session), old, new);
            }
        }
        self.index.replace(self.hashes.remote_of(session), old, new);
    }

    /// Files the mapping of a session under the key that the policy has for it, if another one was
    /// made before.
    pub(crate) fn file(&mut self, book: Book<'_>, slot: Slot, session: &Session) {
        let from = self.inside_of(slot, session);
        self.filed[slot.index() as usize].mapping = book.mapping(session);
        let to = self.inside_of(slot, session);
        if from != to && self.before(slot).is_none() {
            self.index.remove(from, slot);
            self.index.insert(to, slot);
        }
    }

    /// The key of a session's inside endpoint, as it was made.
    fn inside_of(&self, slot: Slot, session: &Session) -> u64 {
        self.hashes.inside_of(self.filed[slot.index() as usize].mapping, session)
    }

    /// Whether there is a mapping that a session would belong to by its inside endpoint.
    fn has_inside(&self, book: Book<'_>, session: &Session) -> bool {
        let Tuple { protocol, source, destination } = session.original;
        let pool = book.policy.pool_of(session.reply.destination.addr);
        pool.is_some_and(|pool| {
            self.of_inside(book, pool, protocol, source, destination, |_| true).is_some()
        })
    }

    /// The first session with a remote address, in a mapping of more than one session.
    fn first_of_remote(
        &self,
        book: Book<'_>,
        protocol: Protocol,
        outside: Endpoint,
        remote: IpAddr,
    ) -> Option<Slot> {
        self.index.find(self.hashes.remote(protocol, outside, remote), |slot| {
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
        match heir {
            Some(heir) => self.index.replace(hash, slot, heir),
            None => self.index.remove(hash, slot),
        };
    }

    fn change_head(
        &mut self,
        (old, old_session): (Slot, &Session),
        (new, new_session): (Slot, &Session),
    ) {
        let from = self.inside_of(old, old_session);
        let to = self.inside_of(new, new_session);
        if from == to {
            self.index.replace(from, old, new);
        } else {
            // An address-dependent mapping that let another remote in.
            self.index.remove(from, old);
            self.index.insert(to, new);
        }
        if old_session.original.protocol.has_ports() {
            self.index.replace(self.hashes.outside_of(old_session), old, new);
        }
    }

    fn insert_after(&mut self, before: Slot, slot: Slot) {
        let next = core::mem::replace(&mut self.link_of_mut(before).next, slot.index() + 1);
        *self.link_of_mut(slot) = Link { next, previous: before.index() + 1 };
        if let Some(after) = self.after(slot) {
            self.link_of_mut(after).previous = slot.index() + 1;
        }
    }

    fn insert_before(&mut self, head: Slot, slot: Slot) {
        *self.link_of_mut(slot) = Link { next: head.index() + 1, previous: 0 };
        self.link_of_mut(head).previous = slot.index() + 1;
    }

    fn after(&self, slot: Slot) -> Option<Slot> {
        self.link_of(slot).next.checked_sub(1).map(Slot::new)
    }

    fn before(&self, slot: Slot) -> Option<Slot> {
        self.link_of(slot).previous.checked_sub(1).map(Slot::new)
    }

    fn link_of(&self, slot: Slot) -> &Link {
        &self.links[slot.index() as usize]
    }

    fn link_of_mut(&mut self, slot: Slot) -> &mut Link {
        &mut self.links[slot.index() as usize]
    }
}

/// The keys of the three indexes, hashed with a secret.
#[derive(Clone, Copy, Debug)]
struct Hashes(Secret);

impl Hashes {
    fn inside_of(self, mapping: Mapping, session: &Session) -> u64 {
        let original = &session.original;
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
        let number = u64::from(kind) << 56
            | u64::from(protocol.0) << 48
            | u64::from(endpoint.port) << 32
            | u64::from(remote_port);
        let [a, b] = words(endpoint.addr);
        let [c, d] = remote.map_or([0, 0], words);
        match (endpoint.addr, remote) {
            // The same, less the halves that are zero.
            (IpAddr::V4(_), None | Some(IpAddr::V4(_))) => self.0.hash([b << 32 | d, number]),
            (IpAddr::V4(_) | IpAddr::V6(_), _) => self.0.hash([a, b, c, d, number]),
        }
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
