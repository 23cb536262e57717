//! The gateway behind the control API: a dataplane, and the configuration it follows.

mod configuration;
mod events;
pub(crate) mod flows;
mod mappings;
mod origin;
mod running;
mod start;
mod stats;

pub(crate) use configuration::Wanted;
pub(crate) use origin::Origin;
pub(crate) use running::RunningGateway;
