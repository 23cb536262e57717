//! Packets as they are on the wire: views that are checked once, and rewriting that keeps checksums right.
//!
//! ```text
//!   bytes ──Packet::parse──► Packet ──transport(), tuple()──► values to decide by
//!             │                │ ├── rewrite_source, rewrite_destination, decrement_ttl, …
//!          Malformed           │ └── quoted ──► Quoted: the packet inside an ICMP error, rewritten alike
//!                              └── fragment::Fragments, icmp::error::build: packets made from it
//! ```
//!
//! Everything is `no_std`, without allocation, without atomics and without `unsafe`: the engine and the eBPF
//! programs share it. An eBPF program reads the header structs in place and applies
//! [`checksum::Delta`]s; the engine works on [`Packet`].
//!
//! The feature `test-util` adds `make` (packets from values) and `strategy` (arbitrary packets for
//! property tests).

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "test-util"))]
extern crate alloc;

pub mod checksum;
pub mod ethernet;
pub mod fragment;
pub mod icmp;
pub mod ipv4;
#[cfg(any(test, feature = "test-util"))]
pub mod make;
#[cfg(any(test, feature = "test-util"))]
pub mod strategy;
pub mod tcp;
pub mod udp;

mod check;
mod display;
mod malformed;
mod packet;
mod quoted;
mod rewrite;
mod transport;
mod tuple;

pub use malformed::Malformed;
pub use packet::Packet;
pub use quoted::Quoted;
pub use transport::{IcmpError, IcmpQuery, Tcp, Transport, Udp};
pub use tuple::{Endpoint, Protocol, Tuple, UnknownProtocol};
