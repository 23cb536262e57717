//! Sessions and mappings.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An address and a port; for ICMP queries the port is the identifier, for protocols without ports 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointView {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

impl fmt::Display for EndpointView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

/// Packets and their bytes (IP length).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many packets.
    pub packets: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

/// One session: a mapping with a remote, or two ends that see each other as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowView {
    /// The record's place in the table; stable while the session lives.
    pub slot: u32,
    /// `tcp`, `udp`, `icmp`, `gre` … or the protocol's number.
    pub protocol: String,
    /// `mapped`, or `plain`: its packets leave as they arrive.
    #[serde(default = "mapped")]
    pub kind: String,
    /// The inside host.
    pub inside: EndpointView,
    /// What the world sees of it; of a plain session the inside host's own.
    pub outside: EndpointView,
    /// Whom it talks to, as the inside host addressed it.
    pub remote: EndpointView,
    /// Who really answers, when that differs: another inside host reached by its outside endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hairpin: Option<EndpointView>,
    /// The state by name: `established`, `opening`, `unreplied` …
    pub state: String,
    /// Inside to outside.
    pub egress: Count,
    /// Outside to inside.
    pub ingress: Count,
    /// Seconds since it was created.
    pub age: f64,
    /// Seconds since its last packet.
    pub idle: f64,
    /// Seconds until it ends if nothing more is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<f64>,
}

/// The kind of a session where a daemon tells none.
fn mapped() -> String {
    "mapped".to_owned()
}

/// One mapping: an inside endpoint and the outside endpoint that stands for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MappingView {
    /// As [`FlowView::protocol`].
    pub protocol: String,
    /// The inside host's endpoint.
    pub inside: EndpointView,
    /// The endpoint that the world sees.
    pub outside: EndpointView,
    /// How many sessions it has.
    pub sessions: u32,
    /// Inside to outside, over its sessions.
    pub egress: Count,
    /// Outside to inside, over its sessions.
    pub ingress: Count,
    /// Seconds since its last packet.
    pub idle: f64,
    /// Seconds until its last session ends if nothing more is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<f64>,
}

/// Which sessions (or the mappings of which sessions) are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowQuery {
    /// Only this protocol, by name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Only this inside host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<IpAddr>,
    /// Only this outside address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<IpAddr>,
    /// Only this remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    /// Only sessions with this port at the inside, the outside or the remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Only sessions in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Where the page of sessions begins: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// Beyond what the page of mappings begins: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<String>,
    /// How many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A part of the table, in the order of its slots.
///
/// The table changes while it is read: a session that lives from the first page to the last is listed
/// exactly once, a younger or older one perhaps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowPage {
    /// The sessions.
    pub flows: Vec<FlowView>,
    /// Ask again with `after` set to this; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// A part of the mappings, ordered by protocol and inside endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MappingPage {
    /// The mappings.
    pub mappings: Vec<MappingView>,
    /// Ask again with `beyond` set to this; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_reads_as_plain_json() {
        let json = r#"{"slot":7,"protocol":"tcp","inside":{"address":"192.168.1.3","port":40000},
            "outside":{"address":"203.0.113.1","port":40000},
            "remote":{"address":"203.0.113.178","port":8888},"state":"established",
            "egress":{"packets":2,"bytes":100},"ingress":{"packets":1,"bytes":60},
            "age":1.5,"idle":0.25,"expires":7439.75,"added-later":true}"#;
        let flow: FlowView = serde_json::from_str(json).unwrap();
        assert_eq!(flow.inside.to_string(), "192.168.1.3:40000");
        assert_eq!(flow.hairpin, None);
        let again: FlowView = serde_json::from_str(&serde_json::to_string(&flow).unwrap()).unwrap();
        assert_eq!(again, flow);
    }

    #[test]
    fn an_empty_query_is_empty_text() {
        assert_eq!(serde_json::to_string(&FlowQuery::default()).unwrap(), "{}");
    }
}
