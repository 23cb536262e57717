//! The TCP automaton of RFC 7857 §2.
//!
//! It follows a connection by flags alone, to know how long its mapping must live. "Client" is the
//! inside host and "server" the remote, whichever of them began.
//!
//! ```text
//!                    ┌────────┐  SYN from either side
//!                    │ CLOSED │───────────────────────┐
//!                    └────────┘                       ▼
//!                      ▲  time is up              ┌────────┐
//!                      ├──────────────────────────│  INIT  │  opening time
//!                      │                          └────────┘
//!                      │                              │ SYN from the other side
//!                      │   FIN   ┌─────────────┐      │
//!                      │  ┌──────│ ESTABLISHED │◄─────┘      established time
//!                      │  │      └─────────────┘◄─────┐ anything but RST
//!                      │  ▼            │ RST          │
//!         ┌──────────────────────┐     ▼              │
//!         │ C FIN RCV, S FIN RCV │   ┌───────┐        │
//!         │  (established time)  │──►│ TRANS │────────┘      reset time
//!         └──────────────────────┘   └───────┘
//!               │ the other's FIN        │ time is up
//!               ▼                        ▼
//!         ┌────────────────┐           CLOSED
//!         │ C FIN, S FIN   │ closing time, then CLOSED
//!         └────────────────┘
//! ```
//!
//! *Resets.* A reset counts only if its sequence number is the highest acknowledgement that the
//! other side has sent: the only number that its true sender is sure to use, and one that somebody
//! off the path cannot know. Others are forwarded and change nothing, as the receiver will challenge
//! them (RFC 5961 §3.2). Even after a true one the mapping stays, since it may get lost behind us.
//!
//! *Picked up.* A connection that is older than its session (its segments carry ACK, no SYN was
//! seen) is established when both sides have sent an acknowledgement.
//!
//! *One side alone.* Of a connection that is not translated one direction may take another way, or
//! the kernel's; [`State::of`] goes by the acknowledgements of the other.
//!
//! *Stamps.* What the fast path has seen of a connection is known by the flags it noted;
//! [`State::reconciled`] brings the state up to date with them.

use masq_flow::{Activity, Direction, Session, TcpMark};
use masq_wire::Tcp;
use masq_wire::tcp::Flags;

use crate::policy::TimeoutClass;
use crate::session::Kind;

/// Where a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// Nothing was seen.
    #[default]
    Closed = 0,
    /// One side has begun.
    Init = 1,
    /// Both sides have answered.
    Established = 2,
    /// The inside host has ended its side.
    ClientFinRcv = 3,
    /// The remote has ended its side.
    ServerFinRcv = 4,
    /// Both sides have ended.
    BothFin = 5,
    /// One side has reset the connection.
    Trans = 6,
}

impl State {
    /// Every state, by number.
    pub const ALL: [Self; 7] = [
        Self::Closed,
        Self::Init,
        Self::Established,
        Self::ClientFinRcv,
        Self::ServerFinRcv,
        Self::BothFin,
        Self::Trans,
    ];

