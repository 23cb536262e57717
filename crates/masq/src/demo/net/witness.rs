//! Who really wrote to the server: every TCP, UDP and ICMP packet it receives, counted by source.
//!
//! Raw sockets get a copy of what the kernel accepts, before any server program has its say, so a
//! packet with a wrong source address is seen even when nobody answers it.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketType, ipproto, recvfrom, socket};

/// Counts on threads of its own until it is dropped.
#[derive(Debug)]
pub(crate) struct Witness {
    seen: Arc<Mutex<BTreeMap<IpAddr, u64>>>,
}

impl Witness {
    /// Opens the sockets here.
    pub(crate) fn start() -> Result<Self> {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        for protocol in [ipproto::TCP, ipproto::UDP, ipproto::ICMP] {
            let socket = socket(AddressFamily::INET, SocketType::RAW, Some(protocol))
                .context("cannot open a raw socket")?;
            set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_millis(200)))
                .context("cannot set a timeout")?;
            // The kernel may give less; then a download's acknowledgements are undercounted.
            let _ = set_socket_recv_buffer_size(&socket, 4 << 20);
            let shared = Arc::downgrade(&seen);
            thread::spawn(move || {
                while let Some(seen) = shared.upgrade() {
                    if let Some(source) = source(&socket) {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        *seen.entry(IpAddr::V4(source)).or_insert(0) += 1;
                    }
                }
            });
        }
        Ok(Self { seen })
    }

    /// How many packets came from each address.
    pub(crate) fn seen(&self) -> BTreeMap<IpAddr, u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn source(socket: &OwnedFd) -> Option<Ipv4Addr> {
    let mut buffer = [0; 64];
    let (length, _, _) = recvfrom(socket, &mut buffer, RecvFlags::empty()).ok()?;
    let source = *buffer.get(..length)?.get(12..)?.first_chunk::<4>()?;
    Some(Ipv4Addr::from(source))
}
