//! `masq mappings`: one line for each inside endpoint and what stands for it.

use masq_api::MappingView;

use super::flows::count;
use super::table::{Column, Table};
use super::units;

/// The mappings of a gateway, page by page.
#[derive(Debug)]
pub(crate) struct Mappings(Table<8>);

impl Mappings {
    pub(crate) fn new() -> Self {
        Self(Table::new([
            Column::left("PROTO", 0),
            Column::left("INSIDE", 0),
            Column::left("OUTSIDE", 0),
            Column::right("SESSIONS", 0),
            Column::right("OUT", 0),
            Column::right("IN", 0),
            Column::right("IDLE", 0),
            Column::right("EXPIRES", 0),
        ]))
    }

    pub(crate) fn page(&mut self, mappings: &[MappingView]) -> String {
        let rows: Vec<_> = mappings.iter().map(row).collect();
        self.0.page(&rows)
    }
}

fn row(mapping: &MappingView) -> [String; 8] {
    [
        mapping.protocol.clone(),
        mapping.inside.to_string(),
        mapping.outside.to_string(),
        units::grouped(u64::from(mapping.sessions)),
        count(mapping.egress),
        count(mapping.ingress),
        units::seconds(mapping.idle),
        mapping.expires.map_or_else(|| "-".to_owned(), units::seconds),
    ]
}

#[cfg(test)]
mod tests {
    use masq_api::Count;

    use super::super::flows::tests::endpoint;
    use super::*;

    #[test]
    fn a_table_of_mappings() {
        let mapping = MappingView {
            protocol: "udp".into(),
            inside: endpoint([192, 168, 1, 3], 5000),
            outside: endpoint([203, 0, 113, 1], 5000),
            sessions: 2,
            egress: Count { packets: 3, bytes: 300 },
            ingress: Count::default(),
            idle: 12.0,
            expires: Some(288.0),
        };
        insta::assert_snapshot!(Mappings::new().page(&[mapping]), @r"
        PROTO  INSIDE            OUTSIDE           SESSIONS      OUT  IN  IDLE  EXPIRES
        udp    192.168.1.3:5000  203.0.113.1:5000         2  3/300 B   -   12s    4m48s
        ");
    }
}
