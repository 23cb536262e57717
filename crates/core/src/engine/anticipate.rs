//! What the next packets will need of memory, asked for before it is needed.
//!
//! A burst of new flows misses the caches at half a dozen places for each, and half of what the engine
//! does is waiting for them, one after the other. So whoever hands over packets shows them before: what
//! they will most likely need is worked out, which takes a few hashes and waits for nothing, and is asked
//! for, so that it is there or on its way when the packet's turn comes. Nothing is decided here, and a guess
//! that is wrong changes nothing but what it costs.

use masq_wire::{Endpoint, Tuple};

use super::Engine;
use crate::policy::Realm;
use crate::routes::PortId;

impl Engine {
    /// Shows a packet that will be handed over soon.
    pub fn anticipate(&self, port: PortId, packet: &[u8]) {
        let Some(tuple) = Tuple::peek(packet) else { return };
        self.sessions.table.anticipate(&tuple);
        if self.policy.realm(port) != Some(Realm::Inside) {
            return;
        }
        // Most gateways have one outside, and most endpoints keep their port.
        let Some(outside) = self.policy.outsides.first() else { return };
        let inside = tuple.source;
        let Some(address) = self.sessions.likely_address(&outside.pool, inside.addr) else {
            return;
        };
        let likely = Endpoint::new(address, inside.port);
        self.sessions.mappings.anticipate(outside.pool.mapping, &tuple, likely);
        self.sessions.table.anticipate(&Tuple::new(tuple.protocol, tuple.destination, likely));
    }
}
