//! Loads and attaches the eBPF programs, carries packets between them and the engine, and keeps the
//! engine's picture of the host true.
//!
//! ```text
//!          Options, Configuration                                  Handle
//!                    │                                               │ orders
//!                  start ──────► control thread ◄──── rtnetlink      ▼
//!                    │            │   ▲    │  attach, addresses, ports
//!                    │   commands ▼   │ wishes
//!                    └──────────► worker thread ◄──── AF_XDP ◄── punt port ◄── eBPF programs
//!                                 Engine, Router ───────────────────────────► next hops, table
//! ```
//!
//! - [`start()`] checks, loads, attaches, and gives a [`Handle`]; a failed start leaves nothing.
//! - [`Configuration`] is what the administrator wants, as the caller understands it.
//! - [`detach()`] removes every trace of an instance that is not running.
//! - [`instances()`] lists what instances there are, running or not.
//! - [`doctor()`] says whether this host can run it.
//!
//! Everything that needs `unsafe` is in the module `sys`.

#![deny(unsafe_code)]

mod attach;
mod away;
mod beside;
mod bpffs;
mod bulk;
mod claims;
mod clock;
mod control;
mod departure;
mod detach;
mod doctor;
mod error;
mod fast_path;
mod handle;
mod host_flows;
mod inherit;
mod instance;
mod instances;
mod interfaces;
mod namespaces;
mod netlink;
mod options;
mod ports;
mod punt;
#[cfg(feature = "test-util")]
pub mod rig;
pub mod routes;
mod sockets;
mod start;
mod state;
mod sys;
mod sysctl;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wake;
mod worker;

pub use attach::{AttachError, ProgramCounts};
pub use bpffs::BpffsError;
pub use claims::Holder;
pub use control::{PortStatus, ReloadError};
pub use detach::{DetachError, check_place, detach};
pub use doctor::{Check, Outcome, doctor};
pub use error::StartError;
pub use fast_path::{Carrier, FastPath, Way, Why};
pub use handle::{DataplaneStats, Ended, Handle};
pub use instance::RemoveError;
pub use instances::{InstanceFound, Place, instances};
pub use interfaces::ReleaseError;
pub use namespaces::Namespace;
pub use netlink::NetlinkError;
pub use options::{Attachment, Configuration, Options, Port, PortAddress, RUN, Surroundings};
pub use punt::PuntCounts;
pub use start::start;
pub use worker::WorkerStats;
