//! The program under test, run as its users run it: a child process on the gateway.
//!
//! It sees a `/run` of its own, in which its sockets and pins live and vanish with the lab. It is
//! ready when it says so in the way of systemd (`READY=1` to `$NOTIFY_SOCKET`), not when some time
//! has passed.

use core::fmt::Write;
use core::time::Duration;
use std::env;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use rustix::process::Signal;

use crate::deadline::{Deadline, READY, SOON};
use crate::error::Context;
use crate::program::{self, Output};
use crate::{Error, Host, Namespace, Result, Running};

/// How to run the program.
#[derive(Clone, Debug)]
pub struct MasqOptions {
    /// The program file.
    pub binary: PathBuf,
    /// The name of the instance.
    pub instance: String,
    /// A configuration file's text.
    pub config: Option<String>,
    /// Whether the interfaces `lan` and `wan` are named on the command line, beside the file.
    pub interfaces: bool,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

impl MasqOptions {
    /// An instance called `lab`, without a configuration file.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            instance: "lab".to_owned(),
            config: None,
            interfaces: true,
            environment: Vec::new(),
        }
    }

    /// With this configuration, beside the interfaces on the command line.
    #[must_use]
    pub fn config(self, text: impl Into<String>) -> Self {
        Self { config: Some(text.into()), ..self }
    }

    /// With this configuration, which names the interfaces itself.
    #[must_use]
    pub fn whole_config(self, text: impl Into<String>) -> Self {
        Self { config: Some(text.into()), interfaces: false, ..self }
    }
}

/// Finds the program: `$MASQ_BIN`, or `masq` beside the directory of the running test or program,
/// where cargo puts both.
#[must_use]
pub fn masq_binary() -> Option<PathBuf> {
    if let Some(named) = env::var_os("MASQ_BIN") {
        return fs::canonicalize(named).ok();
    }
    let this = env::current_exe().ok()?;
    this.ancestors().skip(1).take(3).map(|folder| folder.join("masq")).find(|path| path.is_file())
}

/// A `masq run` on the lab's gateway.
#[derive(Debug)]
pub struct Daemon {
    namespace: Namespace,
    options: MasqOptions,
    running: Option<Running>,
    log: String,
}

impl Daemon {
    /// Starts the program on a host ([`Host::gateway`]), and waits until it says that it is ready.
    ///
    /// # Errors
    ///
    /// When it ends instead, or is not ready in time; with what it printed.
    pub fn start(host: &Host, options: &MasqOptions) -> Result<Self> {
        let namespace = host.namespace().try_clone()?;
        let mut daemon =
            Self { namespace, options: options.clone(), running: None, log: String::new() };
        daemon.restart()?;
        Ok(daemon)
    }

    /// Starts it again after it was stopped or killed, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it ends instead, or is not ready in time.
    pub fn restart(&mut self) -> Result<()> {
        if let Some(config) = &self.options.config {
            self.write_config(config)?;
        }
        let ready = self.listen_for_readiness()?;
        let mut running = Running::start(&self.namespace, self.command())?;
        let deadline = Deadline::after(READY);
        let mut message = [0; 512];
        loop {
            // A short wait, because the end of the process must be noticed as well.
            if let Ok(length) = ready.recv(&mut message)
                && String::from_utf8_lossy(&message[..length]).lines().any(|l| l == "READY=1")
            {
                self.running = Some(running);
                return Ok(());
            }
            if let Some(status) = running.ended() {
                return Err(self.failed("run", status, &running.printed()));
            }
            if deadline.left().is_none() {
                let (stdout, stderr) = running.printed();
                return Err(deadline.missed("masq is ready", format!("{stdout}{stderr}")));
            }
        }
    }

