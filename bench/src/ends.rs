//! The two ends of a path, as threads with ordinary sockets: what users of a gateway do.
//!
//! The client is inside and the server outside; connections always begin at the client. Both are
//! threads of this process, each in the namespace of its host. They block, as most programs do, and
//! every workload ends by itself: after its window, or after [`PATIENCE`] when nothing moves.
//!
//! Threads keep to their processors ([`pin`]): where the scheduler puts two ends of a connection changes
//! the figures by more than any gateway does.

mod bulk;
mod connections;
mod exchange;

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use masq_lab::Namespace;

pub use self::bulk::{Bulk, Way};
pub use self::connections::{Connections, Done};
pub use self::exchange::{Exchange, Transport};

/// Where the two ends are.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The host inside.
    pub client: &'a Namespace,
    /// The host outside.
    pub server: &'a Namespace,
    /// The server's address, as the client knows it.
    pub address: Ipv4Addr,
}

/// Which end a thread belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl Ends<'_> {
    /// Listens at the server, on a port that nobody has used yet.
    fn listen(&self) -> Result<(TcpListener, SocketAddrV4)> {
        let listener = self.server.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)));
        let listener = listener.context("listening at the server")?;
        let port = listener.local_addr().context("asking for the server's port")?.port();
        Ok((listener, SocketAddrV4::new(self.address, port)))
    }

    /// One connection: the client's socket and the server's.
    fn connect(&self) -> Result<(TcpStream, TcpStream)> {
        let (listener, address) = self.listen()?;
        let connected = self.client.run(|| TcpStream::connect_timeout(&address.into(), PATIENCE));
        let client = connected.with_context(|| format!("connecting to {address}"))?;
        let (server, _) = listener.accept().context("accepting a connection")?;
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(PATIENCE)).context("limiting a wait")?;
            stream.set_write_timeout(Some(PATIENCE)).context("limiting a wait")?;
        }
        Ok((client, server))
    }
}

/// Keeps the calling thread on one processor: clients to the first half of them, servers to the rest.
fn pin(side: Side, index: usize) {
    let processors = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor(side, index, processors));
    // Where that is not permitted, the figures are noisier, and still figures.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

fn processor(side: Side, index: usize, processors: usize) -> usize {
    let clients = (processors / 2).max(1);
    match side {
        Side::Client => index % clients,
        Side::Server if processors == 1 => 0,
        Side::Server => clients + index % (processors - clients),
    }
}

/// How long an end waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a workload runs before it counts.
const WARM_UP: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_share_a_processor_only_where_there_is_but_one() {
        assert_eq!((processor(Side::Client, 3, 1), processor(Side::Server, 3, 1)), (0, 0));
        assert_eq!((processor(Side::Client, 1, 2), processor(Side::Server, 1, 2)), (0, 1));
        for index in 0..16 {
            assert!(processor(Side::Client, index, 5) < 2);
            assert!((2..5).contains(&processor(Side::Server, index, 5)));
        }
    }
}
