//! The system calls that no safe wrapper offers: the only unsafe code of the lab.
//!
//! Each function is one call with arguments that live until it returns; everything above this
//! module is safe Rust.
#![expect(
    unsafe_code,
    reason = "calls for which rustix has no safe form; each says why it is sound"
)]

use core::mem::size_of;
use core::net::Ipv4Addr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;
use rustix::thread::UnshareFlags;

/// Puts the calling thread into new namespaces. `FILES` is not accepted.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    assert!(!flags.contains(UnshareFlags::FILES), "descriptors stay shared between threads");
    // SAFETY: only `FILES` lets a thread see descriptors of another table; it was excluded above.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
}

/// Creates the tun device `name` in the calling thread's network namespace. Packets are read and
/// written without any header; the device lives as long as the file.
pub(crate) fn create_tun(name: &str) -> io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], flags: 0, rest: [0; 22] };
    if name.len() >= request.name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    request.flags = (libc::IFF_TUN | libc::IFF_NO_PI) as u16;
    // SAFETY: TUNSETIFF reads and writes one `ifreq` (40 bytes), whose layout the struct has.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

/// The part of `struct ifreq` that tun devices use.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: u16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());

/// What a packet socket says about a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkAddress {
    pub(crate) ethertype: u16,
    pub(crate) outgoing: bool,
}

