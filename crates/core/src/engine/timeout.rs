//! What happens because time passes.

use masq_wire::Packet;
use masq_wire::icmp::error::Report;
use masq_wire::icmp::unreachable;

use super::Engine;
use super::way_out::Waiting;
use crate::time::Instant;
use crate::verdict::DropReason;

/// Sessions that one call looks at, so that a million that end together delay no packet for long.
const MOST_SESSIONS: usize = 256;
/// The same for everything else.
const MOST_OTHERS: usize = 256;

impl Engine {
    /// Does what is due. When there is much to do it does a part, and [`Engine::poll_timeout`] says
    /// to come again at once.
    pub fn handle_timeout(&mut self, now: Instant) {
        let (sessions, mut scope) = self.sessions(now);
        sessions.expire(&mut scope, MOST_SESSIONS);
        for _ in 0..MOST_OTHERS {
            let Some(expired) = self.reassembler.expire(now) else { break };
            self.stats.count_drop(DropReason::ReassemblyTimeout);
            let Some(mut first) = expired.first else { continue };
            if let Ok(packet) = Packet::parse(&mut first) {
                let port = expired.key.interface;
                self.report_at(now, port, &packet, Report::REASSEMBLY_EXCEEDED);
            }
        }
        for _ in 0..MOST_OTHERS {
            let Some((_, packet)) = self.held.expire(now) else { break };
            let waiting = Waiting { bytes: packet.bytes, ..packet.context };
            self.give_up(now, waiting, DropReason::HeldTooLong);
        }
        for _ in 0..MOST_OTHERS {
            let Some((port, mut syn)) = self.inbound_syns.expire(now) else { break };
            if !self.policy.answer_inbound_syn {
                continue;
            }
            if let Ok(packet) = Packet::parse(&mut syn) {
                self.report_at(now, port, &packet, Report::unreachable(unreachable::PORT));
            }
        }
    }
}
