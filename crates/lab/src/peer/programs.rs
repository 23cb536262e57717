//! The programs that everybody tries first: ping and traceroute, as Debian has them.

use core::net::Ipv4Addr;

use crate::{Error, Host, Result};

/// What ping counted.
#[derive(Clone, Debug)]
pub struct Ping {
    /// Requests sent.
    pub sent: u32,
    /// Replies that came.
    pub received: u32,
    /// All it printed.
    pub text: String,
}

/// Runs `ping -n` with these further arguments, and with a second's patience for each reply.
///
/// # Errors
///
/// When it cannot be run or prints something unknown. Lost replies are not an error.
pub fn ping(host: &Host, to: Ipv4Addr, arguments: &[&str]) -> Result<Ping> {
    let to = to.to_string();
    let mut all = vec!["-n", "-W", "1"];
    all.extend_from_slice(arguments);
    all.push(&to);
    let text = host.try_program("ping", &all)?.text();
    // "3 packets transmitted, 3 received, 0% packet loss, time 2003ms"
    let summary = text.lines().find(|line| line.contains(" packets transmitted"));
    let count = |word: &str| {
        let part = summary?.split(',').find(|part| part.contains(word))?;
        part.split_whitespace().next()?.parse().ok()
    };
    match (count("transmitted"), count("received")) {
        (Some(sent), Some(received)) => Ok(Ping { sent, received, text }),
        _ => Err(Error::Mismatch {
            what: format!("ping {}", all.join(" ")),
            expected: "a summary".to_owned(),
            got: text,
        }),
    }
}

/// How traceroute asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probe {
    /// UDP datagrams to ports on which nobody listens.
    Udp,
    /// Echo requests.
    Icmp,
}

/// A line of traceroute: who answered at this distance, if anybody.
pub type Hop = Option<Ipv4Addr>;

/// Runs `traceroute -n`, one probe for each hop.
///
/// # Errors
///
/// When it fails.
pub fn traceroute(host: &Host, to: Ipv4Addr, probe: Probe) -> Result<Vec<Hop>> {
    // Without a flag: the classic way, ports from 33434 up on which nobody listens.
    let kind: &[&str] = match probe {
        Probe::Udp => &[],
        Probe::Icmp => &["-I"],
    };
    let to = to.to_string();
    let mut all = vec!["-n", "-q", "1", "-w", "2", "-m", "8", "-N", "1"];
    all.extend_from_slice(kind);
    all.push(&to);
    let text = host.program("traceroute", &all)?;
    // " 1  192.168.1.1  0.052 ms" or " 2  *"
    let hop = |line: &str| line.split_whitespace().nth(1).map(|who| who.parse().ok());
    Ok(text.lines().skip(1).filter_map(hop).collect())
}
