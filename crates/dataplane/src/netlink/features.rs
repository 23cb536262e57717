//! What interfaces can do with XDP, as the kernel's `netdev` family says (Linux 6.3).
//!
//! The answer is about the moment: a veth takes redirects while its other end works in NAPI (has an
//! XDP program, or GRO switched on), wherever that end is; some drivers do while they have a program
//! of their own. Each change is announced, and the kernel itself drops a redirect to an interface
//! that does not say that it takes them.

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NlasIterator};
use netlink_sys::{Socket, protocols::NETLINK_GENERIC};
use zerocopy::IntoBytes;

use super::dialogue::{self, Header};

/// What an interface can do with XDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct XdpFeatures(u64);

impl XdpFeatures {
    #[cfg(test)]
    pub(crate) const ALL: Self = Self(!0);
    #[cfg(test)]
    pub(crate) const NONE: Self = Self(0);

    /// A program can be attached in the driver, and can redirect.
    pub(crate) fn is_native(self) -> bool {
        const BASIC: u64 = 1;
        const REDIRECT: u64 = 1 << 1;
        self.0 & (BASIC | REDIRECT) == BASIC | REDIRECT
    }

    /// It sends what a program on another interface redirects to it.
    pub(crate) fn takes_redirects(self) -> bool {
        const NDO_XMIT: u64 = 1 << 2;
        self.0 & NDO_XMIT != 0
    }
}

/// The family, for questions and announcements; none on kernels that do not have it.
#[derive(Debug)]
pub(crate) struct XdpFeatureWatch {
    family: u16,
    announcements: Socket,
}

impl XdpFeatureWatch {
    /// Listens in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket()?;
        let (mut family, mut group) = (None, None);
        let question = message(CONTROLLER, NLM_F_REQUEST, GET_FAMILY, &name_of_family());
        dialogue::ask(&socket, &question, |_, answer| {
            for attribute in attributes(answer) {
                match attribute {
                    (FAMILY_ID, value) => family = value.first_chunk().copied(),
                    (FAMILY_GROUPS, groups) => group = find_group(&groups),
                    _ => {}
                }
            }
            ControlFlow::Break(())
        })?;
        let family = family.map(u16::from_ne_bytes).ok_or(io::ErrorKind::InvalidData)?;
        let announcements = self::socket()?;
        announcements.set_non_blocking(true)?;
        announcements.add_membership(group.ok_or(io::ErrorKind::InvalidData)?)?;
        Ok(Self { family, announcements })
    }

    /// What each interface can do, by number.
    pub(crate) fn all(&self) -> io::Result<BTreeMap<u32, XdpFeatures>> {
        let mut found = BTreeMap::new();
        let question = message(self.family, NLM_F_REQUEST | NLM_F_DUMP, DEVICE_GET, &[]);
        dialogue::ask(&socket()?, &question, |_, answer| {
            let (mut index, mut features) = (None, None);
            for (kind, value) in attributes(answer) {
                match kind {
                    DEVICE_IFINDEX => index = value.first_chunk().copied().map(u32::from_ne_bytes),
                    DEVICE_XDP_FEATURES => {
                        features = value.first_chunk().copied().map(u64::from_ne_bytes);
                    }
                    _ => {}
                }
            }
            found.extend(index.zip(features.map(XdpFeatures)));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Whether something was announced, or may have been, since this was last asked.
    pub(crate) fn has_heard(&self) -> bool {
        let mut heard = false;
        // Whether announcements were lost makes no difference: everything is asked for anew.
        while match self.announcements.recv_from_full() {
            Ok(_) => true,
            Err(error) => error.raw_os_error() == Some(libc::ENOBUFS),
        } {
            heard = true;
        }
        heard
    }
}

impl AsFd for XdpFeatureWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.announcements.as_fd()
    }
}

fn socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    Ok(socket)
}

/// A message of generic netlink: `struct nlmsghdr`, `struct genlmsghdr`, attributes.
fn message(kind: u16, flags: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let generic = [command, 1, 0, 0];
    let length = (size_of::<Header>() + generic.len() + attributes.len()) as u32;
    let header = Header { length, kind, flags, sequence: 1, port: 0 };
    [header.as_bytes(), &generic, attributes].concat()
}

fn name_of_family() -> Vec<u8> {
    let name = b"netdev\0";
    let length = (4 + name.len()) as u16;
    let mut attribute = [length.to_ne_bytes(), FAMILY_NAME.to_ne_bytes()].concat();
    attribute.extend_from_slice(name);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// The attributes of a message, without its `struct genlmsghdr`.
fn attributes(message: &[u8]) -> Vec<(u16, Vec<u8>)> {
    nested(message.get(4..).unwrap_or_default())
}

fn nested(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let attributes = NlasIterator::new(bytes).flatten();
    attributes.map(|attribute| (attribute.kind() & !NESTED, attribute.value().to_vec())).collect()
}

/// The number of the multicast group that announces changes of devices.
fn find_group(groups: &[u8]) -> Option<u32> {
    let group = nested(groups).into_iter().map(|(_, group)| nested(&group)).find(|group| {
        group.iter().any(|(kind, name)| *kind == GROUP_NAME && name.starts_with(b"mgmt\0"))
    })?;
    let number = group.into_iter().find(|(kind, _)| *kind == GROUP_ID)?;
    number.1.first_chunk().copied().map(u32::from_ne_bytes)
}

const NESTED: u16 = 1 << 15;
/// `GENL_ID_CTRL`, its question and its attributes.
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FAMILY_GROUPS: u16 = 7;
const GROUP_NAME: u16 = 1;
const GROUP_ID: u16 = 2;
/// `NETDEV_CMD_DEV_GET` and its attributes.
const DEVICE_GET: u8 = 1;
const DEVICE_IFINDEX: u16 = 1;
const DEVICE_XDP_FEATURES: u16 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::interface_index;
    use crate::testing::{comes_true, gateway_topology, in_namespaces_with_xdp, run};

    #[test]
    fn a_veth_takes_redirects_while_its_other_end_works_in_napi() {
        in_namespaces_with_xdp(|| {
            gateway_topology();
            let watch = XdpFeatureWatch::open().unwrap();
            let wan = interface_index("wan").unwrap();
            let features = || watch.all().unwrap()[&wan];
            assert!(features().is_native() && !features().takes_redirects());
            assert!(!watch.has_heard());
            for on in [true, false] {
                let on_or_off = if on { "on" } else { "off" };
                run(&format!("ip netns exec outside ethtool -K eth0 gro {on_or_off}"));
                assert!(comes_true(|| watch.has_heard()), "a change is announced");
                assert_eq!(features().takes_redirects(), on);
            }
        });
    }

    #[test]
    fn interfaces_without_xdp_say_so() {
        in_namespaces_with_xdp(|| {
            run("ip link add bridge0 type bridge");
            let watch = XdpFeatureWatch::open().unwrap();
            let features = watch.all().unwrap()[&interface_index("bridge0").unwrap()];
            assert!(!features.is_native() && !features.takes_redirects());
        });
    }
}
