//! A host of the lab: a namespace with a name, an address, and what one does on a host.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::time::Duration;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::{io, thread};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::deadline::{Deadline, SOON, wait_for};
use crate::error::Context;
use crate::program::{self, Output};
use crate::{Namespace, Result, sys};

/// A host, which is a namespace with interfaces and a usual address.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    address: Ipv4Addr,
}

impl Host {
    /// Makes a host without any interface but loopback.
    ///
    /// # Errors
    ///
    /// When the system does not permit it.
    pub fn new(name: impl Into<String>, address: Ipv4Addr) -> Result<Self> {
        Self::with_namespace(name, address, Namespace::new()?)
    }

    /// Makes a host on which a gateway can run: it has a `/run` of its own with a BPF file system.
    ///
    /// # Errors
    ///
    /// When the system does not permit it.
    pub fn gateway(name: impl Into<String>, address: Ipv4Addr) -> Result<Self> {
        let namespace = Namespace::new()?.with_own_mounts(crate::gateway::mount_bpf)?;
        Self::with_namespace(name, address, namespace)
    }

    /// Makes a host of a namespace.
    fn with_namespace(
        name: impl Into<String>,
        address: Ipv4Addr,
        namespace: Namespace,
    ) -> Result<Self> {
        // Nothing in the lab speaks IPv6, and its neighbour discovery would only add noise.
        // Anyone may ping. An error about a packet is always sent: the lab's floods are wanted.
        namespace.set_sysctls(&[
            ("net.ipv6.conf.all.disable_ipv6", "1"),
            ("net.ipv6.conf.default.disable_ipv6", "1"),
            ("net.ipv4.ping_group_range", "0 2147483647"),
            ("net.ipv4.icmp_ratelimit", "0"),
        ])?;
        Ok(Self { name: name.into(), namespace, address })
    }

