//! The shared flow table: record layout, keyed hash, lookup, publish; and the punt header.
//!
//! The table is memory that two parties see: the engine, which decides everything in it, and the
//! eBPF programs, which look up and note activity. It consists of three arrays, each an mmapped and
//! pinned BPF array map (or heap memory, in tests):
//!
//! ```text
//!            one Header             Buckets of 64 bytes            Records of 128 bytes
//!   ┌─────────────────────────┐   ┌──────────────────────┐      ┌──────────────────────────┐
//!   │ magic, sizes            │   │ fingerprint, slot    │ ───► │ line 1: what was decided │
//!   │ keys of the hash, clock │   │ … eight entries      │      ├──────────────────────────┤
//!   │ minimum epoch, counters │   └──────────────────────┘      │ line 2: what was seen    │
//!   └─────────────────────────┘     two choices per tuple       └──────────────────────────┘
//! ```
//!
//! - **One decider.** A single [`Writer`] creates, changes and removes records; everybody else
//!   reads, and adds to the activity line only. All of it is made of [`word`]s, so no reader ever
//!   holds a plain reference to memory that another party changes.
//! - **Publish.** A record's sequence number is odd while line 1 changes. Who reads it odd, or finds
//!   it changed afterwards, has read nothing.
//! - **The table is the truth.** It outlives the process that writes it. A new owner
//!   [adopts](Writer::adopt) it and mends what its predecessor left half-made.
//!
//! Addresses and ports lie in the records as they lie in a packet, so that the eBPF programs
//! compare and copy without converting.
//!
//! Without the `std` feature only what the eBPF programs need is built.

#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "atomic add, see `word`"))]
#![deny(unsafe_code)]

pub mod hash;
pub mod index;
pub mod key;
pub mod maps;
pub mod multilinear;
pub mod owned;
pub mod punt;
pub mod word;

mod activity;
mod bucket;
mod bulk;
mod clock;
mod direction;
mod extent;
mod header;
mod nexthop;
mod order;
mod record;
mod session;

#[cfg(any(feature = "std", test))]
mod adopt;
#[cfg(any(feature = "std", test))]
mod anticipate;
#[cfg(any(feature = "std", test))]
mod bits;
#[cfg(any(feature = "std", test))]
mod entries;
#[cfg(any(feature = "std", test))]
mod line;
#[cfg(any(feature = "std", test))]
mod memory;
#[cfg(any(feature = "std", test))]
mod reader;
#[cfg(any(feature = "std", test))]
mod shape;
#[cfg(any(feature = "std", test))]
mod slots;
#[cfg(any(feature = "std", test))]
mod table;
#[cfg(test)]
mod tests;
#[cfg(any(feature = "std", test))]
mod totals;

pub use activity::{Activity, ActivityLine, SideActivity, TcpMark};
pub use bucket::{Bucket, Entry, Slot};
pub use bulk::{Burst, Fate, Outgoing};
pub use clock::Clock;
pub use direction::{Direction, PerDirection};
pub use hash::Secret;
pub use header::{Header, HeaderError, Layout, TableStats};
pub use nexthop::{NextHop, NextHopId, NextHopState, NextHopValue, Ready};
pub use order::{Stay, Ticket};
pub use record::{Record, Translation};
pub use session::{Flags, Session, Unencodable};

#[cfg(any(feature = "std", test))]
pub use adopt::Adoption;
#[cfg(any(feature = "std", test))]
pub use anticipate::anticipate;
#[cfg(any(feature = "std", test))]
pub use memory::{Memory, Region};
#[cfg(any(feature = "std", test))]
pub use reader::{Reader, Seen, Sessions};
#[cfg(any(feature = "std", test))]
pub use shape::Shape;
#[cfg(any(feature = "std", test))]
pub use table::{Refused, Writer};
#[cfg(any(feature = "std", test))]
pub use totals::{Total, Totals};
