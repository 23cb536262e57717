//! The only unsafe code of the dataplane: memory shared with the kernel, and one ioctl.
//!
//! - [`Mapping`]: a piece of memory mapped from a file, unmapped when dropped.
//! - [`xsk`]: an AF_XDP socket; its rings and packet buffers behind a safe interface.
//! - [`ethtool`]: switches offloads of an interface.
//! - [`ip_tables`]: the rules of the old iptables.
//! - [`maps`]: BPF arrays as the flow table's memory.
//! - [`namespace`]: the name of a network namespace that no later one gets.

#![expect(unsafe_code, reason = "memory shared with the kernel has no safe interface")]

pub(crate) mod ethtool;
pub(crate) mod ip_tables;
mod mapping;
pub(crate) mod maps;
pub(crate) mod namespace;
pub(crate) mod xsk;

pub(crate) use mapping::Mapping;

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

/// The number of an interface in this thread's network namespace.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&socket, name).ok()
}

/// The name of an interface in this thread's network namespace.
pub(crate) fn interface_name(index: u32) -> Option<String> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::index_to_name(&socket, index).ok()
}
