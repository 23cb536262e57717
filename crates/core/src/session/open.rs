//! How a session begins: limits, mapping, outside endpoint, record.
//!
//! What was taken for a session that cannot be written down is given back before anybody sees it.

use core::net::IpAddr;

use masq_flow::{Activity, Direction, Flags, NextHopId, PerDirection, Refused, Session, Slot};
use masq_wire::{Endpoint, Protocol, Tuple};

use super::lifetime::class_of;
use super::{Kind, PIN_INTERVAL, Scope, Sessions, space_of};
use crate::event::{EndReason, Event};
use crate::limits::Limit;
use crate::mapping::Book;
use crate::pool::{Pool, Pooling};
use crate::ports::{PortSpace, Release, Wish};
use crate::routes::{PortId, Routes};
use crate::tcp::State;
use crate::time::Instant;
use crate::verdict::DropReason;

/// Addresses of a pool that are tried for one mapping, when any may be used.
const POOL_TRIES: usize = 8;

/// Ports that are tried for one mapping, where the host has the answers of its remote at others.
const HOST_TRIES: usize = 16;

/// One in so many records at most is of a session without a mapping.
const PLAIN_SHARE: usize = 2;

/// A session that is to begin: all of it but the port that a new mapping gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) original: Tuple,
    pub(crate) reply: Tuple,
    pub(crate) flags: Flags,
    /// Where its packets arrive.
    pub(crate) ports: PerDirection<PortId>,
    /// Which way the first of them travels.
    pub(crate) direction: Direction,
    pub(crate) place: Place,
}

/// Where a session that is to begin belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the mapping that has its outside endpoint.
    Mapping,
    /// In a new mapping, with a port of its outside address.
    New,
    /// In none.
    Apart,
}

impl Sessions {
    /// Begins a session.
    ///
    /// # Errors
    ///
    /// Says what there is none left of; nothing has been taken then.
    pub(crate) fn open(
        &mut self,
        scope: &mut Scope<'_>,
        routes: &dyn Routes,
        opening: &Opening,
    ) -> Result<(Slot, Session), DropReason> {
        if opening.place == Place::Apart {
            return self.open_plain(scope, opening);
        }
        // Freed records rest, so room is made a little before it is needed; and before anything is
        // looked up that might be given up for it.
        if self.is_nearly_full() {
            self.reclaim_record(scope);
        }
        let Opening { original, mut reply, ports, flags, .. } = *opening;
        let inside = original.source;
        let head = match opening.place {
            Place::Mapping => {
                let book = Book { table: &self.table, policy: scope.policy };
                self.mappings.of_outside(book, reply.protocol, reply.destination)
            }
            Place::New | Place::Apart => None,
        };
        self.admit(scope, inside.addr, head.is_none())?;
        let taken = match (opening.place, head) {
            (_, Some(_)) => Ok(reply.destination),
            (Place::Mapping, None) => {
                let endpoint = reply.destination;
                self.take_again(reply.protocol, endpoint).map(|()| endpoint)
            }
            (Place::New | Place::Apart, None) => {
                self.take_endpoint(scope, routes, inside.port, &reply)
            }
        };
        reply.destination = taken.inspect_err(|_| {
            self.hosts.session_ended(scope.now, inside.addr);
            self.hosts.mapping_ended(scope.now, inside.addr);
        })?;
        let session = new_session(scope, original, reply, ports, flags);
        Ok((self.insert(scope, &session, head)?, session))
    }

    /// Begins a session without a mapping, if there is room that nobody else needs. Its packets go on in
    /// any case, so only others like it are given up for it, and nobody's limits count it.
    fn open_plain(
        &mut self,
        scope: &mut Scope<'_>,
        opening: &Opening,
    ) -> Result<(Slot, Session), DropReason> {
        let most = self.table.layout().slots as usize / PLAIN_SHARE;
        let room = !self.is_nearly_full() && (self.plain < most || self.reclaim_plain(scope));
        if !room {
            return Err(DropReason::TableFull);
        }
        let Opening { original, reply, ports, flags, .. } = *opening;
        let session = new_session(scope, original, reply, ports, flags);
        let slot = self.table.insert(scope.now.as_nanos(), &session);
        let slot = slot.map_err(|_| DropReason::TableFull)?;
        self.plain += 1;
        self.note_begun(scope, slot, &session);
        Ok((slot, session))
    }

