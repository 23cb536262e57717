//! The order of things.
//!
//! ```text
//! a packet
//!   │ which side?  well-formed?  a fragment? ──► reassembly ──► the datagram goes on here
//!   │ possible addresses, the right side for its source, no options that name addresses
//!   │
//!   ├─ ICMP error ──► the session of the packet that it quotes ───────────────┐
//!   ├─ its tuple is in the table ─────────────────────────────────────────────┤
//!   ├─ from inside:  route ─► outside ─► mapping, port, new session ──────────┤
//!   │                      ├► an outside endpoint of ours ─► hairpin ─────────┤
//!   │                      ├► another inside: forwarded as it is ─────────────┤
//!   │                      └► the host, or a way that is not ours: Local      │
//!   └─ from outside: mapping and filter ─► new session ───────────────────────┤
//!                          └► nobody's: the host's (Local), or dropped        │
//!                                                                             ▼
//!      route after translation ─► TTL ─► MTU ─► neighbour known? ─► rewrite ─► stamp ─► out
//! ```
//!
//! Everything that may refuse a packet comes before it is rewritten, so that an ICMP error quotes it
//! as its sender sent it, and so that a packet that has to wait for its neighbour waits untranslated and
//! is judged again when its time comes.

mod adopt;
mod anticipate;
mod apply;
mod around;
mod arrival;
mod carry;
mod errors;
pub(crate) mod first;
mod fragments;
mod hit;
mod inbound_syn;
mod ingress;
mod memory;
mod outbox;
mod plan;
mod report;
mod timeout;
mod walk;
mod way;
pub(crate) mod way_out;

use std::collections::BTreeSet;

use masq_flow::owned::Owned;
use masq_flow::{NextHopId, Region, Writer};
use masq_wire::Packet;

pub(crate) use self::arrival::Arrival;
use self::inbound_syn::InboundSyns;
pub use self::memory::MemoryUse;
use self::outbox::{Outbox, Outgoing};
pub use self::plan::Plan;
use self::report::Reporters;
use self::walk::Walk;
use self::way_out::Waiting;
use crate::event::{Event, Events};
use crate::fragment::{Identifications, Reassembler};
use crate::frame::Frame;
use crate::held::HeldPackets;
use crate::policy::{HostPort, InForce, Policy};
use crate::random::Random;
use crate::routes::{PortId, Routes};
use crate::session::{Scope, Sessions};
use crate::stats::Stats;
use crate::time::Instant;
use crate::verdict::{DropReason, Transmit, Verdict};

/// What became of a packet, or why it is dropped.
pub(crate) type Judged = Result<Verdict, DropReason>;

/// The gateway's mind.
#[derive(Debug)]
pub struct Engine {
    pub(crate) policy: InForce,
    /// Another for each walk; sessions carry that of the one that they were last looked at in.
    epoch: u32,
    walk: Option<Walk>,
    /// What became of the sessions because of the last policies.
    done: Option<Plan>,
    pub(crate) sessions: Sessions,
    /// Ports in use by sockets of the host.
    host_ports: BTreeSet<HostPort>,
    reassembler: Reassembler,
    identifications: Identifications,
    held: HeldPackets<NextHopId, Waiting>,
    outbox: Outbox,
    reporters: Reporters,
    inbound_syns: InboundSyns,
    events: Events,
    stats: Stats,
}

impl Engine {
    /// An engine that decides by a policy over a table, taking over the sessions that are in it.
    #[must_use]
    pub fn new(seed: impl Into<Random>, table: Writer, policy: Policy, now: Instant) -> Self {
        let mut random = seed.into();
        let policy = InForce::new(policy);
        let mut engine = Self {
            epoch: table.min_epoch(),
            walk: None,
            done: None,
            sessions: Sessions::new(table, &policy, now, &mut random),
            host_ports: BTreeSet::new(),
            reassembler: Reassembler::new(policy.reassembly),
            identifications: Identifications::new(&mut random),
            held: HeldPackets::new(policy.held),
            outbox: Outbox::default(),
            reporters: Reporters::new(&mut random, policy.icmp_errors),
            inbound_syns: InboundSyns::default(),
            events: Events::default(),
            stats: Stats::default(),
            policy,
        };
        engine.set_ports();
        engine.adopt(now);
        engine
    }

