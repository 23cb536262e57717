//! rtnetlink messages into [`Change`]s; what has no meaning for routing is left out.

#![expect(clippy::wildcard_enum_match_arm, reason = "the kernel's enumerations grow by themselves")]

use core::net::IpAddr;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVrf, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAction as FibAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{
    Address, Change, Hop, Link, Neighbour, Placement, Prefix, Route, RouteKind, Rule, RuleAction,
};

/// Reads one message; `flags` are those of its netlink header.
pub fn decode(flags: u16, message: &RouteNetlinkMessage) -> Option<Change> {
    match message {
        RouteNetlinkMessage::NewLink(message) => link(message).map(Change::Link),
        RouteNetlinkMessage::DelLink(message) => {
            // A bridge announces that a port left it by RTM_DELLINK of its own address family.
            let whole = message.header.interface_family == AddressFamily::Unspec;
            whole.then_some(Change::LinkGone(message.header.index))
        }
        RouteNetlinkMessage::NewAddress(message) => address(message).map(Change::Address),
        RouteNetlinkMessage::DelAddress(message) => address(message).map(Change::AddressGone),
        RouteNetlinkMessage::NewRoute(message) => {
            let (table, prefix, route) = route(message)?;
            let placement = if flags & NLM_F_REPLACE != 0 {
                Placement::Replace
            } else if flags & NLM_F_APPEND != 0 {
                Placement::Append
            } else {
                Placement::Prepend
            };
            Some(Change::Route { table, prefix, route, placement })
        }
        RouteNetlinkMessage::DelRoute(message) => {
            let (table, prefix, route) = route(message)?;
            Some(Change::RouteGone { table, prefix, route })
        }
        RouteNetlinkMessage::NewRule(message) => rule(message).map(Change::Rule),
        RouteNetlinkMessage::DelRule(message) => rule(message).map(Change::RuleGone),
        RouteNetlinkMessage::NewNeighbour(message) => neighbour(message, true),
        RouteNetlinkMessage::DelNeighbour(message) => neighbour(message, false),
        _ => None,
    }
}

fn link(message: &LinkMessage) -> Option<Link> {
    let header = &message.header;
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let flag = |flag| header.flags.contains(flag);
    let mut link = Link {
        index: header.index,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: flag(LinkFlags::Up),
        loopback: flag(LinkFlags::Loopback),
        layer3: !matches!(header.link_layer_type, LinkLayerType::Ether | LinkLayerType::Loopback),
        no_arp: flag(LinkFlags::Noarp),
        master: None,
        vrf_table: None,
        vlan_of: None,
        kind: String::new(),
    };
    let mut below = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(mac) => link.mac = mac.as_slice().try_into().ok(),
            LinkAttribute::Link(index) => below = Some(*index),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(master) => link.master = Some(*master),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => link.kind = kind_name(kind),
                        LinkInfo::Data(InfoData::Vrf(vrf)) => {
                            link.vrf_table = vrf.iter().find_map(|attribute| match attribute {
                                InfoVrf::TableId(table) => Some(*table),
                                _ => None,
                            });
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    link.vlan_of = below.filter(|_| link.kind == "vlan");
    Some(link)
}

fn kind_name(kind: &InfoKind) -> String {
    kind.to_string()
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut local, mut peer) = (None, None);
    let mut secondary = message.header.flags.contains(AddressHeaderFlags::Secondary);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(flags) => secondary |= flags.contains(AddressFlags::Secondary),
            _ => {}
        }
    }
    let global = matches!(message.header.scope, AddressScope::Universe | AddressScope::Site);
    Some(Address {
        link: message.header.index,
        // IPv6 has no IFA_LOCAL except on point-to-point links.
        local: local.or(peer)?,
        length: message.header.prefix_len,
        secondary,
        global,
    })
}

