//! Loads and attaches the eBPF programs, punt I/O, netlink
#![deny(unsafe_code)]

mod attach;
mod bpffs;
mod clock;
mod netlink;
mod punt;
pub mod routes;
mod sockets;
mod state;
mod sys;
mod sysctl;
#[cfg(test)]
mod testing;
mod wake;
