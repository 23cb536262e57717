//! The worker: the thread on which the engine lives.
//!
//! # Theory of operation
//!
//! The worker sleeps until packets arrive, a command comes, or something is due; then it does one
//! round: commands (a bounded number), packets (a batch), timers, sessions that have to be looked at
//! (a slice), packets of the engine's own, events, news of next hops; and hands everything to the kernel in one go. It never waits for
//! anything else, and nothing else touches the engine, the flow table or the next hops.
//!
//! ```text
//!   control thread ──commands──►┐                          ┌──events──► control thread, watchers
//!                               │  Engine, Router, table   │
//!   punt port ────packets──────►┘                          └──packets──► punt port
//! ```
//!
//! # Order
//!
//! News of routing come before the packets of a round, so that a packet that arrives after a change
//! was announced is routed by it. Next hops are written to the shared array before packets are
//! handed to the kernel, because the program at the punt port looks there for the addresses.

use core::net::{IpAddr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Sender, SyncSender, TryRecvError, TrySendError};

use masq_core::{
    Egress, Engine, Event, Frame, HostPort, Instant, MemoryUse, Plan, Policy, PortId, Stats,
    Transmit, Verdict,
};
use masq_flow::punt::Return;
use masq_wire::{Packet, Transport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::attach::SharedMemory;
use crate::clock;
use crate::control::ReloadError;
use crate::punt::{Origin, PuntCounts, PuntPort, Punted};
use crate::routes::{Change, Mirror, NextHopKey, Router};
use crate::sockets::Asker;
use crate::sys::xsk::BUSY_RETRY;
use crate::wake::{WakingReceiver, WakingSender};

/// Where the answer to a new configuration goes.
pub(crate) type PlanSender = Sender<Result<Plan, ReloadError>>;

/// What the worker is told.
pub(crate) enum Command {
    /// Something about routing changed.
    Changes(Vec<Change>),
    /// A complete picture of routing.
    Picture(Box<Mirror>),
    /// A new policy; the answer says what it means for the sessions.
    Apply(Box<Policy>, Option<PlanSender>),
    /// The ports that the host's own sockets use.
    Sockets(BTreeSet<HostPort>),
    /// A look at the engine, which must be short.
    Look(Box<dyn FnOnce(&Engine) + Send>),
    /// What happened so far.
    Stats(Sender<WorkerStats>),
    /// End the thread.
    Stop,
}

/// What the control thread is asked for.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Have the kernel resolve or confirm a neighbour.
    Resolve(NextHopKey),
    /// The worker has ended, though nobody told it to.
    Ended(String),
}

/// What happened so far.
#[derive(Clone, Debug)]
pub struct WorkerStats {
    /// In the engine.
    pub engine: Stats,
    /// What the sessions take.
    pub memory: MemoryUse,
    /// At the punt port.
    pub punt: PuntCounts,
    /// Events that nobody fetched in time.
    pub events_lost: u64,
}

/// The thread's belongings.
pub(crate) struct Worker {
    engine: Engine,
    router: Router,
    port: PuntPort,
    memory: SharedMemory,
    sockets: Sockets,
    ends: Ends,
    events_lost: u64,
    /// The packets of a round; empty between rounds.
    batch: Vec<Punted>,
    /// Who wants to know what the policies that were applied mean for the sessions.
    asking: Vec<PlanSender>,
    /// When the ways of all sessions are looked at again. Without the fast path too, which may be
    /// switched on at any time and finds their records true.
    look_again: Instant,
    /// When the walk that is under way began.
    walk_began: Option<Instant>,
}

/// What the worker knows of the host's sockets.
pub(crate) struct Sockets {
    pub(crate) ports: BTreeSet<HostPort>,
    pub(crate) asker: Asker,
}

/// The worker's ends of its channels.
pub(crate) struct Ends {
    pub(crate) commands: WakingReceiver<Command>,
    pub(crate) wishes: WakingSender<Wish>,
    /// All events of a round at once.
    pub(crate) events: SyncSender<Vec<Event>>,
}