    /// Begins the session of a slot anew: its endpoints open another connection.
    pub(crate) fn reopen(&mut self, scope: &mut Scope<'_>, old: Slot) -> Option<Slot> {
        let before = self.table.session(old)?;
        let ports = before.interfaces;
        let ports = PerDirection::new(PortId(ports.egress), PortId(ports.ingress));
        let flags = before.flags.difference(Flags::ANSWERED);
        let session = new_session(scope, before.original, before.reply, ports, flags);
        self.table.remove(scope.now.as_nanos(), old);
        // The record's slot rests, so another one is needed; the tuples are free again.
        let Ok(slot) = self.table.insert(scope.now.as_nanos(), &session) else {
            let slot = self.table.insert(scope.now.as_nanos(), &before).ok()?;
            self.move_slot(scope, &before, old, slot);
            self.reclaim.push_over(&before, slot);
            return Some(slot);
        };
        self.move_slot(scope, &session, old, slot);
        self.arm(scope, slot, &session, &Activity::default());
        self.reclaim.push_unanswered(&session, slot);
        scope.stats.created += 1;
        scope.stats.removed += 1;
        let reason = EndReason::Reopened;
        scope.events.push(Event::SessionRemoved { slot: old, session: before, reason });
        scope.events.push(Event::SessionCreated { slot, session });
        Some(slot)
    }

    /// Takes the outside endpoint of a new mapping, at the address that answers are to arrive at.
    pub(super) fn take_endpoint(
        &mut self,
        scope: &mut Scope<'_>,
        routes: &dyn Routes,
        inside: u16,
        reply: &Tuple,
    ) -> Result<Endpoint, DropReason> {
        let Some(space) = space_of(reply.protocol) else { return Ok(reply.destination) };
        let address = reply.destination.addr;
        let pool = scope.policy.pool_of(address).ok_or(DropReason::NoOutsideAddress)?;
        let wish = wish(pool, space, inside);
        // Ports that are free, but not for this remote.
        let mut aside = [0; HOST_TRIES];
        let mut count = 0;
        let taken = loop {
            let port = match self.take_port(scope, address, space, wish) {
                Ok(port) => port,
                Err(reason) => break Err(reason),
            };
            let endpoint = Endpoint::new(address, port);
            if !routes.host_has(&Tuple { destination: endpoint, ..*reply }) {
                break Ok(endpoint);
            }
            aside[count] = port;
            count += 1;
            if count == aside.len() {
                break Err(DropReason::PortsExhausted);
            }
        };
        for port in &aside[..count] {
            self.ports.release(scope.now, address, space, *port, Release::Unused);
        }
        taken
    }

    /// Takes the endpoint of a mapping whose last session had to make room just now.
    fn take_again(&mut self, protocol: Protocol, endpoint: Endpoint) -> Result<(), DropReason> {
        let Some(space) = space_of(protocol) else { return Ok(()) };
        let claimed = self.ports.claim_exact(endpoint.addr, space, endpoint.port);
        claimed.map_err(|_| DropReason::PortsExhausted)
    }

    /// Takes a port, if need be that of a mapping that may be given up.
    fn take_port(
        &mut self,
        scope: &mut Scope<'_>,
        address: IpAddr,
        space: PortSpace,
        wish: Wish,
    ) -> Result<u16, DropReason> {
        if let Ok(port) = self.ports.allocate(scope.now, address, space, wish) {
            return Ok(port);
        }
        if self.reclaim_port(scope, address, space)
            && let Ok(port) = self.ports.allocate(scope.now, address, space, wish)
        {
            return Ok(port);
        }
        self.tell_exhausted(scope, address, space);
        Err(DropReason::PortsExhausted)
    }

