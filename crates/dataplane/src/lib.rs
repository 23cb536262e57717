//! Loads and attaches the eBPF programs, punt I/O, netlink
#![deny(unsafe_code)]

mod bpffs;
mod netlink;
pub mod routes;
mod shim;
mod sockets;
mod state;
mod sys;
mod sysctl;
#[cfg(test)]
mod testing;
