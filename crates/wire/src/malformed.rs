//! Why bytes are not a packet: one variant for each check that parsing makes.

/// What is wrong with a packet.
///
/// Each is a counter and a reason of its own, so a variant names one fault only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    /// A fragment that brings no data, or one before the last whose data is not a multiple of eight.
    #[error("fragment's data is empty, or not a multiple of 8 bytes though more follow")]
    FragmentLength,
    /// Offset and length exceed the largest datagram ("ping of death").
    #[error("fragment reaches beyond the largest datagram")]
    FragmentTooFar,
    /// A TCP fragment at offset eight could replace the flags that a filter has seen (RFC 3128).
    #[error("fragment overlaps the TCP header of its datagram")]
    FragmentWithinTcpHeader,
    #[error("header is longer than the packet")]
    HeaderBeyondPacket,
    #[error("bad IPv4 header checksum")]
    HeaderChecksum,
    #[error("header length below 20 bytes")]
    HeaderLength,
    /// Of an error message only (RFC 5508 REQ-3); that of a query is for its receiver to check.
    #[error("bad checksum of an ICMP error")]
    IcmpChecksum,
    #[error("ICMP message below 8 bytes")]
    IcmpTruncated,
    #[error("IPv4 option reaches past the end of the header")]
    Options,
    #[error("bad IPv4 header checksum in the packet that an ICMP error quotes")]
    QuotedHeaderChecksum,
    #[error("header length below 20 bytes in the packet that an ICMP error quotes")]
    QuotedHeaderLength,
    #[error("total length below the header in the packet that an ICMP error quotes")]
    QuotedTotalLength,
    /// Less than the header and eight bytes (RFC 792).
    #[error("ICMP error quotes too little of its packet")]
    QuotedTruncated,
    #[error("packet that an ICMP error quotes is not IPv4")]
    QuotedVersion,
    #[error("TCP data offset below 20 bytes or beyond the segment")]
    TcpDataOffset,
    /// A first fragment that leaves part of the TCP header to the next (RFC 1858).
    #[error("first fragment without the whole TCP header")]
    TinyFragment,
    #[error("total length exceeds the packet")]
    TotalLengthBeyondPacket,
    #[error("total length below the header")]
    TotalLengthBelowHeader,
    #[error("TCP or UDP header is cut off")]
    TransportTruncated,
    #[error("packet below 20 bytes")]
    Truncated,
    #[error("UDP length below 8 bytes or beyond the datagram")]
    UdpLength,
    #[error("not IPv4")]
    Version,
}

impl Malformed {
    pub const ALL: [Self; 22] = [
        Self::FragmentLength,
        Self::FragmentTooFar,
        Self::FragmentWithinTcpHeader,
        Self::HeaderBeyondPacket,
        Self::HeaderChecksum,
        Self::HeaderLength,
        Self::IcmpChecksum,
        Self::IcmpTruncated,
        Self::Options,
        Self::QuotedHeaderChecksum,
        Self::QuotedHeaderLength,
        Self::QuotedTotalLength,
        Self::QuotedTruncated,
        Self::QuotedVersion,
        Self::TcpDataOffset,
        Self::TinyFragment,
        Self::TotalLengthBeyondPacket,
        Self::TotalLengthBelowHeader,
        Self::TransportTruncated,
        Self::Truncated,
        Self::UdpLength,
        Self::Version,
    ];

    /// A name for counters and logs, in kebab case; the text for people is its `Display`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FragmentLength => "fragment-length",
            Self::FragmentTooFar => "fragment-too-far",
            Self::FragmentWithinTcpHeader => "fragment-within-tcp-header",
            Self::HeaderBeyondPacket => "header-beyond-packet",
            Self::HeaderChecksum => "header-checksum",
            Self::HeaderLength => "header-length",
            Self::IcmpChecksum => "icmp-checksum",
            Self::IcmpTruncated => "icmp-truncated",
            Self::Options => "options",
            Self::QuotedHeaderChecksum => "quoted-header-checksum",
            Self::QuotedHeaderLength => "quoted-header-length",
            Self::QuotedTotalLength => "quoted-total-length",
            Self::QuotedTruncated => "quoted-truncated",
            Self::QuotedVersion => "quoted-version",
            Self::TcpDataOffset => "tcp-data-offset",
            Self::TinyFragment => "tiny-fragment",
            Self::TotalLengthBeyondPacket => "total-length-beyond-packet",
            Self::TotalLengthBelowHeader => "total-length-below-header",
            Self::TransportTruncated => "transport-truncated",
            Self::Truncated => "truncated",
            Self::UdpLength => "udp-length",
            Self::Version => "version",
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_holds_every_variant_once_and_in_order() {
        for (index, malformed) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(malformed as usize, index, "{malformed:?}");
        }
    }

    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<_> = Malformed::ALL.into_iter().map(Malformed::as_str).collect();

        assert_eq!(names.len(), Malformed::ALL.len());
    }
}