    /// The address of a pool that a new mapping is to have: of those that it may have, the first with
    /// a port that is free, or may be given up.
    pub(crate) fn address_for(
        &self,
        now: Instant,
        routes: &dyn Routes,
        pool: &Pool,
        tuple: &Tuple,
    ) -> Result<IpAddr, DropReason> {
        let Tuple { protocol, source: inside, destination: remote } = *tuple;
        let addresses = &pool.addresses;
        if addresses.is_empty() {
            return Err(DropReason::NoOutsideAddress);
        }
        let (start, tries) = match self.settled(pool, inside.addr) {
            Some(start) => (start, 1),
            None => (self.scattered(tuple, addresses.len()), addresses.len().min(POOL_TRIES)),
        };
        let mut candidates = (start..start + tries).map(|i| addresses[i % addresses.len()]);
        let Some(space) = space_of(protocol) else {
            let reply = |address: &IpAddr| Tuple::new(protocol, remote, Endpoint::new(*address, 0));
            let hosts = |address: &IpAddr| routes.host_has(&reply(address));
            let free =
                |address: &IpAddr| self.table.lookup(&reply(address)).is_none() && !hosts(address);
            return candidates.clone().find(free).ok_or_else(|| {
                let hosts = candidates.any(|address| hosts(&address));
                if hosts { DropReason::RemoteOfHost } else { DropReason::RemoteTaken }
            });
        };
        if tries == 1 {
            return Ok(addresses[start]);
        }
        let wish = wish(pool, space, inside.port);
        let has_free = |address: &IpAddr| self.ports.has_free(now, *address, space, wish);
        let may_have = |address: &IpAddr| self.reclaim.has_any(*address, space);
        let found = candidates.clone().find(has_free).or_else(|| candidates.find(may_have));
        Ok(found.unwrap_or(addresses[start]))
    }

    /// The address that a host gets, where it always gets the same.
    pub(crate) fn likely_address(&self, pool: &Pool, host: IpAddr) -> Option<IpAddr> {
        self.settled(pool, host).map(|index| pool.addresses[index])
    }

    /// Which address of a pool a host gets, where it always gets the same.
    fn settled(&self, pool: &Pool, host: IpAddr) -> Option<usize> {
        match (pool.pooling, pool.addresses.len()) {
            (_, 0) => None,
            (_, 1) => Some(0),
            (Pooling::Paired, many) => Some(self.paired(host, many)),
            (Pooling::Arbitrary, _) => None,
        }
    }

    fn admit(
        &mut self,
        scope: &mut Scope<'_>,
        host: IpAddr,
        new_mapping: bool,
    ) -> Result<(), DropReason> {
        self.hosts.admit(scope.now, host, new_mapping).map_err(|refused| {
            if refused.announce {
                scope.events.push(Event::LimitReached { host, limit: refused.limit });
            }
            match refused.limit {
                Limit::Hosts => DropReason::Hosts,
                Limit::Mappings => DropReason::HostMappings,
                Limit::Rate => DropReason::HostRate,
                Limit::Sessions => DropReason::HostSessions,
            }
        })
    }

    /// RFC 4787 REQ-2: a host always gets the same address of a pool.
    fn paired(&self, host: IpAddr, pool: usize) -> usize {
        let [low, high] = words(host);
        (self.pairing.hash([low, high]) % pool as u64) as usize
    }

    /// An address of a pool for a flow, where any will do: nobody who lacks the secret knows which.
    fn scattered(&self, tuple: &Tuple, pool: usize) -> usize {
        let Tuple { protocol, source, destination } = *tuple;
        let ([a, b], [c, d]) = (words(source.addr), words(destination.addr));
        let ports = u64::from(protocol.0) << 32
            | u64::from(source.port) << 16
            | u64::from(destination.port);
        (self.pairing.hash([a, b, c, d, ports]) % pool as u64) as usize
    }

    fn tell_exhausted(&mut self, scope: &mut Scope<'_>, address: IpAddr, space: PortSpace) {
        scope.stats.exhausted += 1;
        let next = self.exhausted.entry((address, space)).or_default();
        if scope.now >= *next {
            *next = scope.now + scope.policy.event_interval;
            scope.events.push(Event::PortsExhausted { address, space });
        }
    }

