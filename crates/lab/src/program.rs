//! Real programs run inside a namespace, with an end to their patience.
//!
//! A program is started by a thread that entered the namespace and then waits for it. So the
//! program's parent-death signal, which Linux ties to the *thread* that forked, comes exactly when
//! this process is gone: a killed test leaves no program behind.

use core::fmt;
use core::time::Duration;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::{Deadline, LATER, SOON};
use crate::error::Context;
use crate::{Error, Namespace, Result, sys};

/// What a program printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Both streams, for reports.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a program to its end and gives back what it printed, whatever its exit status.
///
/// # Errors
///
/// When it cannot be started, or takes longer than a minute.
pub(crate) fn run(
    namespace: &Namespace,
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    let mut running = Running::start(namespace, command)?;
    running.write_input(input)?;
    let status = running.wait(LATER)?;
    let (stdout, stderr) = running.printed();
    Ok(Output { status, stdout, stderr })
}

/// Runs a program that must succeed, and returns its standard output.
pub(crate) fn run_checked(
    namespace: &Namespace,
    place: &str,
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Result<String> {
    let output = run(namespace, program, arguments, input)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut command = format!("{program} {}", arguments.join(" "));
    if !input.is_empty() {
        command = format!("{command} <<<\n{input}");
    }
    Err(Error::Program {
        command,
        place: place.to_owned(),
        status: output.status.to_string(),
        output: output.text(),
    })
}

/// A program that runs; it is killed when this is dropped.
pub struct Running {
    name: String,
    pid: Pid,
    input: Option<std::process::ChildStdin>,
    printed: [Arc<Mutex<Vec<u8>>>; 2],
    ended: Receiver<io::Result<ExitStatus>>,
    status: Option<ExitStatus>,
}

impl Running {
    /// Starts a program inside, with its standard streams kept here.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(namespace: &Namespace, command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let namespace = namespace.try_clone()?;
        let (tell_started, started) = mpsc::channel();
        let (tell_ended, ended) = mpsc::channel();
        thread::spawn(move || {
            // The namespace's handle is given up at once, so that it ends with its lab.
            let spawned = namespace.enter().and_then(|()| spawn(command));
            drop(namespace);
            match spawned {
                Ok((mut child, streams)) => {
                    let pid = Pid::from_child(&child);
                    let printed = streams.map(collect);
                    let buffers = printed.each_ref().map(|(buffer, _)| Arc::clone(buffer));
                    let _ = tell_started.send(Ok((pid, child.stdin.take(), buffers)));
                    let status = child.wait();
                    // A grandchild may hold the streams open; what matters has been read by then.
                    for (_, reader) in printed {
                        let _ = reader.join();
                    }
                    let _ = tell_ended.send(status);
                }
                Err(error) => drop(tell_started.send(Err(error))),
            }
        });
        let started = started.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)));
        let (pid, input, printed) = started.context(|| format!("starting {name}"))?;
        Ok(Self { name, pid, input, printed, ended, status: None })
    }

    /// The process id, for signals.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal, to this process alone.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).context(|| format!("signalling {}", self.name))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.ended.try_recv().ok().and_then(Result::ok);
        }
        self.status
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end in time. It is left running.
    pub fn wait(&mut self, allowed: impl Into<Duration>) -> Result<ExitStatus> {
        let allowed = allowed.into();
        self.input = None;
        if let Some(status) = self.status {
            return Ok(status);
        }
        match self.ended.recv_timeout(allowed) {
            Ok(status) => {
                let status = status.context(|| format!("waiting for {}", self.name))?;
                self.status = Some(status);
                Ok(status)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let (stdout, stderr) = self.printed();
                let what = format!("{} ends", self.name);
                Err(Deadline::after(allowed).missed(what, format!("{stdout}{stderr}")))
            }
        }
    }

    /// What it printed up to here: standard output and standard error.
    #[must_use]
    pub fn printed(&self) -> (String, String) {
        let text = |buffer: &Arc<Mutex<Vec<u8>>>| {
            let bytes = buffer.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (text(&self.printed[0]), text(&self.printed[1]))
    }

    fn write_input(&mut self, input: &str) -> Result<()> {
        let Some(mut stream) = self.input.take() else { return Ok(()) };
        match stream.write_all(input.as_bytes()) {
            // A program that ends without reading tells why by its status.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context(|| format!("writing to {}", self.name)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.signal(Signal::KILL);
            let _ = self.wait(SOON);
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("name", &self.name)
            .field("pid", &self.pid)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

type Stream = Box<dyn Read + Send>;

fn spawn(mut command: Command) -> io::Result<(Child, [Stream; 2])> {
    // Programs that end by themselves within milliseconds are not worth the detour.
    if Path::new(command.get_program()).is_absolute() {
        sys::die_with_this_thread(&mut command);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok((child, [Box::new(stdout), Box::new(stderr)]))
}

/// Reads a stream to its end on a thread, into a buffer that others may look at meanwhile.
fn collect(mut stream: Stream) -> (Arc<Mutex<Vec<u8>>>, thread::JoinHandle<()>) {
    let buffer = Arc::new(Mutex::new(Vec::new()));
    let filled = Arc::clone(&buffer);
    let reader = thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            filled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&chunk[..length]);
        }
    });
    (buffer, reader)
}
