//! masq: a masquerade router.
//!
//! This file only parses the command line, dispatches, and turns the result into an exit code: 0 done,
//! 1 failed, 2 wrong command line (by clap). A reader of our output that goes away is success.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use client::Client;

mod check;
mod cli;
mod client;
mod clock;
mod control;
mod demo;
mod detach;
mod doctor;
mod gateway;
mod instances;
mod log;
mod look;
mod output;
mod run;
mod view;

fn main() -> ExitCode {
    let Cli { command, instance, socket } = Cli::parse();
    let socket = socket.unwrap_or_else(|| control::socket::default_path(&instance));
    match dispatch(command, &instance, &socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, instance: &str, socket: &Path) -> Result<()> {
    let client = Client::new(instance, socket);
    match command {
        Command::Run(run) => run::run(&run, instance),
        Command::Flows(listing) => ask(client, async |client| look::flows(&client, listing).await),
        Command::Mappings(listing) => {
            ask(client, async |client| look::mappings(&client, listing).await)
        }
        Command::Stats(watching) => {
            ask(client, async |client| look::stats(&client, watching).await)
        }
        Command::Status(output) => ask(client, async |client| look::status(&client, output).await),
        Command::Check(check) => check::check(&check),
        Command::Reload(reload) => ask(client, async |client| look::reload(&client, reload).await),
        Command::Release(release) => {
            ask(client, async |client| look::release(&client, release).await)
        }
        Command::Doctor(doctor) => doctor::doctor(&doctor, instance),
        Command::Demo(demo) => demo::demo(demo),
        Command::Instances(output) => instances::instances(output),
        Command::Detach(output) => detach::detach(output, instance, socket),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "masq", &mut text);
            output::print(&String::from_utf8(text).context("completions are not UTF-8")?)
        }
    }
}

/// Runs a question to the running gateway of this instance.
fn ask(client: Client, question: impl AsyncFnOnce(Client) -> Result<()>) -> Result<()> {
    runtime()?.block_on(question(client))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")
}
