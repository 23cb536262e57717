//! The demo on a terminal: the hosts above, the steps on the left, the live table on the right.
//!
//! ```text
//! ╭ masq ─────────────────────────────────────────────╮
//! │ workstation ══════▶ gateway ══════▶ internet host │
//! ├ what the workstation does ─┬ the masquerade table ┤
//! │ ✔ fetch a page       12ms  │ tcp 192.168.1.3:…    │
//! │ ▶ download a file          │                      │
//! ╰────────────────────────────┴──────────────────────╯
//! ```

use core::time::Duration;

use masq_api::{Count, FlowView};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Cell, Paragraph, Row, Table, Wrap};

use super::model::{Model, Step, StepState};
use crate::view::units;

const INSIDE: Color = Color::Cyan;
const OUTSIDE: Color = Color::Yellow;
const GOOD: Color = Color::Green;
const BAD: Color = Color::Red;
const QUIET: Color = Color::DarkGray;

/// How long a session counts as busy after its last packet.
const BUSY: f64 = 0.6;

/// Below this width the table is under the steps, and a step is one line.
const WIDE: u16 = 110;

/// The table with its columns and borders.
const TABLE: u16 = 80;

pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(7), Constraint::Min(6), Constraint::Length(3)])
            .areas(frame.area());
    let wide = top.width >= WIDE;
    let [left, right] = if wide {
        let steps = (top.width - TABLE).min(46);
        Layout::horizontal([Constraint::Length(steps), Constraint::Min(TABLE)]).areas(middle)
    } else {
        let steps = u16::try_from(model.steps.len()).unwrap_or(u16::MAX).saturating_add(2);
        Layout::vertical([Constraint::Length(steps.min(middle.height / 2)), Constraint::Min(5)])
            .areas(middle)
    };
    picture(frame, top, model);
    steps(frame, left, model, wide);
    table(frame, right, model);
    footer(frame, bottom, model);
}

fn block(title: impl Into<Line<'static>>) -> Block<'static> {
    Block::bordered().border_type(BorderType::Rounded).border_style(QUIET).title(title)
}

fn picture(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let block = block(Line::from(vec![
        Span::raw(" masq ").bold(),
        Span::raw("a workstation with a private address meets the internet "),
    ]));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [left, wire_in, middle, wire_out, right] = Layout::horizontal([
        Constraint::Length(15),
        Constraint::Fill(1),
        Constraint::Length(27),
        Constraint::Fill(1),
        Constraint::Length(20),
    ])
    .areas(inner);
    let picture = &model.picture;
    host(frame, left, "workstation", &picture.workstation.to_string(), INSIDE, false);
    let gateway = format!("{} ║ {}", picture.gateway_inside, picture.gateway_outside);
    host(frame, middle, "gateway", &gateway, Color::White, true);
    let server = format!("{}:{}", picture.server, picture.server_port);
    host(frame, right, "internet host", &server, OUTSIDE, false);
    let busy = model.flows.iter().any(|flow| flow.idle < BUSY) && !model.ended;
    wire(frame, wire_in, model.now, busy, INSIDE, &format!("from {}", picture.workstation));
    wire(frame, wire_out, model.now, busy, OUTSIDE, &format!("from {}", picture.gateway_outside));
}

fn host(frame: &mut Frame<'_>, area: Rect, name: &str, address: &str, color: Color, strong: bool) {
    let kind = if strong { BorderType::Double } else { BorderType::Rounded };
    let text = vec![
        Line::from(name.to_owned()).bold(),
        Line::from(address.to_owned()).style(color),
        Line::from(if strong { "masq" } else { "" }).style(GOOD),
    ];
    let block = Block::bordered().border_type(kind).border_style(color);
    frame.render_widget(Paragraph::new(text).alignment(Alignment::Center).block(block), area);
}

/// A line between two hosts; packets run along it both ways while something is sent.
fn wire(frame: &mut Frame<'_>, area: Rect, now: Duration, busy: bool, color: Color, label: &str) {
    let width = usize::from(area.width);
    let phase = usize::try_from(now.as_millis() / 60).unwrap_or(0);
    let track = |backwards: bool| {
        let cells = (0..width).map(|cell| {
            let cell = if backwards { cell } else { width - 1 - cell };
            if busy && (cell + phase).is_multiple_of(7) { '●' } else { '─' }
        });
        Line::from(cells.collect::<String>()).style(if busy { color } else { QUIET })
    };
    let label = if label.len() <= width { label } else { "" };
    let lines = vec![
        Line::from(label.to_owned()).style(color).alignment(Alignment::Center),
        track(false),
        track(true),
    ];
    let [_, lane] = Layout::vertical([Constraint::Length(1), Constraint::Length(3)]).areas(area);
    frame.render_widget(Paragraph::new(lines), lane);
}

fn steps(frame: &mut Frame<'_>, area: Rect, model: &Model, tall: bool) {
    let block = block(" what the workstation does ");
    let inner = block.inner(area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    let mut lines = Vec::new();
    // When not all fit, the running step stays in sight.
    let mut reached = 0;
    for step in &model.steps {
        if tall {
            tall_step(step, model, width, &mut lines)
        } else {
            lines.push(flat_step(step, model, width))
        }
        if step.state != StepState::Waiting {
            reached = lines.len();
        }
    }
    let scroll = u16::try_from(reached.saturating_sub(height)).unwrap_or(0);
    frame.render_widget(Paragraph::new(lines).scroll((scroll, 0)).block(block), area);
}

/// A step with its details under it.
fn tall_step(step: &Step, model: &Model, width: usize, lines: &mut Vec<Line<'static>>) {
    lines.push(title(step, model, width, vec![]));
    for (text, color) in details(step) {
        for line in wrapped(&text, width.saturating_sub(3)) {
            lines.push(Line::from(format!("   {line}")).style(color));
        }
    }
}

/// Breaks a text between words, and a word where it must be.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(width) {
            let last = lines.len() - 1;
            let used = lines[last].chars().count();
            if used == 0 {
                lines[last].extend(piece);
            } else if used + 1 + piece.len() <= width {
                lines[last].push(' ');
                lines[last].extend(piece);
            } else {
                lines.push(piece.iter().collect());
            }
        }
    }
    lines
}

