//! ICMP: ping, traceroute, path MTU discovery, and errors in both directions.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::io::ErrorKind;

use masq_lab::peer::{Hop, Probe};
use masq_lab::{Host, Lab, Result, SOON, Topology, address, peer, wait_for, wait_until};

use super::Scenario;
use super::bulk::last_peer;

pub(crate) fn ping_is_answered() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, gateway| {
        let quick = ["-c3", "-i", "0.01"];
        for remote in [&lab.server, &lab.second] {
            assert_all_answered(lab.workstation(), remote.address(), &quick)?;
        }
        // Two hosts with one identifier, to one remote, at the same time. When their first packets
        // race for one outside identifier, the kernel drops the loser's (insert_failed).
        let may_be_lost = u32::from(!gateway.is_masq());
        std::thread::scope(|scope| {
            let pings = lab.workstations.iter().map(|host| {
                let remote = lab.server.address();
                let same = ["-c20", "-i", "0.01", "-e", "777"];
                scope.spawn(move || {
                    let ping = peer::ping(host, remote, &same)?;
                    assert!(ping.received + may_be_lost >= ping.sent, "{}", ping.text);
                    assert!(!ping.text.contains("DUP!"), "{}", ping.text);
                    Ok(())
                })
            });
            let pings: Vec<_> = pings.collect();
            pings.into_iter().try_for_each(|ping| ping.join().unwrap())
        })?;
        // Several fragments each way.
        assert_all_answered(lab.workstation(), lab.server.address(), &["-c2", "-s", "4000"])?;
        // The gateway itself, from inside: its own kernel answers.
        assert_all_answered(lab.workstation(), address::GATEWAY_INSIDE, &quick)
    })
}

fn assert_all_answered(host: &Host, to: Ipv4Addr, arguments: &[&str]) -> Result<()> {
    let ping = peer::ping(host, to, arguments)?;
    assert_eq!(ping.sent, ping.received, "{}", ping.text);
    assert!(!ping.text.contains("DUP!"), "{}", ping.text);
    Ok(())
}

pub(crate) fn traceroute_by_udp_shows_every_hop() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let hops = peer::traceroute(lab.workstation(), lab.server.address(), Probe::Udp)?;
        assert_eq!(hops, way_to_the_server(lab));
        Ok(())
    })
}

pub(crate) fn traceroute_by_icmp_shows_every_hop() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let hops = peer::traceroute(lab.workstation(), lab.server.address(), Probe::Icmp)?;
        assert_eq!(hops, way_to_the_server(lab));
        Ok(())
    })
}

fn way_to_the_server(lab: &Lab) -> Vec<Hop> {
    let way =
        [address::GATEWAY_INSIDE, address::ISP, address::EXCHANGE_TRANSIT, lab.server.address()];
    way.map(Some).to_vec()
}

pub(crate) fn a_small_link_behind_the_gateway_is_discovered() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, _gateway| {
        lab.set_transit_mtu(1280)?;
        let [client, other] = &lab.workstations[..] else { unreachable!("two were asked for") };
        let bulk = [
            peer::TransferServer::start(&lab.server, 8888)?,
            peer::TransferServer::start(&lab.second, 8888)?,
        ];

        // Downwards the remote learns it. Whoever has learned announces a smaller segment size
        // to the other end, so each direction takes a remote of its own.
        bulk[0].download(client, 3_000_000)?;
        assert_eq!(learned_mtu(&lab.server, lab.outside_address())?, Some(1280));
        // Upwards the inside host learns it, from an error that the gateway had to translate.
        bulk[1].upload(client, 3_000_000)?;
        assert_eq!(learned_mtu(client, lab.second.address())?, Some(1280));

        // The same by ping, from a host that knows nothing.
        let server = lab.server.address();
        assert_eq!(learned_mtu(other, server)?, None);
        let ping = peer::ping(other, server, &["-c1", "-M", "do", "-s", "1400"])?;
        assert_eq!(ping.received, 0, "{}", ping.text);
        assert!(ping.text.contains("mtu = 1280"), "{}", ping.text);
        assert_eq!(learned_mtu(other, server)?, Some(1280));
        Ok(())
    })
}

/// The path MTU that a host's kernel keeps for a destination.
fn learned_mtu(host: &Host, to: Ipv4Addr) -> Result<Option<u16>> {
    let route = host.program("ip", &["route", "get", &to.to_string()])?;
    let value = route.split_whitespace().skip_while(|word| *word != "mtu").nth(1);
    Ok(value.and_then(|mtu| mtu.parse().ok()))
}

pub(crate) fn closed_ports_are_reported() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let closed = SocketAddrV4::new(lab.server.address(), 9);
        let refused = lab.workstation().connect(closed).unwrap_err().to_string();
        assert!(refused.contains("refused"), "{refused}");

        // Port unreachable reaches the very socket, which takes addresses and ports restored within.
        let socket = lab.workstation().udp(0)?;
        socket.connect(closed).unwrap();
        socket.send(b"anybody?").unwrap();
        let error = wait_for("the socket hears something", SOON, || {
            socket.recv(&mut [0; 16]).err().filter(|error| error.kind() != ErrorKind::Interrupted)
        })?;
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Ok(())
    })
}

pub(crate) fn an_inside_host_reports_its_closed_ports() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        // The remote answers from a connected socket, to which the kernel ties errors.
        let remote = lab.server.udp(7000)?;
        let socket = lab.workstation().udp(0)?;
        socket.send_to(b"hello", SocketAddrV4::new(lab.server.address(), 7000)).unwrap();
        let (_, outside) = peer::udp_receive(&remote, &mut [0; 16])?;
        remote.connect(outside).unwrap();
        drop(socket);

        // The error is about what the remote sent: to the gateway's address. The leak check of every
        // scenario looks into it.
        wait_until("the remote learns that the port is closed", SOON, || {
            let _ = remote.send(b"are you there?");
            remote.recv(&mut [0; 16]).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
        })?;
        let from_gateway = lab.outside.packets(|packet| packet.incoming && packet.bytes[9] == 1);
        let error = &from_gateway.last().expect("the capture saw the error").bytes;
        assert_eq!(error[12..16], lab.outside_address().octets());
        assert_eq!(error[20..22], [3, 3]);
        assert_eq!(error[44..48], lab.outside_address().octets(), "the quoted destination");
        assert_eq!(error[50..52], outside.port().to_be_bytes(), "the quoted port");

        // The mapping is none the worse (RFC 4787, REQ-12): the host may go on with the port.
        let again = lab.workstation().udp(0)?;
        let echo = peer::udp_echo(&lab.second, 7)?;
        peer::udp_ask(&again, echo.address(), b"go on")?;
        assert_eq!(last_peer(&echo).ip(), outside.ip());
        Ok(())
    })
}
