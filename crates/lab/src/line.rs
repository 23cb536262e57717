//! A line without Ethernet: two tun devices and a thread that carries packets between them.
//!
//! To both ends it looks like a leased line or PPP: no hardware addresses, no ARP, one peer. The
//! kernel hands over complete packets (no offloads are asked for), so this is also the uplink on which
//! nothing is ever left to hardware.

use std::fs::File;
use std::io::{Read, Write};
use std::thread;

use crate::error::Context;
use crate::stop::Stop;
use crate::{Namespace, Result, sys};

/// The line; its devices vanish when it is dropped.
#[derive(Debug)]
pub(crate) struct Line {
    stop: Stop,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Line {
    /// Makes a tun device at each end and connects them.
    pub(crate) fn connect(ends: [(&Namespace, &str); 2]) -> Result<Self> {
        let [left, right] = ends.map(|(namespace, name)| {
            namespace
                .run(|| sys::create_tun(name))
                .context(|| format!("creating the tun device {name}"))
        });
        let (left, right) = (left?, right?);
        let again = |file: &File| file.try_clone().context(|| "sharing a tun device".to_owned());
        let stop = Stop::new()?;
        let threads = vec![
            carry(again(&left)?, again(&right)?, stop.clone()),
            carry(right, left, stop.clone()),
        ];
        Ok(Self { stop, threads })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.tell();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn carry(mut from: File, mut to: File, stop: Stop) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut packet = vec![0; 65536];
        while stop.wait_readable(&from) {
            // Reading fails when the device was deleted: the line is cut.
            let Ok(length) = from.read(&mut packet) else { break };
            // A device that is down refuses; the packet is lost, as on any line.
            let _ = to.write(&packet[..length]);
        }
    })
}
