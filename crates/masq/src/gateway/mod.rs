//! The gateway behind the control API: a dataplane, and the configuration it follows.

mod configuration;
mod events;
pub(crate) mod flows;
mod running;
mod start;
mod stats;

pub(crate) use running::{Origin, RunningGateway};
