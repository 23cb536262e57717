//! `masq instances`: what gateways this host has, running or not, and how each is removed.

use std::path::Path;

use anyhow::Result;
use masq_dataplane::{InstanceFound, Namespace, Place};
use serde::Serialize;

use crate::cli;
use crate::output;
use crate::view;

/// An instance, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InstanceView {
    pub(crate) instance: String,
    /// The daemon's process; absent while none runs that can be seen from here.
    pub(crate) pid: Option<u32>,
    pub(crate) namespace: NamespaceView,
    /// By name, or by number where the name cannot be told.
    pub(crate) interfaces: Vec<String>,
    /// How many sessions its table holds; absent if it has none.
    pub(crate) sessions: Option<u64>,
    /// What removes it.
    pub(crate) remove: String,
}

/// A network namespace, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NamespaceView {
    pub(crate) place: PlaceView,
    /// Its number, as `lsns` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inode: Option<u64>,
    /// Its name in `/run/netns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// Where it is, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PlaceView {
    /// This one.
    Here,
    /// Another.
    Elsewhere,
    /// One that is gone, or that only an open file keeps.
    Lost,
}

pub(crate) fn instances(output: cli::Output) -> Result<()> {
    let found = masq_dataplane::instances(Path::new(masq_dataplane::RUN));
    let views: Vec<_> = found.into_iter().map(view).collect();
    if output.json {
        output::pretty_json(&views)
    } else {
        output::print(&view::instances::text(&views))
    }
}

fn view(found: InstanceFound) -> InstanceView {
    let detach = format!("masq detach --instance {}", found.name);
    let namespace = |place, Namespace { inode, name, .. }: &Namespace| NamespaceView {
        place,
        inode: Some(*inode),
        name: name.clone(),
    };
    let (namespace, remove) = match &found.place {
        Place::Here(here) => (namespace(PlaceView::Here, here), detach),
        Place::Elsewhere(there) => {
            (namespace(PlaceView::Elsewhere, there), format!("{} {detach}", there.enter()))
        }
        Place::Lost => (NamespaceView { place: PlaceView::Lost, inode: None, name: None }, detach),
    };
    let interface =
        |(number, name): (u32, Option<String>)| name.unwrap_or_else(|| number.to_string());
    InstanceView {
        instance: found.name,
        pid: found.process,
        namespace,
        interfaces: found.interfaces.into_iter().map(interface).collect(),
        sessions: found.sessions,
        remove,
    }
}
