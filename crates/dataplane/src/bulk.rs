//! Sending many packets by one system call, past the punt port.
//!
//! The frames are left where the program `masq_bulk_xdp` finds them, and the kernel is asked to run it
//! as often as there are frames (see [`Burst`]). When the call returns, every frame has been handed to
//! its device or to the kernel's own queues, or dropped by the program: nothing is under way any more, and
//! tickets can be given back. Those of what the kernel has are given back by the program at the punt
//! port, through which it went.
//!
//! A device that has no room drops what it is given so, and tells nobody but its own counters (`ip -s
//! link`) and the tracepoint `xdp:xdp_devmap_xmit`. That is the choice: a full device costs the packets
//! that are sent to it, and delays no other's.
//!
//! # Limits
//!
//! For each call the kernel makes a pool of pages, which lives until the devices have freed all of them.
//! Veths have when the call returns. With cards it was not measured.

use std::io;

use aya::programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
pub(crate) use masq_flow::Fate;
use masq_flow::{Burst, Outgoing, Region};
use zerocopy::IntoBytes as _;

/// The way past the punt port.
#[derive(Debug)]
pub(crate) struct Bulk {
    program: Xdp,
    /// The end of the punt port that the program is attached to.
    far: u32,
    burst: Region<Burst>,
    outgoing: Region<Outgoing>,
    filled: usize,
    /// The last call failed.
    failing: bool,
}

impl Bulk {
    pub(crate) fn new(
        program: Xdp,
        far: u32,
        burst: Region<Burst>,
        outgoing: Region<Outgoing>,
    ) -> Self {
        Self { program, far, burst, outgoing, filled: 0, failing: false }
    }

    /// Whether frames may be so long.
    pub(crate) const fn takes(len: usize) -> bool {
        len <= Outgoing::LONGEST
    }

    /// Adds a frame to those that are sent next, which may be `redirected` by XDP or not; false if there
    /// is no room.
    pub(crate) fn push(&mut self, frame: &[u8], redirected: bool) -> bool {
        let room = self.outgoing.get(self.filled);
        let pushed = room.is_some_and(|outgoing| outgoing.fill(frame, redirected));
        self.filled += usize::from(pushed);
        pushed
    }

    /// Sends what was added, and says of each by its place what became of it: as many as the kernel
    /// took. False if it did not work.
    pub(crate) fn send(&mut self, mut sent: impl FnMut(usize, Fate)) -> bool {
        let count = core::mem::take(&mut self.filled) as u32;
        self.burst[0].begin(count);
        // `struct xdp_md`: data, end, metadata, interface, queue, egress. The mark is metadata.
        let context = [Burst::MARK.len() as u32, Burst::FRAME.len() as u32, 0, self.far, 0, 0];
        let ran = self.program.test_run(TestRunOptions {
            data_in: Some(&Burst::FRAME),
            ctx_in: Some(context.as_bytes()),
            repeat: count,
            attrs: TestRunAttrs::new().xdp_live_frames(count),
            ..TestRunOptions::new()
        });
        for place in 0..self.burst[0].taken() as usize {
            sent(place, self.outgoing[place].fate());
        }
        let failing = ran.is_err();
        match ran {
            // Memory comes and goes.
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == io::ErrorKind::OutOfMemory =>
            {
                return false;
            }
            Err(error) if !self.failing => {
                tracing::warn!(
                    %error,
                    "packets cannot be sent in bulk: all go through the punt port until it works again"
                );
            }
            Ok(_) if self.failing => tracing::info!("packets are sent in bulk again"),
            Ok(_) | Err(_) => {}
        }
        self.failing = failing;
        !failing
    }
}
