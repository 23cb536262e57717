//! What happens: packets of all kinds, time, policies, routes and neighbours.

use core::net::IpAddr;

use arbitrary::Arbitrary;
use masq_core::{Duration, Filtering, Mapping, Policy, PortRanges};
use masq_flow::{Direction, Session};
use masq_wire::icmp::error::Report;
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol, make};

use crate::place::{OUTSIDE, Ports, host, policy, remote};

/// A case.
#[derive(Arbitrary, Debug)]
pub(super) struct Input {
    pub(super) policy: u8,
    pub(super) steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Arbitrary, Debug)]
pub(super) enum Step {
    /// A packet arrives.
    Packet(Shot),
    /// The session's other side answers.
    Answer(Shot),
    /// Time passes.
    Wait(Pause),
    /// The administrator applies a policy, perhaps the same one.
    Policy(u8),
    /// The world is behind another router, or behind a narrower way.
    Route { router: bool, narrow: bool },
    /// Something becomes known of a neighbour.
    Neighbour { which: u8, state: u8 },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Pause {
    Ticks(u8),
    Seconds(u8),
    Minutes(u8),
}

impl Pause {
    /// Whole ticks of the engine's timers.
    pub(super) fn duration(self) -> Duration {
        match self {
            Self::Ticks(ticks) => Duration::from_millis(50 * u64::from(ticks)),
            Self::Seconds(seconds) => Duration::from_secs(u64::from(seconds)),
            Self::Minutes(minutes) => Duration::from_secs(60 * u64::from(minutes)),
        }
    }
}

/// A packet, and how it comes.
#[derive(Arbitrary, Debug)]
pub(super) struct Shot {
    pub(super) whose: Whose,
    pub(super) what: What,
    pub(super) size: Size,
    pub(super) damage: Option<Damage>,
    pub(super) more_damage: Option<Damage>,
    /// Cut into fragments of at most so many bytes, of which these arrive.
    pub(super) cut: Option<(u8, u8)>,
    /// The frame is filled up to a length.
    pub(super) padding: Option<u8>,
    /// The interface has the XDP program too.
    pub(super) xdp: bool,
}

/// Between whom.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Whose {
    /// A host and a remote.
    New { host: u8, port: u8, remote: u8, remote_port: u8 },
    /// The ends of a session, in one of its directions.
    Session { pick: u8, ingress: bool },
    /// A host, and the outside endpoint of a session.
    Hairpin { host: u8, port: u8, pick: u8 },
    /// A stranger, and the outside endpoint of a session.
    Stranger { remote: u8, port: u8, pick: u8 },
    /// A stranger and any port.
    Nobody { remote: u8, port: u16 },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum What {
    Tcp { flags: u8, sequence: Number, acknowledgment: Number, options: bool },
    Udp { checksum: bool },
    Echo { sequence: u8 },
    Query { kind: u8 },
    Error { kind: u8 },
    Gre,
}

/// A TCP number: one that counts, one beside it, or any.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Number {
    Expected,
    Near(i8),
    Any(u32),
}

