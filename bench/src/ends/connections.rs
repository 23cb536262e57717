//! Connections that are opened and closed, and do nothing else.
//!
//! Every connection ends as most do, with a FIN from each side:
//!
//! ```text
//!   client                                server
//!     SYN ────────────────────────────────►
//!     ◄──────────────────────────── SYN|ACK
//!     ACK ────────────────────────────────►  accept
//!     FIN ────────────────────────────────►  reads the end
//!     ◄───────────────────────────── FIN, ACK
//!     ACK ────────────────────────────────►
//! ```
//!
//! *Whose TIME-WAIT.* The side that closes first keeps the connection's name for a minute (RFC 9293
//! §3.6.1), which here is the client. Ten thousands of connections in each second would use its
//! ports up, so its host is told to keep none (`tcp_max_tw_buckets`): nothing is ever late on the
//! lab's links. Resetting instead (`SO_LINGER` of 0) would save the same, but then gateways would
//! see no connection end as real ones do.
//!
//! *Whose ports.* Every client talks to a port of the server that no run before has used, so that nearly
//! each connection is a new one to the gateway, however many came before. Its own ports are drawn by the
//! kernel, and a few of them twice, from a range that is smaller than the ports of one outside address.

use core::net::SocketAddrV4;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io::{self, Read as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use masq_lab::Deadline;

use super::{Ends, PATIENCE, Side, WARM_UP, pin};

/// How many clients, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// Clients that connect at once, each to a server of its own.
    pub clients: usize,
    /// What is counted, after a warm-up.
    pub window: Duration,
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Connections that ended in each second of the window.
    pub rate: f64,
    /// All that ended, before and after the window too.
    pub all: u64,
}

impl Connections {
    /// Runs it, and says how many connections ended.
    ///
    /// # Errors
    ///
    /// When a connection fails.
    pub fn run(&self, ends: &Ends<'_>) -> Result<Done> {
        ends.client.set_sysctls(&[
            ("net.ipv4.tcp_max_tw_buckets", "0"),
            ("net.ipv4.ip_local_port_range", "10000 59999"),
        ])?;
        let servers = (0..self.clients).map(|_| ends.listen()).collect::<Result<Vec<_>>>()?;
        let done = AtomicU64::new(0);
        let whole = Deadline::after(WARM_UP + self.window + MARGIN);
        let (count, time) = thread::scope(|scope| {
            for (index, (listener, _)) in servers.iter().enumerate() {
                scope.spawn(move || {
                    pin(Side::Server, index);
                    serve(listener);
                });
            }
            let clients: Vec<_> = servers
                .iter()
                .enumerate()
                .map(|(index, (_, address))| {
                    let (done, whole) = (&done, &whole);
                    let client = move || {
                        pin(Side::Client, index);
                        connect_again_and_again(*address, done, whole)
                    };
                    scope.spawn(move || ends.client.run(client))
                })
                .collect();
            thread::sleep(WARM_UP);
            let (before, window) = (done.load(Ordering::Relaxed), Deadline::after(self.window));
            thread::sleep(self.window);
            let counted = (done.load(Ordering::Relaxed) - before, window.elapsed());
            let ended: Result<Vec<()>> = clients
                .into_iter()
                .map(|client| {
                    client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect();
            for (listener, _) in &servers {
                // The server's accept fails, and it goes home.
                let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
            }
            ended.map(|_| counted)
        })?;
        ensure!(count > 0, "no connection came to its end");
        Ok(Done { rate: count as f64 / time.as_secs_f64(), all: done.into_inner() })
    }
}

fn connect_again_and_again(
    address: SocketAddrV4,
    done: &AtomicU64,
    whole: &Deadline,
) -> Result<()> {
    while whole.left().is_some() {
        open_and_close(address).with_context(|| format!("a connection to {address}"))?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn open_and_close(address: SocketAddrV4) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.shutdown(Shutdown::Write)?;
    // The connection is over when the server has closed its side too.
    match stream.read(&mut [0; 1])? {
        0 => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn serve(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.read(&mut [0; 1]);
    }
}

/// Clients stop a little after the window, so that all of them work to its end.
const MARGIN: Duration = Duration::from_millis(50);
