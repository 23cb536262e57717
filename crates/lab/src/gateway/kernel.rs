//! The oracle: the kernel's own masquerade; and forwarding without any translation.
//!
//! Three things a bare `masquerade` rule leaves open are closed here, as a careful administrator
//! does, so that only real differences show: packets that connection tracking calls invalid are not
//! translated and would leave as they are; new connections from outside to inside addresses would be
//! forwarded; and an inside host could send from an address that is not of its network.

use std::fs;

use crate::error::Context;
use crate::topology::forward;
use crate::{Host, Lab, Namespace, Result};

const RULES: &str = "
table ip oracle {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname wan ip saddr 192.168.0.0/16 masquerade
    }
    chain forward {
        type filter hook forward priority filter; policy drop
        ct state invalid drop
        ct state established,related accept
        iifname lan oifname wan ip saddr 192.168.1.0/24 accept
        iifname guest oifname wan ip saddr 192.168.2.0/24 accept
        iifname { lan, guest, branch } oifname { lan, guest, branch } accept
    }
}
";

#[derive(Debug)]
pub(crate) struct Kernel {
    namespace: Namespace,
}

impl Kernel {
    pub(crate) fn start(lab: &Lab) -> Result<Self> {
        lab.gateway.program_with_input("nft", &["-f", "-"], RULES)?;
        forward(&lab.gateway)?;
        Ok(Self { namespace: lab.gateway.namespace().try_clone()? })
    }

    pub(crate) fn flows(&self) -> Result<String> {
        // Not /proc/net: that is the namespace of the process's first thread.
        self.namespace
            .run(|| fs::read_to_string("/proc/thread-self/net/nf_conntrack"))
            .context(|| "reading the kernel's connection table".to_owned())
    }

    pub(crate) fn report(&self) -> String {
        format!("──── rules of the gateway{RULES}")
    }
}

/// Gives everyone outside a route to the inside, and has the gateway forward.
pub(crate) fn forward_plainly(lab: &Lab) -> Result<()> {
    forward(&lab.gateway)?;
    let to_inside =
        |host: &Host, router: String| host.ip(&[format!("route add 192.168.1.0/24 via {router}")]);
    let outside = lab.outside_address().to_string();
    match &lab.routers {
        Some((isp, exchange)) => {
            to_inside(isp, outside)?;
            to_inside(exchange, crate::address::ISP_TRANSIT.to_string())
        }
        None => {
            to_inside(&lab.server, outside.clone())?;
            to_inside(&lab.second, outside)
        }
    }
}
