//! A gateway whose inside or outside is no plain Ethernet: a VLAN, a tunnel, a line that is dialled.
//!
//! Each link is laid over the lab's own cables, and carries the same: ping, datagrams of several sizes, TCP both
//! ways, traceroute. First through the kernel's masquerade, which shows that the link itself is right, then through
//! masq on TC. A kernel without such links skips the test and says so.
//!
//! ```text
//!   workstation ─[lan]─ gateway ─[wan]─ server          what the cables are
//!   .10.3 ──── VLAN 10 ──── .10.1
//!                       10.77.0.1 ════ 10.77.0.2        WireGuard, GRE, IPIP or PPP over wan
//! ```

use core::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

use masq_lab::peer::{Probe, TransferServer};
use masq_lab::{
    Gateway, Host, Lab, MasqOptions, Result, Running, SOON, Topology, address, lacks_link,
    lacks_ppp, lacks_program, masq_binary, peer, wait_until,
};

use super::{Nat, in_lab, skip_on_this_kernel, skip_without_program, through};

/// A link, and what to expect of a gateway that serves it.
struct Link {
    inside: &'static str,
    outside: &'static str,
    /// The gateway as the workstation and as the server see it.
    gateway: [Ipv4Addr; 2],
    /// The far end of the outside.
    far: Ipv4Addr,
    /// Why there can be none here.
    lacks: fn() -> Result<Option<String>>,
    /// Lays it; what is returned runs as long as the link lasts.
    lay: fn(&Lab) -> Result<Vec<Running>>,
}

#[test]
fn an_inside_on_a_vlan_is_served() {
    serves(&Link {
        inside: "lan.10",
        outside: "wan",
        gateway: [Ipv4Addr::new(192, 168, 10, 1), address::GATEWAY_OUTSIDE],
        far: address::SERVER,
        lacks: || lacks_link("link base type vlan id 10"),
        lay: |lab| {
            let vlan = |host: &Host, below: &str, own: u8| {
                host.ip(&[
                    format!("link add link {below} name {below}.10 type vlan id 10"),
                    format!("addr add 192.168.10.{own}/24 dev {below}.10"),
                    format!("link set {below}.10 up"),
                ])
            };
            vlan(&lab.gateway, "lan", 1)?;
            vlan(lab.workstation(), "eth0", 3)?;
            lab.workstation().ip(&["route replace default via 192.168.10.1"])?;
            Ok(Vec::new())
        },
    });
}

#[test]
fn an_outside_on_wireguard_is_served() {
    serves(&Link {
        outside: "wg0",
        lacks: || Ok(lacks_program("wg").or(lacks_link("type wireguard")?)),
        lay: |lab| {
            let key = |host: &Host| host.program("wg", &["genkey"]);
            let (here, there) = (key(&lab.gateway)?, key(&lab.server)?);
            for (host, own, peer, at) in [
                (&lab.gateway, &here, &there, lab.server.address()),
                (&lab.server, &there, &here, address::GATEWAY_OUTSIDE),
            ] {
                host.ip(&["link add wg0 type wireguard"])?;
                let peer = host.program_with_input("wg", &["pubkey"], peer)?;
                let (peer, at) = (peer.trim(), format!("{at}:51820"));
                let interface =
                    ["set", "wg0", "listen-port", "51820", "private-key", "/proc/self/fd/0"];
                let other = ["peer", peer, "allowed-ips", "0.0.0.0/0", "endpoint", &at];
                host.program_with_input("wg", &[&interface[..], &other].concat(), own)?;
            }
            number_ends(lab, "wg0")
        },
        ..TUNNEL
    });
}

#[test]
fn an_outside_on_gre_is_served() {
    serves(&Link { lacks: || lacks_link(GRE), lay: |lab| tunnel(lab, "gre"), ..TUNNEL });
}

#[test]
fn an_outside_on_ipip_is_served() {
    serves(&Link { lacks: || lacks_link(IPIP), lay: |lab| tunnel(lab, "ipip"), ..TUNNEL });
}

#[test]
fn an_outside_on_ppp_is_served() {
    serves(&Link {
        outside: "ppp0",
        lacks: || Ok(lacks_program("pppd").or_else(|| lacks_ppp(false))),
        lay: |lab| {
            // Two ends of a pseudo-terminal: a modem line.
            let [here, there] = [format!("{HERE}:{FAR}"), format!("{FAR}:{HERE}")];
            let server = lab.server.namespace().path();
            let other = format!("nsenter --net={} pppd notty {PPP} {there}", server.display());
            let line = [&PPP.split(' ').collect::<Vec<_>>()[..], &[&here, "pty", &other]].concat();
            dialled(&lab.gateway, &[&["pppd"][..], &line].concat()).map(|line| vec![line])
        },
        ..TUNNEL
    });
}

#[test]
fn an_outside_on_pppoe_is_served() {
    serves(&Link {
        outside: "ppp0",
        lacks: || Ok(lacks_program("pppoe-server").or_else(|| lacks_ppp(true))),
        lay: |lab| {
            let [here, there] = [HERE, FAR].map(|address| address.to_string());
            let exchange =
                ["pppoe-server", "-F", "-I", "eth0", "-N", "1", "-L", &there, "-R", &here];
            let exchange = dialled(&lab.server, &exchange)?;
            let line = format!("pppd {PPP} mtu 1492 mru 1492 plugin rp-pppoe.so nic-wan");
            let line = dialled(&lab.gateway, &line.split(' ').collect::<Vec<_>>())?;
            Ok(vec![line, exchange])
        },
        ..TUNNEL
    });
}

