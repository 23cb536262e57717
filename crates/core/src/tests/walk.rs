//! Policies and routes that reach a table full of sessions a few at a time, with packets in between.

mod between_slices;
mod filters;
mod kept;
mod routes;
mod unsliced;

use masq_flow::{Direction, Slot};
use masq_wire::Endpoint;

use super::net::{Net, c1, c2, s1};

/// The first port of [`answered`].
const FIRST: u16 = 5000;

/// A network with so many answered sessions, of two hosts in turn.
fn answered(sessions: u16) -> Net {
    let mut net = Net::new();
    for number in 0..sessions {
        let inside = inside(number);
        let outside = net.udp_out(inside, s1(9));
        assert_eq!(net.udp_in(s1(9), outside), Some(inside));
    }
    net.events();
    net
}

/// The inside endpoint of one of the sessions of [`answered`].
fn inside(number: u16) -> Endpoint {
    if number.is_multiple_of(2) { c1(FIRST + number) } else { c2(FIRST + number) }
}

/// How many directions of all sessions the fast path carries.
fn fast(net: &Net) -> usize {
    let slots: Vec<Slot> = net.engine.table().slots().collect();
    let directions = slots.iter().flat_map(|slot| Direction::ALL.map(|way| (*slot, way)));
    directions.filter(|(slot, way)| net.is_fast(*slot, *way)).count()
}

/// Whether records and engine agree on which looks there were, as they must when no walk is under
/// way.
fn all_new(net: &Net) -> bool {
    let table = net.engine.table();
    table.sessions().all(|(_, session)| session.epoch == table.min_epoch())
}
