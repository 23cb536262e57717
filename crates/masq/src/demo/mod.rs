//! `masq demo`: a workstation, a gateway and an internet host in network namespaces, and the real
//! program between them.
//!
//! ```text
//!   script (a thread) ──► News ──► Model ──► screen │ plain lines │ JSON
//!      │ lab, masq run, sockets                 ▲
//!      └ watcher: flows and stats over the control API, the server's witness
//! ```
//!
//! The gateway is this same program as a child, asked through its control API as any user would.
//! Everything vanishes when the demo ends, however it ends; `--keep` waits before that.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::cli;
use crate::clock::Stopwatch;
use crate::output;
use model::{Model, News};
use script::Pace;

mod json;
mod model;
mod net;
mod plain;
mod screen;
mod script;
mod terminal;

/// People need a moment to see what happened.
const PAUSE: Duration = Duration::from_millis(900);

pub(crate) fn demo(demo: cli::Demo) -> Result<()> {
    if let Some(why) = masq_lab::unavailable() {
        return Err(anyhow!(
            "the demo cannot build its lab here: {why}\nrun it as root: `sudo masq demo`"
        ));
    }
    let on_terminal = output::is_terminal() && !demo.json && !demo.plain;
    let pause = if on_terminal { PAUSE } else { Duration::ZERO };
    let picture = script::picture();
    let model = Model::new(picture.clone(), script::steps(&picture));
    let (tell, news) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| script::play(&{ tell }, Pace { pause }, &stop, demo.keep, &{ released }));
        let shown = show(demo, on_terminal, model, &news);
        stop.store(true, Ordering::Release);
        let ended = shown.and_then(|model| conclude(demo, &model));
        drop(release);
        ended
    })
}

/// Shows the news until the end of the demo, or until the audience leaves.
fn show(
    demo: cli::Demo,
    on_terminal: bool,
    mut model: Model,
    news: &Receiver<News>,
) -> Result<Model> {
    let time = Stopwatch::start();
    if on_terminal {
        terminal::show(&mut model, news, time)?;
        return Ok(model);
    }
    if !demo.json {
        output::print(&plain::heading(&model.picture))?;
    }
    for news in news {
        let step = news.ended_step();
        model.hear(news, time.elapsed());
        if let Some(index) = step {
            if demo.json {
                output::json(&json::step(&model.steps[index]))?;
            } else {
                output::print(&plain::step(&model.steps[index]))?;
            }
        }
        if model.ended {
            break;
        }
    }
    Ok(model)
}

/// Says how it ended, and waits while the lab is to be kept.
fn conclude(demo: cli::Demo, model: &Model) -> Result<()> {
    if !model.ended {
        return output::print("The demo was ended before its end.\n");
    }
    if demo.json {
        output::json(&json::summary(model))?;
    } else {
        output::print(&plain::summary(model))?;
    }
    if !model.ways_in.is_empty() {
        if !demo.json {
            output::print(&plain::ways_in(model))?;
        }
        let wait = async { tokio::signal::ctrl_c().await };
        crate::runtime()?.block_on(wait).context("cannot wait for Ctrl-C")?;
    }
    match model.failure() {
        None => Ok(()),
        Some(why) => Err(anyhow!("the demo failed: {why}")),
    }
}
