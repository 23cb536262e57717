//! Containers on the gateway: a bridge of its own, and the kernel's masquerade on the same outside address, as
//! Docker, podman and libvirt set it up.

use core::net::{Ipv4Addr, SocketAddrV4};

use masq_lab::{Host, Lab, Result, Topology, peer};

use super::steps::{Outcome, all_well, asks, converses, pings, switch_forwarding_on};
use crate::Scenario;
use crate::bulk::only_the_gateway_was_seen;

pub(crate) fn containers_call_out_and_their_ports_are_published() -> Scenario {
    Scenario::new(Topology::new(), |lab, gateway| {
        let ground = Ground::build(lab, !gateway.is_masq())?;
        let mut found = ground.look("after the gateway");
        if let Some(daemon) = gateway.daemon_mut() {
            daemon.kill()?;
            found.extend(ground.look("killed"));
            daemon.restart()?;
            found.extend(ground.look("before the gateway"));
            daemon.stop()?;
            daemon.ask(&["detach"])?;
            found.extend(ground.look("detached"));
        }
        only_the_gateway_was_seen(lab, &ground.shell.seen_addresses());
        all_well(found);
        Ok(())
    })
}

/// A container, and whom it speaks to.
struct Ground<'a> {
    lab: &'a Lab,
    container: Host,
    shell: peer::Service,
    echo: peer::Service,
    _published: [peer::Service; 2],
}

impl<'a> Ground<'a> {
    fn build(lab: &'a Lab, has_other_rules: bool) -> Result<Self> {
        let container = Host::new("container", CONTAINER)?;
        lab.gateway.ip(&[
            "link add name docker0 type bridge stp_state 0 forward_delay 0".to_owned(),
            format!("addr add {BRIDGE}/16 dev docker0"),
            "link set docker0 up".to_owned(),
            format!(
                "link add name vethd type veth peer name eth0 netns {}",
                container.namespace().path().display()
            ),
            "link set vethd master docker0 up".to_owned(),
        ])?;
        container.ip(&[
            "link set lo up".to_owned(),
            "link set eth0 up".to_owned(),
            format!("addr add {CONTAINER}/16 dev eth0"),
            format!("route add default via {BRIDGE}"),
        ])?;
        switch_forwarding_on(lab)?;
        lab.gateway.program_with_input("nft", &["-f", "-"], RULES)?;
        if has_other_rules {
            // As Docker does where a policy would drop what it forwards.
            lab.gateway.program_with_input("nft", &["-f", "-"], ACCEPTED)?;
        }
        let published = [peer::shell_service(&container, 80)?, peer::udp_echo(&container, 53)?];
        Ok(Self {
            lab,
            container,
            shell: peer::shell_service(&lab.server, 22)?,
            echo: peer::udp_echo(&lab.server, 7)?,
            _published: published,
        })
    }

    /// Containers call out and are called, and so do the host and those inside.
    fn look(&self, when: &str) -> Vec<(String, Outcome)> {
        let (lab, container) = (self.lab, &self.container);
        let published = |port| SocketAddrV4::new(lab.outside_address(), port);
        let eight = |what: &dyn Fn() -> Outcome| (0..8).try_for_each(|_| what());
        let rows = [
            ("ping", pings(container, lab.server.address(), &[])),
            ("fragments", pings(container, lab.server.address(), &["-s", "3000"])),
            ("UDP", eight(&|| asks(container, 0, self.echo.address(), 30))),
            ("TCP", eight(&|| converses(container, self.shell.address()))),
            ("published TCP", eight(&|| converses(&lab.server, published(8080)))),
            ("published UDP", eight(&|| asks(&lab.server, 0, published(8053), 30))),
            ("the host", converses(&lab.gateway, self.shell.address())),
            ("the host to the container", pings(&lab.gateway, CONTAINER, &[])),
        ];
        rows.into_iter().map(|(what, outcome)| (format!("{when}: {what}"), outcome)).collect()
    }
}

const BRIDGE: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 1);
const CONTAINER: Ipv4Addr = Ipv4Addr::new(172, 17, 0, 2);

const RULES: &str = "
table ip docker {
    chain postrouting {
        type nat hook postrouting priority srcnat
        ip saddr 172.17.0.0/16 oifname != docker0 masquerade
    }
    chain prerouting {
        type nat hook prerouting priority dstnat
        fib daddr type local tcp dport 8080 dnat to 172.17.0.2:80
        fib daddr type local udp dport 8053 dnat to 172.17.0.2:53
    }
}
";

const ACCEPTED: &str = "
table ip oracle {
    chain forward {
        iifname docker0 accept
        oifname docker0 accept
    }
}
";
