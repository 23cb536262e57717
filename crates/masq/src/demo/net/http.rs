//! Fetching over HTTP/1.1, as little of it as the lab's server needs.

use core::fmt::Write as _;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// What came back.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: String,
    pub(crate) length: u64,
    /// SHA-256 of the body, in hexadecimal.
    pub(crate) hash: String,
    /// What the server says the hash is.
    pub(crate) announced: Option<String>,
    /// The body's beginning.
    pub(crate) beginning: String,
}

/// How much of a body is worth keeping.
const BEGINNING: usize = 200;

/// Fetches a page and reports as bytes arrive.
pub(crate) fn get(
    server: SocketAddr,
    path: &str,
    mut progress: impl FnMut(u64, u64),
) -> Result<Page> {
    let patience = Some(Duration::from_secs(10));
    let stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))
        .with_context(|| format!("cannot connect to {server}"))?;
    stream.set_read_timeout(patience).context("cannot set a timeout")?;
    stream.set_write_timeout(patience).context("cannot set a timeout")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    (&stream).write_all(request.as_bytes()).context("cannot send the request")?;
    let mut reader = BufReader::with_capacity(1 << 16, &stream);
    let mut status = String::new();
    reader.read_line(&mut status).context("no answer")?;
    let (mut length, mut announced) = (None, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).context("the answer broke off")?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok(),
            "x-sha256" => announced = Some(value.to_owned()),
            _ => {}
        }
    }
    let length: u64 = length.context("the answer has no length")?;
    let mut hash = Sha256::new();
    let mut beginning = Vec::new();
    let mut received = 0_u64;
    let mut buffer = vec![0; 1 << 16];
    while received < length {
        let count = reader.read(&mut buffer).context("the transfer broke off")?;
        ensure!(count > 0, "the transfer ended after {received} of {length} bytes");
        hash.update(&buffer[..count]);
        let wanted = BEGINNING.saturating_sub(beginning.len()).min(count);
        beginning.extend_from_slice(&buffer[..wanted]);
        received += count as u64;
        progress(received, length);
    }
    Ok(Page {
        status: status.split(' ').skip(1).collect::<Vec<_>>().join(" ").trim().to_owned(),
        length,
        hash: hexadecimal(&hash.finalize()),
        announced,
        beginning: String::from_utf8_lossy(&beginning).into_owned(),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers one connection on loopback with this.
    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = BufReader::new(&stream);
            assert!(request.lines().any(|line| line.unwrap().is_empty()));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn a_page_arrives_with_its_hash() {
        let mut last = (0, 0);
        let answer = "HTTP/1.1 200 OK\r\nX-Sha256: abc\r\ncontent-length: 3\r\n\r\nabc";
        let page = get(server(answer), "/", |at, of| last = (at, of)).unwrap();
        assert_eq!((page.status.as_str(), page.length, last), ("200 OK", 3, (3, 3)));
        // FIPS 180-4, example B.1.
        assert!(page.hash.starts_with("ba7816bf8f01cfea"), "{}", page.hash);
        assert_eq!(page.announced.as_deref(), Some("abc"));
        assert_eq!(page.beginning, "abc");
    }

    #[test]
    fn a_transfer_that_breaks_off_is_an_error() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
        let error = get(server(answer), "/", |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "the transfer ended after 3 of 9 bytes");
    }
}
