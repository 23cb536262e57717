//! The terminal under the screen: drawn many times a second, put back in order at the end.

use core::time::Duration;
use std::sync::mpsc::{Receiver, TryRecvError};

use anyhow::{Context, Result};
use crossterm::event::{self, Event, KeyCode, KeyModifiers};

use super::model::{Model, News};
use super::screen;
use crate::clock::Stopwatch;

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(50);

/// How long the end is shown.
const CURTAIN: Duration = Duration::from_secs(5);

/// Shows the demo until it ends or somebody presses q.
pub(crate) fn show(model: &mut Model, news: &Receiver<News>, time: Stopwatch) -> Result<()> {
    let mut terminal = ratatui::try_init().context("cannot use this terminal; try --plain")?;
    let mut ended_at = None;
    let shown = loop {
        loop {
            match news.try_recv() {
                Ok(news) => model.hear(news, time.elapsed()),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    model.ended = true;
                    break;
                }
            }
        }
        model.now = time.elapsed();
        if let Err(error) = terminal.draw(|frame| screen::draw(frame, model)) {
            break Err(error).context("cannot draw on this terminal; try --plain");
        }
        if model.ended && model.now >= *ended_at.get_or_insert(model.now + CURTAIN) {
            break Ok(());
        }
        match leaves() {
            Ok(false) => {}
            Ok(true) => break Ok(()),
            Err(error) => break Err(error).context("cannot read the keyboard; try --plain"),
        }
    };
    ratatui::restore();
    shown
}

/// Waits for the next picture; whether somebody wants to leave.
fn leaves() -> std::io::Result<bool> {
    if !event::poll(FRAME)? {
        return Ok(false);
    }
    let Event::Key(key) = event::read()? else { return Ok(false) };
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter))
}
