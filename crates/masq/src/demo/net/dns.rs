//! A name looked up over UDP (RFC 1035), both ends of it.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;

use anyhow::{Context, Result, bail, ensure};

/// Asks for the address of a name.
pub(crate) fn look_up(server: SocketAddr, name: &str) -> Result<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot open a UDP socket")?;
    socket.set_read_timeout(Some(Duration::from_secs(1))).context("cannot set a timeout")?;
    socket.connect(server).with_context(|| format!("cannot reach {server}"))?;
    let id = 0x6d71;
    let query = query(id, name);
    let mut buffer = [0; 512];
    // Like every resolver: a lost datagram is asked again.
    for _ in 0..3 {
        socket.send(&query).context("cannot send the query")?;
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        return address(&buffer[..length], id);
    }
    bail!("{server} did not answer")
}

pub(crate) fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = Vec::new();
    for word in [id, 0x0100, 1, 0, 0, 0] {
        message.extend(u16::to_be_bytes(word));
    }
    for label in name.split('.') {
        message.extend(u8::try_from(label.len()));
        message.extend(label.bytes());
    }
    message.push(0);
    // Type A, class IN.
    message.extend([0, 1, 0, 1]);
    message
}

/// The answer to a query: every name has this address.
pub(crate) fn answer(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let question = query.get(12..)?;
    let end = question.iter().position(|byte| *byte == 0)? + 5;
    let question = question.get(..end)?;
    let mut message = query.get(..2)?.to_vec();
    for word in [0x8180_u16, 1, 1, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(question);
    // A pointer to the name at 12, type A, class IN, a minute, four bytes.
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend(address.octets());
    Some(message)
}

fn address(message: &[u8], id: u16) -> Result<Ipv4Addr> {
    ensure!(message.get(..2) == Some(&id.to_be_bytes()), "the answer is to another question");
    ensure!(message.get(6..8) == Some(&[0, 1]), "the answer holds no address");
    let last: [u8; 4] = message.last_chunk().copied().context("the answer is too short")?;
    Ok(Ipv4Addr::from(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered() {
        let query = query(7, "www.example.net");
        let wanted = Ipv4Addr::new(203, 0, 113, 178);
        let answer = answer(&query, wanted).unwrap();
        assert_eq!(address(&answer, 7).unwrap(), wanted);
        assert!(address(&answer, 8).is_err());
        assert!(super::answer(&query[..11], wanted).is_none());
    }
}
