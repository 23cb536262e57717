//! Which ports the host's own sockets use (sock_diag).
//!
//! A port that a socket of the host uses must not be handed out as a mapping's outside port. The
//! kernel lists sockets, not ports, so [`in_use`] asks for all of them, every now and then. Between
//! two such times the host may bind a port that an inside host is about to use towards the same
//! remote; so before a new flow gets the port that it asks for, the worker has [`Asker`] look for
//! that one socket. That costs two system calls, so there is a budget, beyond which the list has
//! to do.

use core::net::{IpAddr, SocketAddrV4};
use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io;

use masq_core::{HostPort, Instant};
use masq_wire::Protocol;
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use zerocopy::byteorder::{BE, U16};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::netlink::dialogue;

/// The (protocol, port) pairs in use by sockets that are not bound to a loopback address.
pub(crate) fn in_use() -> io::Result<BTreeSet<HostPort>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    let mut ports = BTreeSet::new();
    for protocol in [Protocol::TCP, Protocol::UDP] {
        for family in [AF_INET, AF_INET6] {
            list(&socket, family, protocol, |id| {
                if id.port.get() != 0 && !id.is_loopback(family) {
                    ports.insert(HostPort { protocol, port: id.port.get() });
                }
            })?;
        }
    }
    Ok(ports)
}

/// Asks for single sockets.
#[derive(Debug)]
pub(crate) struct Asker {
    socket: Socket,
    /// The instant at which the budget was (or will be) empty.
    empty_at: Instant,
}

impl Asker {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        Ok(Self { socket, empty_at: Instant::ZERO })
    }

    /// Whether the budget allows a question.
    pub(crate) fn may_ask(&self, now: Instant) -> bool {
        self.empty_at.max(now - PRICE * BURST) + PRICE <= now
    }

    /// Whether the host would take a packet from `remote` to `local` for its own. False also if the
    /// budget is used up.
    pub(crate) fn host_has(
        &mut self,
        now: Instant,
        protocol: Protocol,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> bool {
        if !self.may_ask(now) {
            return false;
        }
        self.empty_at = self.empty_at.max(now - PRICE * BURST) + PRICE;
        // For UDP the kernel takes the one that sends to the socket as the source.
        let id = match protocol {
            Protocol::UDP => SocketId::new(remote, local),
            _ => SocketId::new(local, remote),
        };
        let mut found = false;
        let request = Request::new(AF_INET, protocol, NLM_F_REQUEST, id);
        // An error says that there is none.
        let _ = exchange(&self.socket, &request, true, |_| found = true);
        found
    }
}

/// So many questions a second, and so many at once.
const PRICE: Duration = Duration::from_micros(500);
const BURST: u32 = 200;

fn list(
    socket: &Socket,
    family: u8,
    protocol: Protocol,
    found: impl FnMut(&SocketId),
) -> io::Result<()> {
    let request = Request::new(family, protocol, NLM_F_REQUEST | NLM_F_DUMP, SocketId::any());
    exchange(socket, &request, false, found)
}

/// Sends a request and takes the answers, `only` one or all of a list.
fn exchange(
    socket: &Socket,
    request: &Request,
    only: bool,
    mut found: impl FnMut(&SocketId),
) -> io::Result<()> {
    let asked = dialogue::ask(socket, request.as_bytes(), |kind, message| {
        if kind != SOCK_DIAG_BY_FAMILY {
            return ControlFlow::Continue(());
        }
        if let Ok((answer, _)) = Answer::read_from_prefix(message) {
            found(&answer.id);
        }
        if only { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match asked {
        // A kernel without IPv6 has no such family.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        asked => asked,
    }
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
#[derive(IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Request {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    id: SocketId,
}

/// `struct inet_diag_sockid`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct SocketId {
    port: U16<BE>,
    peer_port: U16<BE>,
    address: [u8; 16],
    peer_address: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// The beginning of `struct inet_diag_msg`.
#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Answer {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: SocketId,
}

const _: () = assert!(size_of::<Request>() == 16 + 56);

impl Request {
    fn new(family: u8, protocol: Protocol, flags: u16, id: SocketId) -> Self {
        Self {
            length: size_of::<Self>() as u32,
            kind: SOCK_DIAG_BY_FAMILY,
            flags,
            sequence: 1,
            port: 0,
            family,
            protocol: protocol.0,
            extensions: 0,
            pad: 0,
            states: u32::MAX,
            id,
        }
    }
}

impl SocketId {
    /// Any socket.
    fn any() -> Self {
        <Self as zerocopy::FromZeros>::new_zeroed()
    }

    /// The socket between two endpoints.
    fn new(own: SocketAddrV4, peer: SocketAddrV4) -> Self {
        let address = |address: SocketAddrV4| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.ip().octets());
            bytes
        };
        Self {
            port: U16::new(own.port()),
            peer_port: U16::new(peer.port()),
            address: address(own),
            peer_address: address(peer),
            interface: 0,
            cookie: [u32::MAX; 2],
        }
    }

    fn is_loopback(&self, family: u8) -> bool {
        let address = if family == AF_INET {
            let [a, b, c, d, ..] = self.address;
            IpAddr::from([a, b, c, d])
        } else {
            IpAddr::from(self.address).to_canonical()
        };
        address.is_loopback()
    }
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use core::net::SocketAddr;
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn listeners_and_bound_sockets_are_found_and_loopback_is_not() {
        let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
        let udp = UdpSocket::bind("[::]:0").unwrap();
        let own = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ports = in_use().unwrap();
        let used = |protocol, address: SocketAddr| {
            ports.contains(&HostPort { protocol, port: address.port() })
        };
        assert!(used(Protocol::TCP, tcp.local_addr().unwrap()));
        assert!(used(Protocol::UDP, udp.local_addr().unwrap()));
        assert!(!used(Protocol::UDP, own.local_addr().unwrap()));
    }

    #[test]
    fn a_single_socket_is_found_by_what_it_would_take() {
        let (one, two) = (Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2));
        let listener = TcpListener::bind((one, 0)).unwrap();
        let bound = UdpSocket::bind((one, 0)).unwrap();
        let connected = UdpSocket::bind((one, 0)).unwrap();
        connected.connect((two, 7)).unwrap();
        let port = |address: SocketAddr| address.port();
        let mut asker = Asker::open().unwrap();
        let mut has = |protocol, local: u16, remote: u16| {
            let now = Instant::from_secs(1000);
            let (local, remote) = (SocketAddrV4::new(one, local), SocketAddrV4::new(two, remote));
            asker.host_has(now, protocol, local, remote)
        };
        assert!(has(Protocol::TCP, port(listener.local_addr().unwrap()), 80));
        assert!(has(Protocol::UDP, port(bound.local_addr().unwrap()), 80));
        assert!(has(Protocol::UDP, port(connected.local_addr().unwrap()), 7));
        assert!(!has(Protocol::UDP, port(connected.local_addr().unwrap()), 8));
        assert!(!has(Protocol::TCP, port(bound.local_addr().unwrap()), 80));
        drop(bound);
        let asked =
            (0..1000).filter(|_| has(Protocol::TCP, listener.local_addr().unwrap().port(), 1));
        assert_eq!(asked.count(), BURST as usize - 5, "within the budget");
    }
}
