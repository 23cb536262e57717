//! A page and a file over HTTP/1.1, as little of it as both ends need.

use core::fmt::Write as _;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, BufRead, BufReader, Read, Write};
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
    write!(&stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")
        .context("cannot send the request")?;
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

/// Serves one connection.
pub(crate) fn serve(stream: &TcpStream, peer: SocketAddr, file: u64) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut request = String::new();
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut out = stream;
    match request.split(' ').nth(1) {
        Some("/file") => {
            let hash = file_hash(file);
            write!(
                out,
                "{}x-sha256: {hash}\r\n\r\n",
                head("200 OK", "application/octet-stream", file)
            )?;
            for_each_chunk(file, |chunk| out.write_all(chunk))
        }
        Some("/") => {
            let page = format!("<h1>It works</h1> <p>You are {peer}.</p>\n");
            write!(out, "{}\r\n{page}", head("200 OK", "text/html", page.len() as u64))
        }
        _ => write!(out, "{}\r\n", head("404 Not Found", "text/plain", 0)),
    }
}

fn head(status: &str, kind: &str, length: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n"
    )
}

/// The file: so many bytes of xorshift noise, the same each time, nowhere stored.
fn for_each_chunk<E>(length: u64, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = length;
    let mut chunk = vec![0; 1 << 16];
    while left > 0 {
        for word in chunk.as_chunks_mut::<8>().0 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        take(&chunk[..count])?;
        left -= count as u64;
    }
    Ok(())
}

fn file_hash(length: u64) -> String {
    let mut hash = Sha256::new();
    let Ok(()) = for_each_chunk(length, |chunk| {
        hash.update(chunk);
        Ok::<(), core::convert::Infallible>(())
    });
    hexadecimal(&hash.finalize())
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

    /// Serves one connection on loopback.
    fn server(file: u64) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (stream, peer) = listener.accept().unwrap();
            serve(&stream, peer, file).unwrap();
        });
        address
    }

    #[test]
    fn a_page_says_who_asked() {
        let page = get(server(0), "/", |_, _| {}).unwrap();
        assert_eq!(page.status, "200 OK");
        assert!(page.beginning.contains("You are 127.0.0.1:"), "{}", page.beginning);
    }

    #[test]
    fn a_file_arrives_whole() {
        let mut last = (0, 0);
        let page = get(server(1_000_003), "/file", |at, of| last = (at, of)).unwrap();
        assert_eq!(page.length, 1_000_003);
        assert_eq!(last, (1_000_003, 1_000_003));
        assert_eq!(Some(page.hash), page.announced);
    }
}
