//! `masq status`: who runs, since when, between which interfaces.

use core::fmt::Write;

use masq_api::{Role, Status};

use super::table::{Column, Table};
use super::units;

pub(crate) fn text(status: &Status) -> String {
    let Status { instance, version, pid, uptime, config, fast_path, interfaces } = status;
    let config = config
        .as_ref()
        .map_or_else(|| "the command line".into(), |path| path.display().to_string());
    let mut text = format!(
        "masq {version}, instance {instance}, process {pid}, up {}\n\
         configured by {config}, fast path {fast_path}\n\n",
        units::seconds(*uptime)
    );
    let rows: Vec<_> = interfaces
        .iter()
        .map(|interface| {
            let mut shares = String::new();
            let parts = interface.networks.iter().cloned().chain(interface.addresses.iter().map(
                |address| match interface.role {
                    Role::Inside => format!("(own address {address})"),
                    Role::Outside => address.to_string(),
                },
            ));
            for part in parts {
                // Writing to a string cannot fail.
                let _ = write!(shares, "{}{part}", if shares.is_empty() { "" } else { " " });
            }
            if !interface.ports.is_empty() {
                let _ = write!(shares, " ports {}", interface.ports.join(","));
            }
            [
                match interface.role {
                    Role::Inside => "inside".to_owned(),
                    Role::Outside => "outside".to_owned(),
                },
                interface.name.clone(),
                match (&interface.closed_since_called, &interface.attachment) {
                    (Some(was), _) => format!("closed: it was {was} (masq release)"),
                    (None, Some(attachment)) => attachment.clone(),
                    (None, None) => "waiting for it to appear".to_owned(),
                },
                shares,
            ]
        })
        .collect();
    let mut table = Table::new([
        Column::left("ROLE", 0),
        Column::left("INTERFACE", 0),
        Column::left("ATTACHED", 0),
        Column::left("ADDRESSES", 0),
    ]);
    text.push_str(&table.page(&rows));
    text
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use masq_api::InterfaceView;

    use super::*;

    #[test]
    fn interfaces_present_and_awaited() {
        let inside = InterfaceView {
            name: "eth1".into(),
            role: Role::Inside,
            index: Some(3),
            addresses: vec![IpAddr::from([192, 168, 1, 1])],
            networks: vec!["192.168.1.0/24".into()],
            ports: vec![],
            closed_since_called: None,
            attachment: Some("tcx".into()),
        };
        let outside = InterfaceView {
            name: "ppp+".into(),
            role: Role::Outside,
            index: None,
            addresses: vec![],
            networks: vec![],
            ports: vec!["1024-32767".into(), "36864-65535".into()],
            closed_since_called: None,
            attachment: None,
        };
        let status = Status {
            instance: "default".into(),
            version: "0.1.0".into(),
            pid: 4711,
            uptime: 61.0,
            config: None,
            fast_path: "off".into(),
            interfaces: vec![inside, outside],
        };
        insta::assert_snapshot!(text(&status), @r"
        masq 0.1.0, instance default, process 4711, up 1m01s
        configured by the command line, fast path off

        ROLE     INTERFACE  ATTACHED                  ADDRESSES
        inside   eth1       tcx                       192.168.1.0/24 (own address 192.168.1.1)
        outside  ppp+       waiting for it to appear   ports 1024-32767,36864-65535
        ");
    }
}
