//! REQ-1, REQ-3 and REQ-6 to REQ-8: endpoints, filters, payload, hairpins.

use masq_wire::make;
use masq_wire::tcp::Flags;

use crate::tests::net::{C2, Connection, Net, Table, c1, c2, s1, s2, x};
use crate::{Filtering, PortRanges};

#[test]
fn rfc5382_req_1_every_remote_sees_the_same_endpoint() {
    let mut net = Net::new();
    let mut connections: Vec<Connection> = [s1(80), s1(81), s2(80), s2(81)]
        .map(|remote| Connection::open(&mut net, c1(6000), remote))
        .into();
    for connection in &mut connections {
        assert_eq!(connection.outside, x(6000));
        connection.works(&mut net);
    }
}

#[test]
fn rfc5382_req_1_every_remote_sees_the_same_endpoint_after_a_collision() {
    let mut net = Net::new();
    Connection::open(&mut net, c2(6000), s1(80));
    let outside = Connection::open(&mut net, c1(6000), s1(80)).outside;
    assert_ne!(outside, x(6000));
    for remote in [s1(81), s2(80), s2(81)] {
        assert_eq!(Connection::open(&mut net, c1(6000), remote).outside, outside);
    }
}

#[test]
fn rfc5382_req_3_filtering_is_selectable() {
    for filtering in [
        Filtering::EndpointIndependent,
        Filtering::AddressDependent,
        Filtering::AddressAndPortDependent,
    ] {
        let mut net = Net::filtering(filtering);
        let outside = Connection::open(&mut net, c1(6000), s1(80)).outside;
        for remote in [s1(80), s1(1234), s2(80)] {
            let open = match filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => remote.addr == s1(80).addr,
                Filtering::AddressAndPortDependent => remote == s1(80),
            };
            let syn = make::tcp(remote, outside, Flags::SYN, 7, 0, b"");
            let seen = net.send_in(&syn).inside_if_any();
            let receiver = seen.map(|seen| seen.destination());
            assert_eq!(receiver, open.then(|| c1(6000)), "{filtering:?}: {remote}");
        }
    }
}

#[test]
fn rfc5382_req_6_payload_passes_untouched() {
    let mut net = Net::new();
    for (port, command) in [
        (6667, &b"PRIVMSG you :\x01DCC SEND file 3232235779 5000 1024\x01\r\n"[..]),
        (1720, b"\x03\0\0\x10\x08\x02\0\0\x05\xc0\xa8\x01\x03\x06\xb8\0"),
        (554, b"SETUP rtsp://s1/1 RTSP/1.0\r\nTransport: RTP/AVP;client_port=5000-5001\r\n\r\n"),
    ] {
        let mut connection = Connection::open(&mut net, c1(6000), s1(port));
        connection.egress(&mut net, Flags::ACK | Flags::PSH, command);
        connection.works(&mut net);
    }
    let announced = make::tcp(s1(6667), x(5000), Flags::SYN, 7, 0, b"");
    net.send_in(&announced).nothing_inside();
}

#[test]
fn rfc5382_req_7_two_hosts_with_the_same_port_get_different_ones() {
    let mut net = Net::with(|policy| {
        policy.outsides[0].pool.ports = PortRanges(vec![2000..=2003]);
    });
    let mut connections: Vec<Connection> = [c1(5000), c2(5000), c1(5001), c2(5001)]
        .map(|inside| Connection::open(&mut net, inside, s1(80)))
        .into();
    for connection in &mut connections {
        connection.works(&mut net);
    }
    let mut ports: Vec<u16> = connections.iter().map(|it| it.outside.port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [2000, 2001, 2002, 2003]);
    let refused = net.send_out(&make::tcp(c1(5002), s1(80), Flags::SYN, 1, 0, b""));
    assert!(refused.drop_reason().is_some());
}

#[test]
fn rfc5382_req_8_inside_hosts_connect_to_each_other_by_outside_endpoints() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    // The server has made its endpoint known by a connection of its own.
    let server = Connection::open(&mut net, c2(8080), s1(80)).outside;
    let syn = make::tcp(c1(6000), server, Flags::SYN, 100, 0, b"");
    let seen = net.send_out(&syn).inside();
    assert_eq!((seen.destination(), seen.next_hop()), (c2(8080), Table::neighbour(C2)));
    // REQ-8a: the peer that the server sees is the outside endpoint of the client.
    let client = seen.source();
    assert_eq!(client, x(6000));

    let open = Flags::SYN | Flags::ACK;
    let answer = net.send_out(&make::tcp(c2(8080), client, open, 900, 101, b"")).inside();
    assert_eq!((answer.source(), answer.destination()), (server, c1(6000)));
    let mut sequences = (101, 901);
    for _ in 0..3 {
        let (at, ack) = sequences;
        let data = make::tcp(c1(6000), server, Flags::ACK, at, ack, &[1; 1000]);
        assert_eq!(net.send_out(&data).inside().destination(), c2(8080));
        let data = make::tcp(c2(8080), client, Flags::ACK, ack, at + 1000, &[2; 1000]);
        assert_eq!(net.send_out(&data).inside().destination(), c1(6000));
        sequences = (at + 1000, ack + 1000);
        net.wait(7000);
    }
}

#[test]
fn rfc5382_req_8_a_hairpin_keeps_the_endpoint_that_it_leads_to() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let server = Connection::begin(&mut net, c2(8080), s1(80)).outside;
    let client = {
        let syn = make::tcp(c1(6000), server, Flags::SYN, 100, 0, b"");
        net.send_out(&syn).inside().source()
    };
    let open = Flags::SYN | Flags::ACK;
    net.send_out(&make::tcp(c2(8080), client, open, 900, 101, b"")).inside();
    // The server's own connection has long been forgotten; the client's has not.
    net.wait(7000);
    let data = make::tcp(c1(6000), server, Flags::ACK, 101, 901, b"still here");
    assert_eq!(net.send_out(&data).inside().destination(), c2(8080));
}
