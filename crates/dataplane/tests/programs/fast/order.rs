//! No packet overtakes those of its session that are still with the engine: each way in which a
//! session's packets come from there to the fast path, packet by packet.

use core::time::Duration;
use std::time::Instant;

use masq_flow::punt::{PuntReason, Return, ReturnHeader};
use masq_flow::{Direction, Flags, NextHopState, Session, Slot, Ticket};
use masq_wire::make;
use masq_wire::tcp::Flags as TcpFlags;
use masq_wire::{Protocol, Tuple};
use zerocopy::IntoBytes;

use super::stamps::monotonic;
use super::usual;
use crate::in_network;
use crate::rig::{Became, Context, Outcome, Port, Rig, TO_SERVER, UNRESOLVED, next_hop};

use Became::{Punted, Translated};

#[test]
fn a_new_sessions_second_packet_follows_the_first() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let slot = flow.rig.table.lookup(&flow.session.original).unwrap().0;
        flow.rig.table.remove(1, slot).unwrap();
        // What queued behind the first packet brings no ticket, and this one comes after it.
        let now = monotonic();
        let slot = flow.rig.table.insert(now, &flow.session).unwrap();
        flow.slot = slot;
        let second = flow.follows();
        assert_eq!(second.ticket().map(|ticket| ticket.number), Some(3), "XDP has taken one");
        flow.rig.come_back(&second);
        flow.goes_fast();
    });
}

#[test]
fn a_session_that_is_settled_at_its_beginning_goes_on_at_once() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::TCP));
        flow.goes_fast();
    });
}

#[test]
fn a_session_that_was_judged_anew() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        flow.rig.table.set_min_epoch(4);
        let first = flow.is_punted(PuntReason::Stale);
        let second = flow.is_punted(PuntReason::Stale);
        flow.update(|session| session.epoch = 4);
        let third = flow.follows();
        flow.rig.come_back(&first);
        let fourth = flow.follows();
        for punted in [second, third] {
            flow.rig.come_back(&punted);
            flow.is_waiting();
        }
        flow.rig.come_back(&fourth);
        flow.goes_fast();
    });
}

#[test]
fn a_session_that_the_engine_lets_go() {
    in_network(|| {
        let engines = |rig: &Rig| Session { flags: Flags::PUNT, ..usual(rig, Protocol::TCP) };
        let mut flow = Flow::with(engines);
        let first = flow.is_punted(PuntReason::Session);
        flow.update(|session| session.flags = Flags::empty());
        let second = flow.follows();
        flow.rig.come_back(&first);
        flow.is_waiting();
        flow.rig.come_back(&second);
        flow.goes_fast();
    });
}

#[test]
fn a_next_hop_that_becomes_ready() {
    in_network(|| {
        let mut flow = Flow::with(|rig| {
            let usual = usual(rig, Protocol::UDP);
            let mut next_hops = usual.next_hops;
            next_hops.egress = UNRESOLVED;
            Session { next_hops, ..usual }
        });
        let first = flow.is_punted(PuntReason::NextHop);
        let ready = next_hop(&flow.rig.wan, NextHopState::Ready);
        flow.rig.next_hops[usize::from(UNRESOLVED.0)].store(&ready);
        let second = flow.follows();
        flow.rig.come_back(&first);
        flow.rig.come_back(&second);
        flow.goes_fast();
    });
}

#[test]
fn one_packet_of_a_fast_flow_that_is_the_engines() {
    let with_options = |flow: &Flow| make::with_options(&flow.packet(), &[1, 1, 1, 0]);
    let too_long = |flow: &Flow| flow.packet_of(&[7; 1473]);
    let opening = |flow: &Flow| {
        let Tuple { source, destination, .. } = flow.session.original;
        make::tcp(source, destination, TcpFlags::SYN, 1, 0, &[])
    };
    let no_sum = |flow: &Flow| {
        let mut packet = flow.packet();
        packet[36..38].fill(0xff);
        packet
    };
    type Make = fn(&Flow) -> Vec<u8>;
    let kinds: [(Protocol, PuntReason, Make); 4] = [
        (Protocol::UDP, PuntReason::Options, with_options),
        (Protocol::UDP, PuntReason::Mtu, too_long),
        (Protocol::TCP, PuntReason::Opening, opening),
        (Protocol::TCP, PuntReason::Zero, no_sum),
    ];
    for (protocol, why, make) in kinds {
        in_network(move || {
            let mut flow = Flow::with(|rig| usual(rig, protocol));
            flow.goes_fast();
            let packet = make(&flow);
            let punted = flow.punted_as(&packet, why);
            let next = flow.follows();
            let last = flow.follows();
            flow.rig.come_back(&punted);
            flow.rig.come_back(&next);
            flow.is_waiting();
            flow.rig.come_back(&last);
            flow.goes_fast();
        });
    }
}

#[test]
fn a_datagram_in_pieces_is_not_overtaken_either() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let pieces = make::fragments(&flow.packet_of(&[7; 2000]), 1500);
        let first = flow.punted_as(&pieces[0], PuntReason::Fragment);
        assert!(first.ticket().is_some());
        let second = flow.punted_as(&pieces[1], PuntReason::Fragment);
        assert_eq!(second.ticket(), None, "it shows no ports");
        let next = flow.follows();
        flow.rig.come_back(&next);
        flow.goes_fast();
    });
}