/// A step with what matters most of its details on the same line.
fn flat_step(step: &Step, model: &Model, width: usize) -> Line<'static> {
    let room = width.saturating_sub(step.title.chars().count() + 14);
    let last = details(step).pop();
    let more = last.map(|(text, color)| Span::styled(format!("  {}", cut(&text, room)), color));
    title(step, model, width, more.into_iter().collect())
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// The mark, the title, what follows it, and the time at the right.
fn title(step: &Step, model: &Model, width: usize, more: Vec<Span<'static>>) -> Line<'static> {
    let (mark, style, time) = match &step.state {
        StepState::Waiting => ("○", Style::new().fg(QUIET), String::new()),
        StepState::Running { since, .. } => {
            let spinner = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠇"];
            let turn = usize::try_from(model.now.as_millis() / 90).unwrap_or(0) % spinner.len();
            let time = elapsed(model.now.saturating_sub(*since));
            (spinner[turn], Style::new().fg(Color::White).add_modifier(Modifier::BOLD), time)
        }
        StepState::Done { took } => ("✔", Style::new().fg(GOOD), elapsed(*took)),
        StepState::Failed { .. } => ("✘", Style::new().fg(BAD), String::new()),
    };
    let color = if step.state == StepState::Waiting { QUIET } else { Color::White };
    let mut line = Line::from(vec![
        Span::styled(format!(" {mark} "), style),
        Span::styled(step.title, style.fg(color)),
    ]);
    line.spans.extend(more);
    let gap = width.saturating_sub(line.width() + time.chars().count());
    line.spans.push(Span::raw(" ".repeat(gap)));
    line.spans.push(Span::styled(time, Style::new().fg(QUIET)));
    line
}

/// What is under a step's title.
fn details(step: &Step) -> Vec<(String, Color)> {
    match &step.state {
        StepState::Waiting => vec![],
        StepState::Running { progress, .. } if progress.is_empty() => {
            vec![(format!("$ {}", step.command), QUIET)]
        }
        StepState::Running { progress, .. } => {
            vec![(format!("$ {}", step.command), QUIET), (progress.clone(), Color::White)]
        }
        StepState::Done { .. } => {
            let mut lines = vec![(step.finding.got.clone(), Color::Gray)];
            if let Some(saw) = &step.finding.server_saw {
                lines.push((format!("server saw {saw}"), OUTSIDE));
            }
            lines
        }
        StepState::Failed { why } => vec![(why.clone(), BAD)],
    }
}

pub(crate) fn elapsed(took: Duration) -> String {
    if took < Duration::from_millis(10) {
        format!("{:.1}ms", took.as_secs_f64() * 1000.0)
    } else if took < Duration::from_secs(1) {
        format!("{}ms", took.as_millis())
    } else {
        format!("{:.1}s", took.as_secs_f64())
    }
}

fn table(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let count = model.stats.table.sessions;
    let block = block(format!(" the masquerade table: {count} sessions "));
    let header = Row::new(["", "INSIDE", "OUTSIDE", "REMOTE", "STATE", "PKTS"])
        .style(Style::new().fg(QUIET).add_modifier(Modifier::BOLD));
    let mut flows: Vec<_> = model.flows.iter().collect();
    // The youngest first: that is where something happens.
    flows.sort_by(|a, b| a.age.total_cmp(&b.age).then(a.slot.cmp(&b.slot)));
    let rows = flows.into_iter().map(row);
    let widths = [
        Constraint::Length(4),
        Constraint::Length(17),
        Constraint::Length(17),
        Constraint::Length(19),
        Constraint::Length(11),
        Constraint::Length(5),
    ];
    let table = Table::new(rows, widths).header(header).column_spacing(1).block(block);
    frame.render_widget(table, area);
}

fn row(flow: &FlowView) -> Row<'static> {
    let busy = flow.idle < BUSY;
    let style = if busy { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    let Count { packets, .. } = flow.egress;
    let packets = packets + flow.ingress.packets;
    Row::new([
        Cell::from(flow.protocol.clone()),
        Cell::from(flow.inside.to_string()).style(INSIDE),
        Cell::from(flow.outside.to_string()).style(OUTSIDE),
        Cell::from(flow.remote.to_string()),
        Cell::from(flow.state.clone()).style(if busy { GOOD } else { QUIET }),
        Cell::from(Line::from(units::packets(packets)).alignment(Alignment::Right)),
    ])
    .style(style)
}

fn footer(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let strangers = model.strangers();
    let mut seen: Vec<Span<'static>> = vec![Span::raw(" the server has seen: ").bold()];
    if model.seen.is_empty() {
        seen.push(Span::raw("nobody yet").style(QUIET));
    }
    for (address, packets) in &model.seen {
        let color = if strangers.contains(address) { BAD } else { OUTSIDE };
        let count = units::grouped(*packets);
        seen.push(Span::styled(format!("{address} ({count} packets) "), color));
    }
    let last = if model.ended {
        let color = if model.failure().is_some() { BAD } else { GOOD };
        Line::from(format!(" {}", model.summary())).style(color)
    } else {
        Line::from(" q ends the demo").style(QUIET)
    };
    let text = vec![Line::from(seen), last];
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::{Finding, News, tests::model};
    use super::*;

    fn shown(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn in_the_middle_on_a_wide_terminal() {
        insta::assert_snapshot!(shown(&model(), 120, 30));
    }

    #[test]
    fn on_the_classic_terminal_nothing_is_lost() {
        let text = shown(&model(), 80, 24);
        insta::assert_snapshot!(text);
        for what in [
            "203.0.113.178:8888",
            "download a file",
            "192.168.1.3:40312",
            "203.0.113.1 (412",
            "server saw 203.0.113.1:40312",
            "203.0.113.178:53",
            "established",
        ] {
            assert!(text.contains(what), "{what} is not in\n{text}");
        }
    }

    #[test]
    fn the_end_says_what_the_server_saw() {
        let mut model = model();
        for index in 0..model.steps.len() {
            model.hear(
                News::Done(index, Duration::ZERO, Finding::default()),
                Duration::from_secs(4),
            );
        }
        model.hear(News::End, Duration::from_secs(5));
        assert!(shown(&model, 130, 30).contains("It never saw 192.168.1.3"));
    }

    #[test]
    fn a_long_text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("", 0), [""]);
    }

    #[test]
    fn a_tiny_terminal_does_not_break_it() {
        for (width, height) in [(1, 1), (20, 5), (40, 10)] {
            shown(&model(), width, height);
        }
    }
}
