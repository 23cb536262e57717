//! The demo for machines: one object for each step, one at the end.

use std::collections::BTreeMap;

use masq_api::FlowView;
use serde::Serialize;

use super::model::{Model, Picture, Step, StepState};

#[derive(Debug, Serialize)]
pub(crate) struct StepView<'a> {
    step: &'static str,
    command: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<f64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    got: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_saw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

pub(crate) fn step(step: &Step) -> StepView<'_> {
    let (took_ms, error) = match &step.state {
        StepState::Done { took } => (Some(took.as_secs_f64() * 1000.0), None),
        StepState::Failed { why } => (None, Some(why.as_str())),
        StepState::Waiting | StepState::Running { .. } => (None, None),
    };
    StepView {
        step: step.title,
        command: &step.command,
        ok: took_ms.is_some(),
        took_ms,
        got: &step.finding.got,
        server_saw: step.finding.server_saw.as_deref(),
        error,
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct SummaryView<'a> {
    summary: String,
    ok: bool,
    hosts: &'a Picture,
    /// Packets that the server received, by their source address.
    server_saw: BTreeMap<String, u64>,
    flows: &'a [FlowView],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ways_in: BTreeMap<&'a str, &'a str>,
}

pub(crate) fn summary(model: &Model) -> SummaryView<'_> {
    SummaryView {
        summary: model.summary(),
        ok: model.failure().is_none(),
        hosts: &model.picture,
        server_saw: model
            .seen
            .iter()
            .map(|(address, count)| (address.to_string(), *count))
            .collect(),
        flows: &model.flows,
        ways_in: model.ways_in.iter().map(|(name, way)| (name.as_str(), way.as_str())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::model;
    use super::*;

    #[test]
    fn a_step_is_one_object() {
        let model = model();
        assert_eq!(
            serde_json::to_string(&step(&model.steps[1])).unwrap(),
            r#"{"step":"fetch a page","command":"curl http://203.0.113.178:8888/","ok":true,"took_ms":12.0,"got":"200, \"It works\"","server_saw":"203.0.113.1:40312"}"#
        );
        let summary = serde_json::to_value(summary(&model)).unwrap();
        assert_eq!(summary["server_saw"]["203.0.113.1"], 412);
        assert_eq!(summary["ok"], false);
    }
}