#[test]
fn what_xdp_passes_on_is_not_overtaken_while_it_lies_in_gro() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let lan = flow.rig.lan;
        let packet = make::with_options(&flow.packet(), &[1, 1, 1, 0]);
        let (passed, next) = (lan.frame(&packet), lan.frame(&flow.packet()));

        assert_eq!(flow.rig.arrive_xdp(lan, &passed), None);
        assert_eq!(flow.rig.arrive_xdp(lan, &next), None);

        let first = flow.rig.arrive_frame(Context::at(lan), &passed);
        let second = flow.rig.arrive_frame(Context::at(lan), &next);
        flow.rig.come_back(&first);
        assert_eq!(flow.rig.arrive_xdp(lan, &next), None);
        flow.rig.come_back(&second);
        assert_eq!(flow.rig.arrive_xdp(lan, &next), None, "the third is still under way");
        let third = flow.rig.arrive_frame(Context::at(lan), &next);
        assert_eq!(third.became, Punted(PuntReason::Order));
        flow.rig.come_back(&third);
        assert!(flow.rig.arrive_xdp(lan, &next).is_some());
    });
}

#[test]
fn what_is_left_to_tc_for_good_waits_for_nothing() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let lan = flow.rig.lan;
        flow.rig.set_redirects(&[lan.index]);
        let packet = flow.packet();
        for _ in 0..3 {
            assert_eq!(flow.rig.arrive_xdp(lan, &lan.frame(&packet)), None);
            assert_eq!(flow.rig.arrive(lan, &packet).became, Translated);
        }
    });
}

#[test]
fn the_fast_path_switched_on_in_the_middle() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let (lan, packet) = (flow.rig.lan, flow.packet());
        flow.rig.set_fast(false);
        let slow = [(); 3].map(|()| flow.rig.arrive(lan, &packet));
        assert!(slow.iter().all(|punted| punted.became == Punted(PuntReason::Inside)));
        flow.rig.set_fast(true);
        let following = flow.follows();
        for punted in &slow {
            flow.rig.come_back(punted);
            flow.is_waiting();
        }
        flow.rig.come_back(&following);
        flow.goes_fast();
        flow.rig.set_fast(false);
        assert_eq!(flow.rig.arrive(lan, &packet).became, Punted(PuntReason::Inside));
    });
}

#[test]
fn a_lost_ticket_is_made_good_by_the_next() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let packet = make::with_options(&flow.packet(), &[1, 1, 1, 0]);
        flow.punted_as(&packet, PuntReason::Options);
        let next = flow.follows();
        flow.rig.come_back(&next);
        flow.goes_fast();
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is let go is let go after real time")]
fn a_flow_of_which_nothing_comes_back_is_let_go() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let packet = make::with_options(&flow.packet(), &[1, 1, 1, 0]);
        let begin = Instant::now();
        flow.punted_as(&packet, PuntReason::Options);
        let (lan, packet) = (flow.rig.lan, flow.packet());
        let mut punted = 0;
        while flow.rig.arrive(lan, &packet).became == Punted(PuntReason::Order) {
            punted += 1;
            assert!(begin.elapsed() < Duration::from_secs(2), "{punted}");
        }
        assert!(punted > 0 && begin.elapsed() > Duration::from_millis(100), "{punted}");
        // From here on in XDP as well; it has not come back, and is let go all the same.
        assert!(flow.rig.arrive_xdp(lan, &lan.frame(&packet)).is_some());
    });
}

#[test]
fn packets_that_leave_for_nowhere_are_not_waited_for() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let mut malformed = flow.packet();
        malformed[10] ^= 0xff;
        let expired = make::with_ttl(&flow.packet(), 1);
        for (packet, why) in [(malformed, PuntReason::Malformed), (expired, PuntReason::Ttl)] {
            let punted = flow.punted_as(&packet, why);
            assert_eq!(punted.ticket(), None);
            flow.goes_fast();
        }
    });
}

#[test]
fn the_other_direction_goes_on() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let packet = make::with_options(&flow.packet(), &[1, 1, 1, 0]);
        flow.punted_as(&packet, PuntReason::Options);
        let (wan, back) = (flow.rig.wan, flow.session.reply);
        let answer = make::udp(back.source, back.destination, b"answer");
        assert_eq!(flow.rig.arrive(wan, &answer).became, Translated);
        flow.follows();
    });
}

#[test]
fn a_packet_that_is_cut_is_back_with_its_last_segment() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::TCP));
        let Tuple { source, destination, .. } = flow.session.original;
        let packet = make::tcp(source, destination, TcpFlags::ACK, 1, 2, &[7; 2800]);
        let lan = flow.rig.lan;
        // More than the next hop takes; nobody has counted the two segments.
        let context = Context { segment: 1461, ..Context::at(lan) };
        let punted = flow.rig.arrive_frame(context, &lan.frame(&packet));
        assert_eq!(punted.became, Punted(PuntReason::Mtu));
        let ticket = punted.ticket().unwrap();
        assert_eq!((ticket.number, ticket.segment), (1 + 2, true));
        flow.give_back(ticket);
        flow.is_waiting();
        flow.give_back(ticket);
        flow.goes_fast();
    });
}

