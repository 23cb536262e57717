//! The internet host: a page, a file and names, and a note of who asked.

use core::net::{Ipv4Addr, SocketAddr};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

use super::{dns, http};

/// Answers until the program ends.
#[derive(Debug)]
pub(crate) struct Server {
    last: Arc<Mutex<Option<SocketAddr>>>,
}

impl Server {
    /// Opens the sockets here and answers on threads of its own.
    pub(crate) fn start(address: Ipv4Addr, port: u16, file: u64) -> Result<Self> {
        let last = Arc::new(Mutex::new(None));
        let pages = TcpListener::bind((address, port))
            .with_context(|| format!("cannot listen on {address}:{port}"))?;
        let names = UdpSocket::bind((address, 53))
            .with_context(|| format!("cannot listen on {address}:53"))?;
        let seen = Arc::clone(&last);
        thread::spawn(move || {
            for stream in pages.incoming().flatten() {
                let Ok(peer) = stream.peer_addr() else { continue };
                note(&seen, peer);
                // A client that goes away has only itself to tell.
                thread::spawn(move || drop(http::serve(&stream, peer, file)));
            }
        });
        let seen = Arc::clone(&last);
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, peer)) = names.recv_from(&mut buffer) {
                note(&seen, peer);
                if let Some(answer) = dns::answer(&buffer[..length], address) {
                    // A lost answer is asked for again.
                    let _ = names.send_to(&answer, peer);
                }
            }
        });
        Ok(Self { last })
    }

    /// Who asked last.
    pub(crate) fn saw(&self) -> Option<SocketAddr> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(last: &Mutex<Option<SocketAddr>>, peer: SocketAddr) {
    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
}
