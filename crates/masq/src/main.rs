//! masq: a masquerade router.
//!
//! This file only parses the command line, dispatches, and turns the result into an exit code: 0 done,
//! 1 failed, 2 wrong command line (by clap). A reader of our output that goes away is success.

#![forbid(unsafe_code)]

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
mod gateway;
mod look;
mod output;
mod view;

fn main() -> ExitCode {
    let Cli { command, instance } = Cli::parse();
    match dispatch(command, &instance) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, instance: &str) -> Result<()> {
    match command {
        Command::Run(run) => todo!(),
        Command::Flows(listing) => {
            ask(instance, async |client| look::flows(&client, listing).await)
        }
        Command::Mappings(listing) => {
            ask(instance, async |client| look::mappings(&client, listing).await)
        }
        Command::Stats(watching) => {
            ask(instance, async |client| look::stats(&client, watching).await)
        }
        Command::Status(output) => {
            ask(instance, async |client| look::status(&client, output).await)
        }
        Command::Check(check) => check::check(&check),
        Command::Reload(reload) => {
            ask(instance, async |client| look::reload(&client, reload).await)
        }
        Command::Doctor(output) => todo!(),
        Command::Demo(demo) => demo::demo(demo),
        Command::Detach(output) => todo!(),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "masq", &mut text);
            output::print(&String::from_utf8(text).context("completions are not UTF-8")?)
        }
    }
}

/// Runs a question to the running gateway of this instance.
fn ask(instance: &str, question: impl AsyncFnOnce(Client) -> Result<()>) -> Result<()> {
    let client = Client::new(instance, &control::socket::default_path(instance));
    runtime()?.block_on(question(client))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")
}
