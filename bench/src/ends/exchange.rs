//! One request, one answer, and again: how long each takes.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use masq_lab::Deadline;

use super::{Ends, Side, WARM_UP, pin};

/// Requests of 64 bytes, each sent when the answer to the one before has come.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// How they travel.
    pub transport: Transport,
    /// What is counted, after a warm-up.
    pub window: Duration,
}

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One connection, without delay.
    Tcp,
    /// Datagrams; a lost one is asked again after [`LOST`].
    Udp,
}

impl Exchange {
    /// Runs it, and returns how long each exchange took, in microseconds.
    ///
    /// # Errors
    ///
    /// When an end fails, or no answer comes.
    pub fn run(&self, ends: &Ends<'_>) -> Result<Vec<f64>> {
        let times = match self.transport {
            Transport::Tcp => self.run_tcp(ends),
            Transport::Udp => self.run_udp(ends),
        }?;
        ensure!(!times.is_empty(), "no request was answered");
        Ok(times)
    }

    fn run_tcp(&self, ends: &Ends<'_>) -> Result<Vec<f64>> {
        let (client, server) = ends.connect()?;
        for stream in [&client, &server] {
            stream.set_nodelay(true).context("sending without delay")?;
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                pin(Side::Server, 0);
                echo_stream(&server);
            });
            let asked = scope.spawn(|| {
                pin(Side::Client, 0);
                self.ask(|request| exchange_on_stream(&client, request))
            });
            let times = asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let _ = client.shutdown(Shutdown::Both);
            times
        })
    }

    fn run_udp(&self, ends: &Ends<'_>) -> Result<Vec<f64>> {
        let any = (Ipv4Addr::UNSPECIFIED, 0);
        let server = ends.server.run(|| UdpSocket::bind(any)).context("opening the server")?;
        let client = ends.client.run(|| UdpSocket::bind(any)).context("opening the client")?;
        let port = server.local_addr().context("asking for the server's port")?.port();
        client.connect(SocketAddrV4::new(ends.address, port)).context("naming the server")?;
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(LOST)).context("limiting a wait")?;
        }
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                pin(Side::Server, 0);
                echo_datagrams(&server, &over);
            });
            let asked = scope.spawn(|| {
                pin(Side::Client, 0);
                self.ask(|request| exchange_datagram(&client, request))
            });
            let times = asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            over.store(true, Ordering::Relaxed);
            times
        })
    }

    /// Asks one request after another, each with a number of its own.
    fn ask(&self, mut exchange: impl FnMut(&[u8; REQUEST]) -> io::Result<()>) -> Result<Vec<f64>> {
        let whole = Deadline::after(WARM_UP + self.window);
        let mut times = Vec::with_capacity(1 << 18);
        let mut number = 0_u64;
        while whole.left().is_some() {
            let mut request = [0x5a; REQUEST];
            request[..8].copy_from_slice(&number.to_be_bytes());
            number += 1;
            let asked_at = whole.elapsed();
            exchange(&request).with_context(|| format!("request {number}"))?;
            if asked_at >= WARM_UP {
                times.push((whole.elapsed() - asked_at).as_secs_f64() * 1e6);
            }
        }
        Ok(times)
    }
}

fn exchange_on_stream(mut stream: &TcpStream, request: &[u8; REQUEST]) -> io::Result<()> {
    stream.write_all(request)?;
    let mut answer = [0; REQUEST];
    stream.read_exact(&mut answer)?;
    if answer == *request { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn exchange_datagram(socket: &UdpSocket, request: &[u8; REQUEST]) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        socket.send(request)?;
        let mut answer = [0; REQUEST];
        loop {
            match socket.recv(&mut answer) {
                Ok(_) if answer == *request => return Ok(()),
                // The late answer to an earlier request.
                Ok(_) => {}
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer to {ATTEMPTS} requests")))
}

fn echo_stream(mut stream: &TcpStream) {
    let mut buffer = [0; REQUEST];
    while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
}

fn echo_datagrams(socket: &UdpSocket, over: &AtomicBool) {
    let mut buffer = [0; REQUEST];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The bytes of a request and of its answer.
const REQUEST: usize = 64;

/// After this time a datagram is taken for lost. It counts with this time, at least.
const LOST: Duration = Duration::from_millis(50);

const ATTEMPTS: usize = 40;
