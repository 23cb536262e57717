//! TCP as its two ends speak it.

use masq_wire::tcp::Flags;
use masq_wire::{Endpoint, make};

use super::{Answer, Net};

/// First sequence number of the inside host.
const CLIENT: u32 = 1000;
/// First sequence number of the remote.
const SERVER: u32 = 5000;

/// A connection that an inside host has opened, with what each end sends next.
#[derive(Clone, Copy, Debug)]
pub(in crate::tests) struct Connection {
    pub(in crate::tests) inside: Endpoint,
    pub(in crate::tests) remote: Endpoint,
    pub(in crate::tests) outside: Endpoint,
    /// Next sequence number of the inside host.
    pub(in crate::tests) client: u32,
    /// Next sequence number of the remote.
    pub(in crate::tests) server: u32,
}

impl Connection {
    /// The three segments of an opening.
    #[track_caller]
    pub(in crate::tests) fn open(net: &mut Net, inside: Endpoint, remote: Endpoint) -> Self {
        let mut connection = Self::begin(net, inside, remote);
        connection.ingress(net, Flags::SYN | Flags::ACK, b"");
        connection.egress(net, Flags::ACK, b"");
        connection
    }

    /// The first of them.
    #[track_caller]
    pub(in crate::tests) fn begin(net: &mut Net, inside: Endpoint, remote: Endpoint) -> Self {
        let outside = syn_out(net, inside, remote);
        Self { inside, remote, outside, client: CLIENT + 1, server: SERVER }
    }

    /// The inside host sends a segment, which must arrive.
    #[track_caller]
    pub(in crate::tests) fn egress(&mut self, net: &mut Net, flags: Flags, data: &[u8]) {
        let seen = self.try_egress(net, flags, self.client, data).outside();
        assert_eq!((seen.source(), seen.destination()), (self.outside, self.remote));
        assert_eq!(seen.data(), data);
        self.client = self.client.wrapping_add(taken(flags, data));
    }

    /// The remote sends a segment, which must arrive.
    #[track_caller]
    pub(in crate::tests) fn ingress(&mut self, net: &mut Net, flags: Flags, data: &[u8]) {
        let seen = self.try_ingress(net, flags, self.server, data).inside();
        assert_eq!((seen.source(), seen.destination()), (self.remote, self.inside));
        assert_eq!(seen.data(), data);
        self.server = self.server.wrapping_add(taken(flags, data));
    }

    /// The inside host sends a segment with any sequence number.
    pub(in crate::tests) fn try_egress(
        &self,
        net: &mut Net,
        flags: Flags,
        sequence: u32,
        data: &[u8],
    ) -> Answer {
        let ack = if flags.contains(Flags::ACK) { self.server } else { 0 };
        net.send_out(&make::tcp(self.inside, self.remote, flags, sequence, ack, data))
    }

    /// Somebody outside sends a segment as if the remote had, with any sequence number.
    pub(in crate::tests) fn try_ingress(
        &self,
        net: &mut Net,
        flags: Flags,
        sequence: u32,
        data: &[u8],
    ) -> Answer {
        let ack = if flags.contains(Flags::ACK) { self.client } else { 0 };
        net.send_in(&make::tcp(self.remote, self.outside, flags, sequence, ack, data))
    }

    /// Data goes both ways. The remote is first, since a segment of the inside host would make a
    /// lost session anew.
    #[track_caller]
    pub(in crate::tests) fn works(&mut self, net: &mut Net) {
        self.ingress(net, Flags::ACK | Flags::PSH, b"question");
        self.egress(net, Flags::ACK | Flags::PSH, b"answer");
        self.ingress(net, Flags::ACK, b"");
    }

    /// Both ends close.
    #[track_caller]
    pub(in crate::tests) fn close(&mut self, net: &mut Net) {
        self.egress(net, Flags::FIN | Flags::ACK, b"");
        self.ingress(net, Flags::FIN | Flags::ACK, b"");
        self.egress(net, Flags::ACK, b"");
    }

    /// Whether data of the remote still gets in.
    pub(in crate::tests) fn lets_in(&self, net: &mut Net) -> bool {
        !self.try_ingress(net, Flags::ACK, self.server, b"late").all().is_empty()
    }
}

/// An inside host sends a SYN; returns its outside endpoint.
#[track_caller]
pub(super) fn syn_out(net: &mut Net, inside: Endpoint, remote: Endpoint) -> Endpoint {
    let seen = net.send_out(&make::tcp(inside, remote, Flags::SYN, CLIENT, 0, b"")).outside();
    assert_eq!(seen.destination(), remote);
    seen.source()
}

/// How many sequence numbers a segment takes.
fn taken(flags: Flags, data: &[u8]) -> u32 {
    data.len() as u32
        + u32::from(flags.contains(Flags::SYN))
        + u32::from(flags.contains(Flags::FIN))
}
