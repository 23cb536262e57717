//! A channel to a thread that sleeps in `poll`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use rustix::event::{EventfdFlags, eventfd};

/// The sending end; may be cloned.
#[derive(Debug)]
pub(crate) struct WakingSender<T> {
    sender: Sender<T>,
    wake: Arc<OwnedFd>,
}

impl<T> Clone for WakingSender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), wake: Arc::clone(&self.wake) }
    }
}

/// The receiving end, whose descriptor is readable while something may be waiting.
#[derive(Debug)]
pub(crate) struct WakingReceiver<T> {
    receiver: Receiver<T>,
    wake: Arc<OwnedFd>,
}

/// Makes a channel.
pub(crate) fn waking_channel<T>() -> io::Result<(WakingSender<T>, WakingReceiver<T>)> {
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (sender, receiver) = channel();
    Ok((WakingSender { sender, wake: Arc::clone(&wake) }, WakingReceiver { receiver, wake }))
}

impl<T> WakingSender<T> {
    /// Sends and wakes the other thread; false if that thread is gone.
    pub(crate) fn send(&self, value: T) -> bool {
        let sent = self.sender.send(value).is_ok();
        // It fails when the counter is full, which wakes all the same.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        sent
    }
}

impl<T> WakingReceiver<T> {
    /// Takes what is waiting: nothing, something, or the news that no sender is left.
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    /// Makes the descriptor unreadable until the next [`WakingSender::send`]. What was sent before
    /// may still be waiting, so this comes before receiving.
    pub(crate) fn quiet(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    /// Makes the descriptor readable, because not everything was received.
    pub(crate) fn again(&self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl<T> AsFd for WakingReceiver<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_readable<T>(receiver: &WakingReceiver<T>) -> bool {
        let mut fds = [PollFd::new(receiver, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn the_receiver_wakes_and_sleeps_again() {
        let (sender, receiver) = waking_channel().unwrap();
        assert!(!is_readable(&receiver));
        let another = sender.clone();
        assert!(another.send(7) && sender.send(8));
        drop(another);
        assert!(is_readable(&receiver));
        receiver.quiet();
        assert!(!is_readable(&receiver));
        assert_eq!(receiver.try_recv(), Ok(7));
        receiver.again();
        assert!(is_readable(&receiver));
        assert_eq!(receiver.try_recv(), Ok(8));
        drop(sender);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    }
}
