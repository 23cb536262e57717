//! Talking rtnetlink: requests with their answers, whole pictures, and the stream of changes.
//!
//! Plain blocking sockets on the control side's own thread: every request is answered by the kernel
//! before `send` returns, so there is nothing to be asynchronous about.
//!
//! - [`Netlink`] asks and waits for the answer: dumps, and requests that change something.
//! - [`Watch`] hears what changes. When the kernel had to drop notifications (`ENOBUFS`), it says so
//!   once, and whoever listens takes a fresh [`Netlink::picture`].

mod clsact;
mod device;
pub(crate) mod dialogue;
mod egress;
mod features;
#[cfg(test)]
mod tests;
mod watch;

use core::net::IpAddr;
use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressMessage, AddressScope};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use crate::routes::{Change, Mirror, Placement, decode};

pub(crate) use device::{PuntPair, create_pair, delete_link};
pub(crate) use egress::Disciplines;
pub(crate) use features::{XdpFeatureWatch, XdpFeatures};
pub(crate) use watch::{Heard, Watch};

/// A netlink request failed.
#[derive(Debug, thiserror::Error)]
#[error("{request} by netlink")]
pub struct NetlinkError {
    /// What was asked for.
    pub request: &'static str,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

impl NetlinkError {
    /// The kernel's error number.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

/// A socket for requests.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            Ok(Self { socket, sequence: 0 })
        };
        open().map_err(|source| NetlinkError { request: "opening a socket for requests", source })
    }

    /// Reads links, addresses, rules, routes and neighbours anew.
    pub(crate) fn picture(&mut self) -> Result<Mirror, NetlinkError> {
        let mut mirror = Mirror::default();
        let mut routes = RouteMessage::default();
        routes.header.address_family = AddressFamily::Inet;
        let mut rules = RuleMessage::default();
        rules.header.family = AddressFamily::Inet;
        let dumps = [
            ("listing links", RouteNetlinkMessage::GetLink(LinkMessage::default())),
            ("listing addresses", RouteNetlinkMessage::GetAddress(AddressMessage::default())),
            ("listing rules", RouteNetlinkMessage::GetRule(rules)),
            ("listing routes", RouteNetlinkMessage::GetRoute(routes)),
            ("listing neighbours", RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default())),
        ];
        for (request, message) in dumps {
            self.dump(request, message, |change| {
                mirror.apply(in_dump_order(change));
            })?;
        }
        Ok(mirror)
    }

    /// Has the kernel resolve a neighbour, or confirm it if it is known.
    pub(crate) fn resolve(&mut self, link: u32, neighbour: IpAddr) -> Result<(), NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = link;
        message.header.flags = NeighbourFlags::Use;
        let destination = match neighbour {
            IpAddr::V4(address) => {
                message.header.family = AddressFamily::Inet;
                NeighbourAddress::Inet(address)
            }
            IpAddr::V6(address) => {
                message.header.family = AddressFamily::Inet6;
                NeighbourAddress::Inet6(address)
            }
        };
        message.attributes.push(NeighbourAttribute::Destination(destination));
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.request("resolving a neighbour", flags, RouteNetlinkMessage::NewNeighbour(message))
    }

    /// Whether the kernel, asked to resolve a neighbour on a link, would do so in the name of an
    /// address of that link, or of `fallback`.
    ///
    /// An ARP request names its sender. On a link without an address of its own the kernel takes
    /// one of another interface, whatever `arp_announce` says: of the loopback interface, or of the
    /// VRF that the link belongs to, if it has one, else of any.
    pub(crate) fn can_ask_on(&mut self, link: u32, fallback: u32) -> Result<bool, NetlinkError> {
        let mut can = false;
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let dump = RouteNetlinkMessage::GetAddress(message);
        let take = |_, message: &RouteNetlinkMessage| {
            let RouteNetlinkMessage::NewAddress(message) = message else { return };
            let (index, scope) = (message.header.index, message.header.scope);
            let wide = matches!(scope, AddressScope::Universe | AddressScope::Site);
            let on_link = index == link && (wide || scope == AddressScope::Link);
            can |= on_link || (index == fallback && wide);
        };
        self.exchange(dump, NLM_F_DUMP, take)
            .map_err(|source| NetlinkError { request: "listing addresses", source })?;
        Ok(can)
    }

    /// Sends a request and waits until the kernel says that it was carried out.
    fn request(
        &mut self,
        request: &'static str,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Result<(), NetlinkError> {
        self.exchange(message, flags | NLM_F_ACK, |_, _| {})
            .map_err(|source| NetlinkError { request, source })
    }

    fn dump(
        &mut self,
        request: &'static str,
        message: RouteNetlinkMessage,
        mut take: impl FnMut(Change),
    ) -> Result<(), NetlinkError> {
        let take = |flags, message: &RouteNetlinkMessage| {
            if let Some(change) = decode(flags, message) {
                take(change);
            }
        };
        self.exchange(message, NLM_F_DUMP, take).map_err(|source| NetlinkError { request, source })
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut take: impl FnMut(u16, &RouteNetlinkMessage),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags | NLM_F_REQUEST;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            for message in messages(&datagram) {
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(inner) => take(message.header.flags, &inner),
                    NetlinkPayload::Noop | NetlinkPayload::Overrun(_) => {}
                    payload => tracing::debug!(?payload, "netlink message of an unknown kind"),
                }
            }
        }
    }
}

/// A dump tells routes of the same prefix and metric in the order in which they are tried.
fn in_dump_order(change: Change) -> Change {
    if let Change::Route { table, prefix, route, placement: _ } = change {
        let placement = Placement::Append;
        return Change::Route { table, prefix, route, placement };
    }
    change
}

/// The messages of a datagram; those that cannot be read are left out.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> {
    core::iter::from_fn(move || {
        loop {
            let length = bytes.first_chunk().map(|length| u32::from_ne_bytes(*length) as usize)?;
            let (message, rest) =
                bytes.split_at_checked(length).filter(|_| length >= HEADER_LEN)?;
            // Messages begin at multiples of four bytes.
            bytes = rest.get(length.next_multiple_of(4) - length..).unwrap_or_default();
            match NetlinkMessage::deserialize(message) {
                Ok(message) => return Some(message),
                Err(error) => tracing::debug!(%error, "netlink message that cannot be read"),
            }
        }
    })
}

const HEADER_LEN: usize = 16;
