//! Everything on one processor, for tests of the order of packets.

use std::{io, panic, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;
use crate::error::Context;

/// Runs `work`, and all threads and programs that it starts, on one processor.
///
/// The kernel has a queue of received packets for each processor, and for each veth that receives by
/// NAPI another one. When a sender, or the interrupt that goes on with its packets, moves to another
/// processor, later packets may overtake earlier ones at any hop, whatever the gateway does. On one
/// processor packets that go through the same queues stay in order.
///
/// # Errors
///
/// When the kernel does not let the thread stay where it is.
///
/// # Panics
///
/// With the panic of `work`.
pub fn on_one_processor<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let pinned = || {
        let allowed = sched_getaffinity(None)?;
        let first = (0..CpuSet::MAX_CPU).find(|number| allowed.is_set(*number));
        let mut one = CpuSet::new();
        one.set(first.ok_or(io::ErrorKind::NotFound)?);
        sched_setaffinity(None, &one)?;
        Ok::<_, io::Error>(work())
    };
    let done = thread::scope(|scope| scope.spawn(pinned).join());
    done.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
        .context(|| "staying on one processor".to_owned())
}
