//! A running gateway, in the hands of whoever started it.

use core::time::Duration;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;

use masq_core::{Engine, Event, Plan};
use masq_flow::{Reader, Totals};

use crate::attach::ProgramCounts;
use crate::control::{Control, Order, PortStatus, Prospect, ReloadError};
use crate::error::StartError;
use crate::fast_path::Way;
use crate::instance;
use crate::interfaces::ReleaseError;
use crate::options::Configuration;
use crate::wake::WakingSender;
use crate::worker::{Command, Worker, WorkerStats};

/// A running gateway.
///
/// Calls that ask something wait for a round of the thread that answers, which is a matter of
/// microseconds unless it is overloaded. Dropping the handle stops the threads and leaves everything
/// attached, as [`Handle::stop`] does.
pub struct Handle {
    orders: WakingSender<Order>,
    worker: WakingSender<Command>,
    events: std::sync::Mutex<Events>,
    reader: Reader,
    totals: Totals,
    threads: Vec<JoinHandle<()>>,
    lock: Option<File>,
}

/// What the worker tells, round by round.
struct Events {
    rounds: Receiver<Vec<Event>>,
    waiting: std::vec::IntoIter<Event>,
}

/// The gateway has ended by itself; the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway has ended")]
pub struct Ended;

/// What all parts counted.
#[derive(Clone, Debug)]
pub struct DataplaneStats {
    /// The worker, with the engine and the punt port.
    pub worker: WorkerStats,
    /// The eBPF programs.
    pub programs: ProgramCounts,
}

impl core::fmt::Debug for Handle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handle").field("running", &self.is_running()).finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(
        worker: Worker,
        control: Control,
        orders: WakingSender<Order>,
        commands: WakingSender<Command>,
        events: Receiver<Vec<Event>>,
        (reader, totals): (Reader, Totals),
    ) -> Result<Self, StartError> {
        let failed = StartError::system("start a thread");
        // Threads inherit the namespaces of the thread that starts them.
        let spawn = || -> io::Result<Vec<JoinHandle<()>>> {
            let worker = thread("masq-worker").spawn(move || worker.run())?;
            let control = thread("masq-control").spawn(move || control.run())?;
            Ok(vec![control, worker])
        };
        let threads = spawn().map_err(failed)?;
        let events =
            std::sync::Mutex::new(Events { rounds: events, waiting: Vec::new().into_iter() });
        Ok(Self { orders, worker: commands, events, reader, totals, threads, lock: None })
    }

    /// Keeps the instance's lock while the gateway runs.
    pub(crate) fn with_lock(mut self, lock: File) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Follows another configuration.
    ///
    /// # Errors
    ///
    /// If the configuration cannot be followed here; the one before stays in force.
    pub fn reload(&self, configuration: Box<dyn Configuration>) -> Result<Plan, ReloadError> {
        let (sender, answer) = channel();
        self.orders.send(Order::Reload(configuration, sender));
        answer.recv().map_err(|_| ReloadError::Ending)?
    }

    /// Says what following another configuration would do, and changes nothing.
    ///
    /// # Errors
    ///
    /// If the configuration cannot be followed here.
    pub fn plan(&self, configuration: Box<dyn Configuration>) -> Result<Plan, ReloadError> {
        let (sender, answer) = channel();
        self.orders.send(Order::Prospect(configuration, sender));
        let Prospect { present, next } = answer.recv().map_err(|_| ReloadError::Ending)??;
        // Read here, so that neither packets nor news of the network wait for a large table.
        let sessions = self.reader.sessions().map(|seen| (seen.session, seen.activity));
        Ok(Plan::forecast(&present, &next, sessions))
    }

    /// The interfaces on a side, as they are.
    ///
    /// # Errors
    ///
    /// If the gateway has ended.
    pub fn ports(&self) -> Result<Vec<PortStatus>, Ended> {
        let (sender, answer) = channel();
        self.orders.send(Order::Ports(sender));
        answer.recv().map_err(|_| Ended)
    }

    /// Takes the programs off an interface that is closed, because it is called otherwise than it was
    /// when it was served.
    ///
    /// # Errors
    ///
    /// If it is not closed.
    pub fn release(&self, interface: &str) -> Result<(), ReleaseError> {
        let (sender, answer) = channel();
        self.orders.send(Order::Release(interface.to_owned(), sender));
        answer.recv().map_err(|_| ReleaseError::Ending)?
    }

    /// What carries packets of established sessions, for each pair of interfaces.
    ///
    /// # Errors
    ///
    /// If the gateway has ended.
    pub fn ways(&self) -> Result<Vec<Way>, Ended> {
        let (sender, answer) = channel();
        self.orders.send(Order::Ways(sender));
        answer.recv().map_err(|_| Ended)
    }

    /// What happened so far.
    ///
    /// # Errors
    ///
    /// If the gateway has ended.
    pub fn stats(&self) -> Result<DataplaneStats, Ended> {
        let (sender, worker) = channel();
        self.worker.send(Command::Stats(sender));
        let (sender, programs) = channel();
        self.orders.send(Order::Counts(sender));
        Ok(DataplaneStats {
            worker: worker.recv().map_err(|_| Ended)?,
            programs: programs.recv().map_err(|_| Ended)?,
        })
    }

    /// Looks at the engine between two batches. Packets wait meanwhile, so the look must be short.
    ///
    /// # Errors
    ///
    /// If the gateway has ended.
    pub fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> R + Send + 'static,
    ) -> Result<R, Ended> {
        let (sender, answer) = channel();
        let look = move |engine: &Engine| {
            let _ = sender.send(look(engine));
        };
        self.worker.send(Command::Look(Box::new(look)));
        answer.recv().map_err(|_| Ended)
    }

    /// The sessions, read from shared memory without stopping anything.
    pub fn flows(&self) -> &Reader {
        &self.reader
    }

    /// What all sessions carried since the table was made, read from shared memory as well.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The next event, if one comes in time.
    ///
    /// # Errors
    ///
    /// If the gateway has ended.
    pub fn next_event(&self, patience: Duration) -> Result<Option<Event>, Ended> {
        let mut events = self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(event) = events.waiting.next() {
            return Ok(Some(event));
        }
        match events.rounds.recv_timeout(patience) {
            Ok(round) => {
                events.waiting = round.into_iter();
                Ok(events.waiting.next())
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Ended),
        }
    }

    /// Whether the gateway works.
    pub fn is_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Stops the threads. Programs and flow table stay, and nothing leaves untranslated.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The control thread stops the worker when it ends in order, which it may not have done.
        self.orders.send(Order::Stop);
        self.worker.send(Command::Stop);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the gateway panicked");
            }
        }
        if let Some(lock) = &self.lock {
            instance::unlock(lock);
        }
    }
}

fn thread(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned())
}
