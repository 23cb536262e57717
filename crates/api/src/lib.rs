//! The messages between the gateway and whoever looks at it.
//!
//! Everything that the command line, the screens and scripts show is one of these values, as JSON over
//! HTTP on the instance's Unix socket ([`SOCKET_DIRECTORY`]). There is no logic here: a message is
//! what it says, and rendering it for people belongs to the program that shows it.
//!
//! ```text
//! GET  /v1/status       Status         who runs, since when, between which interfaces
//! GET  /v1/flows        FlowPage       sessions, a page at a time (FlowQuery)
//! GET  /v1/mappings     MappingPage    endpoint mappings, a page at a time (FlowQuery)
//! GET  /v1/stats        StatsView      counters, table, drops by reason
//! POST /v1/reload       ReloadPlan     read the file again and apply it (ReloadRequest)
//! POST /v1/release      Status         let go of a closed interface (ReleaseRequest)
//! POST /v1/stop         Status         end the daemon; programs and table stay
//! ```
//!
//! Times are seconds and may have a fraction; counts are whole. A failure is an HTTP status with an
//! [`Error`] as its body. Fields are only ever added: a reader must ignore those it does not know.

#![forbid(unsafe_code)]

pub use doctor::{Check, DoctorReport, Outcome};
pub use error::{Error, ErrorKind};
pub use flow::{Count, EndpointView, FlowPage, FlowQuery, FlowView, MappingPage, MappingView};
pub use reload::{Change, ReloadPlan, ReloadRequest};
pub use stats::{
    Carrier, DropCount, EngineStats, FastPathView, IndexStats, MemoryPart, StatsView, TableStats,
    Traffic, WayView,
};
pub use status::{InterfaceView, ReleaseRequest, Role, Status};

mod doctor;
mod error;
mod flow;
mod reload;
mod stats;
mod status;

/// Where the instances' sockets are, unless `[control] socket` says otherwise.
pub const SOCKET_DIRECTORY: &str = "/run/masq";

/// The instance when none is named.
pub const DEFAULT_INSTANCE: &str = "default";
