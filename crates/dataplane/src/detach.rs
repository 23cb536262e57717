//! Removing every trace of an instance.

use std::path::Path;

use crate::error::StartError;
use crate::instance::{Instance, RemoveError, unlock};

/// An instance was not removed, or not completely.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetachError {
    /// Something is in the way; nothing was removed.
    #[error(transparent)]
    Refused(#[from] StartError),
    /// There is nothing to remove.
    #[error("there is no masq instance {instance}")]
    Unknown {
        /// Which.
        instance: String,
    },
    /// Some of it is left.
    #[error("masq instance {instance} is not removed completely: {}", list(errors))]
    Incomplete {
        /// Which.
        instance: String,
        /// What is left, and why.
        errors: Vec<RemoveError>,
    },
}

/// Removes programs, maps, the punt port and the state of an instance that is not running, and
/// restores the kernel settings that masq changed. After the last instance, the BPF file system is
/// unmounted if masq has mounted it.
///
/// Programs and maps are removed from wherever they are; the punt port and settings only if the
/// calling thread is in the instance's network namespace.
///
/// # Errors
///
/// Says what is in the way or what is left; everything that can be removed is.
pub fn detach(run: &Path, instance: &str) -> Result<(), DetachError> {
    let name = instance;
    let instance = Instance::new(run, name)?;
    if !instance.exists() {
        return Err(DetachError::Unknown { instance: name.to_owned() });
    }
    let lock = instance.lock()?;
    let errors = instance.remove();
    if errors.is_empty() {
        instance.remove_lock();
        instance.remove_own_places();
        unlock(&lock);
        Ok(())
    } else {
        Err(DetachError::Incomplete { instance: name.to_owned(), errors })
    }
}

fn list(errors: &[RemoveError]) -> String {
    let line = |error: &RemoveError| format!("{error}: {}", error.source);
    errors.iter().map(line).collect::<Vec<_>>().join("; ")
}