    /// The state of a number in a record.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number in a record.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name, as it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Init => "opening",
            Self::Established => "established",
            Self::ClientFinRcv => "inside-closed",
            Self::ServerFinRcv => "remote-closed",
            Self::BothFin => "closing",
            Self::Trans => "reset",
        }
    }

    /// Which idle time the state has.
    #[must_use]
    pub const fn class(self) -> TimeoutClass {
        match self {
            Self::Closed | Self::Init => TimeoutClass::TcpOpening,
            // A side that has ended may still receive for hours.
            Self::Established | Self::ClientFinRcv | Self::ServerFinRcv => {
                TimeoutClass::TcpEstablished
            }
            Self::BothFin => TimeoutClass::TcpClosing,
            Self::Trans => TimeoutClass::TcpReset,
        }
    }

    /// Whether the connection is over, though its mapping is not.
    #[must_use]
    pub const fn is_over(self) -> bool {
        match self {
            Self::BothFin | Self::Trans => true,
            Self::Closed
            | Self::Init
            | Self::Established
            | Self::ClientFinRcv
            | Self::ServerFinRcv => false,
        }
    }

    /// The state of a session's connection, with what was stamped on its record.
    #[must_use]
    pub fn of(session: &Session, activity: &Activity) -> Self {
        let state = Self::from_number(session.state).unwrap_or_default().reconciled(activity);
        match Kind::of(session) {
            Kind::Mapped => state,
            Kind::Plain => state.of_one_side(activity),
        }
    }

    /// The state where the other side's segments take another way: who acknowledges was answered, and
    /// when one side has ended there is no more to see.
    fn of_one_side(self, activity: &Activity) -> Self {
        let [client, server] = [Direction::Egress, Direction::Ingress]
            .map(|direction| Flags::from_bits_retain(activity[direction].tcp.flags));
        let seen = client | server;
        let alone = client.is_empty() || server.is_empty();
        let opening = matches!(self, Self::Closed | Self::Init);
        match opening && alone && seen.contains(Flags::ACK) {
            true if seen.contains(Flags::FIN) => Self::BothFin,
            true => Self::Established,
            false => self,
        }
    }

    /// The state with what has been stamped on the record since it was set.
    #[must_use]
    pub fn reconciled(self, activity: &Activity) -> Self {
        let [client, server] = [Direction::Egress, Direction::Ingress]
            .map(|direction| Flags::from_bits_retain(activity[direction].tcp.flags));
        let begun = match self {
            Self::Trans => return self,
            Self::Closed | Self::Init if !have_opened(client, server) => return Self::Init,
            Self::Closed | Self::Init => Self::Established,
            Self::Established | Self::ClientFinRcv | Self::ServerFinRcv | Self::BothFin => self,
        };
        let fin = (client.contains(Flags::FIN), server.contains(Flags::FIN));
        match (begun, fin) {
            (_, (true, true)) => Self::BothFin,
            (Self::Established, (true, false)) => Self::ClientFinRcv,
            (Self::Established, (false, true)) => Self::ServerFinRcv,
            (other, _) => other,
        }
    }

    /// The state after a segment, whose flags `activity` contains already.
    #[must_use]
    pub fn after(self, segment: Segment, activity: &Activity) -> Self {
        match segment {
            Segment::ForeignReset => self,
            Segment::Reset => match self {
                // There is nothing to reset yet, and the opening time is short already.
                Self::Closed | Self::Init | Self::BothFin => self,
                Self::Established | Self::ClientFinRcv | Self::ServerFinRcv | Self::Trans => {
                    Self::Trans
                }
            },
            Segment::Other if self == Self::Trans => Self::Established.reconciled(activity),
            Segment::Other => self.reconciled(activity),
        }
    }
}

/// Both sides have sent a SYN; or, when no SYN was seen, an acknowledgement.
fn have_opened(client: Flags, server: Flags) -> bool {
    let (both, any) = (client & server, client | server);
    both.contains(Flags::SYN) || !any.contains(Flags::SYN) && both.contains(Flags::ACK)
}

/// What a segment means to the automaton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A reset that the connection's own end may not have sent.
    ForeignReset,
    /// A reset whose number only the connection's own end can know.
    Reset,
    /// Anything else.
    Other,
}

impl Segment {
    /// Judges a segment that travels in `direction` by what was seen before it.
    #[must_use]
    pub fn of(tcp: &Tcp, direction: Direction, before: &Activity) -> Self {
        if !tcp.flags.contains(Flags::RST) {
            return Self::Other;
        }
        let marks = before[direction.reverse()].tcp;
        let acknowledged = marks.flags & TcpMark::ACK != 0;
        if acknowledged && marks.acknowledgement == tcp.sequence {
            Self::Reset
        } else {
            Self::ForeignReset
        }
    }

