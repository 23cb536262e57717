//! The circumstances in which a frame arrives, and what became of it.

use masq_flow::Ticket;
use masq_flow::maps::{Counter, EarlyDrop, Role};
use masq_flow::punt::{PuntFlags, PuntHeader, PuntReason};
use zerocopy::IntoBytes;

use super::place::Port;

/// The circumstances in which a frame arrives: the fields of `struct __sk_buff` that a test may set.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The packet's mark.
    pub mark: u32,
    /// The interface.
    pub ifindex: u32,
    /// The payload of a segment; 0 for a packet that stays whole.
    pub segment: u32,
    /// At egress, the interface at which the packet arrived at the host; 0 if the host made it.
    pub arrived: u32,
    /// Whether the interface is an outside one.
    pub outside: bool,
}

impl Context {
    pub(super) const LENGTH: usize = 192;
    pub(super) const MARK: usize = 8;
    const INGRESS_IFINDEX: usize = 36;
    const IFINDEX: usize = 40;
    const GSO_SIZE: usize = 176;

    /// A whole packet without a mark.
    #[must_use]
    pub fn at(port: Port) -> Self {
        let outside = port.role == Role::Outside;
        Self { mark: 0, ifindex: port.index, segment: 0, arrived: 0, outside }
    }

    pub(super) fn bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        for (at, value) in [
            (Self::MARK, self.mark),
            (Self::INGRESS_IFINDEX, self.arrived),
            (Self::IFINDEX, self.ifindex),
            (Self::GSO_SIZE, self.segment),
        ] {
            bytes[at..][..4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It ended.
    Dropped(EarlyDrop),
    /// It goes on between insides, without a session.
    Forwarded,
    /// It is left to the host.
    Passed,
    /// It goes to the worker.
    Punted(PuntReason),
    /// It goes where the worker said.
    Returned,
    /// It goes to the host, as the worker said.
    ReturnedLocal,
    /// It goes on without the worker.
    Translated,
}

/// A frame after a program.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What became of it, by the counter that rose.
    pub became: Became,
    /// The frame.
    pub frame: Vec<u8>,
    /// Its mark.
    pub mark: u32,
}

impl Outcome {
    /// The ticket of a packet that was punted.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        let (header, _) = PuntHeader::split(&self.frame)?;
        header.ticket()
    }
}

/// A frame after a TC program, by the verdict alone.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The verdict (`TC_ACT_…`).
    pub action: i32,
    /// The frame.
    pub frame: Vec<u8>,
    /// Its mark.
    pub mark: u32,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) counters: Vec<u64>,
    pub(super) drops: Vec<u64>,
}

/// What became of the one packet between two readings: exactly one counter rose, by one.
pub(super) fn became(before: &Counts, after: &Counts) -> Became {
    let rose = |before: &[u64], after: &[u64]| -> Vec<(u32, u64)> {
        let pairs = (0..).zip(before.iter().zip(after));
        pairs.map(|(i, (before, after))| (i, after - before)).filter(|(_, by)| *by > 0).collect()
    };
    let counters = rose(&before.counters, &after.counters);
    let drops = rose(&before.drops, &after.drops);
    match (&counters[..], &drops[..]) {
        ([(counter, 1)], []) => match *counter {
            0 => Became::Passed,
            1 => Became::Translated,
            2 => Became::Returned,
            3 => Became::ReturnedLocal,
            5 => Became::Forwarded,
            punted => Became::Punted(PuntReason::ALL[(punted - Counter::PUNTED) as usize]),
        },
        ([], [(why, 1)]) => Became::Dropped(EarlyDrop::ALL[*why as usize]),
        _ => panic!("counters {counters:?} and drops {drops:?} rose"),
    }
}

/// A punted frame is a header that tells all about it, and the frame as it was.
pub(super) fn assert_punted_whole(
    context: &Context,
    frame: &[u8],
    outcome: &Outcome,
    reason: PuntReason,
) {
    let mut flags = PuntFlags::empty();
    flags.set(PuntFlags::OUTSIDE, context.outside);
    let length = if context.segment == 0 { frame.len() as u16 - 14 } else { 0 };
    let header = PuntHeader::new(reason, context.ifindex, flags, length, context.mark);
    let header = header.with_ticket(outcome.ticket());
    let expected = [header.as_bytes(), frame].concat();
    assert_eq!(outcome.frame, expected);
}
