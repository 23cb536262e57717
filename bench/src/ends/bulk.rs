//! Streams that carry as much as they can.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use anyhow::{Result, ensure};
use masq_lab::Deadline;

use super::{Ends, Side, WARM_UP, pin};

/// How many streams, which way, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    /// Connections at once.
    pub streams: usize,
    /// Who sends.
    pub way: Way,
    /// What is counted, after a warm-up.
    pub window: Duration,
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Bulk {
    /// Runs it, and returns the bits that arrived in each second.
    ///
    /// # Errors
    ///
    /// When a connection fails, or nothing arrives.
    pub fn run(&self, ends: &Ends<'_>) -> Result<f64> {
        let connections = (0..self.streams).map(|_| ends.connect()).collect::<Result<Vec<_>>>()?;
        let received: Vec<AtomicU64> = connections.iter().map(|_| AtomicU64::new(0)).collect();
        let total = || received.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        let (bytes, time) = thread::scope(|scope| {
            for (index, (client, server)) in connections.iter().enumerate() {
                let (sender, receiver) = match self.way {
                    Way::Up => ((Side::Client, client), (Side::Server, server)),
                    Way::Down => ((Side::Server, server), (Side::Client, client)),
                };
                scope.spawn(move || {
                    pin(sender.0, index);
                    send(sender.1);
                });
                let received = &received[index];
                scope.spawn(move || {
                    pin(receiver.0, index);
                    receive(receiver.1, received);
                });
            }
            thread::sleep(WARM_UP);
            let (before, window) = (total(), Deadline::after(self.window));
            thread::sleep(self.window);
            let counted = (total() - before, window.elapsed());
            // Whoever waits to read or to write is told that there is no more.
            for (client, server) in &connections {
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            }
            counted
        });
        ensure!(bytes > 0, "nothing arrived on {} connections", self.streams);
        Ok(bytes as f64 * 8.0 / time.as_secs_f64())
    }
}

fn send(mut stream: &TcpStream) {
    let data = vec![0x5a; CHUNK];
    while stream.write_all(&data).is_ok() {}
}

fn receive(mut stream: &TcpStream, received: &AtomicU64) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        received.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// What is written or read by one system call: more than a segment, less than the processor's cache.
const CHUNK: usize = 256 * 1024;
