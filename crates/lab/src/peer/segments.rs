//! What a host's own stack counted of a connection.

use std::net::TcpStream;

use crate::error::Context;
use crate::{Result, sys};

/// Segments of a connection, counted by the stack at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// How many it sent, retransmissions and empty ones included.
    pub sent: u64,
    /// Of these: sent again.
    pub retransmitted: u64,
    /// How often the other end's acknowledgements showed that one had overtaken another.
    pub reordered: u64,
    /// How many it received.
    pub received: u64,
    /// Of those it sent: not acknowledged yet.
    pub unacknowledged: u64,
}

impl Segments {
    /// Asks the stack of this end (`TCP_INFO`).
    ///
    /// # Errors
    ///
    /// When the kernel does not know the connection.
    pub fn of(stream: &TcpStream) -> Result<Self> {
        let info = sys::tcp_info(stream).context(|| "asking for TCP_INFO".to_owned())?;
        let word = |member: usize| u64::from(info[member]);
        Ok(Self {
            sent: word(SEGS_OUT),
            retransmitted: word(TOTAL_RETRANS),
            reordered: word(REORD_SEEN),
            received: word(SEGS_IN),
            unacknowledged: word(UNACKED),
        })
    }
}

// Where the members are in `struct tcp_info` of linux/tcp.h, counted in words.
const UNACKED: usize = 6;
const TOTAL_RETRANS: usize = 25;
const SEGS_OUT: usize = 34;
const SEGS_IN: usize = 35;
const REORD_SEEN: usize = 55;
