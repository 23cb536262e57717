//! The demo as lines of text, for logs and pipes.

use core::fmt::Write;

use super::model::{Model, Picture, Step, StepState};
use super::screen::elapsed;
use crate::view;

pub(crate) fn heading(picture: &Picture) -> String {
    let Picture { workstation, gateway_inside, gateway_outside, server, server_port } = picture;
    format!(
        "workstation {workstation} ── {gateway_inside} gateway {gateway_outside} ── internet host \
         {server}:{server_port}\n\n"
    )
}

pub(crate) fn step(step: &Step) -> String {
    let (mark, time) = match &step.state {
        StepState::Done { took } => ("✔", elapsed(*took)),
        StepState::Failed { .. } => ("✘", String::new()),
        StepState::Waiting | StepState::Running { .. } => ("…", String::new()),
    };
    let mut text = format!("{mark} {:<18} {time:>7}   $ {}\n", step.title, step.command);
    let mut line = |line: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:31}{line}", "");
    };
    if let StepState::Failed { why } = &step.state {
        why.lines().for_each(line);
        return text;
    }
    line(&step.finding.got);
    if let Some(saw) = &step.finding.server_saw {
        line(&format!("the server saw {saw}"));
    }
    text
}

pub(crate) fn summary(model: &Model) -> String {
    let table = view::flows::Flows::new().page(&model.flows);
    format!("\nThe table at the end (`masq flows`):\n\n{table}\n{}\n", model.summary())
}

pub(crate) fn ways_in(model: &Model) -> String {
    let mut text = String::from("\nThe lab stays up until you press Ctrl-C. To enter a host:\n\n");
    for (name, way) in &model.ways_in {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<12} {way}");
    }
    let Picture { server, server_port, .. } = &model.picture;
    let program =
        std::env::current_exe().map_or_else(|_| "masq".into(), |path| path.display().to_string());
    let _ = writeln!(
        text,
        "\nTry on the workstation: curl http://{server}:{server_port}/\n\
         and on the gateway:     {program} flows --instance lab --watch"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::model;
    use super::*;

    #[test]
    fn the_demo_as_lines() {
        let model = model();
        let mut text = heading(&model.picture);
        for step_of in &model.steps[..2] {
            text.push_str(&step(step_of));
        }
        text.push_str(&summary(&model));
        insta::assert_snapshot!(text);
    }
}
