//! How a session begins: limits, mapping, outside endpoint, record.
//!
//! What was taken for a session that cannot be written down is given back before anybody sees it.

use core::net::IpAddr;

use masq_flow::{Activity, Flags, NextHopId, PerDirection, Refused, Session, Slot};
use masq_wire::{Endpoint, Protocol, Tuple};

use super::lifetime::class_of;
use super::{Kind, PIN_INTERVAL, Scope, Sessions, space_of};
use crate::event::{EndReason, Event};
use crate::limits::Limit;
use crate::mapping::Book;
use crate::policy::Outside;
use crate::pool::{Pool, Pooling};
use crate::ports::{PortSpace, Release, Wish};
use crate::routes::PortId;
use crate::tcp::State;
use crate::verdict::DropReason;

/// Addresses of a pool that are tried for one mapping, when any may be used.
const POOL_TRIES: usize = 8;

impl Sessions {
    /// Begins a session for a packet from an inside host.
    ///
    /// `target` is the endpoint of another inside host, if the destination stands for one.
    pub(crate) fn open_egress(
        &mut self,
        scope: &mut Scope<'_>,
        original: Tuple,
        ports: PerDirection<PortId>,
        outside: &Outside,
        target: Option<Endpoint>,
    ) -> Result<(Slot, Session), DropReason> {
        let (protocol, inside, remote) = (original.protocol, original.source, original.destination);
        let book = Book { table: &self.table, policy: scope.policy };
        let head = self.mappings.of_inside(book, &outside.pool, protocol, inside, remote);
        self.admit(scope, inside.addr, head.is_none())?;
        let endpoint = match head.and_then(|head| self.table.session(head)) {
            Some(session) => Ok(session.reply.destination),
            None => self.choose(scope, outside, protocol, inside, remote),
        };
        let endpoint = endpoint.inspect_err(|_| {
            self.hosts.session_ended(scope.now, inside.addr);
            self.hosts.mapping_ended(scope.now, inside.addr);
        })?;
        let answerer = target.unwrap_or(remote);
        let flags = if target.is_some() { Flags::HAIRPIN } else { Flags::empty() };
        let reply = Tuple::new(protocol, answerer, endpoint);
        let session = new_session(scope, original, reply, ports, flags);
        Ok((self.insert(scope, &session, head)?, session))
    }

    /// Begins a session for a packet from outside that a mapping lets in.
    pub(crate) fn open_ingress(
        &mut self,
        scope: &mut Scope<'_>,
        reply: Tuple,
        ports: PerDirection<PortId>,
        head: Slot,
    ) -> Result<(Slot, Session), DropReason> {
        let Some(first) = self.table.session(head) else { return Err(DropReason::Unsolicited) };
        let inside = first.original.source;
        self.admit(scope, inside.addr, false)?;
        let original = Tuple::new(reply.protocol, inside, reply.source);
        let session = new_session(scope, original, reply, ports, Flags::FORWARDED);
        Ok((self.insert(scope, &session, Some(head))?, session))
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

    /// Chooses the outside endpoint of a new mapping.
    pub(crate) fn choose(
        &mut self,
        scope: &mut Scope<'_>,
        outside: &Outside,
        protocol: Protocol,
        inside: Endpoint,
        remote: Endpoint,
    ) -> Result<Endpoint, DropReason> {
        let pool = &outside.pool.addresses;
        if pool.is_empty() || outside.away {
            return Err(DropReason::NoOutsideAddress);
        }
        let (start, tries) = match self.settled(&outside.pool, inside.addr) {
            Some(start) => (start, 1),
            None => (self.random.below(pool.len() as u32) as usize, pool.len().min(POOL_TRIES)),
        };
        let candidates = (start..start + tries).map(|i| pool[i % pool.len()]);
        let Some((space, wish)) = wish(&outside.pool, protocol, inside.port) else {
            let free = |address: &IpAddr| {
                let reply = Tuple::new(protocol, remote, Endpoint::new(*address, 0));
                self.table.lookup(&reply).is_none()
            };
            let address = candidates.clone().find(free).ok_or(DropReason::RemoteTaken)?;
            return Ok(Endpoint::new(address, 0));
        };
        for address in candidates.clone() {
            if let Ok(port) = self.ports.allocate(scope.now, address, space, wish) {
                return Ok(Endpoint::new(address, port));
            }
        }
        for address in candidates {
            if self.reclaim_port(scope, address, space)
                && let Ok(port) = self.ports.allocate(scope.now, address, space, wish)
            {
                return Ok(Endpoint::new(address, port));
            }
        }
        self.tell_exhausted(scope, pool[start], space);
        Err(DropReason::PortsExhausted)
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
        let bits = match host {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let hash = self.pairing.hash([bits as u64, (bits >> 64) as u64]);
        (hash % pool as u64) as usize
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
        if self.is_nearly_full() {
            self.reclaim_record(scope);
        }
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
        self.arm(scope, slot, session, &Activity::default());
        self.reclaim.push_unanswered(session, slot);
        scope.stats.created += 1;
        let protocol = session.original.protocol;
        if head.is_none() {
            if !protocol.has_ports() {
                self.own_protocol(protocol);
            }
            let (inside, outside) = (session.original.source, session.reply.destination);
            scope.events.push(Event::MappingCreated { protocol, inside, outside });
        }
        scope.events.push(Event::SessionCreated { slot, session: *session });
        Ok(slot)
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

fn wish(pool: &Pool, protocol: Protocol, port: u16) -> Option<(PortSpace, Wish)> {
    let space = space_of(protocol)?;
    let wish = match space {
        PortSpace::Icmp => Wish::identifier(port),
        PortSpace::Tcp | PortSpace::Udp => Wish::port(port),
    };
    Some((space, Wish { preserve: pool.preserve_ports, ..wish }))
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
