//! What the control API needs of a gateway.

use masq_api::{
    Error, FlowPage, FlowQuery, MappingPage, ReleaseRequest, ReloadPlan, ReloadRequest, StatsView,
    Status,
};

/// A running gateway, as its viewers see it. Calls may block for as long as the worker's batch takes.
pub(crate) trait Gateway: Send + Sync + 'static {
    fn status(&self) -> Result<Status, Error>;
    fn flows(&self, query: &FlowQuery) -> Result<FlowPage, Error>;
    fn mappings(&self, query: &FlowQuery) -> Result<MappingPage, Error>;
    fn stats(&self) -> Result<StatsView, Error>;
    /// Reads the configuration again; applies it unless only a plan was asked for.
    fn reload(&self, request: ReloadRequest) -> Result<ReloadPlan, Error>;
    /// Takes the programs off an interface that is closed.
    fn release(&self, request: &ReleaseRequest) -> Result<Status, Error>;
    /// Asks the daemon to end; what is attached stays.
    fn stop(&self);
}

#[cfg(test)]
pub(crate) mod fake {
    //! A gateway of canned answers.

    use core::sync::atomic::{AtomicBool, Ordering};

    use masq_api::{ErrorKind, TableStats};

    use super::*;
    use crate::view::flows::tests::flow;

    #[derive(Debug, Default)]
    pub(crate) struct Fake {
        pub(crate) stopped: AtomicBool,
    }

    impl Gateway for Fake {
        fn status(&self) -> Result<Status, Error> {
            Ok(Status {
                instance: "test".into(),
                version: "0".into(),
                pid: std::process::id(),
                uptime: 1.0,
                config: None,
                fast_path: "off".into(),
                interfaces: vec![],
            })
        }

        /// Three sessions, one a page.
        fn flows(&self, query: &FlowQuery) -> Result<FlowPage, Error> {
            let slot = query.after.unwrap_or(0);
            let mut flow = flow();
            flow.slot = slot;
            Ok(FlowPage { flows: vec![flow], next: (slot < 2).then_some(slot + 1) })
        }

        fn mappings(&self, _query: &FlowQuery) -> Result<MappingPage, Error> {
            Ok(MappingPage::default())
        }

        fn stats(&self) -> Result<StatsView, Error> {
            let table = TableStats { sessions: 3, ..TableStats::default() };
            Ok(StatsView { instance: "test".into(), table, ..StatsView::default() })
        }

        fn reload(&self, request: ReloadRequest) -> Result<ReloadPlan, Error> {
            if request.dry_run {
                return Ok(ReloadPlan::default());
            }
            Err(Error {
                kind: ErrorKind::Configuration,
                message: "masq.toml:1:1: no".into(),
                help: Some("nothing was changed".into()),
            })
        }

        fn release(&self, request: &ReleaseRequest) -> Result<Status, Error> {
            Err(Error {
                kind: ErrorKind::Request,
                message: format!("interface {} is not closed", request.interface),
                help: None,
            })
        }

        fn stop(&self) {
            self.stopped.store(true, Ordering::Release);
        }
    }
}
