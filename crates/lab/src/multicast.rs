//! The kernel as a multicast router, as igmpproxy and its like set it up: between two interfaces of a host.

use core::net::Ipv4Addr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

use crate::error::Context;
use crate::{Host, Result, sys};

/// A host forwards a group's packets of one source until this is dropped.
#[derive(Debug)]
pub struct MulticastRoute {
    _socket: OwnedFd,
}

impl MulticastRoute {
    /// Has the kernel send what the source sends to the group on, from one interface to another.
    ///
    /// # Errors
    ///
    /// When this kernel is no multicast router, or the host has one already.
    pub fn set(
        host: &Host,
        [from, to]: [&str; 2],
        source: Ipv4Addr,
        group: Ipv4Addr,
    ) -> Result<Self> {
        let set = || {
            let socket = rustix::net::socket_with(
                AddressFamily::INET,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                Some(ipproto::IGMP),
            )?;
            sys::begin_multicast_routing(&socket)?;
            for (number, name) in [(0, from), (1, to)] {
                let index = rustix::net::netdevice::name_to_index(&socket, name)?;
                sys::add_multicast_interface(&socket, number, index)?;
            }
            sys::add_multicast_route(&socket, source, group)?;
            Ok::<_, io::Error>(socket)
        };
        let what = || format!("{host} routes {group} from {from} to {to}");
        Ok(Self { _socket: host.run(set).context(what)? })
    }
}
