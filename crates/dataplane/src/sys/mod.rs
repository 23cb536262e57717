//! The only unsafe code of the dataplane: memory shared with the kernel, and one ioctl.
//!
//! - [`Mapping`]: a piece of memory mapped from a file, unmapped when dropped.
//! - [`xsk`]: an AF_XDP socket; its rings and packet buffers behind a safe interface.
//! - [`ethtool`]: switches offloads of an interface.
//! - [`maps`]: BPF arrays as the flow table's memory.
//! - [`namespace`]: the name of a network namespace that no later one gets.

#![expect(unsafe_code, reason = "memory shared with the kernel has no safe interface")]

pub(crate) mod ethtool;
mod mapping;
pub(crate) mod maps;
pub(crate) mod namespace;
pub(crate) mod xsk;

pub(crate) use mapping::Mapping;
