//! A name server over UDP (RFC 1035, as little as one question needs), and asking it.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::{Service, udp_ask};
use crate::{Error, Host, Result};

/// A name server that knows a few names.
#[derive(Debug)]
pub struct NameServer {
    service: Service,
}

impl NameServer {
    /// Starts it on port 53 with names and their addresses.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn start(host: &Host, names: &[(&str, Ipv4Addr)]) -> Result<Self> {
        let names: Vec<(Vec<u8>, Ipv4Addr)> =
            names.iter().map(|(name, address)| (labels(name), *address)).collect();
        let service = Service::udp(host, PORT, move |question, _peer| answer(question, &names))?;
        Ok(Self { service })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.service.address()
    }

    /// What it saw.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }
}

/// Asks a name server for the address of a name.
///
/// # Errors
///
/// When it does not answer or does not know the name.
pub fn resolve(client: &Host, server: SocketAddrV4, name: &str) -> Result<Ipv4Addr> {
    let socket = client.udp(0)?;
    let port = socket.local_addr().map_or(0, |address| address.port());
    let mut question = port.to_be_bytes().to_vec();
    question.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    question.extend(labels(name));
    question.extend(A_IN);
    let answer = udp_ask(&socket, server, &question)?;
    let known = answer.get(..2) == question.get(..2) && answer.get(3) == Some(&NO_ERROR);
    match (known, answer.last_chunk::<4>()) {
        (true, Some(address)) => Ok((*address).into()),
        _ => Err(Error::Mismatch {
            what: format!("asking {server} for {name}"),
            expected: "an address".to_owned(),
            got: format!("{answer:02x?}"),
        }),
    }
}

/// The answer to a question: an address record, or "no such name".
fn answer(question: &[u8], names: &[(Vec<u8>, Ipv4Addr)]) -> Option<Vec<u8>> {
    let (head, asked) = question.split_at_checked(12)?;
    let name = asked.strip_suffix(&A_IN)?;
    let known = names.iter().find(|(known, _)| known == name);
    let mut answer = head[..2].to_vec();
    let (status, count) = if known.is_some() { (NO_ERROR, 1) } else { (NO_SUCH_NAME, 0) };
    answer.extend([0x85, status, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(asked);
    if let Some((_, address)) = known {
        // The name by reference to the question, type A, class IN, an hour, four octets.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

fn labels(name: &str) -> Vec<u8> {
    let mut labels = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        labels.push(label.len() as u8);
        labels.extend(label.to_ascii_lowercase().as_bytes());
    }
    labels.push(0);
    labels
}

const PORT: u16 = 53;
const A_IN: [u8; 4] = [0, 1, 0, 1];
const NO_ERROR: u8 = 0x80;
const NO_SUCH_NAME: u8 = 0x83;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_is_answered_with_its_address() {
        let names = [(labels("www.example.net"), Ipv4Addr::new(192, 0, 2, 80))];
        let ask =
            |name: &str| [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &*labels(name), &A_IN].concat();
        let known = answer(&ask("WWW.example.net"), &names).unwrap();
        assert_eq!(known[known.len() - 4..], [192, 0, 2, 80]);
        let unknown = answer(&ask("example.net"), &names).unwrap();
        assert_eq!(unknown[3] & 0xf, 3);
        assert_eq!(answer(&[7; 11], &names), None);
    }
}