    /// Runs the program with other arguments on the gateway, for this instance, and returns what it
    /// printed: `ask(&["flows", "--json"])`.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.try_ask(arguments)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(self.failed(&arguments.join(" "), output.status, &(output.stdout, output.stderr)))
    }

    /// The same, when failure is an answer too.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not end.
    pub fn try_ask(&self, arguments: &[&str]) -> Result<Output> {
        let mut all = vec!["--instance", &self.options.instance];
        all.extend_from_slice(arguments);
        program::run(&self.namespace, &self.options.binary.to_string_lossy(), &all, "")
    }

    /// Replaces the configuration file; `ask(&["reload"])` makes it count.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_config(&self, text: &str) -> Result<()> {
        self.namespace
            .run(|| fs::write(CONFIG, text))
            .context(|| format!("writing {CONFIG} on the gateway"))
    }

    /// Gives it another configuration, which counts from its next start on.
    pub fn configure(&mut self, text: impl Into<String>) {
        self.options.config = Some(text.into());
    }

    /// Removes the configuration file, which only the lab has written.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn forget_config(&self) -> Result<()> {
        self.namespace
            .run(|| fs::remove_file(CONFIG))
            .context(|| format!("removing {CONFIG} on the gateway"))
    }

    /// Its process, when it runs.
    pub fn process(&mut self) -> Option<&mut Running> {
        self.running.as_mut()
    }

    /// Stops it in the ordinary way, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub fn stop(&mut self) -> Result<Option<ExitStatus>> {
        self.end(Signal::TERM)
    }

    /// Kills it, as a crash would.
    ///
    /// # Errors
    ///
    /// When even that does not end it.
    pub fn kill(&mut self) -> Result<Option<ExitStatus>> {
        self.end(Signal::KILL)
    }

    fn end(&mut self, signal: Signal) -> Result<Option<ExitStatus>> {
        let Some(mut running) = self.running.take() else { return Ok(None) };
        running.signal(signal)?;
        let status = running.wait(SOON)?;
        let (stdout, stderr) = running.printed();
        self.log += &stdout;
        self.log += &stderr;
        Ok(Some(status))
    }

    /// All it has printed since the first start.
    #[must_use]
    pub fn log(&self) -> String {
        let (stdout, stderr) = self.running.as_ref().map(Running::printed).unwrap_or_default();
        format!("{}{stdout}{stderr}", self.log)
    }

    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        for question in [&["stats"][..], &["mappings"]] {
            let answer = match self.try_ask(question) {
                Ok(output) => output.text(),
                Err(error) => error.to_string(),
            };
            let _ = writeln!(text, "──── masq {}\n{answer}", question.join(" "));
        }
        text + "──── log of masq\n" + &self.log()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.options.binary);
        command.args(["run", "--instance", &self.options.instance]);
        if self.options.interfaces {
            command.args(["--inside", "lan", "--outside", "wan"]);
        }
        if self.options.config.is_some() {
            command.args(["--config", CONFIG]);
        }
        command.env("NOTIFY_SOCKET", NOTIFY);
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn listen_for_readiness(&self) -> Result<UnixDatagram> {
        let bind = || {
            let _ = fs::remove_file(NOTIFY);
            let socket = UnixDatagram::bind(NOTIFY)?;
            socket.set_read_timeout(Some(Duration::from_millis(20)))?;
            Ok::<_, std::io::Error>(socket)
        };
        self.namespace.run(bind).context(|| format!("listening on {NOTIFY}"))
    }

    fn failed(&self, what: &str, status: ExitStatus, printed: &(String, String)) -> Error {
        Error::Program {
            command: format!("{} {what}", self.options.binary.display()),
            place: "gateway".to_owned(),
            status: status.to_string(),
            output: format!("{}{}", printed.0, printed.1),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The namespaces would take everything with them. Detaching in order is what a user
        // does, and shows here when it fails.
        if self.running.is_some() {
            let _ = self.stop();
            let _ = self.try_ask(&["detach"]);
        }
    }
}

const CONFIG: &str = "/run/masq.toml";
const NOTIFY: &str = "/run/notify";
