//! One packet for each reason to leave a session's packet to the engine. XDP leaves every one of them
//! to TC.

use masq_flow::punt::PuntReason;
use masq_flow::{Flags, NextHopId, NextHopState, PerDirection, Session};
use masq_wire::icmp::kind;
use masq_wire::make::{self, at};
use masq_wire::tcp::Flags as TcpFlags;
use masq_wire::{Endpoint, Protocol};

use super::{carry, usual};
use crate::in_network;
use crate::rig::{Became, Context, OUTSIDE, Port, Rig, SERVER, TO_SERVER, UNRESOLVED, next_hop};

#[test]
fn interface_packets_that_arrive_elsewhere() {
    let session = |rig: &mut Rig| usual(rig, Protocol::UDP);
    let other = |session: Session, rig: &Rig| Session {
        interfaces: PerDirection::new(rig.wan.index, rig.lan.index),
        ..session
    };
    punted(PuntReason::Interface, |rig| other(session(rig), rig), |_| datagram());
    // An interface that is not named is any.
    translated(
        |rig| Session { interfaces: PerDirection::new(0, 0), ..session(rig) },
        |_| datagram(),
    );
}

#[test]
fn malformed_headers_and_lengths() {
    let udp_session = |rig: &mut Rig| usual(rig, Protocol::UDP);
    let changed = |at: usize, to: u8, right: bool| {
        let mut packet = datagram();
        packet[at] = to;
        if right {
            make::fill_header_checksum(&mut packet);
        }
        packet
    };
    for (what, packet) in [
        ("header checksum", changed(10, 0x99, false)),
        ("total length beyond the frame", changed(3, 200, true)),
        ("total length within the header", changed(3, 19, true)),
        ("total length within the transport header", changed(3, 27, true)),
        ("UDP length beyond the packet", changed(25, 36, false)),
        ("UDP length within its header", changed(25, 7, false)),
    ] {
        punted_because(what, PuntReason::Malformed, udp_session, |_| packet.clone());
    }
    let segment = |offset: u8| {
        let mut packet = ack();
        packet[32] = offset << 4;
        packet
    };
    for offset in [0, 4, 15] {
        let session = |rig: &mut Rig| usual(rig, Protocol::TCP);
        punted_because("data offset", PuntReason::Malformed, session, |_| segment(offset));
    }
    let cut = |length: usize| {
        let mut packet = ack();
        packet.truncate(length);
        packet[3] = length as u8;
        make::fill_header_checksum(&mut packet);
        packet
    };
    let session = |rig: &mut Rig| usual(rig, Protocol::TCP);
    punted_because("half a TCP header", PuntReason::Malformed, session, |_| cut(32));
}

#[test]
fn mtu_packets_that_the_next_hop_does_not_take() {
    let sized = |length: usize| make::udp(inside(), remote(Protocol::UDP), &vec![7; length - 28]);
    let narrow = |rig: &mut Rig| {
        let hop = masq_flow::NextHopValue { mtu: 1280, ..next_hop(&rig.wan, NextHopState::Ready) };
        rig.next_hops[usize::from(TO_SERVER.0)].store(&hop);
        usual(rig, Protocol::UDP)
    };
    translated(narrow, |_| sized(1280));
    punted(PuntReason::Mtu, narrow, |_| sized(1281));
}

#[test]
fn mtu_of_segments_that_the_next_hop_does_not_take() {
    in_network(|| {
        let mut rig = fast_rig();
        let session = usual(&rig, Protocol::TCP);
        rig.enter(&session);
        let lan = rig.lan;
        let packet = make::tcp(inside(), remote(Protocol::TCP), TcpFlags::ACK, 1, 2, &[7; 3000]);
        let context = Context { segment: 1461, ..Context::at(lan) };
        let outcome = rig.arrive_frame(context, &lan.frame(&packet));
        assert_eq!(outcome.became, Became::Punted(PuntReason::Mtu));
    });
}

#[test]
fn next_hop_that_is_not_ready() {
    for hop in [UNRESOLVED, NextHopId::NONE, NextHopId(100), NextHopId(60_000)] {
        let session = |rig: &mut Rig| Session {
            next_hops: PerDirection::new(hop, hop),
            ..usual(rig, Protocol::UDP)
        };
        punted(PuntReason::NextHop, session, |_| datagram());
    }
}

