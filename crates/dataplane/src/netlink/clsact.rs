//! The queueing discipline that carries filters on kernels without tcx.

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Whether the interface has a clsact queueing discipline.
    pub(crate) fn has_clsact(&mut self, index: u32) -> Result<bool, NetlinkError> {
        let mut found = false;
        let message = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let look = |_, message: &RouteNetlinkMessage| {
            if let RouteNetlinkMessage::NewQueueDiscipline(discipline) = message {
                found |= discipline.header.index == index as i32
                    && discipline.attributes.contains(&TcAttribute::Kind(KIND.to_owned()));
            }
        };
        self.exchange(message, NLM_F_DUMP, look)
            .map_err(|source| NetlinkError { request: "listing queueing disciplines", source })?;
        Ok(found)
    }

    /// Removes the clsact queueing discipline of an interface, and every filter in it.
    pub(crate) fn remove_clsact(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = TcMessage::with_index(index as i32);
        message.header.handle = TcHandle { major: 0xffff, minor: 0 };
        message.header.parent = TcHandle { major: 0xffff, minor: 0xfff1 };
        message.attributes.push(TcAttribute::Kind(KIND.to_owned()));
        let message = RouteNetlinkMessage::DelQueueDiscipline(message);
        self.request("removing a queueing discipline", 0, message)
    }
}

const KIND: &str = "clsact";
