//! Sessions: a mapping with a remote, from the first packet to the last timer.
//!
//! Goals: whatever a session holds (a record, a place in its mapping, an outside port, a share of its
//! host's limits, a timer) is taken when it begins and given back when it ends, in this module and
//! nowhere else.
//!
//! A session is always written down from its inside host's view, whoever sent the first packet:
//!
//! ```text
//! original   inside ──► remote           as the inside host's packets arrive
//! reply      remote ──► outside          as the remote's packets arrive
//!
//! hairpin    inside ──► outside of b     both ends are inside; one record serves both,
//!            inside b ──► outside        and counts in the mapping of the host that began
//! ```
//!
//! Timers: the timer fires at the earliest instant at which the session could be over. It then
//! reads when the record was last stamped, by us or by the fast path, and waits on or ends it. So a
//! packet costs no timer operation.
//!
//! Caveats: a mapping that is the target of a hairpin session must not end before it, or its outside
//! endpoint could be given to somebody else. It is *pinned*: its last session waits.

use core::net::IpAddr;
use std::collections::BTreeMap;

use masq_flow::owned::Owned;
use masq_flow::{
    Activity, Direction, Flags, NextHopId, PerDirection, Refused, Region, Secret, Session, Slot,
    Writer,
};
use masq_wire::{Endpoint, Protocol, Tuple};

use crate::event::{EndReason, Event, Events};
use crate::limits::{Hosts, Limit};
use crate::mapping::{Book, Mappings};
use crate::policy::{Outside, Policy, Pooling, TimeoutClass};
use crate::ports::{PortSpace, Ports, Release, Wish};
use crate::random::Random;
use crate::reclaim::Reclaim;
use crate::routes::PortId;
use crate::stats::Stats;
use crate::tcp::State;
use crate::time::{Duration, Instant};
use crate::timers::Timers;
use crate::verdict::DropReason;

/// A pinned mapping is looked at again after this time.
const PIN_INTERVAL: Duration = Duration::from_secs(30);
/// Addresses of a pool that are tried for one mapping, when any may be used.
const POOL_TRIES: usize = 8;

/// Everything that exists for sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) table: Writer,
    pub(crate) mappings: Mappings,
    pub(crate) ports: Ports,
    pub(crate) hosts: Hosts,
    pub(crate) timers: Timers,
    pub(crate) reclaim: Reclaim,
    /// How many hairpin sessions lead to an outside endpoint.
    pub(crate) pins: BTreeMap<(Protocol, Endpoint), u32>,
    /// How many mappings there are of each protocol without ports.
    pub(crate) portless: BTreeMap<Protocol, u32>,
    pub(crate) owned: Option<Region<Owned>>,
    /// When the next event may say that an address has no port left.
    exhausted: BTreeMap<(IpAddr, PortSpace), Instant>,
    next_full: Instant,
    pairing: Secret,
    random: Random,
}

/// What every operation needs beside the sessions.
pub(crate) struct Scope<'a> {
    pub(crate) now: Instant,
    /// The policy that new sessions are judged by.
    pub(crate) epoch: u32,
    pub(crate) policy: &'a Policy,
    pub(crate) events: &'a mut Events,
    pub(crate) stats: &'a mut Stats,
}

impl Sessions {
    pub(crate) fn new(table: Writer, policy: &Policy, now: Instant, random: &mut Random) -> Self {
        let slots = table.layout().slots;
        let mut secret = || Secret::new(random.next_u64(), random.next_u64());
        let (mapping_secret, pairing) = (secret(), secret());
        Self {
            table,
            mappings: Mappings::new(slots, mapping_secret),
            ports: Ports::new(random.split(), policy.hold_down),
            hosts: Hosts::new(random, policy.hosts),
            timers: Timers::new(slots, now),
            reclaim: Reclaim::default(),
            pins: BTreeMap::new(),
            portless: BTreeMap::new(),
            owned: None,
            exhausted: BTreeMap::new(),
            next_full: Instant::ZERO,
            pairing,
            random: random.split(),
        }
    }

