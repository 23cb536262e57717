//! What the fuzz targets do with their input.
//!
//! ```text
//!   wire           bytes as a packet: read, rewritten, quoted, cut and put together
//!   config         bytes as masq.toml
//!   table          a flow table that was damaged: adopted, used, and run dry
//!   engine         hosts, remotes and a bad network: the engine against a simple model of a NAT
//!   differential   packets and time: the engine alone against the engine behind the eBPF programs
//! ```
//!
//! A target is a function of bytes that panics when something does not hold. libFuzzer
//! (`cargo xtask fuzz`) finds bytes for it; the test `regressions` calls it with those that once went
//! wrong, and with some that a seed gives. Neither needs the other.

#![forbid(unsafe_code)]

use std::path::PathBuf;

pub mod config;
pub mod differential;
pub mod engine;
mod place;
pub mod table;
pub mod wire;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its program under libFuzzer.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    /// Inputs that a seed gives, for a look without a fuzzer: how many, and how long at most.
    pub look: (usize, usize),
}

/// Every target.
pub const TARGETS: [Target; 5] = [
    Target { name: "config", run: config::run, look: (2_000, 400) },
    Target { name: "differential", run: differential::run, look: (100, 2_000) },
    Target { name: "engine", run: engine::run, look: (100, 2_000) },
    Target { name: "table", run: table::run, look: (300, 400) },
    Target { name: "wire", run: wire::run, look: (5_000, 300) },
];

impl Target {
    /// The folder of the inputs that once went wrong.
    #[must_use]
    pub fn regressions(&self) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/regressions")).join(self.name)
    }
}
