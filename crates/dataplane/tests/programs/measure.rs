//! What a packet costs in the programs, without drivers and devices:
//!
//! ```text
//! cargo test -p masq-dataplane --test programs measure -- --ignored --nocapture
//! ```
//!
//! The kernel runs a program again and again on what the run before has left. So there are pairs of
//! sessions, of which each undoes what the other does, and a next hop that sends frames back to where
//! they came from. Only the time to live tells one run from the next.
#![expect(clippy::print_stderr, reason = "numbers are for whoever asked for them")]

use masq_flow::maps::{Settings, SettingsFlags};
use masq_flow::{NextHopState, NextHopValue, PerDirection, Session};
use masq_wire::make::{self, at};
use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, Protocol};

use crate::in_network;
use crate::rig::{Context, Rig, TO_SERVER, next_hop, settings};

/// How often a packet may be sent on before its time is up.
pub(crate) const REPEAT: u32 = 250;

#[test]
#[ignore = "a measurement"]
fn nanoseconds_per_packet() {
    in_network(|| {
        let mut rig = Rig::new();
        rig.go_fast();
        for (program, instructions, bytes) in rig.sizes() {
            eprintln!("{program}: {instructions} instructions verified, {bytes} bytes of code");
        }
        let lan = rig.lan;
        let back = NextHopValue { destination: lan.mac, ..next_hop(&lan, NextHopState::Ready) };
        rig.next_hops[usize::from(TO_SERVER.0)].store(&back);
        let [kept, changed] = [("192.168.1.3:5353", 5353), ("192.168.1.4:6000", 41_000)];
        for protocol in [Protocol::UDP, Protocol::TCP, Protocol::ICMP] {
            let remote =
                at(if protocol == Protocol::ICMP { "192.0.2.1:0" } else { "192.0.2.1:53" });
            for (what, (inside, port)) in [("kept", kept), ("changed", changed)] {
                let [inside, outside] = [at(inside), at("203.0.113.1:0").with_port(port)];
                for (from, to) in [(inside, outside), (outside, inside)] {
                    let interfaces = PerDirection::new(0, 0);
                    let session = rig.masquerade(protocol, from, to, remote);
                    rig.enter(&Session { interfaces, ..session });
                }
                let packet = make::with_ttl(&packet(protocol, inside, remote), 255);
                report(&mut rig, &format!("hit, {protocol}, port {what}"), &packet);
            }
        }
        // A punted packet would be punted again, header and all; these are dropped at the last step.
        let closed = Settings { punt_ifindex: 0, ..settings() };
        rig.set(Settings { flags: SettingsFlags::FAST_PATH.bits(), ..closed });
        let miss = packet(Protocol::UDP, at("192.168.1.9:1"), at("203.0.113.178:1"));
        report(&mut rig, "miss", &miss);
        rig.set(closed);
        report(
            &mut rig,
            "hit, fast path off",
            &packet(Protocol::UDP, at(kept.0), at("192.0.2.1:53")),
        );
    });
}

fn report(rig: &mut Rig, what: &str, packet: &[u8]) {
    let frame = rig.lan.frame(packet);
    let (lan, context) = (rig.lan, Context::at(rig.lan));
    let [tc, xdp] = [rig.time(context, &frame, REPEAT), rig.time_xdp(lan, &frame, REPEAT)];
    eprintln!("{what}: TC {tc} ns, XDP {xdp} ns");
}

fn packet(protocol: Protocol, from: Endpoint, to: Endpoint) -> Vec<u8> {
    match protocol {
        Protocol::TCP => make::tcp(from, to, Flags::ACK, 1, 2, &[7; 6]),
        Protocol::UDP => make::udp(from, to, &[7; 18]),
        _ => make::echo_request(from, to.addr, 1, &[7; 18]),
    }
}
