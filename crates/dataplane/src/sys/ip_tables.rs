//! The tables of the old iptables, as the kernel keeps them (`getsockopt` on a raw socket).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType, ipproto, socket};

/// A table, as it lies in the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Where packets enter at each hook; zero too where they do not.
    pub(crate) entries: [u32; 5],
    /// Where the rules of each hook end: at what is done when none decides.
    pub(crate) ends: [u32; 5],
    /// The rules, one after the other.
    pub(crate) rules: Vec<u8>,
}

/// The table of that name. Asking for one that there is not makes the kernel make it.
pub(crate) fn table(name: &str) -> io::Result<Table> {
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?;
    // `struct ipt_getinfo`: name, valid hooks, entries, ends, count, size.
    let mut info = named(name, 84);
    ask(&socket, GET_INFO, &mut info)?;
    let word = |place: usize| {
        let bytes = info.get(4 * place..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    let (entries, ends) =
        (core::array::from_fn(|hook| word(9 + hook)), core::array::from_fn(|hook| word(14 + hook)));
    let size = word(20);
    // `struct ipt_get_entries`: name, size, and from a multiple of eight on the rules.
    let mut answer = named(name, HEADER + size as usize);
    answer[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
    ask(&socket, GET_ENTRIES, &mut answer)?;
    Ok(Table { entries, ends, rules: answer.split_off(HEADER) })
}

fn named(name: &str, length: usize) -> Vec<u8> {
    let mut bytes = name.as_bytes()[..name.len().min(NAME - 1)].to_vec();
    bytes.resize(length, 0);
    bytes
}

fn ask(socket: &OwnedFd, what: libc::c_int, answer: &mut [u8]) -> io::Result<()> {
    let mut length = answer.len() as libc::socklen_t;
    // SAFETY: the kernel reads and writes at most `length` bytes, which are as many as there are.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            what,
            answer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// The length of a table's name.
const NAME: usize = 32;
const HEADER: usize = 40;
