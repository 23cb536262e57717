//! What the engine tells, in the log.
//!
//! Addresses are not shown above DEBUG: who talks to whom is nobody's business who reads a log for
//! trouble (RFC 6888 REQ-12).

use masq_core::Event;
use tracing::{debug, info, warn};

/// Whether anybody reads what happens to single sessions.
pub(super) fn are_details_shown() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

pub(super) fn log(event: &Event) {
    match event {
        Event::AddressChanged { address, present } => {
            info!(present, "an outside address changed");
            debug!(%address, present, "an outside address changed");
        }
        Event::LimitReached { host, limit } => {
            warn!(%limit, "an inside host reached a limit");
            debug!(%host, %limit, "an inside host reached a limit");
        }
        Event::MappingCreated { protocol, inside, outside } => {
            debug!(%protocol, %inside, %outside, "mapping created");
        }
        Event::MappingRemoved { protocol, inside, outside } => {
            debug!(%protocol, %inside, %outside, "mapping removed");
        }
        Event::PortsExhausted { address, space } => {
            warn!(protocol = ?space, "no port is left on an outside address");
            debug!(%address, protocol = ?space, "no port is left on an outside address");
        }
        Event::SessionCreated { slot, session } => {
            debug!(slot = slot.index(), original = %session.original, reply = %session.reply,
                "session created");
        }
        Event::SessionRemoved { slot, session, reason } => {
            debug!(slot = slot.index(), original = %session.original, ?reason, "session removed");
        }
        Event::TableFull => warn!("the session table is full: raise `sessions` in [table]"),
        // The control thread answers this one; kinds of later releases are shown as they are.
        Event::ResolveNextHop(_) | _ => debug!(?event, "event"),
    }
}
