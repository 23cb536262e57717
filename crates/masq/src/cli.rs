//! The command line: what may be said, and nothing of what it does.

use core::net::IpAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use masq_config::Lifetime;

/// A masquerade router: hosts on an inside network share the outside addresses.
#[derive(Debug, Parser)]
#[command(
    name = "masq",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 it failed (the message says why and what to do), \
                  2 the command line was wrong.\nEvery command explains itself: masq help COMMAND."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Which gateway of this host is meant, when it runs several
    #[arg(long, global = true, value_name = "NAME", env = "MASQ_INSTANCE",
          default_value = masq_api::DEFAULT_INSTANCE, value_parser = instance)]
    pub(crate) instance: String,

    /// The control socket, where the configuration puts it elsewhere [default:
    /// /run/masq/INSTANCE.sock]
    #[arg(long, global = true, value_name = "PATH", env = "MASQ_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be the gateway, in the foreground
    #[command(after_help = "Examples:\n  masq run --inside eth1 --outside eth0\n  \
        masq run --config /etc/masq/masq.toml\n\nSIGTERM ends the daemon and leaves the programs and \
        the table in place, so a restart costs no connection; `masq detach` removes every trace. \
        SIGHUP reads the configuration again.")]
    Run(Run),

    /// List the sessions: who talks to whom, as what
    Flows(Listing),

    /// List the mappings: which outside endpoint stands for which inside endpoint
    Mappings(Listing),

    /// Show counters: traffic, table, drops by reason
    Stats(Watching),

    /// Show what runs: interfaces, addresses, since when
    Status(Output),

    /// Judge a configuration and change nothing
    Check(Check),

    /// Have the running gateway read its configuration again
    Reload(Reload),

    /// Let go of an interface that is closed since it was renamed: packets pass it as before masq
    #[command(
        after_help = "An interface that was inside or outside, and is called otherwise by now, stays \
        closed until it is served again or released: nothing but the host's own packets passes it. \
        `masq status` shows which are.\n\nExample: masq release eth7"
    )]
    Release(Release),

    /// Find out whether this kernel and host are fit to run masq, and what to do if not
    Doctor(Doctor),

    /// List the gateways of this host: where each lives, whether it runs, how it is removed
    #[command(
        after_help = "Those that left programs and a table and do not run are listed as well. \
        An instance of another network namespace is removed there, as its line says."
    )]
    Instances(Output),

    /// Watch it work: a workstation, a gateway and an internet host in a private lab
    Demo(Demo),

    /// Remove masq from the interfaces: programs, table, everything; forwarding as it was before
    Detach(Output),

    /// Print completions for a shell
    #[command(after_help = "Example: masq completions bash > /etc/bash_completion.d/masq")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Where the configuration comes from.
#[derive(Args, Debug)]
pub(crate) struct Source {
    /// Configuration file [default: /etc/masq/masq.toml, unless --inside and --outside are given]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Interface whose hosts are hidden; may be repeated; "ppp+" means every name that begins so
    #[arg(long, short, value_name = "IF")]
    pub(crate) inside: Vec<String>,

    /// Interface towards the world; may be repeated
    #[arg(long, short, value_name = "IF")]
    pub(crate) outside: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) source: Source,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) source: Source,

    /// What to log to standard error: a level, or a filter such as "info,masq_core=trace"
    #[arg(long, value_name = "FILTER", env = "MASQ_LOG", default_value = "info")]
    pub(crate) log: String,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Watching {
    #[command(flatten)]
    pub(crate) output: Output,

    /// Show it again and again, every second or as often as told ("5s", "200ms")
    #[arg(long, short, value_name = "EVERY", num_args = 0..=1, require_equals = true,
          default_missing_value = "1s", value_parser = interval)]
    pub(crate) watch: Option<Duration>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Listing {
    #[command(flatten)]
    pub(crate) watching: Watching,

    /// Only this protocol: tcp, udp, icmp, gre … or a number
    #[arg(long, short, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<String>,

    /// Only this inside host
    #[arg(long, short, value_name = "ADDRESS")]
    pub(crate) inside: Option<IpAddr>,

    /// Only this outside address
    #[arg(long, short, value_name = "ADDRESS")]
    pub(crate) outside: Option<IpAddr>,

    /// Only this remote host
    #[arg(long, short, value_name = "ADDRESS")]
    pub(crate) remote: Option<IpAddr>,

    /// Only with this port at any of the three
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// Only in this state: established, opening …
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,

    /// At most so many
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) limit: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The file to judge
    #[arg(value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) output: Output,

    /// Print a complete file with every key, its default and the reason for it
    #[arg(long)]
    pub(crate) sample: bool,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Reload {
    /// Only say what would change and which sessions would end
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Release {
    /// The interface, by its present name
    #[arg(value_name = "IF")]
    pub(crate) interface: String,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Demo {
    /// Leave the lab up at the end and say how to enter each host
    #[arg(long)]
    pub(crate) keep: bool,

    /// Print one JSON object for each step and a summary
    #[arg(long)]
    pub(crate) json: bool,

    /// Plain lines even on a terminal
    #[arg(long, conflicts_with = "json")]
    pub(crate) plain: bool,
}

/// Where the configuration is when nobody says otherwise.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/masq/masq.toml";

/// The name becomes a file name in /run/masq and a part of pin paths.
fn instance(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 32 && !text.starts_with('-');
    if fits && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        Ok(text.to_owned())
    } else {
        Err("an instance is named with up to 32 letters, digits, '-' and '_'".to_owned())
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let Lifetime(every) =
        text.parse().map_err(|error: masq_config::NotADuration| error.to_string())?;
    if every < Duration::from_millis(50) {
        return Err("watch at most 20 times a second (50ms)".to_owned());
    }
    Ok(every)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_interfaces_without_a_file() {
        let cli = Cli::parse_from(["masq", "run", "-i", "eth1", "-i", "wg0", "-o", "ppp+"]);
        let Command::Run(run) = cli.command else { panic!("not run") };
        assert_eq!(
            (run.source.inside.len(), run.source.outside.len(), run.source.config),
            (2, 1, None)
        );
        assert_eq!(cli.instance, "default");
    }

    #[test]
    fn watch_takes_an_interval_or_none() {
        let watch = |args: &[&str]| {
            let cli = Cli::try_parse_from([&["masq", "stats"], args].concat())?;
            let Command::Stats(stats) = cli.command else { panic!("not stats") };
            Ok::<_, clap::Error>(stats.watch)
        };
        assert_eq!(watch(&[]).unwrap(), None);
        assert_eq!(watch(&["--watch"]).unwrap(), Some(Duration::from_secs(1)));
        assert_eq!(watch(&["--watch=5s"]).unwrap(), Some(Duration::from_secs(5)));
        assert!(watch(&["--watch=1ms"]).is_err());
    }

    #[test]
    fn an_instance_cannot_be_a_path() {
        for name in ["../x", "a/b", "", ".hidden", "-x"] {
            assert!(instance(name).is_err(), "{name}");
        }
        assert_eq!(instance("lab-1").as_deref(), Ok("lab-1"));
    }
}
