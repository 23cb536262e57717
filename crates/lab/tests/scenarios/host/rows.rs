//! What a host does on its networks: the rows of the table.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::io;

use masq_lab::peer::{Probe, Service};
use masq_lab::{Host, Lab, Result, address, peer, wait_until};

use super::portless::{Portless, exchange};
use super::steps::{Outcome, asks, converses, converses_from, is, patience, pings, told};

/// The services that the rows ask, and what makes one look at the table unlike another.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    lab: &'a Lab,
    remote_echo: Service,
    remote_shell: Service,
    tunnel: [Portless; 2],
    _own: [Service; 2],
    _inside: Service,
}

/// A row: what it is about, and whether it works. The number is another each time.
pub(crate) type Row = (&'static str, fn(&Ground<'_>, u16) -> Outcome);

/// The whole table.
pub(crate) const ROWS: &[Row] = &[
    ("ping from outside", |ground, _| pings(&ground.lab.server, ground.outside(), &[])),
    ("ping from inside, to every address", |ground, _| {
        pings(ground.lab.workstation(), address::GATEWAY_INSIDE, &[])?;
        pings(ground.lab.workstation(), ground.outside(), &[])
    }),
    ("ping to outside", |ground, _| pings(&ground.lab.gateway, ground.remote(), &[])),
    ("ping to outside by an identifier", |ground, number| {
        pings(&ground.lab.gateway, ground.remote(), &["-e", &number.to_string()])
    }),
    ("ping to inside", |ground, _| {
        pings(&ground.lab.gateway, ground.lab.workstation().address(), &[])
    }),
    ("fragments from outside", |ground, _| {
        pings(&ground.lab.server, ground.outside(), &LARGE)?;
        asks(&ground.lab.server, 0, SocketAddrV4::new(ground.outside(), ECHO), 3000)
    }),
    ("fragments to outside", |ground, _| {
        pings(&ground.lab.gateway, ground.remote(), &LARGE)?;
        asks(&ground.lab.gateway, 0, ground.remote_echo.address(), 3000)
    }),
    ("fragments to outside from a port of the range", |ground, number| {
        asks(&ground.lab.gateway, number, ground.remote_echo.address(), 3000)
    }),
    ("fragments from inside", |ground, _| {
        pings(ground.lab.workstation(), address::GATEWAY_INSIDE, &LARGE)?;
        asks(ground.lab.workstation(), 0, SocketAddrV4::new(address::GATEWAY_INSIDE, ECHO), 3000)
    }),
    ("TCP service to outside", |ground, _| {
        converses(&ground.lab.server, SocketAddrV4::new(ground.outside(), SHELL))
    }),
    ("TCP service to inside", |ground, _| {
        converses(ground.lab.workstation(), SocketAddrV4::new(address::GATEWAY_INSIDE, SHELL))?;
        converses(ground.lab.workstation(), SocketAddrV4::new(ground.outside(), SHELL))
    }),
    ("UDP service", |ground, _| {
        asks(&ground.lab.server, 0, SocketAddrV4::new(ground.outside(), ECHO), 30)?;
        asks(ground.lab.workstation(), 0, SocketAddrV4::new(address::GATEWAY_INSIDE, ECHO), 30)
    }),
    ("services on ports of the range", |ground, number| {
        let shell = peer::shell_service(&ground.lab.gateway, number + 4).map_err(told)?;
        let echo = peer::udp_echo(&ground.lab.gateway, number + 5).map_err(told)?;
        let at = |service: &Service| SocketAddrV4::new(ground.outside(), service.address().port());
        converses(&ground.lab.server, at(&shell))?;
        asks(&ground.lab.server, 0, at(&echo), 30)?;
        asks(&ground.lab.server, 0, at(&echo), 3000)
    }),
    ("TCP out", |ground, _| converses(&ground.lab.gateway, ground.remote_shell.address())),
    ("TCP out from a port of the range", |ground, number| {
        converses_from(&ground.lab.gateway, number, ground.remote_shell.address())
    }),
    ("UDP out", |ground, _| asks(&ground.lab.gateway, 0, ground.remote_echo.address(), 30)),
    ("UDP out from a port of the range", |ground, number| {
        asks(&ground.lab.gateway, number + 1, ground.remote_echo.address(), 30)?;
        let seen = ground.remote_echo.seen().last().map(|peer| (peer.ip(), peer.port()));
        is(seen, Some((ground.outside().into(), number + 1)))
    }),
    ("an error about a datagram", |ground, _| refused(&ground.lab.gateway, 0, ground.remote())),
    ("an error about a datagram from a port of the range", |ground, number| {
        refused(&ground.lab.gateway, number + 2, ground.remote())
    }),
    ("an error about a datagram to inside", |ground, _| {
        refused(&ground.lab.gateway, 0, ground.lab.workstation().address())
    }),
    ("errors on the way", |ground, _| {
        let hops = peer::traceroute(&ground.lab.gateway, ground.remote(), Probe::Udp);
        let hops: Vec<_> = hops.map_err(told)?.into_iter().flatten().collect();
        is(hops, vec![address::ISP, address::EXCHANGE_TRANSIT, address::SERVER])
    }),
    ("path MTU", |ground, number| ground.path_mtu(number + 3)),
    ("a tunnel that goes on", |ground, _| {
        let [near, far] = &ground.tunnel;
        ground.carried(near, far)
    }),
    ("a tunnel that begins", |ground, number| {
        let protocol = NEW_PROTOCOLS + (number - FIRST_PORT) as u8 / PORTS as u8;
        let near = Portless::open(&ground.lab.gateway, protocol);
        ground.carried(&near, &Portless::open(&ground.lab.server, protocol))
    }),
];

