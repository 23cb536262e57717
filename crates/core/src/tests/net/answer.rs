//! What a packet led to.

use super::{Seen, Way};
use crate::{DropReason, Verdict};

/// The verdict on a packet, and everything that left because of it.
#[derive(Debug)]
pub(in crate::tests) struct Answer {
    verdict: Verdict,
    seen: Vec<Seen>,
}

impl Answer {
    pub(super) const fn new(verdict: Verdict, seen: Vec<Seen>) -> Self {
        Self { verdict, seen }
    }

    pub(in crate::tests) const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Why it was dropped, if it was.
    pub(in crate::tests) const fn drop_reason(&self) -> Option<DropReason> {
        match self.verdict {
            Verdict::Drop(reason) => Some(reason),
            Verdict::Forward(_) | Verdict::Held | Verdict::Local => None,
        }
    }

    /// Everything that left.
    pub(in crate::tests) fn all(self) -> Vec<Seen> {
        self.seen
    }

    /// The one packet that left, to the outside.
    #[track_caller]
    pub(in crate::tests) fn outside(self) -> Seen {
        self.one(Way::Outside)
    }

    /// The one packet that left, to the inside.
    #[track_caller]
    pub(in crate::tests) fn inside(self) -> Seen {
        self.one(Way::Inside)
    }

    /// The one packet that left, to the inside; or none if it was dropped in silence, or was the
    /// host's own.
    #[track_caller]
    pub(in crate::tests) fn inside_if_any(self) -> Option<Seen> {
        match self.verdict {
            Verdict::Drop(_) | Verdict::Local => {
                self.nothing_inside();
                None
            }
            Verdict::Forward(_) | Verdict::Held => Some(self.inside()),
        }
    }

    /// It is the host's own.
    #[track_caller]
    pub(in crate::tests) fn local(self) {
        self.one(Way::Local);
    }

    /// It was dropped for this reason, and nothing left.
    #[track_caller]
    pub(in crate::tests) fn dropped(self, reason: DropReason) {
        assert_eq!(self.drop_reason(), Some(reason), "{self:?}");
        assert!(self.seen.is_empty(), "not in silence: {self:?}");
    }

    /// Nothing left, for whatever reason.
    #[track_caller]
    pub(in crate::tests) fn nothing(self) {
        assert!(self.seen.is_empty(), "something left: {self:?}");
    }

    /// No inside host saw anything of it; it may have been the host's own.
    #[track_caller]
    pub(in crate::tests) fn nothing_inside(self) {
        assert!(self.seen.iter().all(|seen| seen.way() == Way::Local), "something left: {self:?}");
    }

    /// It was not forwarded, and an ICMP error was the only thing that left.
    #[track_caller]
    pub(in crate::tests) fn error(self) -> Seen {
        assert!(!matches!(self.verdict, Verdict::Forward(_)), "{self:?}");
        let [error] = &self.seen[..] else { panic!("not one error: {self:?}") };
        assert!(error.is_error(), "not an error: {self:?}");
        error.clone()
    }

    #[track_caller]
    fn one(self, way: Way) -> Seen {
        match &self.seen[..] {
            [seen] if seen.way() == way => seen.clone(),
            _ => panic!("not one packet to {way:?}: {self:?}"),
        }
    }
}
