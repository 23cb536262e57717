//! Question and answers by hand, for the families that no message library of ours speaks: sock_diag,
//! nf_tables, xfrm.

use core::ops::ControlFlow;
use std::io;

use netlink_sys::Socket;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct nlmsghdr`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) length: u32,
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) port: u32,
}

/// Sends a question, and gives kind and body of each answer to `take`, until there are no more or it
/// has had enough.
///
/// # Errors
///
/// The system calls', and the kernel's own answer where it refuses.
pub(crate) fn ask(
    socket: &Socket,
    question: &[u8],
    mut take: impl FnMut(u16, &[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    socket.send(question, 0)?;
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
                    return Err(io::Error::from_raw_os_error(-code));
                }
                kind => {
                    if take(kind, message).is_break() {
                        return Ok(());
                    }
                }
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
