//! Bulk transfers whose content is compared by hash.
//!
//! The client sends a direction and a length; then one side sends that many pseudo-random octets
//! followed by their SHA-256, and the other computes its own. In an upload the server answers with the
//! hash of what it got, so the client knows in either case.

use core::net::{SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use sha2::{Digest, Sha256};

use super::Service;
use crate::deadline::Deadline;
use crate::error::Context;
use crate::{Error, Host, Result};

/// A server for transfers.
#[derive(Debug)]
pub struct TransferServer {
    service: Service,
}

/// A transfer that succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// How many octets.
    pub octets: u64,
    /// How long it took.
    pub took: Duration,
    /// SHA-256 of the content, the same at both ends.
    pub hash: [u8; 32],
}

impl TransferServer {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn start(host: &Host, port: u16) -> Result<Self> {
        Ok(Self { service: Service::tcp(host, port, serve)? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.service.address()
    }

    /// What it saw.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Fetches `octets` from it.
    ///
    /// # Errors
    ///
    /// When the connection fails or the content differs.
    pub fn download(&self, client: &Host, octets: u64) -> Result<Transfer> {
        self.download_on(client.connect(self.address())?, octets)
    }

    /// The same on a connection that exists.
    ///
    /// # Errors
    ///
    /// When the connection fails or the content differs.
    pub fn download_on(&self, mut stream: TcpStream, octets: u64) -> Result<Transfer> {
        let clock = Deadline::after(Duration::MAX);
        let mut fetch = || {
            stream.write_all(&request(DOWNLOAD, octets))?;
            let got = receive(&mut stream, octets)?;
            Ok::<_, io::Error>((got, read_hash(&mut stream)?))
        };
        let (got, sent) = fetch().context(|| format!("downloading {octets} octets"))?;
        compare("content of the download", sent, got)?;
        Ok(Transfer { octets, took: clock.elapsed(), hash: got })
    }

    /// Sends `octets` to it.
    ///
    /// # Errors
    ///
    /// When the connection fails or the content differs.
    pub fn upload(&self, client: &Host, octets: u64) -> Result<Transfer> {
        self.upload_on(client.connect(self.address())?, octets)
    }

    /// The same on a connection that exists.
    ///
    /// # Errors
    ///
    /// When the connection fails or the content differs.
    pub fn upload_on(&self, mut stream: TcpStream, octets: u64) -> Result<Transfer> {
        let clock = Deadline::after(Duration::MAX);
        let mut give = || {
            stream.write_all(&request(UPLOAD, octets))?;
            let sent = send(&mut stream, octets)?;
            Ok::<_, io::Error>((sent, read_hash(&mut stream)?))
        };
        let (sent, got) = give().context(|| format!("uploading {octets} octets"))?;
        compare("content of the upload", sent, got)?;
        Ok(Transfer { octets, took: clock.elapsed(), hash: got })
    }
}

fn serve(mut stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    loop {
        let mut request = [0; 9];
        match stream.read_exact(&mut request) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let [direction, length @ ..] = request;
        let octets = u64::from_be_bytes(length);
        let hash = match direction {
            DOWNLOAD => send(&mut stream, octets)?,
            UPLOAD => receive(&mut stream, octets)?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        stream.write_all(&hash)?;
    }
}

fn request(direction: u8, octets: u64) -> Vec<u8> {
    [&[direction][..], &octets.to_be_bytes()].concat()
}

fn send(stream: &mut impl Write, octets: u64) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut content = Content(octets ^ SEED);
    let mut chunk = vec![0; CHUNK];
    let mut left = octets;
    while left > 0 {
        let length = left.min(CHUNK as u64) as usize;
        content.fill(&mut chunk[..length]);
        hash.update(&chunk[..length]);
        stream.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    Ok(hash.finalize().into())
}

fn receive(stream: &mut impl Read, octets: u64) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut left = octets;
    while left > 0 {
        let wanted = left.min(CHUNK as u64) as usize;
        let length = read_some(stream, &mut chunk[..wanted])?;
        if length == 0 {
            let got = octets - left;
            let what = format!("the connection ended after {got} of {octets} octets");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        hash.update(&chunk[..length]);
        left -= length as u64;
    }
    Ok(hash.finalize().into())
}

/// Like `read`, which a signal to the process may interrupt when the socket has a time limit.
pub(super) fn read_some(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn read_hash(stream: &mut impl Read) -> io::Result<[u8; 32]> {
    let mut hash = [0; 32];
    stream.read_exact(&mut hash)?;
    Ok(hash)
}

fn compare(what: &str, expected: [u8; 32], got: [u8; 32]) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    let hexadecimal = |hash: [u8; 32]| hash.iter().map(|octet| format!("{octet:02x}")).collect();
    Err(Error::Mismatch {
        what: what.to_owned(),
        expected: hexadecimal(expected),
        got: hexadecimal(got),
    })
}

/// Octets that no two positions share by accident (xorshift64), so a lost, doubled or swapped segment shows.
struct Content(u64);

impl Content {
    fn fill(&mut self, chunk: &mut [u8]) {
        for word in chunk.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_ne_bytes()[..word.len()]);
        }
    }
}

const DOWNLOAD: u8 = b'D';
const UPLOAD: u8 = b'U';
const CHUNK: usize = 64 << 10;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
