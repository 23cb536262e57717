//! First packets: a flow begins when its packet can leave, and what is refused leaves nothing.

use masq_wire::make;

use super::net::{Net, S2, Table, X, c1, s1, s2, x};
use crate::ports::PortSpace;
use crate::{DropReason, NextHopState, Route};

#[test]
fn a_flow_that_is_refused_leaves_nothing() {
    let long = make::with_dont_fragment(&make::udp(c1(5000), s1(9), &[0; 1400]));
    let mut net = Net::new();
    net.routes.outside_mtu = 1300;
    assert_eq!(net.send_out(&long).drop_reason(), Some(DropReason::CannotFragment));

    net.routes.set_state(Table::ROUTER, NextHopState::Failed);
    let answer = net.send_out(&make::udp(c1(5000), s1(9), b"lost"));
    assert_eq!(answer.drop_reason(), Some(DropReason::NeighbourFailed));

    net.routes.set(S2, Route::Prohibited);
    let answer = net.send_out(&make::udp(c1(5000), s2(9), b"lost"));
    assert_eq!(answer.drop_reason(), Some(DropReason::Prohibited));

    assert_eq!((net.sessions(), net.engine.stats().mappings), (0, 0));
    assert_eq!(net.engine.sessions.ports.used_count(X.into(), PortSpace::Udp), 0);
}

#[test]
fn a_flow_begins_when_its_first_packet_can_leave() {
    let mut net = Net::new();
    net.routes.set_state(Table::ROUTER, NextHopState::Resolving);
    net.send_out(&make::udp(c1(5000), s1(9), b"first")).nothing();
    assert_eq!(net.sessions(), 0);

    let sent = net.next_hop(Table::ROUTER, NextHopState::Ready);
    assert_eq!((sent.len(), sent[0].source()), (1, x(5000)));
    assert_eq!(net.sessions(), 1);
}
