//! Sends: flat out, or a number of packets a second.
//!
//! One system call sends thousands of packets, each written anew by the program. The frames leave by
//! the veth's XDP transmit, and the softirqs that carry them on to the receiver run on the same
//! processor before the call goes on. So flat out, on one processor, nothing queues up and nothing is
//! lost for want of room: the rate is what generator, gateway and receiver can do together.

use core::time::Duration;
use std::sync::Barrier;
use std::thread;

use anyhow::{Context as _, Result, bail};
use aya::programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use masq_bench_packet::frame::LENGTH;
use masq_lab::Host;

use crate::clock::Stopwatch;
use crate::cpu;

/// Where packets are sent from.
#[derive(Clone, Copy, Debug)]
pub struct Generator<'a> {
    /// The host.
    pub host: &'a Host,
    /// Its interface.
    pub interface: u32,
    /// What writes the packets.
    pub program: &'a Xdp,
}

impl Generator<'_> {
    /// Sends for a time, as fast as it goes, on each of these processors. Returns how long it took.
    ///
    /// # Errors
    ///
    /// When the kernel does not send.
    pub fn flat_out(&self, cpus: &[usize], lasting: Duration) -> Result<Duration> {
        let ready = Barrier::new(cpus.len());
        let one = |cpu: usize| {
            self.host.run(|| {
                let pinned = cpu::pin(cpu);
                ready.wait();
                pinned?;
                let watch = Stopwatch::start();
                while watch.elapsed() < lasting {
                    self.send(CHUNK)?;
                }
                Ok(watch.elapsed())
            })
        };
        let all: Vec<Result<Duration>> = thread::scope(|scope| {
            let threads: Vec<_> = cpus.iter().map(|cpu| scope.spawn(|| one(*cpu))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join();
            threads.into_iter().map(join).map(|done| done.expect("it does not panic")).collect()
        });
        let mut longest = Duration::ZERO;
        for took in all {
            longest = longest.max(took?);
        }
        Ok(longest)
    }

    /// Sends so many packets, as fast as it goes.
    ///
    /// # Errors
    ///
    /// When the kernel does not send.
    pub fn burst(&self, cpu: usize, packets: u32) -> Result<()> {
        self.host.run(|| {
            cpu::pin(cpu)?;
            self.send(packets)
        })
    }

    /// Sends so many packets a second, evenly, until it is over; `until` is asked every tick with what has
    /// been sent. Returns how many packets were sent and how long it took: packets that could not be
    /// sent in their time are sent late, and the last of them not at all.
    ///
    /// # Errors
    ///
    /// When the kernel does not send.
    pub fn paced(
        &self,
        cpu: usize,
        rate: u32,
        until: impl FnMut(Duration) -> bool + Send,
    ) -> Result<(u64, Duration)> {
        let mut until = until;
        self.host.run(|| {
            cpu::pin(cpu)?;
            let watch = Stopwatch::start();
            let mut sent = 0;
            let mut ticks = 0;
            loop {
                let elapsed = watch.elapsed();
                if until(elapsed) {
                    return Ok((sent, elapsed));
                }
                let due = (elapsed.as_secs_f64() * f64::from(rate)) as u64 - sent;
                if due > 0 {
                    let now = due.min(u64::from(AT_ONCE));
                    self.send(now as u32)?;
                    sent += now;
                }
                ticks += 1;
                watch.wait_until(TICK * ticks);
            }
        })
    }

    fn send(&self, packets: u32) -> Result<()> {
        let context = context(self.interface);
        let options = TestRunOptions {
            data_in: Some(&[0; LENGTH]),
            ctx_in: Some(&context),
            repeat: packets,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        match self.program.test_run(options) {
            Ok(_) => Ok(()),
            Err(ProgramError::SyscallError(error)) => {
                bail!("sending {packets} packets: {}", error.io_error)
            }
            Err(error) => Err(error).context("sending packets"),
        }
    }
}

/// `struct xdp_md`: the frame's length, and the interface that it pretends to have come from, by which
/// `XDP_TX` sends it.
fn context(interface: u32) -> [u8; 24] {
    let mut context = [0; 24];
    context[4..8].copy_from_slice(&(LENGTH as u32).to_ne_bytes());
    context[12..16].copy_from_slice(&interface.to_ne_bytes());
    context
}

/// Frames written before the first of them is sent. A veth holds 256.
const BATCH: u32 = 64;
/// Packets in one system call.
const CHUNK: u32 = 16_384;
/// How often a paced generator sends.
const TICK: Duration = Duration::from_micros(500);
/// How many packets it sends at once, to catch up.
const AT_ONCE: u32 = 192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_that_of_the_kernel() {
        let context = context(7);
        let word = |at: usize| u32::from_ne_bytes(context[at..at + 4].try_into().unwrap());
        // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        assert_eq!([0, 4, 8, 12, 16, 20].map(word), [0, 60, 0, 7, 0, 0]);
    }
}
