//! At the first end of the punt port: what the worker sends back.

use masq_flow::NextHopId;
use masq_flow::maps::EarlyDrop;
use masq_flow::punt::{LOCAL_MARK, OUT_MARK, Return, ReturnHeader};
use masq_wire::make::{self, at};
use zerocopy::IntoBytes;

use crate::in_network;
use crate::rig::{Became, Context, Outcome, Rig, TO_SERVER, TO_WORKSTATION, UNRESOLVED};

#[test]
fn a_packet_leaves_with_the_addresses_of_its_next_hop() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        let outcome = come_back(&mut rig, forward(TO_SERVER, wan.index));
        assert_eq!(outcome.became, Became::Returned);
        let expected = [&wan.neighbour[..], &wan.mac, &[8, 0], &datagram()].concat();
        // The program at the egress of an outside asks for the mark.
        assert_eq!((outcome.frame, outcome.mark), (expected, OUT_MARK));
        let lan = rig.lan;
        let inwards = come_back(&mut rig, forward(TO_WORKSTATION, lan.index));
        assert_eq!((inwards.became, inwards.mark), (Became::Returned, 0));
    });
}

#[test]
fn a_packet_for_the_host_arrives_once_more_with_a_mark() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        let outcome =
            come_back(&mut rig, ReturnHeader::new(Return::Local { ifindex: wan.index }, None));
        assert_eq!(outcome.became, Became::ReturnedLocal);
        let expected = [&wan.mac[..], &[0; 6], &[8, 0], &datagram()].concat();
        assert_eq!((outcome.frame, outcome.mark), (expected, LOCAL_MARK));
    });
}

#[test]
fn what_cannot_leave_is_dropped_and_counted() {
    in_network(|| {
        let mut rig = Rig::new();
        let (lan, wan) = (rig.lan, rig.wan);
        let mut unknown_kind = forward(TO_SERVER, wan.index).as_bytes().to_vec();
        unknown_kind[2] = 0x30;
        let local = ReturnHeader::new(Return::Local { ifindex: 9999 }, None);
        for (what, head, why) in [
            ("not ready", bytes(forward(UNRESOLVED, wan.index)), EarlyDrop::NextHop),
            ("empty", bytes(forward(NextHopId(100), wan.index)), EarlyDrop::NextHop),
            ("none", bytes(forward(NextHopId::NONE, wan.index)), EarlyDrop::NextHop),
            ("beyond the array", bytes(forward(NextHopId(5000), wan.index)), EarlyDrop::NextHop),
            ("another interface", bytes(forward(TO_SERVER, lan.index)), EarlyDrop::NextHop),
            ("an interface that is gone", bytes(local), EarlyDrop::NextHop),
            ("no magic", vec![0; 12], EarlyDrop::Stray),
            ("a kind of a later version", unknown_kind, EarlyDrop::Stray),
        ] {
            let frame = [&head[..], &[8, 0], &datagram()].concat();
            let outcome = rig.run("masq_return", Context::at(wan), &frame);
            assert_eq!(outcome.became, Became::Dropped(why), "{what}");
        }
    });
}

fn come_back(rig: &mut Rig, header: ReturnHeader) -> Outcome {
    let context = Context::at(rig.lan);
    rig.run("masq_return", context, &[header.as_bytes(), &[8, 0], &datagram()].concat())
}

fn forward(next_hop: NextHopId, ifindex: u32) -> ReturnHeader {
    ReturnHeader::new(Return::Forward { next_hop, link: ifindex as u16 }, None)
}

fn bytes(header: ReturnHeader) -> Vec<u8> {
    header.as_bytes().to_vec()
}

fn datagram() -> Vec<u8> {
    make::udp(at("203.0.113.1:40000"), at("203.0.113.178:53"), b"payload")
}
