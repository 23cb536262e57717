//! An interactive service in the manner of ssh: it greets first, then answers line by line.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use core::net::SocketAddrV4;

use super::Service;
use crate::error::Context;
use crate::{Error, Host, Result};

/// Starts the service. It answers each line by `you are ADDRESS and said LINE`.
///
/// # Errors
///
/// When the port is taken.
pub fn shell_service(host: &Host, port: u16) -> Result<Service> {
    Service::tcp(host, port, |mut stream, peer| {
        stream.write_all(GREETING.as_bytes())?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while let Some(line) = lines.next().transpose()? {
            stream.write_all(format!("you are {peer} and said {line}\n").as_bytes())?;
        }
        Ok(())
    })
}

/// A session with it.
#[derive(Debug)]
pub struct Shell {
    stream: BufReader<TcpStream>,
}

impl Shell {
    /// Connects and waits for the greeting.
    ///
    /// # Errors
    ///
    /// When there is no connection, or no greeting.
    pub fn open(client: &Host, to: SocketAddrV4) -> Result<Self> {
        Self::on(client.connect(to)?)
    }

    /// The same on a connection that exists.
    ///
    /// # Errors
    ///
    /// When there is no greeting.
    pub fn on(stream: TcpStream) -> Result<Self> {
        let mut shell = Self { stream: BufReader::new(stream) };
        let greeting = shell.line()?;
        if greeting == GREETING {
            return Ok(shell);
        }
        Err(Error::Mismatch {
            what: "greeting".to_owned(),
            expected: GREETING.to_owned(),
            got: greeting,
        })
    }

    /// Says a line and returns the answer.
    ///
    /// # Errors
    ///
    /// When the connection is gone or nobody answers within ten seconds.
    pub fn say(&mut self, line: &str) -> Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .context(|| format!("saying {line:?}"))?;
        let answer = self.line()?;
        if answer.ends_with(&format!(" and said {line}\n")) {
            return Ok(answer);
        }
        Err(Error::Mismatch {
            what: "answer".to_owned(),
            expected: format!("one about {line:?}"),
            got: answer,
        })
    }

    /// The connection below.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).context(|| "waiting for a line".to_owned())?;
        Ok(line)
    }
}

const GREETING: &str = "SSH-2.0-masq_lab ready\n";
