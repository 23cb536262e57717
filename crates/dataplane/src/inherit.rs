//! The flow table that a predecessor left behind: what becomes of it, and what is said of that.
//!
//! ```text
//!   maps of other sizes ──► dropped before anything is loaded, see `Pins::discard_unlike`
//!   another magic, a version that is not known ──► said, and the gateway starts without sessions
//!   damaged records ──► said, and all others go on
//! ```
//!
//! A gateway that does not start serves nobody, so no table keeps it from starting; but sessions that
//! end for this are never lost in silence.

use core::fmt;

use masq_flow::{Adoption, HeaderError, Memory, Secret, Writer};

/// What became of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inheritance {
    /// There was none.
    Nothing,
    /// It goes on.
    Taken(Adoption),
    /// It is not one that this program understands.
    Unusable(HeaderError),
}

/// Takes over the table in the memory, or makes a new one with the secret.
pub(crate) fn take_over(table: Memory, now_ns: u64, secret: Secret) -> (Writer, Inheritance) {
    if !table.header().is_formatted() {
        return (Writer::format(table, secret), Inheritance::Nothing);
    }
    match Writer::adopt(table.clone(), now_ns) {
        Ok((writer, adoption)) => (writer, Inheritance::Taken(adoption)),
        Err(error) => (Writer::format(table, secret), Inheritance::Unusable(error)),
    }
}

impl Inheritance {
    /// Says what became of it, as loudly as it is bad.
    pub(crate) fn tell(&self) {
        match self {
            Self::Nothing => {}
            Self::Taken(adoption) if lost(adoption) == 0 => tracing::info!("{self}"),
            Self::Taken(_) | Self::Unusable(_) => tracing::warn!("{self}"),
        }
    }
}

impl fmt::Display for Inheritance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("there is no flow table to take over"),
            Self::Taken(adoption) => {
                write!(f, "took over the flow table, {} sessions go on", adoption.kept)?;
                match lost(adoption) {
                    0 => Ok(()),
                    lost => write!(f, "; {lost} damaged records are dropped"),
                }
            }
            Self::Unusable(error) => write!(
                f,
                "the flow table left behind cannot be used, so the gateway starts without sessions: \
                 {error}"
            ),
        }
    }
}

/// How many records are dropped that were more than on their way in or out.
const fn lost(adoption: &Adoption) -> usize {
    adoption.damaged + adoption.duplicate + adoption.no_room
}

#[cfg(test)]
mod tests {
    use masq_flow::Layout;

    use super::*;

    #[test]
    fn without_a_table_there_is_nothing_to_say() {
        let memory = Memory::heap(Layout::for_sessions(10));
        let (writer, inheritance) = take_over(memory.clone(), 1, Secret::new(1, 2));
        assert_eq!((writer.len(), inheritance), (0, Inheritance::Nothing));
        let (_, again) = take_over(memory, 1, Secret::new(3, 4));
        assert_eq!(again, Inheritance::Taken(Adoption::default()));
    }

    #[test]
    fn what_is_lost_is_said() {
        let adoption = Adoption { kept: 11, damaged: 2, half_made: 3, ..Adoption::default() };
        assert_eq!(
            Inheritance::Taken(adoption).to_string(),
            "took over the flow table, 11 sessions go on; 2 damaged records are dropped"
        );
        let error = HeaderError::Version { found: 9, known: 2 };
        assert_eq!(
            Inheritance::Unusable(error).to_string(),
            "the flow table left behind cannot be used, so the gateway starts without sessions: flow \
             table of layout version 9, this program knows version 2"
        );
    }
}
