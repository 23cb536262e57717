//! The punt port: a veth pair that carries punted packets to user space and back.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::{Netlink, NetlinkError};

/// Names and size of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PuntPair {
    /// The end that the programs redirect into and that carries packets back.
    pub(crate) near: String,
    /// The end with the AF_XDP socket.
    pub(crate) far: String,
    /// Says whose it is.
    pub(crate) alias: String,
    /// The MTU of both ends.
    pub(crate) mtu: u32,
}

/// Makes the pair, both ends down and without ARP.
pub(crate) fn create_pair(netlink: &mut Netlink, pair: &PuntPair) -> Result<(), NetlinkError> {
    let end = |name: &str| {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Noarp;
        message.header.change_mask = LinkFlags::Noarp;
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::Mtu(pair.mtu));
        message
    };
    let mut message = end(&pair.near);
    message.attributes.push(LinkAttribute::IfAlias(pair.alias.clone()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(end(&pair.far)))),
    ]));
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    netlink.request("creating the punt port", flags, RouteNetlinkMessage::NewLink(message))
}

/// Deletes a link; the other end of a pair goes with it.
pub(crate) fn delete_link(netlink: &mut Netlink, index: u32) -> Result<(), NetlinkError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    netlink.request("deleting a link", 0, RouteNetlinkMessage::DelLink(message))
}

impl Netlink {
    /// Brings a link up.
    pub(crate) fn set_up(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.request("bringing a link up", 0, RouteNetlinkMessage::SetLink(message))
    }
}
