//! `masq reload`: what changed, or what would.

use core::fmt::Write;

use masq_api::ReloadPlan;

use super::units;

pub(crate) fn text(plan: &ReloadPlan) -> String {
    let mut text = String::new();
    for warning in &plan.warnings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{warning}");
    }
    for change in &plan.changes {
        let _ = writeln!(text, "{}: {} -> {}", change.key, change.from, change.to);
    }
    for key in &plan.needs_restart {
        let _ = writeln!(text, "{key}: takes effect when masq is started again");
    }
    let kept = units::grouped(plan.sessions_kept);
    let moving = units::grouped(plan.sessions_moving);
    let ending = units::grouped(plan.sessions_ending);
    let _ = match (plan.changes.is_empty(), plan.applied) {
        (true, _) => writeln!(text, "nothing to change"),
        (false, true) => {
            writeln!(text, "applied: {kept} sessions go on, {moving} move, {ending} end")
        }
        (false, false) => {
            writeln!(text, "not applied: {kept} sessions would go on, {moving} move, {ending} end")
        }
    };
    text
}

#[cfg(test)]
mod tests {
    use masq_api::Change;

    use super::*;

    #[test]
    fn a_plan_reads_as_a_difference() {
        let mut plan = ReloadPlan {
            applied: false,
            changes: vec![Change {
                key: "timeouts.udp".into(),
                from: "5m".into(),
                to: "2m".into(),
            }],
            sessions_ending: 3,
            sessions_kept: 1200,
            ..ReloadPlan::default()
        };
        assert_eq!(
            text(&plan),
            "timeouts.udp: 5m -> 2m\nnot applied: 1,200 sessions would go on, 0 move, 3 end\n"
        );
        plan.changes.clear();
        assert_eq!(text(&plan), "nothing to change\n");
    }
}
