//! Real devices: a tap that sees and sends whole frames, and a tun device.

use core::mem::size_of;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use masq_lab::{Deadline, SOON, wait_for};
use rustix::net::netdevice::name_to_index;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// A packet socket on an interface of this thread's network.
pub(crate) struct Tap(OwnedFd);

impl Tap {
    pub(crate) fn new(interface: &str) -> Self {
        let family = AddressFamily::from_raw(libc::AF_PACKET as u16);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::RAW, flags, None).unwrap();
        let index = name_to_index(&socket, interface).unwrap();
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: index as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the address is a whole `sockaddr_ll` that outlives the call.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
        assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
        Self(socket)
    }

    /// Sends a frame out of the interface.
    pub(crate) fn send(&self, frame: &[u8]) {
        assert_eq!(send(&self.0, frame, SendFlags::empty()).unwrap(), frame.len());
    }

    /// The next frame, in either direction.
    pub(crate) fn poll(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 70_000];
        let (length, _) = recv(&self.0, &mut frame[..], RecvFlags::empty()).ok()?;
        frame.truncate(length);
        Some(frame)
    }

    /// Waits for a frame that is wanted; others are forgotten.
    pub(crate) fn wait(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let next = || core::iter::from_fn(|| self.poll()).find(|frame| wanted(frame));
        wait_for("a frame arrives", SOON, next).unwrap()
    }

    /// Waits for so many frames that are wanted.
    pub(crate) fn wait_for(&self, count: usize, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.wait(&wanted)).collect()
    }
}

/// A tun device without any header before its packets.
pub(crate) struct Tun(File);

impl Tun {
    /// Makes the device in this thread's network.
    pub(crate) fn new(name: &str) -> Self {
        let device = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
        // SAFETY: all zeros is a value of this plain structure.
        let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
        // SAFETY: TUNSETIFF reads and writes the one `ifreq` that it is given.
        let made = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
        rustix::io::ioctl_fionbio(&device, true).unwrap();
        Self(device)
    }

    /// Has a packet arrive at the device.
    pub(crate) fn send(&mut self, packet: &[u8]) {
        assert_eq!(self.0.write(packet).unwrap(), packet.len());
    }

    /// Waits for a packet that leaves by the device.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut next = || loop {
            let mut packet = vec![0; 70_000];
            match self.0.read(&mut packet) {
                Ok(length) if wanted(&packet[..length]) => {
                    packet.truncate(length);
                    return Some(packet);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{error}"),
            }
        };
        wait_for("a packet arrives", SOON, &mut next).unwrap()
    }
}

/// Asks until something holds; what is asked may be sent again meanwhile.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Deadline::after(SOON);
    while !holds() {
        assert!(deadline.left().is_some(), "in vain: {what}");
        std::thread::yield_now();
    }
}