#[test]
fn opening_segments_may_begin_another_connection() {
    let segment = |flags| make::tcp(inside(), remote(Protocol::TCP), flags, 1, 2, &[]);
    let session = |rig: &mut Rig| usual(rig, Protocol::TCP);
    punted(PuntReason::Opening, session, |_| segment(TcpFlags::SYN));
    translated(session, |_| segment(TcpFlags::SYN | TcpFlags::ACK));
    translated(session, |_| segment(TcpFlags::FIN | TcpFlags::ACK));
}

#[test]
fn options_of_any_kind() {
    let session = |rig: &mut Rig| usual(rig, Protocol::UDP);
    for options in [&[1, 1, 1, 0][..], &[7, 7, 4, 0, 0, 0, 0, 0], &[148, 4, 0, 0]] {
        punted(PuntReason::Options, session, |_| make::with_options(&datagram(), options));
    }
}

#[test]
fn protocol_without_ports_and_queries_other_than_echo() {
    let end = at("192.168.1.3:0");
    let gre = |rig: &mut Rig| {
        rig.masquerade(Protocol::GRE, end, at("203.0.113.1:0"), at("203.0.113.178:0"))
    };
    punted(PuntReason::Protocol, gre, |_| make::ip(Protocol::GRE, end.addr, SERVER, b"tunnel"));
    let query = |rig: &mut Rig| usual(rig, Protocol::ICMP);
    let identifier = 5353_u16.to_be_bytes();
    for kind in [kind::TIMESTAMP_REQUEST, kind::MASK_REQUEST, kind::INFORMATION_REQUEST] {
        let rest = [identifier[0], identifier[1], 0, 1];
        let message = move |_: &Rig| make::icmp(inside().addr, SERVER, kind, 0, rest, &[0; 12]);
        punted(PuntReason::Protocol, query, message);
    }
}

#[test]
fn reset_with_the_number_that_counts() {
    let reset =
        |sequence| make::tcp(inside(), remote(Protocol::TCP), TcpFlags::RST, sequence, 0, &[]);
    in_network(|| {
        let mut rig = fast_rig();
        let session = usual(&rig, Protocol::TCP);
        rig.enter(&session);
        let (lan, wan) = (rig.lan, rig.wan);
        carry(&mut rig, lan, &reset(0));
        let outside = session.reply.destination;
        let acknowledgement =
            make::tcp(remote(Protocol::TCP), outside, TcpFlags::ACK, 1, 7000, &[]);
        carry(&mut rig, wan, &acknowledgement);

        carry(&mut rig, lan, &reset(6999));
        carry(&mut rig, lan, &reset(7001));
        assert_left_to_engine(&mut rig, lan, &reset(7000), PuntReason::Reset, "");
    });
}

#[test]
fn session_that_is_the_engines() {
    let session = |rig: &mut Rig| Session { flags: Flags::PUNT, ..usual(rig, Protocol::UDP) };
    punted(PuntReason::Session, session, |_| datagram());
}

#[test]
fn stale_sessions_of_an_earlier_epoch() {
    in_network(|| {
        let mut rig = fast_rig();
        let lan = rig.lan;
        let session = Session { epoch: 3, ..usual(&rig, Protocol::UDP) };
        rig.enter(&session);
        rig.table.set_min_epoch(3);
        carry(&mut rig, lan, &datagram());
        rig.table.set_min_epoch(4);
        assert_left_to_engine(&mut rig, lan, &datagram(), PuntReason::Stale, "");
    });
}

#[test]
fn ttl_that_ends_here() {
    let session = |rig: &mut Rig| usual(rig, Protocol::UDP);
    for ttl in [0, 1] {
        punted(PuntReason::Ttl, session, |_| make::with_ttl(&datagram(), ttl));
    }
    translated(session, |_| make::with_ttl(&datagram(), 2));
}

#[test]
fn zero_checksums_that_only_the_content_tells() {
    in_network(|| {
        let mut rig = fast_rig();
        let wan = rig.wan;
        let to = at("203.0.113.1:77");
        let session =
            rig.masquerade(Protocol::ICMP, at("192.168.1.3:0"), to, at("203.0.113.178:0"));
        rig.enter(&session);
        for payload in [&[][..], &[0; 56]] {
            let reply = make::echo_reply(SERVER, to, 0, payload);
            assert_left_to_engine(&mut rig, wan, &reply, PuntReason::Zero, "nothing but zeros");
        }
        carry(&mut rig, wan, &make::echo_reply(SERVER, to, 0, b"data"));
        carry(&mut rig, wan, &make::echo_reply(SERVER, to, 1, &[0; 56]));
    });
    let session = |rig: &mut Rig| usual(rig, Protocol::TCP);
    let ones = |_: &Rig| {
        let mut packet = ack();
        packet[36..38].fill(0xff);
        packet
    };
    punted(PuntReason::Zero, session, ones);
}

