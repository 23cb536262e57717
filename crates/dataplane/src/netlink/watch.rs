//! The stream of changes that the kernel announces.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use super::{NetlinkError, messages};
use crate::routes::{Change, decode};

/// What was heard.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Changes, in the order in which they happened.
    Changes(Vec<Change>),
    /// Some changes were lost: only a fresh picture helps.
    Lost,
    /// Nothing is waiting.
    Nothing,
}

/// A socket that hears of changes.
#[derive(Debug)]
pub(crate) struct Watch {
    socket: Socket,
}

impl Watch {
    /// Listens in the network namespace of the calling thread. What happens from then on is heard,
    /// so a picture taken afterwards together with the changes heard misses nothing.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.set_non_blocking(true)?;
            // As much as the administrator allows; a loss is noticed and mended.
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_LEN)
                .or_else(|_| {
                    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_LEN)
                });
            for group in GROUPS {
                socket.add_membership(group)?;
            }
            Ok(Self { socket })
        };
        open().map_err(|source| NetlinkError { request: "listening for changes", source })
    }

    /// Reads what is waiting, one datagram at a time.
    pub(crate) fn hear(&self) -> Result<Heard, NetlinkError> {
        let datagram = match self.socket.recv_from_full() {
            Ok((datagram, _)) => datagram,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Heard::Nothing),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Heard::Lost),
            Err(source) => return Err(NetlinkError { request: "hearing of changes", source }),
        };
        let change = |message: NetlinkMessage<RouteNetlinkMessage>| {
            let NetlinkPayload::InnerMessage(inner) = message.payload else { return None };
            decode(message.header.flags, &inner)
        };
        Ok(Heard::Changes(messages(&datagram).filter_map(change).collect()))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

/// Links, neighbours, and IPv4 addresses, routes and rules; IPv6 addresses for the doctor.
const GROUPS: [u32; 6] = [1, 3, 5, 7, 8, 9];

const RECEIVE_LEN: usize = 4 << 20;