impl<'a> Ground<'a> {
    pub(crate) fn prepare(lab: &'a Lab) -> Result<Self> {
        Ok(Self {
            lab,
            remote_echo: peer::udp_echo(&lab.server, ECHO)?,
            remote_shell: peer::shell_service(&lab.server, SHELL)?,
            tunnel: [Portless::open(&lab.gateway, GRE), Portless::open(&lab.server, GRE)],
            _own: [peer::udp_echo(&lab.gateway, ECHO)?, peer::shell_service(&lab.gateway, SHELL)?],
            _inside: peer::udp_echo(lab.workstation(), ECHO)?,
        })
    }

    /// The number for the first, second, … look at the table: ports, an identifier and a protocol that
    /// nobody has used before.
    pub(crate) fn number(look: u16) -> u16 {
        FIRST_PORT + look * PORTS
    }

    fn outside(&self) -> Ipv4Addr {
        self.lab.outside_address()
    }

    fn remote(&self) -> Ipv4Addr {
        self.lab.server.address()
    }

    fn carried(&self, near: &Portless, far: &Portless) -> Outcome {
        is(exchange([near, far], [self.outside(), self.remote()], 20), [20; 2])
    }

    /// A router says that a datagram is too large, and the host hears it.
    fn path_mtu(&self, port: u16) -> Outcome {
        let gateway = &self.lab.gateway;
        let remote = self.remote().to_string();
        let forget = || gateway.program("ip", &["route", "flush", "cache"]).map_err(told);
        forget()?;
        self.lab.set_transit_mtu(1400).map_err(told)?;
        let socket = gateway.udp(port).map_err(told)?;
        let sent = socket.send_to(&[7; 1450], self.remote_echo.address()).map_err(told);
        let knows = || {
            let route = gateway.program("ip", &["route", "get", &remote]);
            route.is_ok_and(|route| route.contains("mtu 1400"))
        };
        let heard = wait_until("the path's MTU is known", patience(), knows).map_err(told);
        self.lab.set_transit_mtu(1500).map_err(told)?;
        forget()?;
        sent.and(heard)
    }
}

/// A datagram to a port on which nobody listens is refused, and its sender hears it.
fn refused(host: &Host, port: u16, to: Ipv4Addr) -> Outcome {
    let socket = host.udp(port).map_err(told)?;
    socket.set_read_timeout(Some(patience())).map_err(told)?;
    socket.connect((to, NOBODY)).map_err(told)?;
    socket.send(b"is anybody there?").map_err(told)?;
    loop {
        match socket.recv(&mut [0; 16]) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return Err(format!("{other:?} instead of a refusal")),
        }
    }
}

const LARGE: [&str; 2] = ["-s", "3000"];
const ECHO: u16 = 7;
const SHELL: u16 = 22;
/// Where nobody listens.
const NOBODY: u16 = 4;
const GRE: u8 = 47;
/// Protocols that nobody has been given begin here.
const NEW_PROTOCOLS: u8 = 200;
/// A port that a gateway takes for its inside hosts.
const FIRST_PORT: u16 = 41_000;
/// How many ports a look takes.
const PORTS: u16 = 8;