#[test]
fn fragments_and_errors_are_of_no_session_here() {
    in_network(|| {
        let mut rig = fast_rig();
        let session = usual(&rig, Protocol::UDP);
        rig.enter(&session);
        let lan = rig.lan;
        let whole = make::udp(inside(), remote(Protocol::UDP), &[7; 2000]);
        for fragment in make::fragments(&whole, 1500) {
            assert_left_to_engine(&mut rig, lan, &fragment, PuntReason::Fragment, "");
        }
        let report = masq_wire::icmp::error::Report::TTL_EXCEEDED;
        let error = make::icmp_error(inside().addr, SERVER, report, &datagram());
        assert_left_to_engine(&mut rig, lan, &error, PuntReason::IcmpError, "");
        let stranger = make::udp(at("192.168.1.3:9"), remote(Protocol::UDP), b"payload");
        assert_left_to_engine(&mut rig, lan, &stranger, PuntReason::Inside, "");
        let miss = make::udp(remote(Protocol::UDP), Endpoint::v4(OUTSIDE, 41_000), b"payload");
        let wan = rig.wan;
        assert_left_to_engine(&mut rig, wan, &miss, PuntReason::Miss, "");
    });
}

#[test]
fn off_means_off() {
    in_network(|| {
        let mut rig = fast_rig();
        rig.set(crate::rig::settings());
        let session = usual(&rig, Protocol::UDP);
        rig.enter(&session);
        let lan = rig.lan;
        assert_left_to_engine(&mut rig, lan, &datagram(), PuntReason::Inside, "");
    });
}

/// A packet from inside that a session's record does not let through.
fn punted(
    reason: PuntReason,
    session: impl FnOnce(&mut Rig) -> Session + Send,
    packet: impl FnOnce(&Rig) -> Vec<u8> + Send,
) {
    punted_because("", reason, session, packet);
}

fn punted_because(
    what: &str,
    reason: PuntReason,
    session: impl FnOnce(&mut Rig) -> Session + Send,
    packet: impl FnOnce(&Rig) -> Vec<u8> + Send,
) {
    in_network(|| {
        let mut rig = fast_rig();
        let session = session(&mut rig);
        rig.enter(&session);
        let (lan, packet) = (rig.lan, packet(&rig));
        assert_left_to_engine(&mut rig, lan, &packet, reason, what);
    });
}

/// And one that it does.
fn translated(
    session: impl FnOnce(&mut Rig) -> Session + Send,
    packet: impl FnOnce(&Rig) -> Vec<u8> + Send,
) {
    in_network(|| {
        let mut rig = fast_rig();
        let session = session(&mut rig);
        rig.enter(&session);
        let (lan, packet) = (rig.lan, packet(&rig));
        carry(&mut rig, lan, &packet);
    });
}

fn assert_left_to_engine(rig: &mut Rig, from: Port, packet: &[u8], why: PuntReason, what: &str) {
    let frame = from.frame(packet);
    assert_eq!(rig.arrive_xdp(from, &frame), None, "XDP leaves it to TC: {what}");
    let outcome = rig.arrive_frame(Context::at(from), &frame);
    assert_eq!(outcome.became, Became::Punted(why), "{what}");
    rig.come_back(&outcome);
}

fn fast_rig() -> Rig {
    let mut rig = Rig::new();
    rig.go_fast();
    rig
}

fn inside() -> Endpoint {
    at("192.168.1.3:5353")
}

fn remote(protocol: Protocol) -> Endpoint {
    Endpoint::v4(SERVER, if protocol == Protocol::ICMP { 0 } else { 53 })
}

fn datagram() -> Vec<u8> {
    make::udp(inside(), remote(Protocol::UDP), b"payload")
}

fn ack() -> Vec<u8> {
    make::tcp(inside(), remote(Protocol::TCP), TcpFlags::ACK, 1, 2, b"payload")
}
