//! TCP that moves much, or much at once.

use core::net::{IpAddr, SocketAddr};
use std::io::{Read, Write};
use std::thread;

use masq_lab::{Host, Lab, Result, Topology, Uplink, peer};

use super::Scenario;

const MB: u64 = 1_000_000;

pub(crate) fn tcp_carries_100_mb_each_way() -> Scenario {
    Scenario::new(Topology::new(), |lab, _gateway| {
        let server = peer::TransferServer::start(&lab.server, 8888)?;
        let down = server.download(lab.workstation(), 100 * MB)?;
        let up = server.upload(lab.workstation(), 100 * MB)?;
        assert_eq!(down.hash, up.hash, "the same content goes both ways");
        only_the_gateway_was_seen(lab, &server.service().seen_addresses());
        Ok(())
    })
    .packets(2000)
}

pub(crate) fn tcp_runs_both_ways_at_once() -> Scenario {
    Scenario::new(Topology::new().workstations(2).without_routers(), |lab, _gateway| {
        let servers = [
            peer::TransferServer::start(&lab.server, 8888)?,
            peer::TransferServer::start(&lab.second, 8888)?,
        ];
        let [first, second] = &servers;
        thread::scope(|scope| {
            let transfers = [
                scope.spawn(|| first.download(lab.workstation(), 10 * MB)),
                scope.spawn(|| first.upload(lab.workstation(), 10 * MB)),
                scope.spawn(|| second.download(&lab.workstations[1], 10 * MB)),
                scope.spawn(|| second.upload(&lab.workstations[1], 10 * MB)),
            ];
            transfers.into_iter().try_for_each(|transfer| transfer.join().unwrap().map(drop))
        })?;
        for server in &servers {
            only_the_gateway_was_seen(lab, &server.service().seen_addresses());
        }
        Ok(())
    })
    .packets(300)
}

pub(crate) fn two_hundred_connections_run_in_parallel() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, _gateway| {
        let echo = peer::tcp_echo(&lab.server, 8888)?;
        // All are open at the same time before any is used.
        let mut connections = Vec::new();
        for number in 0..200 {
            let host = &lab.workstations[number % 2];
            connections.push((number, host.connect(echo.address())?));
        }
        thread::scope(|scope| {
            let conversations: Vec<_> = connections
                .into_iter()
                .map(|(number, mut stream)| {
                    scope.spawn(move || {
                        let said = vec![number as u8; 50_000];
                        let mut heard = vec![0; said.len()];
                        let mut speaker = stream.try_clone().unwrap();
                        thread::scope(|scope| {
                            scope.spawn(|| speaker.write_all(&said).unwrap());
                            stream.read_exact(&mut heard).unwrap();
                        });
                        assert!(said == heard, "connection {number} hears what it said");
                    })
                })
                .collect();
            conversations.into_iter().for_each(|conversation| conversation.join().unwrap());
        });
        only_the_gateway_was_seen(lab, &echo.seen_addresses());
        let mut peers = echo.seen();
        peers.sort_unstable();
        peers.dedup();
        assert_eq!(peers.len(), 200, "each connection has an outside port of its own");
        Ok(())
    })
}

pub(crate) fn tcp_runs_over_a_tun_uplink() -> Scenario {
    Scenario::new(Topology::new().uplink(Uplink::Tun), |lab, _gateway| {
        let server = peer::TransferServer::start(&lab.server, 8888)?;
        server.download(lab.workstation(), 20 * MB)?;
        server.upload(lab.workstation(), 20 * MB)?;
        only_the_gateway_was_seen(lab, &server.service().seen_addresses());
        Ok(())
    })
}

pub(crate) fn hosts_may_use_the_same_source_port() -> Scenario {
    Scenario::new(Topology::new().workstations(3), |lab, _gateway| {
        let shells = [peer::shell_service(&lab.server, 22)?, peer::shell_service(&lab.second, 22)?];
        // Every pair of inside host and remote, all from port 40000, all at the same time.
        let mut sessions = Vec::new();
        for host in &lab.workstations {
            for shell in &shells {
                let stream = host.connect_from(40000, shell.address())?;
                sessions.push((host, peer::Shell::on(stream)?));
            }
        }
        for (host, session) in &mut sessions {
            session.say(host.name())?;
        }
        for shell in &shells {
            let mut seen = shell.seen();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 3, "no two hosts look the same to a remote");
            assert!(seen.iter().any(|peer| peer.port() == 40000), "the first keeps its port");
            only_the_gateway_was_seen(lab, &shell.seen_addresses());
        }
        Ok(())
    })
}

pub(crate) fn low_ports_stay_low() -> Scenario {
    Scenario::new(Topology::new().workstations(2), |lab, _gateway| {
        let shell = peer::shell_service(&lab.server, 22)?;
        let mut sessions = Vec::new();
        for host in &lab.workstations {
            sessions.push(peer::Shell::on(host.connect_from(600, shell.address())?)?);
        }
        for session in &mut sessions {
            session.say("hello")?;
        }
        let ports: Vec<u16> = shell.seen().iter().map(SocketAddr::port).collect();
        assert!(ports[0] != ports[1] && ports.iter().all(|port| *port < 1024), "{ports:?}");
        Ok(())
    })
}

/// The remotes must have seen the gateway's outside address and nothing else.
pub(crate) fn only_the_gateway_was_seen(lab: &Lab, addresses: &[IpAddr]) {
    assert_eq!(addresses, [IpAddr::V4(lab.outside_address())], "only the gateway is seen outside");
}

/// What a remote saw as the last peer.
pub(crate) fn last_peer(service: &peer::Service) -> SocketAddr {
    *service.seen().last().expect("the service was asked")
}

/// A short conversation over TCP, which shows that a path works.
pub(crate) fn converse(client: &Host, service: &peer::Service) -> Result<String> {
    peer::Shell::open(client, service.address())?.say("hello")
}
