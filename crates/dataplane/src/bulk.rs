//! Sending many packets by one system call, past the punt port.
//!
//! The frames are left where the program `masq_bulk_xdp` finds them, and the kernel is asked to run it
//! as often as there are frames (see [`Burst`]). When the call returns, every frame has been handed to
//! its device or to the kernel's own queues: nothing is under way any more, and the tickets of those
//! that were redirected are given back. Those that the kernel has are given back by the program at the
//! punt port, through which they went.
//!
//! A device that has no room drops what it is given so. That is the choice: a full device costs the
//! packets that are sent to it, and delays no other's.

use std::io;
use std::os::fd::OwnedFd;

use masq_flow::{Burst, Outgoing, Region};

use crate::sys::live::LiveRun;

/// The way past the punt port.
#[derive(Debug)]
pub(crate) struct Bulk {
    program: OwnedFd,
    /// The end of the punt port that the program is attached to.
    far: u32,
    burst: Region<Burst>,
    outgoing: Region<Outgoing>,
    filled: usize,
}

impl Bulk {
    pub(crate) fn new(
        program: OwnedFd,
        far: u32,
        burst: Region<Burst>,
        outgoing: Region<Outgoing>,
    ) -> Self {
        Self { program, far, burst, outgoing, filled: 0 }
    }

    /// Adds a frame to those that are sent next, which may be `redirected` by XDP or not; false if it has
    /// no room, or there is none left.
    pub(crate) fn push(&mut self, frame: &[u8], redirected: bool) -> bool {
        let room = self.outgoing.get(self.filled).filter(|_| self.filled < Burst::MOST as usize);
        let pushed = room.is_some_and(|outgoing| outgoing.fill(frame, redirected));
        self.filled += usize::from(pushed);
        pushed
    }

    /// Sends what was added, and says of each by its place whether it was redirected: as many as the
    /// kernel took.
    pub(crate) fn send(&mut self, mut sent: impl FnMut(usize, bool)) -> io::Result<()> {
        let count = core::mem::take(&mut self.filled) as u32;
        self.burst[0].begin(count);
        let run = LiveRun {
            mark: &Burst::MARK,
            frame: &[0; Burst::SHORTEST],
            interface: self.far,
            times: count,
            at_once: count,
        };
        let ran = run.run(&self.program);
        for place in 0..self.burst[0].taken() as usize {
            sent(place, self.outgoing[place].is_redirected());
        }
        ran
    }
}
