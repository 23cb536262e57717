//! Echo services, and asking them.

use core::net::{SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::io::{self, Write};
use std::net::UdpSocket;

use super::Service;
use super::transfer::read_some;
use crate::error::Context;
use crate::{Error, Host, Result};

/// A TCP service that sends back what it gets.
///
/// # Errors
///
/// When the port is taken.
pub fn tcp_echo(host: &Host, port: u16) -> Result<Service> {
    Service::tcp(host, port, |mut stream, _peer| {
        let mut chunk = vec![0; 16 << 10];
        loop {
            match read_some(&mut stream, &mut chunk)? {
                0 => return Ok(()),
                length => stream.write_all(&chunk[..length])?,
            }
        }
    })
}

/// A UDP service that sends back what it gets.
///
/// # Errors
///
/// When the port is taken.
pub fn udp_echo(host: &Host, port: u16) -> Result<Service> {
    Service::udp(host, port, |datagram, _peer| Some(datagram.to_vec()))
}

/// Sends a datagram and waits for an answer from there; three times, two seconds each, since UDP
/// may lose.
///
/// # Errors
///
/// When no answer comes, or the system reports the destination unreachable.
pub fn udp_ask(socket: &UdpSocket, to: SocketAddrV4, question: &[u8]) -> Result<Vec<u8>> {
    let what = || format!("asking {to} over UDP with {} octets", question.len());
    socket.set_read_timeout(Some(Duration::from_secs(2))).context(what)?;
    let mut answer = vec![0; 65536];
    for _ in 0..3 {
        socket.send_to(question, to).context(what)?;
        match receive(socket, &mut answer) {
            Ok((length, from)) if from == SocketAddr::V4(to) => {
                answer.truncate(length);
                return Ok(answer);
            }
            Ok((_, from)) => {
                return Err(Error::Mismatch {
                    what: what(),
                    expected: format!("an answer from {to}"),
                    got: format!("one from {from}"),
                });
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error).context(what),
        }
    }
    Err(io::Error::from(io::ErrorKind::TimedOut)).context(what)
}

/// Waits for a datagram, as long as the socket's time limit says.
///
/// # Errors
///
/// When none comes, or the system reports what it sent undeliverable.
pub fn udp_receive(socket: &UdpSocket, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
    receive(socket, buffer).context(|| "waiting for a datagram".to_owned())
}

/// Like `recv_from`, which a signal to the process may interrupt when the socket has a time limit.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => return received,
        }
    }
}
