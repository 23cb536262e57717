//! A small web server that tells its visitors where they seem to come from.
//!
//! `/` is a page for people, `/whoami` the peer's address alone, `/file/N` a file of N octets with
//! its SHA-256 in a header. Every request is on record.

use core::net::{SocketAddr, SocketAddrV4};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::Service;
use crate::error::Context;
use crate::{Host, Result};

/// The server.
#[derive(Debug)]
pub struct HttpServer {
    service: Service,
    visits: Arc<Mutex<Vec<Visit>>>,
}

/// A request as the server saw it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Visit {
    /// Who asked, as far as the server can tell.
    pub peer: SocketAddr,
    /// For what.
    pub path: String,
}

/// What a client got.
#[derive(Clone, Debug)]
pub struct Page {
    /// The three digits.
    pub status: u16,
    /// The value of the header `x-sha256`, when there was one.
    pub announced_hash: Option<String>,
    /// The content.
    pub body: Vec<u8>,
}

impl Page {
    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// SHA-256 of the content, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        hash(&self.body)
    }
}

impl HttpServer {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn start(host: &Host, port: u16) -> Result<Self> {
        let visits = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&visits);
        let service = Service::tcp(host, port, move |stream, peer| serve(stream, peer, &record))?;
        Ok(Self { service, visits })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.service.address()
    }

    /// All requests so far.
    #[must_use]
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Fetches a page.
///
/// # Errors
///
/// When there is no connection or no proper answer.
pub fn http_get(client: &Host, server: SocketAddrV4, path: &str) -> Result<Page> {
    let stream = client.connect(server)?;
    fetch(stream, server, path).context(|| format!("fetching http://{server}{path}"))
}

fn fetch(mut stream: TcpStream, server: SocketAddrV4, path: &str) -> io::Result<Page> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let head = read_head(&mut reader)?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP");
    let status = head.first().and_then(|line| line.split(' ').nth(1)).ok_or_else(bad)?;
    let header = |name: &str| {
        head.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let length: usize = header("content-length").and_then(|l| l.parse().ok()).ok_or_else(bad)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let status = status.parse().map_err(|_| bad())?;
    Ok(Page { status, announced_hash: header("x-sha256"), body })
}

fn serve(mut stream: TcpStream, peer: SocketAddr, visits: &Mutex<Vec<Visit>>) -> io::Result<()> {
    let head = read_head(&mut BufReader::new(stream.try_clone()?))?;
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/").to_owned();
    let (status, kind, body) = respond(&path, peer);
    let visit = Visit { peer, path };
    visits.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nX-Sha256: {}\r\n\
         Connection: close\r\n\r\n",
        body.len(),
        hash(&body),
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

fn respond(path: &str, peer: SocketAddr) -> (&'static str, &'static str, Vec<u8>) {
    const OK: &str = "200 OK";
    let file = path.strip_prefix("/file/").and_then(|octets| octets.parse::<usize>().ok());
    match (path, file) {
        ("/", _) => {
            let page = format!(
                "<!doctype html>\n<title>A server far away</title>\n\
                 <p>Hello. To me you are <b>{peer}</b>.\n"
            );
            (OK, "text/html; charset=utf-8", page.into_bytes())
        }
        ("/whoami", _) => (OK, "text/plain", peer.to_string().into_bytes()),
        (_, Some(octets)) => {
            let body = (0..octets.min(LARGEST)).map(|at| ((at * 31) >> 3) as u8).collect();
            (OK, "application/octet-stream", body)
        }
        _ => ("404 Not Found", "text/plain", b"no such page\n".to_vec()),
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut head = Vec::new();
    let mut line = String::new();
    // What is longer than this is not for us.
    while head.len() < 100 {
        line.clear();
        reader.take(8192).read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            text => head.push(text.to_owned()),
        }
    }
    Ok(head)
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|octet| format!("{octet:02x}")).collect()
}

const LARGEST: usize = 256 << 20;
