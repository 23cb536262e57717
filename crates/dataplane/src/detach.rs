//! Removing every trace of an instance.

use std::path::Path;

use crate::error::StartError;
use crate::instance::{Instance, RemoveError, unlock};
use crate::instances::{self, Place};

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
/// An instance of another network namespace is left alone: somebody may use it there. One whose namespace
/// cannot be found is removed as far as anything of it is left, and this namespace is not touched.
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
    check_place(run, name)?;
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

/// Whether an instance may be removed from this network namespace.
///
/// # Errors
///
/// If it lives in another, or runs in one that cannot be found; says how it is removed there.
pub fn check_place(run: &Path, instance: &str) -> Result<(), StartError> {
    let Some(found) = instances::find(run, instance) else { return Ok(()) };
    let elsewhere = |namespace| StartError::Elsewhere { instance: found.name.clone(), namespace };
    match found.place.clone() {
        Place::Here(_) => Ok(()),
        Place::Elsewhere(namespace) => Err(elsewhere(Some(namespace))),
        Place::Lost => match Instance::new(run, instance)?.lock() {
            Err(StartError::Running { .. }) => Err(elsewhere(None)),
            Ok(lock) => {
                unlock(&lock);
                Ok(())
            }
            Err(error) => Err(error),
        },
    }
}

fn list(errors: &[RemoveError]) -> String {
    let line = |error: &RemoveError| format!("{error}: {}", error.source);
    errors.iter().map(line).collect::<Vec<_>>().join("; ")
}
