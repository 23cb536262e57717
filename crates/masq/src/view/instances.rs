//! `masq instances`: a line for each, and what to do about those that do not run.

use crate::instances::{InstanceView, NamespaceView, PlaceView};

use super::table::{Column, Table};
use super::units;

pub(crate) fn text(instances: &[InstanceView]) -> String {
    if instances.is_empty() {
        return "no masq instance on this host\n".to_owned();
    }
    let rows: Vec<_> = instances
        .iter()
        .map(|found| {
            [
                found.instance.clone(),
                found.pid.map_or_else(|| "not running".to_owned(), |pid| format!("process {pid}")),
                namespace(&found.namespace),
                found.interfaces.join(" "),
                found.sessions.map(units::grouped).unwrap_or_default(),
                found.remove.clone(),
            ]
        })
        .collect();
    let mut table = Table::new([
        Column::left("INSTANCE", 0),
        Column::left("DAEMON", 0),
        Column::left("NETWORK NAMESPACE", 0),
        Column::left("INTERFACES", 0),
        Column::right("SESSIONS", 0),
        Column::left("TO REMOVE IT", 0),
    ]);
    table.page(&rows)
}

fn namespace(found: &NamespaceView) -> String {
    let number = found.inode.map(|inode| format!("net:[{inode}]")).unwrap_or_default();
    match (found.place, &found.name) {
        (PlaceView::Here, _) => "this".to_owned(),
        (PlaceView::Elsewhere, Some(name)) => format!("{name} {number}"),
        (PlaceView::Elsewhere, None) => number,
        (PlaceView::Lost, _) => "gone, or not seen from here".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_where_and_how_to_remove_it() {
        let view = |instance: &str, pid, place, inode, name: Option<&str>, sessions| InstanceView {
            instance: instance.into(),
            pid,
            namespace: NamespaceView { place, inode, name: name.map(Into::into) },
            interfaces: vec!["eth0".into(), "eth1".into()],
            sessions,
            remove: format!("masq detach --instance {instance}"),
        };
        let views = [
            view("default", Some(4711), PlaceView::Here, Some(1), None, Some(12345)),
            view("guests", None, PlaceView::Elsewhere, Some(4026), Some("side"), Some(3)),
            view("old", None, PlaceView::Lost, None, None, None),
        ];
        insta::assert_snapshot!(text(&views), @r"
        INSTANCE  DAEMON        NETWORK NAMESPACE            INTERFACES  SESSIONS  TO REMOVE IT
        default   process 4711  this                         eth0 eth1     12,345  masq detach --instance default
        guests    not running   side net:[4026]              eth0 eth1          3  masq detach --instance guests
        old       not running   gone, or not seen from here  eth0 eth1             masq detach --instance old
        ");
        assert_eq!(text(&[]), "no masq instance on this host\n");
    }
}
