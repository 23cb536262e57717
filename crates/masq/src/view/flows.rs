//! `masq flows`: one line for each session.

use masq_api::{Count, FlowView};

use super::table::{Column, Table};
use super::units;

/// The sessions of a gateway, page by page.
#[derive(Debug)]
pub(crate) struct Flows(Table<9>);

impl Flows {
    pub(crate) fn new() -> Self {
        // Wide enough for "192.168.100.100:65535", so that pages line up.
        Self(Table::new([
            Column::left("PROTO", 0),
            Column::left("INSIDE", 21),
            Column::left("OUTSIDE", 21),
            Column::left("REMOTE", 21),
            Column::left("STATE", 11),
            Column::right("OUT", 12),
            Column::right("IN", 12),
            Column::right("IDLE", 6),
            Column::right("EXPIRES", 0),
        ]))
    }

    pub(crate) fn page(&mut self, flows: &[FlowView]) -> String {
        let rows: Vec<_> = flows.iter().map(row).collect();
        self.0.page(&rows)
    }
}

fn row(flow: &FlowView) -> [String; 9] {
    let remote = match &flow.hairpin {
        Some(inside) => format!("{} = {inside}", flow.remote),
        None => flow.remote.to_string(),
    };
    [
        flow.protocol.clone(),
        flow.inside.to_string(),
        if flow.kind == "plain" { "-".to_owned() } else { flow.outside.to_string() },
        remote,
        flow.state.clone(),
        count(flow.egress),
        count(flow.ingress),
        units::seconds(flow.idle),
        flow.expires.map_or_else(|| "-".to_owned(), units::seconds),
    ]
}

/// `12/1.2 kB`: packets and their bytes.
pub(crate) fn count(count: Count) -> String {
    if count.packets == 0 {
        return "-".to_owned();
    }
    format!("{}/{}", units::packets(count.packets), units::bytes(count.bytes))
}

#[cfg(test)]
pub(crate) mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use masq_api::EndpointView;

    use super::*;

    pub(crate) fn endpoint(address: [u8; 4], port: u16) -> EndpointView {
        EndpointView { address: IpAddr::V4(Ipv4Addr::from(address)), port }
    }

    pub(crate) fn flow() -> FlowView {
        FlowView {
            slot: 7,
            protocol: "tcp".into(),
            kind: "mapped".into(),
            inside: endpoint([192, 168, 1, 3], 40312),
            outside: endpoint([203, 0, 113, 1], 40312),
            remote: endpoint([203, 0, 113, 178], 8888),
            hairpin: None,
            state: "established".into(),
            egress: Count { packets: 12, bytes: 1234 },
            ingress: Count { packets: 71_000, bytes: 104_857_600 },
            age: 3.0,
            idle: 0.3,
            expires: Some(7439.7),
        }
    }

    #[test]
    fn a_table_of_sessions() {
        let mut ping = flow();
        ping.protocol = "icmp".into();
        ping.remote.port = 0;
        ping.state = "unreplied".into();
        ping.ingress = Count::default();
        ping.expires = None;
        let mut hairpin = flow();
        hairpin.remote = endpoint([203, 0, 113, 1], 5000);
        hairpin.hairpin = Some(endpoint([192, 168, 1, 4], 5000));
        insta::assert_snapshot!(Flows::new().page(&[flow(), ping, hairpin]));
    }

    #[test]
    fn an_empty_table_is_a_heading() {
        assert_eq!(Flows::new().page(&[]).lines().count(), 1);
    }
}
