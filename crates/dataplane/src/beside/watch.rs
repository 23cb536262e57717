//! Following what is beside masq: nf_tables by its announcements, the rest by looking again.

use core::time::Duration;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use masq_core::{HostPort, Instant};
use netlink_sys::{Socket, protocols};

use super::{Finding, Outlook, Seen};
use crate::doctor::Outcome;

/// What there is beside masq, kept true, and what was said of it.
#[derive(Debug)]
pub(crate) struct Beside {
    announcements: Option<Socket>,
    seen: Seen,
    /// When nf_tables are read again.
    due: Option<Instant>,
    /// When they were read last.
    read: Instant,
    /// By kind and thing.
    told: BTreeSet<(&'static str, String)>,
}

impl Beside {
    /// Looks, in the network namespace of the calling thread, and listens from then on.
    pub(crate) fn open(now: Instant) -> Self {
        let announcements = listen();
        if let Err(error) = &announcements {
            tracing::debug!(%error, "changes of nf_tables are not heard");
        }
        let told = BTreeSet::new();
        // What changes while it is read is heard, and read again.
        Self { announcements: announcements.ok(), seen: Seen::look(), due: None, read: now, told }
    }

    /// What is readable when nf_tables have changed.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.announcements.as_ref().map(AsFd::as_fd)
    }

    /// When [`Self::follow`] has something to do, without any announcement.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The ports that other translators take.
    pub(crate) fn ports(&self) -> BTreeSet<HostPort> {
        self.seen.ports()
    }

    /// Hears what was announced, and reads nf_tables again a little later, so that a burst of changes
    /// costs one look, and a stream of them one a second; whether that was now.
    pub(crate) fn follow(&mut self, now: Instant) -> bool {
        if self.hear() {
            self.due = self.due.or_else(|| Some((now + DELAY).max(self.read + PAUSE)));
        }
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        (self.due, self.read) = (None, now);
        self.seen.read_nft();
        true
    }

    /// Looks at what announces nothing.
    pub(crate) fn look_again(&mut self) {
        self.seen.read_others();
    }

    /// Says in the log what was found and not said before.
    pub(crate) fn tell(&mut self, outlook: &Outlook<'_>) {
        for mut finding in self.seen.findings(outlook) {
            let kind = finding.words.0;
            finding.items.retain(|item| self.told.insert((kind, item.clone())));
            if !finding.items.is_empty() {
                say(&finding);
            }
        }
    }

    /// Whether something has been announced.
    fn hear(&self) -> bool {
        let Some(socket) = &self.announcements else { return false };
        let mut heard = false;
        for _ in 0..DATAGRAMS {
            match socket.recv_from_full() {
                Ok(_) => heard = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Some were lost, and what they said is read all the same.
                Err(_) => return true,
            }
        }
        heard
    }
}

fn say(finding: &Finding) {
    let found = finding.found();
    // What follows as lines is for a file, and `masq doctor` prints it.
    let remedy = finding.remedy.iter().flat_map(|remedy| remedy.lines()).next();
    match (finding.outcome, remedy) {
        (Outcome::Warning | Outcome::Failure, Some(remedy)) => {
            tracing::warn!("{found}: {}", remedy.trim_end_matches(':'));
        }
        (Outcome::Ok, _) | (_, None) => tracing::info!("{found}"),
    }
}

fn listen() -> io::Result<Socket> {
    let mut socket = Socket::new(protocols::NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    socket.add_membership(NF_TABLES)?;
    Ok(socket)
}

/// `NFNLGRP_NFTABLES`.
const NF_TABLES: u32 = 7;
/// How long nf_tables are left alone after a change.
const DELAY: Duration = Duration::from_millis(50);
/// How long they are left alone after they were read.
const PAUSE: Duration = Duration::from_secs(1);
/// Announcements taken in one go.
const DATAGRAMS: usize = 64;
