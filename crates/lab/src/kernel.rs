//! What the kernel that is there cannot do: a test that needs it says so by name, and is skipped.

use core::net::Ipv4Addr;
use std::env;
use std::fs::{self, File};

use rustix::net::{AddressFamily, SocketType};

use crate::{Host, Result};

/// Why nothing can be redirected by XDP here, or `None` when it can.
#[must_use]
pub fn lacks_xdp_redirects() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let known = version(&release).is_some_and(|version| version >= NETDEV_FAMILY);
    (!known).then(|| {
        let release = release.trim();
        format!("Linux {release} does not say which interfaces take what XDP redirects; 6.3 does")
    })
}

/// Why there can be no interface of a kind here, as `ip link add` is told about it (`type wireguard`, or
/// `link base type vlan id 7` for one that lies on another), or `None` when there can.
///
/// # Errors
///
/// When no host can be made to try it on.
pub fn lacks_link(described: &str) -> Result<Option<String>> {
    let host = Host::new("trial", Ipv4Addr::UNSPECIFIED)?;
    host.ip(&["link add name base type veth peer name far"])?;
    let output = host.try_program("sh", &["-c", &format!("ip link add name trial {described}")])?;
    let reason = || format!("no interface `{described}` on this kernel: {}", output.text().trim());
    Ok((!output.status.success()).then(reason))
}

/// Why there can be no PPP here, over Ethernet or at all, or `None` when there can.
#[must_use]
pub fn lacks_ppp(over_ethernet: bool) -> Option<String> {
    let opened = File::options().read(true).write(true).open("/dev/ppp");
    if let Err(error) = opened {
        return Some(format!("this kernel has no PPP: /dev/ppp: {error}"));
    }
    let opened = rustix::net::socket(AddressFamily::from_raw(PPPOX), SocketType::STREAM, None);
    let error = opened.err().filter(|_| over_ethernet)?;
    Some(format!("this kernel has no PPPoE: {error}"))
}

/// Why a program cannot be run, or `None` when it is installed.
#[must_use]
pub fn lacks_program(program: &str) -> Option<String> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    (!is_there).then(|| format!("there is no program {program}"))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|text| text.parse().ok());
    numbers.next().flatten().zip(numbers.next().flatten())
}

/// `AF_PPPOX`; protocol 0 is PPPoE.
const PPPOX: u16 = 24;

/// The family of netlink messages that tells it is in Linux since then.
const NETDEV_FAMILY: (u32, u32) = (6, 3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        assert_eq!(version("6.1.0-57-cloud-amd64"), Some((6, 1)));
        assert!(version("6.12.117+deb12") > Some(NETDEV_FAMILY));
        assert!(version("6.1.0") < Some(NETDEV_FAMILY));
        assert_eq!(version("unknown"), None);
    }
}
