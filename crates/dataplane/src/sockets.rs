//! Which ports the host's own sockets use (sock_diag).
//!
//! A port that a socket of the host uses must not be handed out as a mapping's outside port. The
//! kernel lists sockets, not ports, so this asks for all of them; it is polled, and what slips
//! through between two polls is caught by the eBPF program, which asks for a socket before it calls
//! a packet a miss.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::io;

use masq_core::HostPort;
use masq_wire::Protocol;
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};
use zerocopy::byteorder::{BE, U16};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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

fn list(
    socket: &Socket,
    family: u8,
    protocol: Protocol,
    mut found: impl FnMut(&SocketId),
) -> io::Result<()> {
    let request = Request {
        length: size_of::<Request>() as u32,
        kind: SOCK_DIAG_BY_FAMILY,
        flags: NLM_F_REQUEST | NLM_F_DUMP,
        sequence: 1,
        port: 0,
        family,
        protocol: protocol.0,
        extensions: 0,
        pad: 0,
        states: u32::MAX,
        id: SocketId::new_zeroed_id(),
    };
    socket.send(request.as_bytes(), 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Ok((header, _)) = Header::read_from_prefix(rest) {
            let length = (header.length as usize).max(size_of::<Header>());
            let Some(message) = rest.get(size_of::<Header>()..length) else { break };
            match header.kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let code = i32::read_from_prefix(message).map_or(0, |(code, _)| code);
                    // A kernel without IPv6 has no such family.
                    return match -code {
                        libc::ENOENT => Ok(()),
                        code => Err(io::Error::from_raw_os_error(code)),
                    };
                }
                SOCK_DIAG_BY_FAMILY => {
                    if let Ok((answer, _)) = Answer::read_from_prefix(message) {
                        found(&answer.id);
                    }
                }
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// `struct nlmsghdr`.
#[derive(FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
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

impl SocketId {
    fn new_zeroed_id() -> Self {
        <Self as zerocopy::FromZeros>::new_zeroed()
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
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn listeners_and_bound_sockets_are_found_and_loopback_is_not() {
        let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
        let udp = UdpSocket::bind("[::]:0").unwrap();
        let own = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ports = in_use().unwrap();
        let used = |protocol, address: core::net::SocketAddr| {
            ports.contains(&HostPort { protocol, port: address.port() })
        };
        assert!(used(Protocol::TCP, tcp.local_addr().unwrap()));
        assert!(used(Protocol::UDP, udp.local_addr().unwrap()));
        assert!(!used(Protocol::UDP, own.local_addr().unwrap()));
    }
}