fn route(message: &RouteMessage) -> Option<(u32, Prefix, Route)> {
    let header = &message.header;
    let any = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    // Cached exceptions, source-specific routes and routes for one type of service answer
    // questions that are not asked here.
    if header.flags.contains(RouteFlags::Cloned)
        || header.source_prefix_length != 0
        || header.tos != 0
    {
        return None;
    }
    let kind = match header.kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local | RouteType::Anycast => RouteKind::Local,
        RouteType::Broadcast => RouteKind::Broadcast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Throw => RouteKind::Throw,
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let mut destination = any;
    let mut route = Route { kind, metric: 0, hops: Vec::new(), source: None, mtu: None };
    let mut single = Hop { link: 0, gateway: gateway(&message.attributes), weight: 1 };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Oif(index) => single.link = *index,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::MultiPath(hops) => {
                route.hops = hops
                    .iter()
                    .map(|hop| Hop {
                        link: hop.interface_index,
                        gateway: gateway(&hop.attributes),
                        weight: u32::from(hop.hops) + 1,
                    })
                    .collect();
            }
            _ => {}
        }
    }
    if route.hops.is_empty() && single.link != 0 {
        route.hops.push(single);
    }
    Some((table, Prefix::new(destination, header.destination_prefix_length), route))
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address).filter(|ip| !ip.is_unspecified()),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn rule(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    if !matches!(header.family, AddressFamily::Inet) {
        return None;
    }
    let (mut source, mut destination, mut goto) = (None, None, 0);
    let (mut mark, mut mask, mut table) = (None, u32::MAX, u32::from(header.table));
    let mut vrf = false;
    let mut rule = Rule {
        priority: 0,
        action: RuleAction::Nop,
        invert: header.flags.contains(RuleFlags::Invert),
        source: None,
        destination: None,
        arriving: None,
        mark: None,
        uids: None,
        beyond_us: header.tos != 0,
        suppress_length: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Source(address) => source = Some(*address),
            RuleAttribute::Destination(address) => destination = Some(*address),
            RuleAttribute::Iifname(name) => rule.arriving = Some(name.clone()),
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = *value,
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Goto(priority) => goto = *priority,
            RuleAttribute::L3MDev(set) => vrf = *set,
            RuleAttribute::UidRange(range) => rule.uids = Some(range.start..=range.end),
            RuleAttribute::SuppressPrefixLen(length) => {
                // The kernel says "none" as all ones.
                rule.suppress_length = u8::try_from(*length).ok();
            }
            RuleAttribute::Oifname(_)
            | RuleAttribute::TunId(_)
            | RuleAttribute::IpProtocol(_)
            | RuleAttribute::SourcePortRange(_)
            | RuleAttribute::DestinationPortRange(_) => rule.beyond_us = true,
            _ => {}
        }
    }
    rule.source = source.map(|address| Prefix::new(address, header.src_len));
    rule.destination = destination.map(|address| Prefix::new(address, header.dst_len));
    rule.mark = mark.map(|mark| (mark, mask));
    rule.action = match header.action {
        FibAction::ToTable if vrf => RuleAction::VrfTable,
        FibAction::ToTable => RuleAction::Table(table),
        FibAction::Goto => RuleAction::Goto(goto),
        FibAction::Blackhole => RuleAction::Blackhole,
        FibAction::Prohibit => RuleAction::Prohibit,
        FibAction::Unreachable => RuleAction::Unreachable,
        _ => RuleAction::Nop,
    };
    Some(rule)
}

fn neighbour(message: &NeighbourMessage, known: bool) -> Option<Change> {
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                address = Some(IpAddr::from(*ip));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                address = Some(IpAddr::from(*ip));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok();
            }
            _ => {}
        }
    }
    let neighbour = match message.header.state {
        _ if !known => None,
        NeighbourState::Failed => Some(Neighbour::Failed),
        NeighbourState::Stale => mac.map(Neighbour::Stale),
        NeighbourState::Reachable
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Noarp
        | NeighbourState::Permanent => mac.map(Neighbour::Reachable),
        _ => Some(Neighbour::Incomplete),
    };
    Some(Change::Neighbour { link: message.header.ifindex, address: address?, neighbour })
}
