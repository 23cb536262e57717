//! How much of the engine one source may ask for.

use masq_flow::maps::{EarlyDrop, Settings};
use masq_flow::punt::PuntReason;
use masq_wire::make::{self, at};
use masq_wire::{Endpoint, Protocol};

use crate::in_network;
use crate::rig::{Became, Rig, settings};

use Became::{Dropped, Punted};

#[test]
fn a_flood_from_one_source_is_limited_and_another_source_is_not() {
    in_network(|| {
        let mut rig = Rig::new();
        let lan = rig.lan;
        rig.set(Settings { miss_rate: 1, miss_burst: 10, ..settings() });
        let mut send = |source: &str, port| {
            let source = at(source).with_port(port);
            rig.arrive(lan, &make::udp(source, at("203.0.113.178:53"), b"payload")).became
        };
        for port in 0..10 {
            assert_eq!(send("192.168.1.77:0", port), Punted(PuntReason::Inside), "{port}");
        }
        for port in 10..20 {
            assert_eq!(send("192.168.1.77:0", port), Dropped(EarlyDrop::RateLimited), "{port}");
        }
        assert_eq!(send("192.168.1.78:0", 1), Punted(PuntReason::Inside));
    });
}

#[test]
fn packets_of_sessions_cost_nothing() {
    in_network(|| {
        let mut rig = Rig::new();
        let lan = rig.lan;
        let ends = ["192.168.1.3:5353", "203.0.113.1:45000", "203.0.113.178:53"];
        rig.session(Protocol::UDP, ends);
        rig.set(Settings { miss_rate: 1, miss_burst: 1, ..settings() });
        let from = |inside: Endpoint| make::udp(inside, at("203.0.113.178:53"), b"payload");

        assert_eq!(rig.arrive(lan, &from(at("192.168.1.3:1"))).became, Punted(PuntReason::Inside));
        for _ in 0..10 {
            let became = rig.arrive(lan, &from(at("192.168.1.3:1"))).became;
            assert_eq!(became, Dropped(EarlyDrop::RateLimited));
            let became = rig.arrive(lan, &from(at("192.168.1.3:5353"))).became;
            assert_eq!(became, Punted(PuntReason::Inside));
        }
    });
}

#[test]
fn a_token_buys_eight_looks() {
    in_network(|| {
        let mut rig = Rig::new();
        let wan = rig.wan;
        rig.set(Settings { miss_rate: 1, miss_burst: 1, ..settings() });
        let datagram = make::udp(at("203.0.113.178:53"), at("203.0.113.1:41000"), &[7; 2000]);
        let fragment = &make::fragments(&datagram, 1500)[1];
        for _ in 0..8 {
            assert_eq!(rig.arrive(wan, fragment).became, Punted(PuntReason::Fragment));
        }
        assert_eq!(rig.arrive(wan, fragment).became, Dropped(EarlyDrop::RateLimited));
    });
}