    /// What is noted of the segment in the record: the flags of a foreign reset are not.
    #[must_use]
    pub fn mark(self, tcp: &Tcp) -> Option<TcpMark> {
        let mark = TcpMark { flags: tcp.flags.bits(), acknowledgement: tcp.acknowledgment };
        (self != Self::ForeignReset).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use masq_flow::{PerDirection, SideActivity};

    use super::*;

    const SYN: u8 = TcpMark::SYN;
    const ACK: u8 = TcpMark::ACK;
    const FIN: u8 = TcpMark::FIN;

    fn seen(client: u8, server: u8) -> Activity {
        let side = |flags| SideActivity {
            tcp: TcpMark { flags, acknowledgement: 100 },
            ..SideActivity::default()
        };
        Activity { sides: PerDirection::new(side(client), side(server)) }
    }

    #[test]
    fn a_connection_opens_with_both_syns_from_either_side() {
        assert_eq!(State::Closed.reconciled(&seen(SYN, 0)), State::Init);
        assert_eq!(State::Closed.reconciled(&seen(0, SYN)), State::Init);
        assert_eq!(State::Init.reconciled(&seen(SYN, SYN | ACK)), State::Established);
        assert_eq!(State::Init.reconciled(&seen(SYN, SYN)), State::Established);
        assert_eq!(State::Init.reconciled(&seen(SYN, ACK)), State::Init, "not an answer");
    }

    #[test]
    fn a_connection_that_was_open_before_is_picked_up() {
        assert_eq!(State::Closed.reconciled(&seen(ACK, 0)), State::Init);
        assert_eq!(State::Init.reconciled(&seen(ACK, ACK)), State::Established);
    }

    #[test]
    fn each_side_ends_for_itself() {
        let open = SYN | ACK;
        let established = State::Established;
        assert_eq!(established.reconciled(&seen(open | FIN, open)), State::ClientFinRcv);
        assert_eq!(established.reconciled(&seen(open, open | FIN)), State::ServerFinRcv);
        let both = seen(open | FIN, open | FIN);
        for state in [established, State::ClientFinRcv, State::ServerFinRcv, State::BothFin] {
            assert_eq!(state.reconciled(&both), State::BothFin);
        }
        assert_eq!(State::Init.reconciled(&both), State::BothFin);
    }

    #[test]
    fn a_reset_counts_with_the_number_that_the_other_side_acknowledged() {
        let before = seen(SYN | ACK, SYN | ACK);
        let reset = |sequence| Tcp {
            source_port: 1,
            destination_port: 2,
            sequence,
            acknowledgment: 0,
            flags: Flags::RST,
            window: 0,
            header_len: 20,
            payload_len: 0,
        };
        for direction in Direction::ALL {
            let judged = |sequence| Segment::of(&reset(sequence), direction, &before);
            assert_eq!(judged(100), Segment::Reset);
            assert_eq!(judged(101), Segment::ForeignReset);
            assert_eq!(judged(0), Segment::ForeignReset);
        }
        assert_eq!(Segment::ForeignReset.mark(&reset(0)), None);
    }

    #[test]
    fn a_number_that_was_never_acknowledged_resets_nothing() {
        let reset = Tcp {
            source_port: 1,
            destination_port: 2,
            sequence: 0,
            acknowledgment: 0,
            flags: Flags::RST,
            window: 0,
            header_len: 20,
            payload_len: 0,
        };
        let nothing = Activity::default();
        assert_eq!(Segment::of(&reset, Direction::Ingress, &nothing), Segment::ForeignReset);
    }

    #[test]
    fn data_after_a_reset_brings_the_connection_back() {
        let open = seen(SYN | ACK, SYN | ACK);
        assert_eq!(State::Established.after(Segment::Reset, &open), State::Trans);
        assert_eq!(State::Trans.after(Segment::Reset, &open), State::Trans);
        assert_eq!(State::Trans.after(Segment::Other, &open), State::Established);
        assert_eq!(State::Trans.after(Segment::ForeignReset, &open), State::Trans);
        assert_eq!(State::Established.after(Segment::ForeignReset, &open), State::Established);
    }

    #[test]
    fn numbers_lead_back_to_their_state() {
        for state in State::ALL {
            assert_eq!(State::from_number(state.number()), Some(state));
        }
    }
}