impl Number {
    fn from(self, expected: u32) -> u32 {
        match self {
            Self::Expected => expected,
            Self::Near(by) => expected.wrapping_add_signed(by.into()),
            Self::Any(number) => number,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Size {
    Small(u8),
    /// So many bytes below or above what the way takes.
    Edge(i8),
}

/// What is wrong with a packet.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Damage {
    Ttl(u8),
    Tos(u8),
    Options(u8),
    DontFragment,
    /// A byte is another, and the header's checksum may be made right again.
    Byte {
        at: u8,
        value: u8,
        right: bool,
    },
    /// The length field says something else.
    Length {
        by: i8,
    },
    /// The end is missing, and the length field knows or does not.
    Truncated {
        to: u8,
        known: bool,
    },
    Checksum(u16),
}

/// A packet and whether it comes from outside.
pub(super) struct Made {
    pub(super) outside: bool,
    pub(super) packets: Vec<Vec<u8>>,
}

impl Shot {
    /// The packets; `acknowledged` are the highest numbers that each side of the session has
    /// acknowledged.
    pub(super) fn make(
        &self,
        sessions: &[(Session, [u32; 2])],
        answer: bool,
        mtu: u32,
    ) -> Option<Made> {
        let pick = |pick: u8| {
            let index = usize::from(pick).checked_rem(sessions.len())?;
            sessions.get(index)
        };
        let mut protocol = None;
        let mut numbers = [7000, 7000];
        let (from, to, outside) = match self.whose {
            Whose::New { host: number, port, remote: other, remote_port } => {
                let from = Endpoint::v4(host(number), 4000 + u16::from(port % 8));
                let to = Endpoint::v4(remote(other), 80 + u16::from(remote_port % 4));
                (from, to, false)
            }
            Whose::Session { pick: number, ingress } => {
                let (session, acknowledged) = pick(number)?;
                let ingress = ingress != answer;
                let direction = if ingress { Direction::Ingress } else { Direction::Egress };
                let tuple = session.arriving(direction);
                protocol = Some(tuple.protocol);
                let other = direction.reverse();
                numbers = [acknowledged[other.index()], acknowledged[direction.index()]];
                let inside = match tuple.source.addr {
                    IpAddr::V4(address) => crate::place::LAN.contains(address.into()),
                    IpAddr::V6(_) => false,
                };
                (tuple.source, tuple.destination, !inside)
            }
            Whose::Hairpin { host: number, port, pick: target } => {
                let from = Endpoint::v4(host(number), 4000 + u16::from(port % 8));
                let (session, _) = pick(target)?;
                protocol = Some(session.original.protocol);
                (from, session.reply.destination, false)
            }
            Whose::Stranger { remote: number, port, pick: target } => {
                let from = Endpoint::v4(remote(number), 80 + u16::from(port % 4));
                let (session, _) = pick(target)?;
                protocol = Some(session.original.protocol);
                (from, session.reply.destination, true)
            }
            Whose::Nobody { remote: number, port } => {
                (Endpoint::v4(remote(number), 9999), Endpoint::v4(OUTSIDE, port), true)
            }
        };
        let what = self.what.like(protocol);
        let mut packet = self.packet(what, from, to, numbers, mtu)?;
        for damage in [self.damage, self.more_damage].into_iter().flatten() {
            damage.inflict(&mut packet);
        }
        let packets = match self.cut {
            Some((size, which)) if masq_wire::Packet::parse(&mut packet.clone()).is_ok() => {
                let pieces = cut(&packet, 68 + 4 * usize::from(size));
                let arrives = |i: usize| i >= 8 || which >> i & 1 == 0;
                (0..).zip(pieces).filter(|(i, _)| arrives(*i)).map(|(_, piece)| piece).collect()
            }
            Some(_) | None => vec![packet],
        };
        Some(Made { outside, packets })
    }

    fn packet(
        &self,
        what: What,
        from: Endpoint,
        to: Endpoint,
        [sequence, acknowledgment]: [u32; 2],
        mtu: u32,
    ) -> Option<Vec<u8>> {
        let headers = match what {
            What::Tcp { options, .. } => 40 + if options { 8 } else { 0 },
            What::Udp { .. } | What::Echo { .. } | What::Query { .. } | What::Error { .. } => 28,
            What::Gre => 20,
        };
        let size = match self.size {
            Size::Small(size) => usize::from(size),
            Size::Edge(by) => (mtu - headers).saturating_add_signed(by.into()) as usize,
        };
        let payload = vec![0x5a; size.min(3000)];
        let IpAddr::V4(destination) = to.addr else { return None };
        Some(match what {
            What::Tcp { flags, sequence: number, acknowledgment: ack, options } => {
                let options: &[u8] = if options { &[2, 4, 5, 0xb4, 1, 1, 1, 0] } else { &[] };
                make::tcp_with_options(
                    from,
                    to,
                    Flags::from_bits_retain(flags),
                    number.from(sequence),
                    ack.from(acknowledgment),
                    options,
                    &payload,
                )
            }
            What::Udp { checksum: true } => make::udp(from, to, &payload),
            What::Udp { checksum: false } => make::udp_without_checksum(from, to, &payload),
            What::Echo { sequence } if from.addr == IpAddr::V4(destination) || from.port != 0 => {
                make::echo_request(from, destination, sequence.into(), &payload)
            }
            What::Echo { sequence } => make::echo_reply(from.addr, to, sequence.into(), &payload),
            What::Query { kind } => {
                let [high, low] = from.port.max(to.port).to_be_bytes();
                make::icmp(from.addr, destination, kind, 0, [high, low, 0, 1], &payload)
            }
            What::Error { kind } => {
                // About a packet of the other direction.
                let reports = [
                    Report::TTL_EXCEEDED,
                    Report::unreachable(1),
                    Report::unreachable(3),
                    Report::REASSEMBLY_EXCEEDED,
                ];
                let report = reports[usize::from(kind) % reports.len()];
                let about = match kind >> 6 {
                    0 => make::udp(to, from, b"quoted"),
                    1 => make::tcp(to, from, Flags::ACK, 1, 2, b"quoted"),
                    2 => make::echo_request(to, from.addr, 1, b"quoted"),
                    _ => make::ip(Protocol::GRE, to.addr, from.addr, b"quoted"),
                };
                make::icmp_error(from.addr, destination, report, &about)
            }
            What::Gre => make::ip(Protocol::GRE, from.addr, destination, &payload),
        })
    }
}

impl What {
    /// The same for a session of a protocol; errors are about any.
    fn like(self, protocol: Option<Protocol>) -> Self {
        let Some(protocol) = protocol else { return self };
        match (protocol, self) {
            (_, Self::Error { .. } | Self::Query { .. })
            | (Protocol::TCP, Self::Tcp { .. })
            | (Protocol::UDP, Self::Udp { .. })
            | (Protocol::ICMP, Self::Echo { .. })
            | (Protocol::GRE, Self::Gre) => self,
            (Protocol::TCP, _) => Self::Tcp {
                flags: Flags::ACK.bits(),
                sequence: Number::Expected,
                acknowledgment: Number::Near(1),
                options: false,
            },
            (Protocol::UDP, _) => Self::Udp { checksum: true },
            (Protocol::ICMP, _) => Self::Echo { sequence: 1 },
            _ => Self::Gre,
        }
    }
}

impl Damage {
    fn inflict(self, packet: &mut Vec<u8>) {
        match self {
            Self::Ttl(ttl) => *packet = make::with_ttl(packet, ttl),
            Self::Tos(tos) => *packet = make::with_tos(packet, tos),
            Self::DontFragment => *packet = make::with_dont_fragment(packet),
            Self::Options(which) => {
                let options: [&[u8]; 4] =
                    [&[1, 1, 1, 0], &[7, 7, 4, 0, 0, 0, 0, 0], &[148, 4, 0, 0], &[131, 3, 4, 0]];
                if packet.len() >= 20 && packet[0] == 0x45 {
                    *packet = make::with_options(packet, options[usize::from(which) % 4]);
                }
            }
            Self::Byte { at, value, right } => {
                let length = packet.len();
                if let Some(byte) = packet.get_mut(usize::from(at) % length.max(1)) {
                    *byte = value;
                }
                if right {
                    make_header_right(packet);
                }
            }
            Self::Length { by } => {
                if let Some([high, low]) = packet.get(2..4).map(|two| [two[0], two[1]]) {
                    let length = u16::from_be_bytes([high, low]).wrapping_add_signed(by.into());
                    packet[2..4].copy_from_slice(&length.to_be_bytes());
                    make_header_right(packet);
                }
            }
            Self::Truncated { to, known } => {
                packet.truncate(usize::from(to));
                if known && packet.len() >= 20 {
                    let length = packet.len() as u16;
                    packet[2..4].copy_from_slice(&length.to_be_bytes());
                    make_header_right(packet);
                }
            }
            Self::Checksum(value) => {
                let at = match packet.get(9) {
                    Some(6) => 36,
                    Some(17) => 26,
                    Some(_) | None => 22,
                };
                if let Some(checksum) = packet.get_mut(at..at + 2) {
                    checksum.copy_from_slice(&value.to_be_bytes());
                }
            }
        }
    }
}

fn make_header_right(packet: &mut [u8]) {
    let length = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    if length >= 20 && packet.len() >= length {
        make::fill_header_checksum(packet);
    }
}

fn cut(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    if packet.len() <= mtu { vec![packet.to_vec()] } else { make::fragments(packet, mtu) }
}

/// A policy of the picture.
pub(super) fn policy_number(number: u8, ports: Ports) -> Policy {
    let mut policy = policy(ports);
    let outside = &mut policy.outsides[0];
    match number % 8 {
        1 => outside.pool.filtering = Filtering::EndpointIndependent,
        2 => outside.pool.mapping = Mapping::AddressDependent,
        3 => {
            outside.pool.ports = PortRanges(vec![4000..=4007]);
            outside.pool.preserve_ports = false;
        }
        4 => {
            policy.timeouts.udp = Duration::from_secs(10);
            policy.timeouts.tcp_established = Duration::from_secs(30);
            policy.timeouts.icmp = Duration::from_secs(5);
        }
        5 => policy.hosts.sessions = 3,
        6 => outside.pool.mapping = Mapping::AddressAndPortDependent,
        7 => {
            outside.pool.filtering = Filtering::AddressDependent;
            policy.icmp_errors = None;
        }
        _ => {}
    }
    policy
}
