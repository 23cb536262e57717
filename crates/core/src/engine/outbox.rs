//! Packets that the engine sends by itself, until somebody fetches them.

use std::collections::VecDeque;

use super::way_out::Waiting;
use crate::fragment::Split;
use crate::frame::Frame;
use crate::verdict::{DropReason, Transmit};

/// Bytes that wait at most, not counting packets whose next hop was found.
const MOST_BYTES: usize = 8 << 20;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug)]
enum Entry {
    /// An error of ours.
    Own(Vec<u8>),
    /// A packet whose next hop was found.
    Retry(Waiting),
    /// A datagram that leaves in pieces.
    Split { split: Split, length: usize, way: Transmit },
}

/// The next thing to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A packet of ours, whose way is yet to be found.
    Own(Vec<u8>),
    /// A packet that waited and is to be decided about again.
    Retry(Waiting),
    /// It is in the frame.
    Written(Transmit),
}

impl Outbox {
    /// Adds a datagram that leaves in pieces.
    pub(crate) fn push_split(
        &mut self,
        split: Split,
        length: usize,
        way: Transmit,
    ) -> Result<(), DropReason> {
        self.charge(length)?;
        self.queue.push_back(Entry::Split { split, length, way });
        Ok(())
    }

    /// Adds a packet of ours; whether there was room.
    pub(crate) fn push_own(&mut self, bytes: Vec<u8>) -> bool {
        let room = self.charge(bytes.len()).is_ok();
        if room {
            self.queue.push_back(Entry::Own(bytes));
        }
        room
    }

    /// Adds a packet that waited; its bounds are those of waiting.
    pub(crate) fn push_retry(&mut self, waiting: Waiting) {
        self.queue.push_back(if waiting.own {
            self.bytes += waiting.bytes.len();
            Entry::Own(waiting.bytes)
        } else {
            Entry::Retry(waiting)
        });
    }

    /// Takes the next thing to send, and writes it into the frame if it is ready to go.
    pub(crate) fn next(&mut self, frame: &mut Frame<'_>) -> Option<Outgoing> {
        loop {
            let written = match self.queue.front_mut()? {
                Entry::Split { split, way, .. } => match split.write_next(frame.buffer_mut()) {
                    Ok(Some(length)) => Some((length, *way)),
                    // It is over, or longer than any frame that will ever be offered.
                    Ok(None) | Err(_) => None,
                },
                Entry::Own(_) | Entry::Retry(_) => None,
            };
            if let Some((length, way)) = written {
                frame.set_len(length);
                return Some(Outgoing::Written(way));
            }
            match self.queue.pop_front()? {
                Entry::Own(bytes) => {
                    self.bytes -= bytes.len();
                    return Some(Outgoing::Own(bytes));
                }
                Entry::Retry(waiting) => return Some(Outgoing::Retry(waiting)),
                Entry::Split { length, .. } => self.bytes -= length,
            }
        }
    }

    const fn charge(&mut self, length: usize) -> Result<(), DropReason> {
        if self.bytes + length > MOST_BYTES {
            return Err(DropReason::QueueFull);
        }
        self.bytes += length;
        Ok(())
    }
}