    /// Writes a session down, or gives back what was taken for it.
    fn insert(
        &mut self,
        scope: &mut Scope<'_>,
        session: &Session,
        head: Option<Slot>,
    ) -> Result<Slot, DropReason> {
        let slot = match self.table.insert(scope.now.as_nanos(), session) {
            Ok(slot) => slot,
            Err(refused) => {
                self.abandon(scope, session, head.is_none());
                return Err(self.refused(scope, session, refused));
            }
        };
        let book = Book { table: &self.table, policy: scope.policy };
        self.mappings.link(book, slot, session, head);
        self.pins.add(slot, session);
        let protocol = session.original.protocol;
        if head.is_none() {
            if !protocol.has_ports() {
                self.own_protocol(protocol);
            }
            let (inside, outside) = (session.original.source, session.reply.destination);
            scope.events.push(Event::MappingCreated { protocol, inside, outside });
        }
        self.note_begun(scope, slot, session);
        Ok(slot)
    }

    /// Gives a session that has been written down what every one has.
    fn note_begun(&mut self, scope: &mut Scope<'_>, slot: Slot, session: &Session) {
        self.arm(scope, slot, session, &Activity::default());
        self.reclaim.push_unanswered(session, slot);
        scope.stats.created += 1;
        scope.events.push(Event::SessionCreated { slot, session: *session });
    }

    /// Takes back what a session that was not written down had taken.
    fn abandon(&mut self, scope: &Scope<'_>, session: &Session, new_mapping: bool) {
        let inside = session.original.source.addr;
        self.hosts.session_ended(scope.now, inside);
        if new_mapping {
            self.hosts.mapping_ended(scope.now, inside);
            let outside = session.reply.destination;
            if let Some(space) = space_of(session.original.protocol) {
                let (address, port) = (outside.addr, outside.port);
                self.ports.release(scope.now, address, space, port, Release::Unused);
            }
        }
    }

    fn refused(
        &mut self,
        scope: &mut Scope<'_>,
        session: &Session,
        refused: Refused,
    ) -> DropReason {
        match refused {
            Refused::Taken { .. } if !session.original.protocol.has_ports() => {
                DropReason::RemoteTaken
            }
            Refused::Taken { .. } => DropReason::TupleTaken,
            Refused::Unencodable(_) => DropReason::HairpinToItself,
            Refused::IndexFull | Refused::NoSlot | _ => {
                if scope.now >= self.next_full {
                    self.next_full = scope.now + scope.policy.event_interval;
                    scope.events.push(Event::TableFull);
                }
                self.reclaim_record(scope);
                DropReason::TableFull
            }
        }
    }

    /// Carries everything that is kept by slot over to another one.
    fn move_slot(&mut self, scope: &Scope<'_>, session: &Session, old: Slot, new: Slot) {
        if Kind::of(session) == Kind::Mapped {
            self.mappings.substitute(session, old, new);
        }
        self.pins.remove(old, session);
        self.pins.add(new, session);
        self.reclaim.remove(old);
        self.timers.disarm(old);
        self.timers.arm(new, scope.now + PIN_INTERVAL);
    }

    /// Freed records rest, so room is made a little before it is needed.
    fn is_nearly_full(&self) -> bool {
        let slots = self.table.layout().slots as usize;
        self.table.len() + self.table.resting() >= slots - slots / 64
    }
}

fn wish(pool: &Pool, space: PortSpace, port: u16) -> Wish {
    let wish = match space {
        PortSpace::Icmp => Wish::identifier(port),
        PortSpace::Tcp | PortSpace::Udp => Wish::port(port),
    };
    Wish { preserve: pool.preserve_ports, ..wish }
}

fn words(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    [bits as u64, (bits >> 64) as u64]
}

fn new_session(
    scope: &Scope<'_>,
    original: Tuple,
    reply: Tuple,
    ports: PerDirection<PortId>,
    flags: Flags,
) -> Session {
    let state = match original.protocol {
        Protocol::TCP => State::Init,
        _ => State::Closed,
    };
    Session {
        original,
        reply,
        flags,
        class: class_of(original.protocol).number(),
        state: state.number(),
        next_hops: PerDirection::new(NextHopId::NONE, NextHopId::NONE),
        interfaces: PerDirection::new(ports.egress.0, ports.ingress.0),
        epoch: scope.epoch,
        rule_path: 0,
        created: u32::try_from(scope.now.as_secs()).unwrap_or(u32::MAX),
    }
}