    /// The sessions as [`Mappings`] needs them.
    pub(crate) const fn book<'a>(&'a self, policy: &'a Policy) -> Book<'a> {
        Book { table: &self.table, policy }
    }

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
    ) -> Result<Slot, DropReason> {
        let (protocol, inside, remote) = (original.protocol, original.source, original.destination);
        let book = Book { table: &self.table, policy: scope.policy };
        let head = self.mappings.of_inside(book, outside, protocol, inside, remote);
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
        self.insert(scope, &session, head)
    }

    /// Begins a session for a packet from outside that a mapping lets in.
    pub(crate) fn open_ingress(
        &mut self,
        scope: &mut Scope<'_>,
        reply: Tuple,
        ports: PerDirection<PortId>,
        head: Slot,
    ) -> Result<Slot, DropReason> {
        let Some(first) = self.table.session(head) else { return Err(DropReason::Unsolicited) };
        let inside = first.original.source;
        self.admit(scope, inside.addr, false)?;
        let original = Tuple::new(reply.protocol, inside, reply.source);
        let session = new_session(scope, original, reply, ports, Flags::FORWARDED);
        self.insert(scope, &session, Some(head))
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

    /// Ends a session; whether its mapping ended with it.
    pub(crate) fn remove(&mut self, scope: &mut Scope<'_>, slot: Slot, reason: EndReason) -> bool {
        let Some(session) = self.table.session(slot) else { return false };
        let book = Book { table: &self.table, policy: scope.policy };
        let last = self.mappings.unlink(book, slot, &session);
        self.timers.disarm(slot);
        self.table.remove(scope.now.as_nanos(), slot);
        let inside = session.original.source;
        self.hosts.session_ended(scope.now, inside.addr);
        self.unpin(&session);
        scope.stats.removed += 1;
        scope.stats.reclaimed += u64::from(reason == EndReason::Reclaimed);
        scope.events.push(Event::SessionRemoved { slot, session, reason });
        if last {
            self.hosts.mapping_ended(scope.now, inside.addr);
            self.give_back(scope.now, &session, reason);
            let (protocol, outside) = (session.original.protocol, session.reply.destination);
            scope.events.push(Event::MappingRemoved { protocol, inside, outside });
        }
        last
    }

    /// Looks at sessions whose time may be up, at most so many; whether there may be more.
    pub(crate) fn expire(&mut self, scope: &mut Scope<'_>, most: usize) -> bool {
        for _ in 0..most {
            let Some(slot) = self.timers.pop(scope.now) else { return false };
            let Some(session) = self.table.session(slot) else { continue };
            if self.end_if_over(scope, slot, &session) {
                continue;
            }
            let activity = self.table.activity(slot).unwrap_or_default();
            if deadline(scope.policy, &session, &activity) > scope.now {
                self.arm(scope, slot, &session, &activity);
            } else {
                self.timers.arm(slot, scope.now + PIN_INTERVAL);
            }
        }
        true
    }

    /// Ends a session whose time is up, unless its mapping is pinned and would end with it; whether
    /// it did. Timers may be late; a session never lives longer for that.
    pub(crate) fn end_if_over(
        &mut self,
        scope: &mut Scope<'_>,
        slot: Slot,
        session: &Session,
    ) -> bool {
        let activity = self.table.activity(slot).unwrap_or_default();
        let over = deadline(scope.policy, session, &activity) <= scope.now
            && !(self.is_pinned(session) && self.mappings.is_alone(slot));
        if over {
            self.remove(scope, slot, EndReason::Idle);
        }
        over
    }

    /// Sets the timer of a session to the earliest instant at which it could be over.
    pub(crate) fn arm(
        &mut self,
        scope: &Scope<'_>,
        slot: Slot,
        session: &Session,
        activity: &Activity,
    ) {
        self.timers.arm(slot, earliest_end(scope.policy, session, activity));
    }

    /// The class and TCP state of a session, with what was stamped on it.
    pub(crate) fn state(session: &Session, activity: &Activity) -> Option<State> {
        (session.original.protocol == Protocol::TCP)
            .then(|| State::from_number(session.state).unwrap_or_default().reconciled(activity))
    }

    /// Whether both sides have sent something.
    pub(crate) const fn is_answered(activity: &Activity) -> bool {
        activity.sides.egress.packets > 0 && activity.sides.ingress.packets > 0
    }

    pub(crate) fn is_pinned(&self, session: &Session) -> bool {
        self.pins.contains_key(&(session.original.protocol, session.reply.destination))
    }

    /// Counts a hairpin session for the mapping that it leads to.
    pub(crate) fn pin(&mut self, session: &Session) {
        if session.flags.contains(Flags::HAIRPIN) {
            let target = (session.original.protocol, session.original.destination);
            *self.pins.entry(target).or_default() += 1;
        }
    }

    fn unpin(&mut self, session: &Session) {
        if session.flags.contains(Flags::HAIRPIN) {
            let target = (session.original.protocol, session.original.destination);
            if let Some(count) = self.pins.get_mut(&target) {
                *count -= 1;
                if *count == 0 {
                    self.pins.remove(&target);
                }
            }
        }
    }

    /// Counts the mapping of a protocol without ports.
    pub(crate) fn own_protocol(&mut self, protocol: Protocol) {
        let count = self.portless.entry(protocol).or_default();
        *count += 1;
        if *count == 1
            && let Some(owned) = &self.owned
        {
            owned[0].set_protocol(protocol, true);
        }
    }

    pub(crate) fn disown_protocol(&mut self, protocol: Protocol) {
        let Some(count) = self.portless.get_mut(&protocol) else { return };
        *count -= 1;
        if *count == 0 {
            self.portless.remove(&protocol);
            if let Some(owned) = &self.owned {
                owned[0].set_protocol(protocol, false);
            }
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

    /// Chooses the outside endpoint of a new mapping.
    pub(crate) fn choose(
        &mut self,
        scope: &mut Scope<'_>,
        outside: &Outside,
        protocol: Protocol,
        inside: Endpoint,
        remote: Endpoint,
    ) -> Result<Endpoint, DropReason> {
        let pool = &outside.addresses;
        if pool.is_empty() {
            return Err(DropReason::NoOutsideAddress);
        }
        let (start, tries) = match outside.pooling {
            Pooling::Paired => (self.paired(inside.addr, pool.len()), 1),
            Pooling::Arbitrary => {
                (self.random.below(pool.len() as u32) as usize, pool.len().min(POOL_TRIES))
            }
        };
        let candidates = (start..start + tries).map(|i| pool[i % pool.len()]);
        let Some((space, wish)) = wish(outside, protocol, inside.port) else {
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
        self.pin(session);
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

    /// Gives back the outside endpoint of a mapping that ended.
    fn give_back(&mut self, now: Instant, session: &Session, reason: EndReason) {
        let protocol = session.original.protocol;
        let outside = session.reply.destination;
        let Some(space) = space_of(protocol) else { return self.disown_protocol(protocol) };
        let why = match reason {
            EndReason::Reclaimed => Release::Reclaimed,
            EndReason::AddressGone
            | EndReason::Idle
            | EndReason::Policy
            | EndReason::Reopened
            | EndReason::Rerouted => Release::Ended,
        };
        self.ports.release(now, outside.addr, space, outside.port, why);
    }

    /// Carries everything that is kept by slot over to another one.
    fn move_slot(&mut self, scope: &Scope<'_>, session: &Session, old: Slot, new: Slot) {
        let book = Book { table: &self.table, policy: scope.policy };
        self.mappings.substitute(book, session, old, new);
        self.timers.disarm(old);
        self.timers.arm(new, scope.now + PIN_INTERVAL);
    }

    /// Freed records rest, so room is made a little before it is needed.
    fn is_nearly_full(&self) -> bool {
        let slots = self.table.layout().slots as usize;
        self.table.len() + self.table.resting() >= slots - slots / 64
    }
}

/// When a session ends if nothing more is seen of it.
pub(crate) fn deadline(policy: &Policy, session: &Session, activity: &Activity) -> Instant {
    let class = match Sessions::state(session, activity) {
        Some(state) => state.class(),
        None => class_of(session.original.protocol),
    };
    last_seen(session, activity) + policy.timeouts.of(class)
}

/// When a session could end at the earliest, whatever the fast path notes in the meantime.
fn earliest_end(policy: &Policy, session: &Session, activity: &Activity) -> Instant {
    let timeouts = &policy.timeouts;
    let end = deadline(policy, session, activity);
    if session.original.protocol != Protocol::TCP {
        return end;
    }
    let shortest = timeouts.tcp_opening.min(timeouts.tcp_closing).min(timeouts.tcp_reset);
    end.min(last_seen(session, activity) + shortest).max(Instant::ZERO)
}

fn last_seen(session: &Session, activity: &Activity) -> Instant {
    let created = Instant::from_secs(u64::from(session.created));
    Instant::from_nanos(activity.last_seen_ns()).max(created)
}

/// The timeout class of a protocol other than TCP.
pub(crate) const fn class_of(protocol: Protocol) -> TimeoutClass {
    match protocol {
        Protocol::ICMP | Protocol::ICMPV6 => TimeoutClass::Icmp,
        Protocol::TCP => TimeoutClass::TcpOpening,
        Protocol::UDP => TimeoutClass::Udp,
        _ => TimeoutClass::Other,
    }
}

/// The number space that a protocol's outside endpoints are taken from.
pub(crate) const fn space_of(protocol: Protocol) -> Option<PortSpace> {
    match protocol {
        Protocol::ICMP => Some(PortSpace::Icmp),
        Protocol::TCP => Some(PortSpace::Tcp),
        Protocol::UDP => Some(PortSpace::Udp),
        _ => None,
    }
}

fn wish(outside: &Outside, protocol: Protocol, port: u16) -> Option<(PortSpace, Wish)> {
    let space = space_of(protocol)?;
    let wish = match space {
        PortSpace::Icmp => Wish::identifier(port),
        PortSpace::Tcp | PortSpace::Udp => Wish::port(port),
    };
    Some((space, Wish { preserve: outside.preserve_ports, ..wish }))
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

/// The interface at which packets of a direction arrive.
pub(crate) fn arrival_port(session: &Session, direction: Direction) -> PortId {
    PortId(session.interfaces[direction])
}
