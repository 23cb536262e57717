//! How long a session lives without packets.

use crate::time::Duration;

/// Idle times after which sessions end, each settable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, both sides have answered.
    pub tcp_established: Duration,
    /// TCP, before that.
    pub tcp_opening: Duration,
    /// TCP, both sides have ended.
    pub tcp_closing: Duration,
    /// TCP, after a reset.
    pub tcp_reset: Duration,
    /// How long an unsolicited SYN from outside waits silently for a matching one from inside.
    pub tcp_inbound_syn: Duration,
    /// UDP.
    pub udp: Duration,
    /// ICMP queries.
    pub icmp: Duration,
    /// Every other protocol.
    pub other: Duration,
}

impl Timeouts {
    /// What the RFCs ask for, or recommend where that is longer.
    #[must_use]
    pub const fn rfc() -> Self {
        Self {
            // RFC 5382 REQ-5: at least two hours and four minutes.
            tcp_established: Duration::from_secs(2 * 3600 + 4 * 60),
            // RFC 5382 REQ-5 and RFC 7857 §2.1: at least four minutes.
            tcp_opening: Duration::from_secs(4 * 60),
            // As above.
            tcp_closing: Duration::from_secs(4 * 60),
            // RFC 7857 §2.2: four minutes from the reset on.
            tcp_reset: Duration::from_secs(4 * 60),
            // RFC 5382 REQ-4: at least six seconds.
            tcp_inbound_syn: Duration::from_secs(6),
            // RFC 4787 REQ-5: at least two minutes, five are recommended (REQ-5c).
            udp: Duration::from_secs(5 * 60),
            // RFC 5508 REQ-2: at least sixty seconds.
            icmp: Duration::from_secs(60),
            // No RFC has a number; what Linux has for protocols that it does not know.
            other: Duration::from_secs(10 * 60),
        }
    }

    /// What masquerading in Linux 2.2 did (net/ipv4/ip_masq.c, masq_timeout_table).
    #[must_use]
    pub const fn linux_2_2() -> Self {
        Self {
            // IP_MASQ_S_ESTABLISHED: 15 minutes.
            tcp_established: Duration::from_secs(15 * 60),
            // IP_MASQ_S_SYN_SENT: 2 minutes.
            tcp_opening: Duration::from_secs(2 * 60),
            // IP_MASQ_S_FIN_WAIT and IP_MASQ_S_TIME_WAIT: 2 minutes.
            tcp_closing: Duration::from_secs(2 * 60),
            // IP_MASQ_S_CLOSE: 10 seconds.
            tcp_reset: Duration::from_secs(10),
            // It had none: RFC 5382 REQ-4.
            tcp_inbound_syn: Duration::from_secs(6),
            // IP_MASQ_S_UDP: 5 minutes.
            udp: Duration::from_secs(5 * 60),
            // IP_MASQ_S_ICMP: 1 minute.
            icmp: Duration::from_secs(60),
            // It had none; the time of an established session.
            other: Duration::from_secs(15 * 60),
        }
    }

    /// The idle time of a class.
    #[must_use]
    pub const fn of(&self, class: TimeoutClass) -> Duration {
        match class {
            TimeoutClass::Icmp => self.icmp,
            TimeoutClass::Other => self.other,
            TimeoutClass::TcpClosing => self.tcp_closing,
            TimeoutClass::TcpEstablished => self.tcp_established,
            TimeoutClass::TcpOpening => self.tcp_opening,
            TimeoutClass::TcpReset => self.tcp_reset,
            TimeoutClass::Udp => self.udp,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::rfc()
    }
}

/// Which idle time a session has; its number stands in the session's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TimeoutClass {
    /// A protocol that is mapped by address alone.
    Other = 0,
    /// TCP that both sides have ended.
    TcpClosing = 1,
    /// TCP that both sides have answered.
    TcpEstablished = 2,
    /// TCP before that.
    TcpOpening = 3,
    /// TCP after a reset.
    TcpReset = 4,
    /// UDP.
    Udp = 5,
    /// An ICMP query.
    Icmp = 6,
}

impl TimeoutClass {
    /// Every class, by number.
    pub const ALL: [Self; 7] = [
        Self::Other,
        Self::TcpClosing,
        Self::TcpEstablished,
        Self::TcpOpening,
        Self::TcpReset,
        Self::Udp,
        Self::Icmp,
    ];

    /// The class of a number in a record.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number in a record.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_class() {
        for class in TimeoutClass::ALL {
            assert_eq!(TimeoutClass::from_number(class.number()), Some(class));
        }
        assert_eq!(TimeoutClass::from_number(7), None);
    }

    #[test]
    fn the_rfc_profile_keeps_every_minimum() {
        let rfc = Timeouts::rfc();
        assert!(rfc.tcp_established.as_secs() >= 7440 && rfc.udp.as_secs() >= 120);
        assert!(rfc.tcp_opening.as_secs() >= 240 && rfc.tcp_closing.as_secs() >= 240);
        assert!(rfc.tcp_reset.as_secs() >= 240 && rfc.icmp.as_secs() >= 60);
        assert!(rfc.tcp_inbound_syn.as_secs() >= 6);
    }
}
