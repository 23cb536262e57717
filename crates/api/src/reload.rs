//! A change of configuration, as a plan.

use serde::{Deserialize, Serialize};

/// Apply the configuration file, or only say what would happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Plan only.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a new configuration does to the running gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadPlan {
    /// Whether it was done.
    pub applied: bool,
    /// What differs.
    pub changes: Vec<Change>,
    /// Sessions that end because the new configuration no longer allows them.
    pub sessions_ending: u64,
    /// Sessions that nobody has answered yet and that go on with another outside address.
    #[serde(default)]
    pub sessions_moving: u64,
    /// Sessions that go on as they are.
    pub sessions_kept: u64,
    /// Changes that wait for the next start of the daemon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
    /// Warnings about the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The setting, as in the file: `nat.mapping`, `timeouts.udp`.
    pub key: String,
    /// Its value so far.
    pub from: String,
    /// Its value in the file.
    pub to: String,
}
