//! ping and traceroute (RFC 792), on raw sockets.

use core::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use masq_wire::checksum::Sum;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recvfrom, sendto, socket,
};

use crate::clock::Stopwatch;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;
const TIME_EXCEEDED: u8 = 11;

/// The ports of traceroute's probes, which nobody serves.
const PROBE_PORT: u16 = 33434;

/// How long an answer may take in a lab.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends one echo request and returns how long the reply took.
pub(crate) fn ping(target: Ipv4Addr, identifier: u16, sequence: u16) -> Result<Duration> {
    let socket = raw()?;
    let request = echo(identifier, sequence);
    let sent = Stopwatch::start();
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrV4::new(target, 0))
        .with_context(|| format!("cannot send to {target}"))?;
    let mut buffer = [0; 1500];
    while sent.elapsed() < PATIENCE {
        let Some(message) = receive(&socket, &mut buffer)? else { break };
        let reply = (ECHO_REPLY, identifier, sequence);
        if message.source == target && message.echo() == Some(reply) {
            return Ok(sent.elapsed());
        }
    }
    bail!("{target} did not answer the echo request {sequence}")
}

/// Finds the hosts on the way, nearest first, the target last.
pub(crate) fn trace(target: Ipv4Addr) -> Result<Vec<IpAddr>> {
    let errors = raw()?;
    let probe = UdpSocket::bind("0.0.0.0:0").context("cannot open a UDP socket")?;
    let mut hops = Vec::new();
    for ttl in 1..=8_u16 {
        let port = PROBE_PORT + ttl;
        probe.set_ttl(ttl.into()).context("cannot set the TTL")?;
        let sent = Stopwatch::start();
        probe.send_to(b"masq", (target, port)).context("cannot send a probe")?;
        let mut buffer = [0; 1500];
        let hop = loop {
            if sent.elapsed() >= PATIENCE {
                bail!("nobody answered the probe with TTL {ttl}");
            }
            let Some(message) = receive(&errors, &mut buffer)? else { continue };
            if message.quoted_port() == Some((target, port)) {
                break message;
            }
        };
        hops.push(IpAddr::V4(hop.source));
        if hop.kind() == Some(UNREACHABLE) {
            return Ok(hops);
        }
    }
    bail!("{target} is more than 8 hops away")
}

fn raw() -> Result<OwnedFd> {
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))
        .context("cannot open a raw socket")?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).context("cannot set a timeout")?;
    Ok(socket)
}

fn echo(identifier: u16, sequence: u16) -> Vec<u8> {
    let mut message = vec![ECHO, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(b"masq demo: what goes out comes back, translated twice..");
    let checksum = Sum::default().add_bytes(&message).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// A packet from a raw socket; `None` when nothing came in time.
fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Result<Option<Message<'a>>> {
    match recvfrom(socket, &mut *buffer, RecvFlags::empty()) {
        Ok((length, _, _)) => Ok(Message::new(&buffer[..length])),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error).context("cannot receive"),
    }
}

/// An ICMP message with its sender.
#[derive(Debug)]
struct Message<'a> {
    source: Ipv4Addr,
    icmp: &'a [u8],
}

impl<'a> Message<'a> {
    /// The kernel has checked the IPv4 header of what it gives to a raw socket.
    fn new(packet: &'a [u8]) -> Option<Self> {
        let header = usize::from(packet.first()? & 0xf) * 4;
        let source = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
        Some(Self { source, icmp: packet.get(header..)? })
    }

    fn kind(&self) -> Option<u8> {
        self.icmp.first().copied()
    }

    fn word(&self, offset: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.icmp.get(offset..)?.first_chunk()?))
    }

    /// Type, identifier and sequence number.
    fn echo(&self) -> Option<(u8, u16, u16)> {
        Some((self.kind()?, self.word(4)?, self.word(6)?))
    }

    /// Where the UDP packet went that an error is about.
    fn quoted_port(&self) -> Option<(Ipv4Addr, u16)> {
        if !matches!(self.kind()?, UNREACHABLE | TIME_EXCEEDED) {
            return None;
        }
        let quoted = Self::new(self.icmp.get(8..)?)?;
        let destination = Ipv4Addr::from(*self.icmp.get(8 + 16..)?.first_chunk::<4>()?);
        Some((destination, quoted.word(2)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_probe() {
        let mut inner = vec![0x45; 20];
        inner[16..20].copy_from_slice(&[203, 0, 113, 178]);
        inner.extend([0, 9, 0x82, 0x9b]);
        let mut packet = vec![0x45; 20];
        packet[12..16].copy_from_slice(&[192, 168, 1, 1]);
        packet.extend([TIME_EXCEEDED, 0, 0, 0, 0, 0, 0, 0]);
        packet.extend(&inner);
        let message = Message::new(&packet).unwrap();
        assert_eq!(message.source, Ipv4Addr::new(192, 168, 1, 1));
        assert_eq!(message.quoted_port(), Some((Ipv4Addr::new(203, 0, 113, 178), 33435)));
        for length in 0..packet.len() {
            // Whatever arrives, nothing breaks.
            let short = Message::new(&packet[..length]);
            assert_eq!(short.and_then(|message| message.quoted_port()), None);
        }
    }

    #[test]
    fn an_echo_request_has_a_right_checksum() {
        let message = echo(7, 1);
        assert!(Sum::default().add_bytes(&message).verifies());
    }
}
