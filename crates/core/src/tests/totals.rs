//! What all sessions carried, which a reader adds up while the engine works.

use core::net::IpAddr;

use masq_flow::{PerDirection, Total, Writer};
use masq_wire::make;

use super::net::{C1, Net, S1, X, c1, c2, policy, s1, s2, unreachable, x};
use crate::{DropReason, Engine, Prefix};

#[test]
fn every_translated_packet_is_in_the_totals_and_no_other() {
    let mut net = Net::new();
    let mut ends = Ends::default();
    ends.send(&mut net, &make::udp(c1(5000), s1(9), b"out"));
    ends.answer(&mut net, &make::udp(s1(9), x(5000), b"in, somewhat longer"));
    ends.send(&mut net, &make::echo_request(c1(7), S1, 1, b"ping"));
    // An error about a packet is translated too.
    let about = make::udp(x(5000), s1(9), b"out");
    ends.answer(&mut net, &make::icmp_error(S1, X, unreachable(3), &about));
    // What is dropped is not.
    net.send_in(&make::udp(s2(9), x(5000), b"a stranger's")).nothing_inside();
    assert_eq!(net.drops(DropReason::Filtered), 1);
    assert_eq!(net.totals(), ends.counted);
}

#[test]
fn the_totals_stay_when_sessions_end_and_their_slots_are_used_again() {
    let mut net = Net::new();
    let mut ends = Ends::default();
    for round in 0..5 {
        for host in [c1(6000), c2(6000)] {
            ends.send(&mut net, &make::udp(host, s1(80 + round), b"out"));
        }
        assert_eq!(net.totals(), ends.counted);
        net.wait(600);
        assert_eq!((net.sessions(), net.totals()), (0, ends.counted));
    }
    assert_eq!(net.engine.stats().created, 10);
}

#[test]
fn a_successor_counts_on_also_what_it_cannot_keep() {
    let mut net = Net::new();
    let mut ends = Ends::default();
    ends.send(&mut net, &make::udp(c1(5000), s1(9), b"out"));
    ends.send(&mut net, &make::udp(c2(5000), s1(9), b"out"));
    ends.answer(&mut net, &make::udp(s1(9), x(5000), b"in"));
    let (writer, _) =
        Writer::adopt(net.engine.table().memory().clone(), net.now().as_nanos()).unwrap();
    let mut without_second = policy();
    without_second.insides[0].networks[0] = Prefix { address: IpAddr::V4(C1), length: 32 };
    net.engine = Engine::new(7_u64, writer, without_second, net.now());
    assert_eq!((net.engine.stats().adopted, net.totals()), (1, ends.counted));
    ends.send(&mut net, &make::udp(c1(5000), s1(9), b"out"));
    assert_eq!(net.totals(), ends.counted);
}

/// What the ends count.
#[derive(Default)]
struct Ends {
    counted: PerDirection<Total>,
}

impl Ends {
    fn send(&mut self, net: &mut Net, packet: &[u8]) {
        let received = net.send_out(packet).outside();
        count(&mut self.counted.egress, received.bytes());
    }

    fn answer(&mut self, net: &mut Net, packet: &[u8]) {
        let received = net.send_in(packet).inside();
        count(&mut self.counted.ingress, received.bytes());
    }
}

fn count(total: &mut Total, packet: &[u8]) {
    total.packets += 1;
    total.bytes += packet.len() as u64;
}
