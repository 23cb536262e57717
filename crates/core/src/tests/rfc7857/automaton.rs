//! Section 2: the states of a connection.

use masq_wire::make;
use masq_wire::tcp::Flags;

use crate::tcp::State;
use crate::tests::net::{Connection, Net, c1, s1, s2};
use crate::{Duration, Filtering};

const FIN_ACK: Flags = Flags::FIN.union(Flags::ACK);
const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

#[test]
fn rfc7857_s2_tcp_from_closed_to_established() {
    let mut net = Net::new();
    let mut connection = Connection::begin(&mut net, c1(6000), s1(80));
    assert_eq!(state(&net), State::Init);
    connection.ingress(&mut net, SYN_ACK, b"");
    assert_eq!(state(&net), State::Established);
    connection.egress(&mut net, Flags::ACK, b"");
    connection.works(&mut net);
    assert_eq!(state(&net), State::Established);
}

#[test]
fn rfc7857_s2_tcp_a_syn_from_outside_opens_where_the_filter_lets_it_in() {
    let mut net = Net::filtering(Filtering::EndpointIndependent);
    let outside = Connection::begin(&mut net, c1(8080), s1(80)).outside;
    let syn = make::tcp(s2(4000), outside, Flags::SYN, 5000, 0, b"");
    net.send_in(&syn).inside();
    assert_eq!(states(&net), [State::Init, State::Init]);
    let answer = make::tcp(c1(8080), s2(4000), SYN_ACK, 1000, 5001, b"");
    net.send_out(&answer).outside();
    assert_eq!(states(&net), [State::Init, State::Established]);
}

#[test]
fn rfc7857_s2_tcp_an_opening_without_answer_ends() {
    let mut net = Net::new();
    Connection::begin(&mut net, c1(6000), s1(80));
    net.wait(239);
    assert_eq!(state(&net), State::Init);
    net.wait(1);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn rfc7857_s2_tcp_each_side_ends_for_itself() {
    let mut net = Net::new();
    let mut client_first = Connection::open(&mut net, c1(6000), s1(80));
    client_first.egress(&mut net, FIN_ACK, b"");
    assert_eq!(state(&net), State::ClientFinRcv);
    client_first.ingress(&mut net, FIN_ACK, b"");
    assert_eq!(state(&net), State::BothFin);
    client_first.egress(&mut net, Flags::ACK, b"");
    assert_eq!(state(&net), State::BothFin);
    net.wait(240);
    assert_eq!(net.sessions(), 0);

    let mut server_first = Connection::open(&mut net, c1(6001), s1(80));
    server_first.ingress(&mut net, FIN_ACK, b"");
    assert_eq!(state(&net), State::ServerFinRcv);
    server_first.egress(&mut net, FIN_ACK, b"");
    assert_eq!(state(&net), State::BothFin);
}

#[test]
fn rfc7857_s2_tcp_a_reset_leads_to_trans_and_data_back() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    connection.ingress(&mut net, Flags::RST, b"");
    assert_eq!(state(&net), State::Trans);
    connection.egress(&mut net, Flags::ACK, b"not for us");
    assert_eq!(state(&net), State::Established);
    connection.ingress(&mut net, Flags::ACK, b"");
    connection.egress(&mut net, Flags::RST, b"");
    assert_eq!(state(&net), State::Trans);
    net.wait(240);
    assert_eq!(net.sessions(), 0);
}

#[test]
fn rfc7857_s2_1_opening_and_closing_have_four_minutes_by_default() {
    let timeouts = Net::new().engine.policy().timeouts;
    let four_minutes = Duration::from_secs(240);
    assert_eq!((timeouts.tcp_opening, timeouts.tcp_closing), (four_minutes, four_minutes));
    assert_eq!(timeouts.tcp_reset, four_minutes);
}

#[test]
fn rfc7857_s2_1_opening_and_closing_are_set_apart() {
    for (opening, closing, established) in [(300, 500, 8000), (700, 240, 7440)] {
        let mut net = Net::with(|policy| {
            policy.timeouts.tcp_opening = Duration::from_secs(opening);
            policy.timeouts.tcp_closing = Duration::from_secs(closing);
            policy.timeouts.tcp_established = Duration::from_secs(established);
        });
        Connection::begin(&mut net, c1(6000), s1(80));
        lives_exactly(&mut net, opening);
        Connection::open(&mut net, c1(6001), s1(80)).close(&mut net);
        lives_exactly(&mut net, closing);
        Connection::open(&mut net, c1(6002), s1(80)).works(&mut net);
        lives_exactly(&mut net, established);
    }
}

#[test]
fn rfc7857_s2_2_a_reset_is_translated_and_the_mapping_waits() {
    for inbound in [true, false] {
        let mut net = Net::new();
        let mut connection = Connection::open(&mut net, c1(6000), s1(80));
        if inbound {
            connection.ingress(&mut net, Flags::RST, b"");
        } else {
            connection.egress(&mut net, Flags::RST, b"");
        }
        lives_exactly(&mut net, 240);
        assert!(!connection.lets_in(&mut net));
    }
}

#[test]
fn rfc7857_s2_2_a_reset_that_got_lost_behind_us_does_no_harm() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    // The inside host has never seen it, and goes on.
    let server = connection.server;
    connection.ingress(&mut net, Flags::RST, b"");
    connection.server = server;
    net.wait(239);
    connection.works(&mut net);
    net.wait(7439);
    connection.works(&mut net);
}

#[test]
fn rfc7857_s2_2_what_comes_after_a_reset_is_not_for_the_fast_path_until_data_has_revived_it() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    let punted = |net: &Net| {
        let (_, session) = net.engine.table().sessions().next().unwrap();
        session.flags.contains(masq_flow::Flags::PUNT)
    };
    assert!(!punted(&net));
    connection.egress(&mut net, Flags::RST, b"");
    assert!(punted(&net));
    connection.egress(&mut net, Flags::ACK, b"data");
    assert!(!punted(&net));
}

#[test]
fn rfc7857_s2_2_a_reset_with_another_sequence_number_changes_no_state() {
    let mut net = Net::new();
    let mut connection = Connection::open(&mut net, c1(6000), s1(80));
    connection.works(&mut net);
    for distance in [1, 2, 1000, 60_000, 1 << 30, u32::MAX] {
        let sequence = connection.server.wrapping_add(distance);
        let _ = connection.try_ingress(&mut net, Flags::RST, sequence, b"");
        let sequence = connection.client.wrapping_add(distance);
        let _ = connection.try_egress(&mut net, Flags::RST, sequence, b"");
        assert_eq!(state(&net), State::Established, "{distance} off");
    }
    net.wait(7439);
    connection.works(&mut net);
    // The right one does.
    connection.ingress(&mut net, Flags::RST, b"");
    assert_eq!(state(&net), State::Trans);
}

/// The only session lives so many seconds and not one more.
#[track_caller]
fn lives_exactly(net: &mut Net, seconds: u64) {
    net.wait(seconds - 1);
    assert_eq!(net.sessions(), 1, "it ended early");
    net.wait(1);
    assert_eq!(net.sessions(), 0, "it did not end");
}

#[track_caller]
fn state(net: &Net) -> State {
    let [state] = states(net)[..] else { panic!("not one session") };
    state
}

/// The states of all sessions, in the order of their records.
fn states(net: &Net) -> Vec<State> {
    let sessions = net.engine.table().sessions();
    sessions.map(|(_, session)| State::from_number(session.state).unwrap()).collect()
}
