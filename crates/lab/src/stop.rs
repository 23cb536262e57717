//! Telling a thread that waits for packets or connections that it may go home.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::Result;
use crate::error::Context;

/// A flag that can be waited for together with descriptors. Once raised it stays.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<OwnedFd>);

impl Stop {
    pub(crate) fn new() -> Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC).context(|| "making an event".to_owned())?;
        Ok(Self(Arc::new(event)))
    }

    /// Raises the flag.
    pub(crate) fn tell(&self) {
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }

    /// Waits until the descriptor is readable (or broken): true. Or until the flag is up: false.
    pub(crate) fn wait_readable(&self, descriptor: impl AsFd) -> bool {
        self.wait_any(&[&descriptor.as_fd()])
    }

    /// The same for several descriptors.
    pub(crate) fn wait_any(&self, descriptors: &[&dyn AsFd]) -> bool {
        let mut watched = vec![PollFd::new(&*self.0, PollFlags::IN)];
        watched.extend(
            descriptors.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)),
        );
        loop {
            match poll(&mut watched, None) {
                Ok(_) => return watched[0].revents().is_empty(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}
