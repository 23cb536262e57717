//! What is guessed of a packet before its turn is what becomes of it.

use core::net::Ipv4Addr;

use masq_wire::Endpoint;

use super::net::{Net, s1};
use crate::Pooling;

#[test]
fn the_endpoint_that_is_guessed_is_the_one_that_a_host_gets_while_its_port_is_free() {
    for (pooling, addresses) in
        [(Pooling::Paired, 7), (Pooling::Paired, 1), (Pooling::Arbitrary, 1)]
    {
        let mut net = pool(pooling, addresses);
        for host in hosts() {
            let guess = guess(&net, host).map(|address| Endpoint::new(address, 5000 + host));
            assert_eq!(guess, Some(net.udp_out(inside(host), s1(9))), "{pooling:?} of {addresses}");
        }
    }
}

#[test]
fn nothing_is_guessed_where_any_address_may_be_chosen_or_none_is_there() {
    for (pooling, addresses) in [(Pooling::Arbitrary, 7), (Pooling::Paired, 0)] {
        let net = pool(pooling, addresses);
        assert!(hosts().all(|host| guess(&net, host).is_none()), "{pooling:?} of {addresses}");
    }
}

fn hosts() -> impl Iterator<Item = u16> {
    10..90
}

fn inside(host: u16) -> Endpoint {
    Endpoint::v4(Ipv4Addr::new(192, 168, 1, host as u8), 5000 + host)
}

fn guess(net: &Net, host: u16) -> Option<core::net::IpAddr> {
    let outside = &net.engine.policy.outsides[0];
    net.engine.sessions.likely_address(&outside.pool, inside(host).addr)
}

fn pool(pooling: Pooling, addresses: u8) -> Net {
    Net::with(|policy| {
        let outside = &mut policy.outsides[0];
        outside.pool.addresses =
            (1..=addresses).map(|n| Ipv4Addr::new(203, 0, 113, n).into()).collect();
        outside.pool.pooling = pooling;
    })
}