    /// Decides about a packet that arrived at an interface, and translates it in place.
    pub fn process(
        &mut self,
        now: Instant,
        routes: &dyn Routes,
        port: PortId,
        frame: &mut Frame<'_>,
    ) -> Verdict {
        let judged = match self.policy.realm(port) {
            Some(realm) => {
                let arrival = Arrival { now, routes, port, realm, reassembled: None };
                self.handle(&arrival, frame.packet_mut())
            }
            None => Err(DropReason::UnknownInterface),
        };
        self.conclude(judged)
    }

    /// When [`Engine::handle_timeout`] should be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.sessions.timers.poll_timeout(),
            self.reassembler.poll_timeout(),
            self.held.poll_timeout(),
            self.inbound_syns.poll_timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Tells of each session and mapping, as it does unless told otherwise, or not: see
    /// [`Event::is_detail`].
    pub const fn set_details(&mut self, wanted: bool) {
        self.events.set_details(wanted);
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Takes the next packet that the engine sends by itself: ICMP errors, fragments, and packets
    /// that waited.
    ///
    /// To be called until it has none, after [`Engine::process`], [`Engine::handle_timeout`] and
    /// [`Engine::handle_next_hop`].
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        routes: &dyn Routes,
        frame: &mut Frame<'_>,
    ) -> Option<Transmit> {
        loop {
            match self.outbox.next(frame)? {
                Outgoing::Written(way) => return Some(way),
                Outgoing::Own(bytes) => {
                    if let Some(way) = self.send_own(now, routes, &bytes)
                        && frame.replace(&bytes)
                    {
                        return Some(way);
                    }
                }
                Outgoing::Retry(mut retry) => {
                    let Some(realm) = self.policy.realm(retry.port) else { continue };
                    let Waiting { port, reassembled, .. } = retry;
                    let arrival = Arrival { now, routes, port, realm, reassembled };
                    let judged = self.handle(&arrival, &mut retry.bytes);
                    let way = match self.conclude(judged) {
                        Verdict::Forward(egress) => Transmit::Forward(egress),
                        Verdict::Local => Transmit::Local(port),
                        Verdict::Drop(_) | Verdict::Held => continue,
                    };
                    if frame.replace(&retry.bytes) {
                        return Some(way);
                    }
                }
            }
        }
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        self.policy.policy()
    }

    /// The table, for whoever lists it.
    #[must_use]
    pub const fn table(&self) -> &Writer {
        &self.sessions.table
    }

    /// A snapshot of the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            events_forgotten: self.events.forgotten(),
            sessions: self.sessions.table.len() as u64,
            mappings: self.sessions.mappings.len() as u64,
            reassembling: self.reassembler.len() as u64,
            ..self.stats.clone()
        }
    }

    /// Keeps the bitmap true by which the fast path tells our packets from the host's.
    pub fn attach_owned(&mut self, owned: Region<Owned>) {
        self.sessions.owned = Some(owned);
        self.set_owned();
    }

    /// Decides about a packet in the bytes given.
    fn handle(&mut self, arrival: &Arrival<'_>, bytes: &mut [u8]) -> Judged {
        let mut packet = Packet::parse(bytes)?;
        if packet.is_fragment() {
            return self.handle_fragment(arrival, &mut packet);
        }
        self.translate(arrival, &mut packet)
    }

    /// Counts what became of a packet.
    fn conclude(&mut self, judged: Judged) -> Verdict {
        let verdict = judged.unwrap_or_else(Verdict::Drop);
        match verdict {
            Verdict::Drop(reason) => self.stats.count_drop(reason),
            Verdict::Forward(_) => {}
            Verdict::Held => self.stats.held += 1,
            Verdict::Local => self.stats.local += 1,
        }
        verdict
    }

    /// The sessions, and what their operations need beside them.
    pub(crate) const fn sessions(&mut self, now: Instant) -> (&mut Sessions, Scope<'_>) {
        let scope = Scope {
            now,
            epoch: self.epoch,
            policy: &self.policy,
            events: &mut self.events,
            stats: &mut self.stats,
        };
        (&mut self.sessions, scope)
    }
}
