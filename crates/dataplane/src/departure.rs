//! Which way the packets of a flush leave, so that none overtakes another to the same next hop.
//!
//! ```text
//!   Redirected   by XDP, as a call sends many packets   ┐ crate::bulk
//!   Kernel       by the kernel, at the end of that call ┘
//!   Port         through the punt port, when all calls have returned
//! ```
//!
//! Each is over before the next begins. So a packet takes the first way that it may, but none before
//! that of an earlier packet to its next hop; and while packets to a next hop are under way through the
//! port, all others to it go there too.

/// A way out, the first to be over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Redirected,
    Kernel,
    Port,
}

/// What is under way, by next hop; number 0 stands for the host itself.
#[derive(Debug)]
pub(crate) struct NextHops(Vec<NextHop>);

#[derive(Clone, Copy, Debug)]
struct NextHop {
    /// Buffers under way through the port.
    outstanding: u32,
    /// The way of its last packet in this flush.
    way: Way,
}

impl NextHops {
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![NextHop { outstanding: 0, way: Way::Redirected }; count])
    }

    /// Begins a flush in which there are packets to this next hop.
    pub(crate) fn begin(&mut self, number: u16) {
        if let Some(hop) = self.0.get_mut(usize::from(number)) {
            hop.way = if hop.outstanding == 0 { Way::Redirected } else { Way::Port };
        }
    }

    /// The way of the next packet to this next hop, of which `first` is the first that it may take.
    pub(crate) fn choose(&mut self, number: u16, first: Way) -> Way {
        let Some(hop) = self.0.get_mut(usize::from(number)) else { return Way::Port };
        hop.way = hop.way.max(first);
        hop.way
    }

    /// Whether one more may go through the port; then it is under way.
    pub(crate) fn enter(&mut self, number: u16) -> bool {
        match self.0.get_mut(usize::from(number)) {
            Some(hop) if hop.outstanding < OUTSTANDING_MAX => {
                hop.outstanding += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// One is not under way any more.
    pub(crate) fn leave(&mut self, number: u16) {
        if let Some(hop) = self.0.get_mut(usize::from(number)) {
            hop.outstanding = hop.outstanding.saturating_sub(1);
        }
    }
}

/// How many buffers may be under way to one next hop.
const OUTSTANDING_MAX: u32 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_takes_a_way_before_that_of_an_earlier_one_to_its_next_hop() {
        let mut hops = NextHops::new(3);
        hops.begin(1);
        hops.begin(2);
        assert_eq!(hops.choose(1, Way::Redirected), Way::Redirected);
        assert_eq!(hops.choose(1, Way::Kernel), Way::Kernel);
        assert_eq!(hops.choose(1, Way::Redirected), Way::Kernel);
        assert_eq!(hops.choose(2, Way::Redirected), Way::Redirected, "another next hop");
        assert_eq!(hops.choose(1, Way::Port), Way::Port);
        assert_eq!(hops.choose(1, Way::Redirected), Way::Port);
        hops.begin(1);
        assert_eq!(hops.choose(1, Way::Redirected), Way::Redirected, "another flush");
    }

    #[test]
    fn behind_what_is_in_the_port_all_others_to_that_next_hop_go_there_too() {
        let mut hops = NextHops::new(3);
        assert!(hops.enter(1));
        hops.begin(1);
        hops.begin(2);
        assert_eq!(hops.choose(1, Way::Redirected), Way::Port);
        assert_eq!(hops.choose(2, Way::Redirected), Way::Redirected);
        hops.leave(1);
        hops.begin(1);
        assert_eq!(hops.choose(1, Way::Redirected), Way::Redirected);
    }

    #[test]
    fn a_next_hop_whose_device_has_stopped_has_so_many_buffers_and_no_more() {
        let mut hops = NextHops::new(2);
        assert!((0..OUTSTANDING_MAX).all(|_| hops.enter(1)));
        assert!(!hops.enter(1) && hops.enter(0));
        hops.leave(1);
        assert!(hops.enter(1));
        assert!(!hops.enter(7), "there is no such next hop");
    }
}