impl Worker {
    pub(crate) fn new(
        engine: Engine,
        router: Router,
        port: PuntPort,
        memory: SharedMemory,
        sockets: Sockets,
        ends: Ends,
    ) -> Self {
        let look_again = clock::now() + Engine::LOOK_AGAIN;
        let asking = Vec::new();
        Self {
            engine,
            router,
            port,
            memory,
            sockets,
            ends,
            events_lost: 0,
            batch: Vec::with_capacity(BATCH),
            asking,
            look_again,
            walk_began: None,
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        tracing::debug!("the worker starts");
        let mut again = None;
        loop {
            if let Err(error) = self.sleep(again) {
                self.ends.wishes.send(Wish::Ended(error.to_string()));
                return;
            }
            match self.round() {
                Round::Done { soon } => again = soon,
                Round::Stop => break,
            }
        }
        tracing::debug!("the worker ends");
    }

    fn sleep(&self, again: Option<Duration>) -> io::Result<()> {
        let now = clock::now();
        let look_again = Some(self.look_again);
        let beat = Some(now + BEAT);
        let due = [self.engine.poll_timeout(), self.router.poll_timeout(), look_again, beat];
        let wait = due.into_iter().flatten().map(|due| due.saturating_sub(now)).chain(again).min();
        let wait = wait.map(|wait| Timespec {
            tv_sec: wait.as_secs().min(3600) as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        let mut fds = [
            PollFd::new(&self.port, PollFlags::IN),
            PollFd::new(&self.ends.commands, PollFlags::IN),
        ];
        match poll(&mut fds, wait.as_ref()) {
            Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }

    fn round(&mut self) -> Round {
        let now = clock::now();
        self.memory.table.header().set_beat(now.as_nanos());
        self.router.set_now(now);
        if !self.obey(now) {
            return Round::Stop;
        }
        // Routes that never come to rest must not keep a walk from its end.
        if self.look_again <= now && !self.engine.is_walking() {
            self.engine.handle_routes();
            self.walk_began = Some(now);
            self.look_again = now + Engine::LOOK_AGAIN;
        }
        self.port.reclaim();
        // What waited for a neighbour goes before what comes after the neighbour's answer.
        if self.tell_next_hops(now) {
            self.transmit(now);
        }
        let full = self.translate(now);
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
        }
        let walking = self.engine.walk(now, &self.router, if full { BATCH } else { WALK });
        if !walking && let Some(began) = self.walk_began.take() {
            self.router.set_walked(began);
        }
        self.tell_plan();
        self.tell_next_hops(now);
        let sent = self.transmit(now);
        // News at this point may have given the engine more to send.
        let told = self.tell_next_hops(now);
        self.tell_events();
        let table = self.engine.table();
        let waiting = self.port.flush(|ticket| table.give_back(ticket));
        let soon = match (full || told || walking, sent) {
            (true, _) | (_, Sent::Some) => Some(Duration::ZERO),
            (false, Sent::NoRoom) => Some(BUSY_RETRY),
            (false, Sent::All) => waiting.then_some(BUSY_RETRY),
        };
        Round::Done { soon }
    }

    /// Carries out waiting commands; false if there is nothing more to do at all.
    fn obey(&mut self, now: Instant) -> bool {
        self.ends.commands.quiet();
        for _ in 0..COMMANDS {
            match self.ends.commands.try_recv() {
                Ok(Command::Changes(changes)) => {
                    for change in changes {
                        // A neighbour's news reach the fast path through its next hop.
                        if !matches!(change, Change::Neighbour { .. }) {
                            self.look_again = now;
                        }
                        self.router.apply(change);
                    }
                }
                Ok(Command::Picture(mirror)) => {
                    self.router.replace(*mirror);
                    self.look_again = now;
                }
                Ok(Command::Apply(policy, answer)) => {
                    self.engine.apply(*policy);
                    self.asking.extend(answer);
                }
                Ok(Command::Sockets(ports)) => {
                    self.sockets.ports.clone_from(&ports);
                    self.engine.handle_sockets(ports);
                }
                Ok(Command::Look(look)) => look(&self.engine),
                Ok(Command::Stats(answer)) => {
                    let _ = answer.send(WorkerStats {
                        engine: self.engine.stats(),
                        memory: self.engine.memory(),
                        punt: self.port.counts(),
                        events_lost: self.events_lost,
                    });
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
        self.ends.commands.again();
        true
    }

    /// Has the engine judge a batch of packets; true if there may be more.
    fn translate(&mut self, now: Instant) -> bool {
        self.port.anticipate(BATCH);
        let mut batch = core::mem::take(&mut self.batch);
        batch.extend(core::iter::from_fn(|| self.port.receive()).take(BATCH));
        for punted in &batch {
            let packet = &self.port.packet(&punted.frame)[..punted.len];
            self.engine.anticipate(punted.port, packet);
        }
        let full = batch.len() == BATCH;
        for punted in batch.drain(..) {
            let buffer = &mut self.port.packet(&punted.frame)[..punted.len];
            if punted.from_inside {
                self.sockets.look(now, &mut self.engine, buffer);
            }
            let mut frame = Frame::new(buffer, punted.len);
            let verdict = self.engine.process(now, &self.router, punted.port, &mut frame);
            let len = frame.len();
            match verdict {
                Verdict::Forward(egress) => {
                    self.port.send(punted.frame, len, forward(egress), punted.origin);
                }
                Verdict::Local => {
                    self.port.send(punted.frame, len, local(punted.port), punted.origin);
                }
                Verdict::Drop(reason) => {
                    tracing::trace!(port = %punted.port, reason = reason.as_str(), "dropped");
                    self.port.release(punted.frame);
                }
                Verdict::Held => {
                    self.port.release(punted.frame);
                    // A datagram in pieces is not overtaken by the next packet.
                    self.transmit(now);
                }
            }
        }
        self.batch = batch;
        full
    }

    /// Sends what the engine has by itself.
    fn transmit(&mut self, now: Instant) -> Sent {
        for _ in 0..BATCH {
            // Without a buffer it waits until devices have freed some.
            let Some(place) = self.port.allocate() else { return Sent::NoRoom };
            let mut frame = Frame::empty(self.port.packet(&place));
            let transmit = self.engine.poll_transmit(now, &self.router, &mut frame);
            let len = frame.len();
            match transmit {
                Some(Transmit::Forward(egress)) => {
                    self.port.send(place, len, forward(egress), Origin::default());
                }
                Some(Transmit::Local(port)) => {
                    self.port.send(place, len, local(port), Origin::default());
                }
                None => {
                    self.port.release(place);
                    return Sent::All;
                }
            }
        }
        Sent::Some
    }

    /// Writes changed next hops where the programs see them, tells the engine, and asks for those
    /// that are unknown; true if there was something to tell.
    fn tell_next_hops(&mut self, now: Instant) -> bool {
        let mut told = false;
        while let Some((id, value)) = self.router.poll_changed() {
            if let Some(entry) = self.memory.next_hops.get(usize::from(id.0)) {
                entry.store(&value);
            }
            let state = Router::state(&value);
            self.engine.handle_next_hop(now, id, state);
            told = true;
        }
        while let Some(key) = self.router.poll_resolve() {
            self.ends.wishes.send(Wish::Resolve(key));
        }
        told
    }

    /// Says what policies meant for the sessions, when all of them have been looked at.
    fn tell_plan(&mut self) {
        let Some(plan) = self.engine.poll_plan() else { return };
        for answer in self.asking.drain(..) {
            // Who asked may have given up waiting.
            let _ = answer.send(Ok(plan.clone()));
        }
    }

    fn tell_events(&mut self) {
        let events: Vec<Event> = core::iter::from_fn(|| self.engine.poll_event()).collect();
        if events.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(lost)) = self.ends.events.try_send(events) {
            self.events_lost += lost.len() as u64;
        }
    }
}

impl Sockets {
    /// Before a new flow asks for its own port outside, sees whether a socket of the host has come
    /// to use that port towards the same remote since the host's sockets were last listed.
    fn look(&mut self, now: Instant, engine: &mut Engine, bytes: &mut [u8]) {
        if !self.asker.may_ask(now) {
            return;
        }
        let Ok(packet) = Packet::parse(bytes) else { return };
        let begins = match packet.transport() {
            Transport::Tcp(tcp) => tcp.flags.opens(),
            Transport::Udp(_) => true,
            Transport::FragmentTail
            | Transport::IcmpError(_)
            | Transport::IcmpOther { .. }
            | Transport::IcmpQuery(_)
            | Transport::Other => false,
        };
        let Some(tuple) = packet.tuple().filter(|_| begins) else { return };
        let own = HostPort { protocol: tuple.protocol, port: tuple.source.port };
        if self.ports.contains(&own) || engine.table().lookup(&tuple).is_some() {
            return;
        }
        let IpAddr::V4(remote) = tuple.destination.addr else { return };
        let remote = SocketAddrV4::new(remote, tuple.destination.port);
        let shared =
            engine.policy().outsides.iter().filter(|outside| outside.pool.shared_with_host);
        let taken = shared.filter_map(|outside| outside.pool.addresses.first()).any(|address| {
            let IpAddr::V4(local) = *address else { return false };
            let local = SocketAddrV4::new(local, own.port);
            self.asker.host_has(now, own.protocol, local, remote)
        });
        if taken {
            self.ports.insert(own);
            engine.handle_sockets(self.ports.clone());
        }
    }
}

const fn forward(Egress { next_hop, port }: Egress) -> Return {
    Return::Forward { next_hop, link: port.0 as u16 }
}

const fn local(port: PortId) -> Return {
    Return::Local { ifindex: port.0 }
}

enum Round {
    /// The next one comes when something happens, or after that time.
    Done {
        soon: Option<Duration>,
    },
    Stop,
}

/// How far sending what the engine has by itself came.
enum Sent {
    /// There is nothing more.
    All,
    /// There may be more.
    Some,
    /// All buffers are taken.
    NoRoom,
}

/// Packets of a batch.
const BATCH: usize = 64;

/// Sessions of a round that are looked at, if there is cause to, while few packets come. Two questions
/// to the router for each take a third of a millisecond for all. While more packets wait, one session
/// is looked at for each packet.
const WALK: usize = 256;
/// The programs are told at least so often that the worker is at work.
const BEAT: Duration = Duration::from_secs(2);
/// Commands of a round.
const COMMANDS: usize = 16;
