//! Packets of a protocol without ports, as tunnels send them (GRE is protocol 47).

use core::net::{Ipv4Addr, SocketAddrV4};
use core::num::NonZero;
use std::os::fd::OwnedFd;

use masq_lab::{Host, wait_until};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::steps::patience;

/// An end of a tunnel that is nothing but a raw socket.
#[derive(Debug)]
pub(crate) struct Portless {
    socket: OwnedFd,
}

impl Portless {
    pub(crate) fn open(host: &Host, protocol: u8) -> Self {
        let protocol = NonZero::new(u32::from(protocol)).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let open =
            || rustix::net::socket_with(AddressFamily::INET, SocketType::RAW, flags, protocol);
        Self { socket: host.run(open).unwrap() }
    }

    /// Sends a packet; whether the host lets it out is its own affair.
    pub(crate) fn send(&self, to: Ipv4Addr, what: &[u8]) {
        let to = SocketAddrV4::new(to, 0);
        let _ = rustix::net::sendto(&self.socket, what, SendFlags::empty(), &to);
    }

    /// Takes what has arrived: where it came from, and its content.
    pub(crate) fn arrived(&self) -> Vec<(Ipv4Addr, Vec<u8>)> {
        let mut packets = Vec::new();
        let mut packet = [0; 2048];
        // A raw socket receives the IP header too.
        while let Ok((_, length)) = rustix::net::recv(&self.socket, &mut packet, RecvFlags::empty())
        {
            let source = *packet[12..].first_chunk::<4>().unwrap();
            packets.push((source.into(), packet[20..length].to_vec()));
        }
        packets
    }
}

/// Sends a number of packets each way, a few at a time; says how many arrived: out, and in.
pub(crate) fn exchange(
    [near, far]: [&Portless; 2],
    [near_address, far_address]: [Ipv4Addr; 2],
    packets: usize,
) -> [usize; 2] {
    const FEW: usize = 10;
    drop((near.arrived(), far.arrived()));
    let mut all = [0; 2];
    for _ in 0..packets / FEW {
        for _ in 0..FEW {
            near.send(far_address, b"from the host");
            far.send(near_address, b"to the host");
        }
        let mut came = [0; 2];
        let arrived = wait_until("a few packets have arrived each way", patience(), || {
            let count = |end: &Portless, what: &[u8], from| {
                end.arrived().into_iter().filter(|packet| *packet == (from, what.to_vec())).count()
            };
            came[0] += count(far, b"from the host", near_address);
            came[1] += count(near, b"to the host", far_address);
            // One that was on its way before may be among them.
            came.iter().all(|count| *count >= FEW)
        });
        all = [all[0] + came[0].min(FEW), all[1] + came[1].min(FEW)];
        if arrived.is_err() {
            // The rest would take as long, and say the same.
            break;
        }
    }
    all
}
