//! The NAT engine: a pure state machine.
//!
//! ```text
//!            packets             now, routes              packets, verdicts
//!   ─────────────────► Engine::process ─────────────────────────────────────►
//!   policy, sockets,   Engine::handle_*    Engine::poll_transmit    (errors, fragments)
//!   next hops        ►                     Engine::poll_event       (what happened)
//!                                          Engine::poll_timeout     (when to call again)
//! ```
//!
//! No socket, no clock, no thread, no global. Time is an argument, randomness comes from a seed,
//! and nothing observable depends on the order of a hash map: the same seed and the same packets
//! give the same bytes.

#![forbid(unsafe_code)]

pub mod event;
pub mod fragment;
pub mod frame;
pub mod held;
pub mod icmp;
pub mod limits;
mod lists;
pub mod martian;
pub mod policy;
pub mod pool;
pub mod port_set;
pub mod ports;
pub mod random;
pub mod routes;
pub mod stats;
pub mod tcp;
pub mod time;
pub mod verdict;

mod engine;
mod hairpin;
mod index;
mod mapping;
mod reclaim;
mod session;
mod timers;

pub use engine::{Engine, MemoryUse, Plan};
pub use event::{EndReason, Event};
pub use frame::Frame;
pub use policy::{HostPort, Inside, Outside, Policy, Prefix, Realm, TimeoutClass, Timeouts};
pub use pool::{Filtering, Mapping, Pool, PoolId, Pooling, PortRanges};
pub use random::Random;
pub use routes::{NextHop, NextHopId, NextHopState, PortId, Route, RouteQuery, Routes};
pub use session::Kind;
pub use stats::{Count, Stats};
pub use time::{Duration, Instant};
pub use verdict::{DropReason, Egress, Transmit, Verdict};

#[cfg(test)]
mod tests;
