//! Side-by-side measurements of gateways: plain forwarding, the kernel's masquerade, masq on TC and on
//! XDP, and a bare redirect on each, in turn on one lab.
//!
//! ```text
//!   main ──► scenario (one file each) ──► lab: sender ── gateway ── receiver
//!                 │                        subject: what the gateway does
//!                 │                        generator, receiver: eBPF programs that send and check
//!                 └─► result ──► floors, table, JSON, plots
//! ```
//!
//! `cargo xtask bench` builds everything and runs it. A scenario measures its subjects in turn, round after
//! round, and hands each figure over with the counters that prove who carried the packets.
#![deny(unsafe_code)]

pub mod bench;
pub mod clock;
pub mod conntrack;
pub mod cpu;
pub mod ends;
pub mod floor;
pub mod gateway;
pub mod generator;
pub mod host;
pub mod lab;
pub mod page;
pub mod plots;
pub mod programs;
pub mod report;
pub mod result;
pub mod rig;
pub mod scenario;
pub mod site;
pub mod statistics;
pub mod subject;
pub mod svg;
mod sys;
mod units;