/// Binds a packet socket to one interface and all protocols.
pub(crate) fn bind_packet(socket: impl AsFd, interface: u32) -> io::Result<()> {
    let address = link_address(interface, libc::ETH_P_ALL as u16, [0; 8]);
    // SAFETY: the address is a whole `sockaddr_ll` that outlives the call.
    let status = unsafe {
        libc::bind(
            socket.as_fd().as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends one packet as it is through an interface, to a hardware address.
pub(crate) fn send_packet(
    socket: impl AsFd,
    interface: u32,
    ethertype: u16,
    station: [u8; 6],
    packet: &[u8],
) -> io::Result<()> {
    let mut hardware = [0; 8];
    hardware[..6].copy_from_slice(&station);
    let address = link_address(interface, ethertype, hardware);
    // SAFETY: buffer and address are valid for their stated lengths until the call returns.
    let sent = unsafe {
        libc::sendto(
            socket.as_fd().as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn link_address(interface: u32, ethertype: u16, hardware: [u8; 8]) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: interface as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: hardware,
    }
}

/// Takes one packet from a packet socket: how long it was on the wire, and where it was seen.
pub(crate) fn receive_packet(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<(usize, LinkAddress)> {
    let mut address = link_address(0, 0, [0; 8]);
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: buffer, address and length are valid and exclusively borrowed for the call; the kernel
    // writes at most as many bytes as each length says.
    let received = unsafe {
        libc::recvfrom(
            socket.as_fd().as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_TRUNC | libc::MSG_DONTWAIT,
            (&raw mut address).cast(),
            &raw mut length,
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let seen = LinkAddress {
        ethertype: u16::from_be(address.sll_protocol),
        outgoing: address.sll_pkttype == libc::PACKET_OUTGOING,
    };
    Ok((received, seen))
}

/// Has the kernel keep only the first `length` bytes of each packet, which makes a queued packet
/// cheap: what is cut off is freed before it waits.
pub(crate) fn set_snap_length(socket: impl AsFd, length: u32) -> io::Result<()> {
    let accept = libc::BPF_RET | libc::BPF_K;
    let mut filter = libc::sock_filter { code: accept as u16, jt: 0, jf: 0, k: length };
    let program = libc::sock_fprog { len: 1, filter: &raw mut filter };
    // SAFETY: the program points to one instruction; the kernel copies both during the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many packets a packet socket lost for want of buffer since this was last asked.
pub(crate) fn lost_packets(socket: impl AsFd) -> io::Result<u32> {
    // The kernel's `struct tpacket_stats`: packets seen, packets dropped.
    let mut statistics = [0_u32; 2];
    let mut length = size_of::<[u32; 2]>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the array, which is that long.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            statistics.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(statistics[1]) }
}

/// The words of a connection's `struct tcp_info`, as many as this kernel has.
pub(crate) fn tcp_info(socket: impl AsFd) -> io::Result<[u32; TCP_INFO_WORDS]> {
    let mut words = [0_u32; TCP_INFO_WORDS];
    let mut length = size_of::<[u32; TCP_INFO_WORDS]>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the array, which is that long.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(words) }
}

/// Up to the member `tcpi_snd_wnd`, which is in Linux since 5.4.
pub(crate) const TCP_INFO_WORDS: usize = 58;

/// How many programs are attached to an interface of the calling thread's namespace by tcx, of
/// the attachment type given.
pub(crate) fn attached_programs(interface: u32, kind: u32) -> io::Result<u32> {
    const PROG_QUERY: libc::c_long = 16;
    let mut query = ProgramQuery { target: interface, kind, ..ProgramQuery::default() };
    // SAFETY: the kernel reads and writes one `bpf_attr` of the size given, whose layout for this
    // command the struct has; it holds no pointer.
    let status = unsafe {
        libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<ProgramQuery>())
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(query.count) }
}

/// The part of `union bpf_attr` that BPF_PROG_QUERY uses.
#[derive(Default)]
#[repr(C)]
struct ProgramQuery {
    target: u32,
    kind: u32,
    flags: [u32; 2],
    ids: u64,
    count: u32,
    padding: u32,
    rest: [u64; 4],
}

/// Has the kernel kill the program when the thread that starts it is gone. That holds from before
/// the program runs.
pub(crate) fn die_with_this_thread(command: &mut Command) {
    let parent = rustix::process::getpid();
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before it was asked for.
        match rustix::process::getppid() {
            Some(found) if found == parent => Ok(()),
            Some(_) | None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls, and neither allocates nor
    // takes a lock.
    unsafe { command.pre_exec(bind) };
}

/// Makes the socket's host a multicast router for as long as the socket is open (`MRT_INIT`).
pub(crate) fn begin_multicast_routing(socket: impl AsFd) -> io::Result<()> {
    const INIT: libc::c_int = 200;
    set_ip_option(socket, INIT, &1_i32)
}

/// Gives an interface of the host a number among those of its multicast router (`MRT_ADD_VIF`).
pub(crate) fn add_multicast_interface(
    socket: impl AsFd,
    number: u16,
    interface: u32,
) -> io::Result<()> {
    const ADD_VIF: libc::c_int = 202;
    const USE_IFINDEX: u8 = 8;
    let interface = MulticastInterface {
        number,
        flags: USE_IFINDEX,
        threshold: 1,
        rate_limit: 0,
        interface,
        remote: [0; 4],
    };
    set_ip_option(socket, ADD_VIF, &interface)
}

/// Sends what a source sends to a group on, from interface number 0 to number 1 (`MRT_ADD_MFC`).
pub(crate) fn add_multicast_route(
    socket: impl AsFd,
    source: Ipv4Addr,
    group: Ipv4Addr,
) -> io::Result<()> {
    const ADD_MFC: libc::c_int = 204;
    // A time to live that suffices for each interface; 0 for none.
    let mut least_ttl = [0; 32];
    least_ttl[1] = 1;
    let (source, group) = (source.octets(), group.octets());
    set_ip_option(
        socket,
        ADD_MFC,
        &MulticastForward { source, group, from: 0, least_ttl, counts: [0; 4] },
    )
}

/// `struct vifctl` of linux/mroute.h.
#[derive(Clone, Copy)]
#[repr(C)]
struct MulticastInterface {
    number: u16,
    flags: u8,
    threshold: u8,
    rate_limit: u32,
    interface: u32,
    remote: [u8; 4],
}

/// `struct mfcctl` of linux/mroute.h.
#[derive(Clone, Copy)]
#[repr(C)]
struct MulticastForward {
    source: [u8; 4],
    group: [u8; 4],
    from: u16,
    least_ttl: [u8; 32],
    counts: [u32; 4],
}

fn set_ip_option<T: Copy>(socket: impl AsFd, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as the value has, which lives until the call returns.
    let status = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            core::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
