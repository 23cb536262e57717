//! The scenarios: one file each, one line each in [`ALL`].

pub mod apply;
pub mod away;
pub mod connect;
pub mod cpus;
pub mod egress;
pub mod exhausted;
pub mod insides;
pub mod latency;
pub mod memory;
pub mod new_flows;
pub mod tcp;
pub mod udp;

use anyhow::Result;

use crate::bench::Bench;

/// Something to be measured of several subjects.
pub trait Scenario: Sync {
    /// Its name: what a filter on the command line matches, and `Series::scenario` begins with.
    fn id(&self) -> &'static str;

    /// What it measures, in a line.
    fn about(&self) -> &'static str;

    /// Measures every round and hands over each sample ([`Bench::add`]).
    ///
    /// Subjects take turns within a round, so that the samples of a round can be compared. A subject
    /// that cannot run here is left out with a [`Bench::note`]; a packet that was wrong, or was not
    /// carried by whom it should have been, is an error.
    ///
    /// # Errors
    ///
    /// When a figure would be false.
    fn run(&self, bench: &mut Bench) -> Result<()>;
}

/// Every scenario, in the order in which they run.
pub const ALL: &[&dyn Scenario] = &[
    &udp::Udp,
    &egress::Egress,
    &insides::Insides,
    &cpus::Cpus,
    &tcp::Offloaded,
    &tcp::Complete,
    &latency::Latency,
    &connect::Connect,
    &new_flows::NewFlows,
    &exhausted::Exhausted,
    &memory::Memory,
    &away::Away,
    &apply::Apply,
];