    /// What it is called in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address by which the other hosts of its side reach it.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Runs `work` on this host. Sockets that it opens stay here.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(work)
    }

    /// Runs a program that must succeed; returns what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, cannot be started, or does not end.
    pub fn program(&self, program: &str, arguments: &[&str]) -> Result<String> {
        program::run_checked(&self.namespace, &self.name, program, arguments, "")
    }

    /// Runs a program that may fail.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or does not end.
    pub fn try_program(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        program::run(&self.namespace, program, arguments, "")
    }

    /// Runs a program with input; it must succeed.
    ///
    /// # Errors
    ///
    /// When it fails, cannot be started, or does not end.
    pub fn program_with_input(
        &self,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<String> {
        program::run_checked(&self.namespace, &self.name, program, arguments, input)
    }

    /// Runs `ip` commands, each without the leading `ip`.
    ///
    /// # Errors
    ///
    /// When one fails.
    pub fn ip(&self, commands: &[impl AsRef<str>]) -> Result<()> {
        ip_batch(&self.namespace, &self.name, commands)
    }

    /// Connects to a TCP service.
    ///
    /// # Errors
    ///
    /// When the connection is refused or takes long.
    pub fn connect(&self, to: impl Into<SocketAddr>) -> Result<TcpStream> {
        self.connect_within(to, SOON.allowed())
    }

    /// Connects to a TCP service with as much patience as said.
    ///
    /// # Errors
    ///
    /// When the connection is refused or takes longer.
    pub fn connect_within(
        &self,
        to: impl Into<SocketAddr>,
        allowed: Duration,
    ) -> Result<TcpStream> {
        let to = to.into();
        let stream = self
            .run(|| TcpStream::connect_timeout(&to, allowed))
            .context(|| format!("{} connects to {to}", self.name))?;
        patient(&stream).context(|| format!("{} connects to {to}", self.name))?;
        Ok(stream)
    }

    /// Connects from a chosen source port, which may be in use towards other destinations.
    ///
    /// # Errors
    ///
    /// When the port is taken or the connection refused.
    pub fn connect_from(&self, port: u16, to: SocketAddrV4) -> Result<TcpStream> {
        let connected = self.run(|| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket =
                rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            sockopt::set_socket_reuseport(&socket, true)?;
            rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
            match rustix::net::connect(&socket, &to) {
                Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
                connected => connected.map(|()| TcpStream::from(socket)),
            }
        });
        let what = || format!("{} connects from port {port} to {to}", self.name);
        let stream = connected.context(what)?;
        let answered = wait_for(what(), SOON, || match stream.take_error() {
            Ok(None) => stream.peer_addr().is_ok().then_some(Ok(())),
            Ok(Some(error)) | Err(error) => Some(Err(error)),
        })?;
        answered.and_then(|()| stream.set_nonblocking(false)).context(what)?;
        patient(&stream).context(what)?;
        Ok(stream)
    }

    /// Listens on a TCP port of all its addresses.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn listen(&self, port: u16) -> Result<TcpListener> {
        self.run(|| free_port(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))))
            .context(|| format!("{} listens on port {port}", self.name))
    }

    /// Opens a UDP socket on a port of all its addresses; 0 for any. It waits for two seconds.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn udp(&self, port: u16) -> Result<UdpSocket> {
        let what = || format!("{} opens UDP port {port}", self.name);
        let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
        let socket = self.run(|| free_port(bind)).context(what)?;
        socket.set_read_timeout(Some(Duration::from_secs(2))).context(what)?;
        // A 60 KB datagram in both directions, times a few.
        sockopt::set_socket_recv_buffer_size(&socket, 1 << 20).context(what)?;
        sockopt::set_socket_send_buffer_size(&socket, 1 << 20).context(what)?;
        Ok(socket)
    }

    /// How many BPF programs look at the packets of an interface on TC, in either direction, attached by
    /// tcx or, on a kernel older than that (Linux 6.6), as filters of a queueing discipline; those of XDP
    /// are shown by `ip`.
    ///
    /// # Errors
    ///
    /// When there is no such interface.
    pub fn attached_programs(&self, interface: &str) -> Result<u32> {
        let counted = self.run(|| {
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
            let index = rustix::net::netdevice::name_to_index(&socket, interface)?;
            TCX.into_iter().try_fold(0, |sum, kind| {
                Ok::<_, io::Error>(sum + sys::attached_programs(index, kind)?)
            })
        });
        match counted {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.filters(interface),
            counted => counted
                .context(|| format!("asking for the programs on {interface} of {}", self.name)),
        }
    }

    /// How many BPF programs are filters of an interface's queueing discipline.
    fn filters(&self, interface: &str) -> Result<u32> {
        ["ingress", "egress"].into_iter().try_fold(0, |sum, side| {
            let shown = self.program("tc", &["filter", "show", "dev", interface, side])?;
            // "filter protocol all pref 1 bpf chain 0 handle 0x1 masq_ingress direct-action …"
            let programs =
                shown.lines().filter(|line| line.contains(" bpf ") && line.contains(" handle "));
            Ok(sum + programs.count() as u32)
        })
    }

    /// Opens a way to send packets exactly as they are, well-formed or not, to the next host on an
    /// interface.
    ///
    /// # Errors
    ///
    /// When `neighbour` does not answer.
    pub fn raw_port(&self, interface: &str, neighbour: Ipv4Addr) -> Result<RawPort> {
        // Whoever answers to ping, or does not but has said its hardware address, is known after.
        self.try_program("ping", &["-n", "-c1", "-W1", &neighbour.to_string()])?;
        let known = self.program("ip", &["neigh", "show", "to", &neighbour.to_string()])?;
        let station = hardware_address(&known);
        let what = || format!("{} finds {neighbour} on {interface}: {known}", self.name);
        let station = station.ok_or(io::ErrorKind::NotFound).context(what)?;
        let opened = self.run(|| {
            let socket = rustix::net::socket_with(
                AddressFamily::from_raw(libc::AF_PACKET as u16),
                SocketType::DGRAM,
                SocketFlags::CLOEXEC,
                None,
            )?;
            let interface = rustix::net::netdevice::name_to_index(&socket, interface)?;
            Ok::<_, Errno>((socket, interface))
        });
        let (socket, interface) = opened.context(what)?;
        Ok(RawPort { socket, interface, station })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Sends packets past the host's own stack.
#[derive(Debug)]
pub struct RawPort {
    socket: OwnedFd,
    interface: u32,
    station: [u8; 6],
}

impl RawPort {
    /// Sends an IPv4 packet, or what claims to be one.
    ///
    /// # Errors
    ///
    /// When the interface does not take it.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        self.send_as(0x0800, packet)
    }

    /// Sends a packet under an ethertype.
    ///
    /// # Errors
    ///
    /// When the interface does not take it.
    pub fn send_as(&self, ethertype: u16, packet: &[u8]) -> Result<()> {
        self.send_to(self.station, ethertype, packet)
    }

    /// Sends a packet under an ethertype to any hardware address.
    ///
    /// # Errors
    ///
    /// When the interface does not take it.
    pub fn send_to(&self, station: [u8; 6], ethertype: u16, packet: &[u8]) -> Result<()> {
        sys::send_packet(&self.socket, self.interface, ethertype, station, packet)
            .context(|| format!("sending {} octets", packet.len()))
    }
}

/// Runs `ip` commands in a namespace, all by one program.
pub(crate) fn ip_batch(
    namespace: &Namespace,
    place: &str,
    commands: &[impl AsRef<str>],
) -> Result<()> {
    let lines: String = commands.iter().map(|line| format!("{}\n", line.as_ref())).collect();
    program::run_checked(namespace, place, "ip", &["-batch", "-"], &lines).map(drop)
}

/// The address after `lladdr` in a line of `ip neigh`.
fn hardware_address(line: &str) -> Option<[u8; 6]> {
    let text = line.split_whitespace().skip_while(|word| *word != "lladdr").nth(1)?;
    let octets: Vec<u8> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16))
        .collect::<Result<_, _>>()
        .ok()?;
    octets.try_into().ok()
}

/// Binds, with a little patience for a port that was given up a moment ago: while another thread
/// starts a program, the child holds every descriptor until it executes.
fn free_port<T>(mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Deadline::after(Duration::from_secs(1));
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && deadline.left().is_some() => {
                thread::yield_now();
            }
            bound => return bound,
        }
    }
}

/// No test waits for ever: a stream that stalls is an error.
fn patient(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SOON.allowed()))?;
    stream.set_write_timeout(Some(SOON.allowed()))
}

/// BPF_TCX_INGRESS and BPF_TCX_EGRESS.
const TCX: [u32; 2] = [46, 47];
