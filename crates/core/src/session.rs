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
//! Sessions whose packets are not translated hold less: a record, a timer, and a place among those that
//! may be given up ([`kind`]).
//!
//! Timers: the timer fires at the earliest instant at which the session could be over. It then
//! reads when the record was last stamped, by us or by the fast path, and waits on or ends it. So a
//! packet costs no timer operation.
//!
//! Caveats: a mapping that a hairpin session leads to is *pinned* (see [`pins`]): its last session is
//! kept beyond its time. All its packets come to the engine then, until one brings it back.

mod kind;
mod lifetime;
mod open;
mod pins;
mod relocate;

use core::net::IpAddr;
use std::collections::BTreeMap;

use masq_flow::owned::Owned;
use masq_flow::{Activity, Direction, Flags, Region, Secret, Session, Slot, Writer};
use masq_wire::Protocol;

pub use self::kind::Kind;
pub(crate) use self::kind::{inside_addresses, outside_addresses, realm_of_arrival};
pub(crate) use self::lifetime::last_seen;
use self::lifetime::{deadline, earliest_end};
pub(crate) use self::open::{Opening, Place};
use self::pins::Pins;
use crate::event::{EndReason, Event, Events};
use crate::limits::Hosts;
use crate::mapping::{Book, Mappings};
use crate::policy::{InForce, Policy};
use crate::ports::{PortSpace, Ports, Release};
use crate::random::Random;
use crate::reclaim::Reclaim;
use crate::routes::PortId;
use crate::stats::Stats;
use crate::tcp::State;
use crate::time::{Duration, Instant};
use crate::timers::Timers;

/// A pinned mapping is looked at again after this time.
const PIN_INTERVAL: Duration = Duration::from_secs(30);

/// Everything that exists for sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) table: Writer,
    pub(crate) mappings: Mappings,
    pub(crate) ports: Ports,
    pub(crate) hosts: Hosts,
    pub(crate) timers: Timers,
    pub(crate) reclaim: Reclaim,
    pub(crate) pins: Pins,
    /// How many sessions there are without a mapping.
    pub(crate) plain: usize,
    /// How many mappings there are of each protocol without ports.
    pub(crate) portless: BTreeMap<Protocol, u32>,
    pub(crate) owned: Option<Region<Owned>>,
    /// When the next event may say that an address has no port left.
    exhausted: BTreeMap<(IpAddr, PortSpace), Instant>,
    next_full: Instant,
    pairing: Secret,
}

/// What every operation needs beside the sessions.
pub(crate) struct Scope<'a> {
    pub(crate) now: Instant,
    /// The policy that new sessions are judged by.
    pub(crate) epoch: u32,
    pub(crate) policy: &'a InForce,
    pub(crate) events: &'a mut Events,
    pub(crate) stats: &'a mut Stats,
}

/// What the time means for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It was up, and the session has ended.
    Ended,
    /// It is not up.
    Goes,
    /// It is up, but the session's mapping is needed.
    Kept,
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
            reclaim: Reclaim::new(slots),
            pins: Pins::default(),
            plain: 0,
            portless: BTreeMap::new(),
            owned: None,
            exhausted: BTreeMap::new(),
            next_full: Instant::ZERO,
            pairing,
        }
    }

    /// The sessions as [`Mappings`] needs them.
    pub(crate) const fn book<'a>(&'a self, policy: &'a InForce) -> Book<'a> {
        Book { table: &self.table, policy }
    }

    /// Ends a session; whether its mapping ended with it.
    pub(crate) fn remove(&mut self, scope: &mut Scope<'_>, slot: Slot, reason: EndReason) -> bool {
        let Some(session) = self.table.session(slot) else { return false };
        let book = Book { table: &self.table, policy: scope.policy };
        let last = match Kind::of(&session) {
            Kind::Mapped => self.mappings.unlink(book, slot, &session),
            Kind::Plain => {
                self.plain -= 1;
                false
            }
        };
        self.timers.disarm(slot);
        self.reclaim.remove(slot);
        self.table.remove(scope.now.as_nanos(), slot);
        let inside = session.original.source;
        if Kind::of(&session) == Kind::Mapped {
            self.hosts.session_ended(scope.now, inside.addr);
        }
        self.pins.remove(slot, &session);
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
            match self.judge_life(scope, slot, &session) {
                Life::Ended => {}
                Life::Goes => {
                    let activity = self.table.activity(slot).unwrap_or_default();
                    self.arm(scope, slot, &session, &activity);
                }
                Life::Kept => self.timers.arm(slot, scope.now + PIN_INTERVAL),
            }
        }
        true
    }

    /// Ends a session if its time is up, unless its mapping is needed and would end with it. Timers
    /// may be late; a session never lives longer for that.
    pub(crate) fn judge_life(
        &mut self,
        scope: &mut Scope<'_>,
        slot: Slot,
        session: &Session,
    ) -> Life {
        if !self.is_over(scope, slot, session) {
            return Life::Goes;
        }
        if self.mappings.is_alone(slot) && self.is_pinned(scope, session) {
            if !session.flags.contains(Flags::PUNT) {
                // The filter has to judge what a remote sends; the fast path cannot.
                let kept = Session { flags: session.flags | Flags::PUNT, ..*session };
                self.table.update(slot, &kept);
            }
            return Life::Kept;
        }
        self.remove(scope, slot, EndReason::Idle);
        Life::Ended
    }

    /// Whether a session's time is up.
    pub(crate) fn is_over(&self, scope: &Scope<'_>, slot: Slot, session: &Session) -> bool {
        let activity = self.table.activity(slot).unwrap_or_default();
        deadline(scope.policy, session, &activity) <= scope.now
    }

    /// Sets the timer of a session to the earliest instant at which it could be over.
    pub(crate) fn arm(
        &mut self,
        scope: &Scope<'_>,
        slot: Slot,
        session: &Session,
        activity: &Activity,
    ) {
        self.timers.arm(slot, earliest_end(scope.policy, scope.now, session, activity));
    }

    /// Files a session's mapping under the key that the policy has for it.
    pub(crate) fn file_mapping(&mut self, scope: &Scope<'_>, slot: Slot, session: &Session) {
        if Kind::of(session) != Kind::Mapped {
            return;
        }
        let book = Book { table: &self.table, policy: scope.policy };
        self.mappings.file(book, slot, session);
    }

    /// The class and TCP state of a session, with what was stamped on it.
    pub(crate) fn state(session: &Session, activity: &Activity) -> Option<State> {
        (session.original.protocol == Protocol::TCP).then(|| State::of(session, activity))
    }

    /// Whether both sides have sent something.
    pub(crate) const fn is_answered(activity: &Activity) -> bool {
        activity.sides.egress.packets > 0 && activity.sides.ingress.packets > 0
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

    /// Gives back the outside endpoint of a mapping that ended.
    fn give_back(&mut self, now: Instant, session: &Session, reason: EndReason) {
        let protocol = session.original.protocol;
        let outside = session.reply.destination;
        let Some(space) = space_of(protocol) else { return self.disown_protocol(protocol) };
        let why = match reason {
            EndReason::Reclaimed => Release::Reclaimed,
            EndReason::AddressGone
            | EndReason::HostHasIt
            | EndReason::Idle
            | EndReason::Policy
            | EndReason::Reopened
            | EndReason::Rerouted => Release::Ended,
        };
        self.ports.release(now, outside.addr, space, outside.port, why);
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

/// The interface at which packets of a direction arrive.
pub(crate) fn arrival_port(session: &Session, direction: Direction) -> PortId {
    PortId(session.interfaces[direction])
}
