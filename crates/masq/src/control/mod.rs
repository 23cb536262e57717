//! The control API: HTTP/JSON on the instance's Unix socket.
//!
//! ```text
//! masq flows ──► /run/masq/<instance>.sock ──► routes ──► dyn Gateway ──► dataplane
//! ```
//!
//! Routes translate between HTTP and [`Gateway`] and decide nothing; the trait is the seam where a
//! test puts a gateway of its own. Calls may wait for the worker, so they run on blocking threads.

pub(crate) mod gateway;
pub(crate) mod routes;
pub(crate) mod socket;

pub(crate) use gateway::Gateway;