#[test]
fn a_packet_longer_than_its_header_can_say_comes_cut_and_is_not_overtaken() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::TCP));
        let lan = flow.rig.lan;
        let mut packet = flow.packet_of(&[7; 2800]);
        packet[2..4].fill(0);
        make::fill_header_checksum(&mut packet);
        let context = Context { segment: 1400, ..Context::at(lan) };
        let punted = flow.rig.arrive_frame(context, &lan.frame(&packet));
        assert_eq!(punted.became, Punted(PuntReason::Mtu));
        assert!(punted.ticket().is_some());
        flow.follows();
    });
}

#[test]
fn what_ends_on_its_way_back_is_not_waited_for() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let packet = make::with_options(&flow.packet(), &[1, 1, 1, 0]);
        let punted = flow.punted_as(&packet, PuntReason::Options);
        let gone = Return::Forward { next_hop: UNRESOLVED, link: flow.rig.wan.index as u16 };
        let header = ReturnHeader::new(gone, punted.ticket());
        let frame = [header.as_bytes(), &[8, 0], &packet].concat();
        let context = Context::at(flow.rig.wan);
        let outcome = flow.rig.run("masq_return", context, &frame);
        assert!(matches!(outcome.became, Became::Dropped(_)));
        flow.goes_fast();
    });
}

#[test]
fn tickets_are_for_sessions_that_can_be() {
    in_network(|| {
        let mut flow = Flow::with(|rig| usual(rig, Protocol::UDP));
        let (ticket, slots) = (flow.ticket(1), flow.rig.layout().slots);
        flow.give_back(Ticket { slot: Slot::new(slots), ..ticket });
        flow.give_back(Ticket { slot: Slot::new((1 << 26) - 1), ..ticket });
        flow.goes_fast();
        let stray = [&[0x33; 12][..], &[8, 0], &flow.packet()].concat();
        let context = Context::at(flow.rig.wan);
        let outcome = flow.rig.run("masq_return", context, &stray);
        assert!(matches!(outcome.became, Became::Dropped(_)));
    });
}

/// A session whose packets from inside are looked at.
struct Flow {
    rig: Rig,
    session: Session,
    slot: Slot,
}

impl Flow {
    fn with(session: impl FnOnce(&Rig) -> Session) -> Self {
        let mut rig = Rig::new();
        rig.go_fast();
        let session = session(&rig);
        let slot = rig.enter(&session);
        Self { rig, session, slot }
    }

    fn packet(&self) -> Vec<u8> {
        self.packet_of(b"payload")
    }

    fn packet_of(&self, payload: &[u8]) -> Vec<u8> {
        let Tuple { source, destination, protocol } = self.session.original;
        match protocol {
            Protocol::TCP => make::tcp(source, destination, TcpFlags::ACK, 1, 2, payload),
            _ => make::udp(source, destination, payload),
        }
    }

    /// The engine decides something else about the session.
    fn update(&mut self, change: impl FnOnce(&mut Session)) {
        change(&mut self.session);
        assert!(self.rig.table.update(self.slot, &self.session));
    }

    /// Both programs leave a packet to the engine.
    fn punted_as(&mut self, packet: &[u8], why: PuntReason) -> Outcome {
        let lan: Port = self.rig.lan;
        assert_eq!(self.rig.arrive_xdp(lan, &lan.frame(packet)), None);
        let outcome = self.rig.arrive(lan, packet);
        assert_eq!(outcome.became, Punted(why));
        outcome
    }

    fn is_punted(&mut self, why: PuntReason) -> Outcome {
        let packet = self.packet();
        self.punted_as(&packet, why)
    }

    fn follows(&mut self) -> Outcome {
        self.is_punted(PuntReason::Order)
    }

    /// A packet would follow others now.
    fn is_waiting(&self) {
        let records = self.rig.records();
        let activity = &records[self.slot.index() as usize].activity;
        assert!(!activity.is_settled(Direction::Egress));
    }

    fn goes_fast(&mut self) {
        let (lan, packet) = (self.rig.lan, self.packet());
        assert!(self.rig.arrive_xdp(lan, &lan.frame(&packet)).is_some(), "in XDP");
        assert_eq!(self.rig.arrive(lan, &packet).became, Translated);
    }

    fn ticket(&self, number: u16) -> Ticket {
        Ticket { slot: self.slot, direction: Direction::Egress, number, segment: false }
    }

    fn give_back(&mut self, ticket: Ticket) {
        let wan = self.rig.wan;
        let to = Return::Forward { next_hop: TO_SERVER, link: wan.index as u16 };
        let header = ReturnHeader::new(to, Some(ticket));
        let frame = [header.as_bytes(), &[8, 0], &self.packet()].concat();
        let outcome = self.rig.run("masq_return", Context::at(wan), &frame);
        assert_eq!(outcome.became, Became::Returned);
    }
}