/// Plays through the kernel's masquerade, then through masq.
fn serves(link: &Link) {
    let Some(binary) = masq_binary() else { return skip_without_program() };
    if let Some(reason) = (link.lacks)().unwrap() {
        return skip_on_this_kernel(&reason);
    }
    let Link { inside, outside, .. } = link;
    for nat in [Nat::Kernel, Nat::MasqOnTc] {
        in_lab(&format!("links::{outside}"), &Topology::new().without_routers(), |lab| {
            let _laid = (link.lay)(lab)?;
            wait_until("the link is up", SOON, || {
                peer::ping(&lab.gateway, link.far, &["-c1"]).is_ok_and(|ping| ping.received == 1)
            })?;
            if nat == Nat::Kernel {
                lab.gateway.program_with_input("nft", &["-f", "-"], &masquerade(outside))?;
                lab.gateway.namespace().set_sysctl("net.ipv4.ip_forward", "1")?;
                return carries(lab, link);
            }
            let interfaces = format!(
                "outside = [{{ interface = '{outside}' }}]\ninside = [{{ interface = '{inside}' }}]\n"
            );
            let config = format!("{interfaces}fast-path = {{ mode = 'tc' }}\n");
            let options = MasqOptions::new(binary.clone()).whole_config(config);
            let mut gateway = Gateway::masq(lab, &options)?;
            through(nat, &mut gateway, lab, 100, |_| carries(lab, link))
        });
    }
}

/// What everybody does with a line.
fn carries(lab: &Lab, link: &Link) -> Result<()> {
    let client = lab.workstation();
    let ping = peer::ping(client, link.far, &["-c5", "-i", "0.2"])?;
    assert_eq!(ping.received, 5, "{}", ping.text);

    let echo = peer::udp_echo(&lab.server, 7)?;
    let asking = client.udp(0)?;
    for length in [5, 1400, 4000] {
        let question = vec![7; length];
        let answer = peer::udp_ask(&asking, SocketAddrV4::new(link.far, 7), &question)?;
        assert!(answer == question, "{length} octets come back as they were");
    }

    let server = TransferServer::start(&lab.server, 8888)?;
    let connect = || client.connect(SocketAddrV4::new(link.far, 8888));
    server.download_on(connect()?, OCTETS)?;
    server.upload_on(connect()?, OCTETS)?;
    for service in [&echo, server.service()] {
        assert_eq!(service.seen_addresses(), [link.gateway[1]], "the gateway is all that is seen");
    }

    let hops = peer::traceroute(client, link.far, Probe::Udp)?;
    assert_eq!(hops, [Some(link.gateway[0]), Some(link.far)]);
    Ok(())
}

fn tunnel(lab: &Lab, kind: &str) -> Result<Vec<Running>> {
    let ends = [address::GATEWAY_OUTSIDE, address::SERVER];
    for (host, [local, remote]) in [(&lab.gateway, ends), (&lab.server, [ends[1], ends[0]])] {
        host.ip(&[format!("link add far0 type {kind} local {local} remote {remote}")])?;
    }
    number_ends(lab, "far0")
}

/// Gives the two ends of a tunnel their addresses.
fn number_ends(lab: &Lab, interface: &str) -> Result<Vec<Running>> {
    for (host, own) in [(&lab.gateway, HERE), (&lab.server, FAR)] {
        host.ip(&[
            format!("addr add {own}/24 dev {interface}"),
            format!("link set {interface} up"),
        ])?;
    }
    Ok(Vec::new())
}

/// Starts a program of PPP on a host: with files of its own in the places where it looks for a system's, and
/// with all that it starts ending with it.
fn dialled(host: &Host, program: &[&str]) -> Result<Running> {
    let files = "mount -t tmpfs none /run && mount -t tmpfs none /etc/ppp && : >/etc/ppp/options &&
        printf 'noauth\nnoccp\nnovj\nlcp-echo-interval 0\n' >/etc/ppp/pppoe-server-options && exec \"$@\"";
    let mut command = Command::new("/bin/unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", files, "sh"])
        .args(program);
    Running::start(host.namespace(), command)
}

fn masquerade(outside: &str) -> String {
    format!(
        "table ip oracle {{
            chain postrouting {{
                type nat hook postrouting priority srcnat
                oifname {outside} masquerade
            }}
        }}"
    )
}

/// A link over `wan`, in what all of them have in common.
const TUNNEL: Link = Link {
    inside: "lan",
    outside: "far0",
    gateway: [address::GATEWAY_INSIDE, HERE],
    far: FAR,
    lacks: || Ok(None),
    lay: |_| Ok(Vec::new()),
};
const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const GRE: &str = "type gre local 203.0.113.1 remote 203.0.113.178";
const IPIP: &str = "type ipip local 203.0.113.1 remote 203.0.113.178";
const PPP: &str = "nodetach noauth local nodefaultroute noccp novj lcp-echo-interval 0";
const OCTETS: u64 = 8_000_000;
