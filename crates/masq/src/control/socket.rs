//! The instance's socket, and the lock that makes an instance one.
//!
//! The lock decides: whoever holds `<instance>.lock` is the instance, and a socket file found while
//! holding it belongs to a daemon that died, so it is replaced. The kernel drops the lock with the
//! process, however that ends. A socket that answers although its lock is free belongs to somebody
//! else's program (`[control] socket` may name any path) and is refused.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;

/// Where an instance listens by default.
pub(crate) fn default_path(instance: &str) -> PathBuf {
    Path::new(masq_api::SOCKET_DIRECTORY).join(format!("{instance}.sock"))
}

/// A listening socket that no other daemon can have; removed when dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    _place: Place,
}

impl Socket {
    /// # Errors
    ///
    /// When another daemon listens there, or the place cannot be written. Nothing is left behind
    /// then that was not there before.
    pub(crate) fn bind(instance: &str, path: &Path) -> Result<Self> {
        let mut place = Place::take(instance, path)?;
        clear(instance, path)?;
        let listener = UnixListener::bind(path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        place.listening = true;
        fs::set_permissions(path, Permissions::from_mode(0o660))
            .with_context(|| format!("cannot set the mode of {}", path.display()))?;
        listener.set_nonblocking(true).context("cannot make the control socket non-blocking")?;
        Ok(Self { listener, _place: place })
    }
}

/// Removes what a daemon that was killed has left of its socket; nothing of one that lives, and
/// nothing of anybody else's.
pub(crate) fn remove_dead(instance: &str, path: &Path) {
    if path.exists() || path.with_extension("lock").exists() {
        let place = Place::take(instance, path);
        // Before the place, with the lock, is given back.
        let _ = place.is_ok_and(|_place| clear(instance, path).is_ok());
    }
}

/// The locked place of a socket, given back when dropped.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// The socket's file is ours.
    listening: bool,
    /// The directory was made for it.
    directory: Option<PathBuf>,
    _lock: File,
}

impl Place {
    fn take(instance: &str, path: &Path) -> Result<Self> {
        let directory = path.parent().unwrap_or_else(|| Path::new("/"));
        let made = (!directory.exists()).then(|| directory.to_owned());
        fs::create_dir_all(directory).with_context(|| {
            let hint = if is_root() { "" } else { ": run masq as root" };
            format!("cannot create {}{hint}", directory.display())
        })?;
        let lock = lock(instance, &path.with_extension("lock"))?;
        Ok(Self { path: path.to_owned(), listening: false, directory: made, _lock: lock })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.listening {
            let _ = fs::remove_file(&self.path);
        }
        // The lock's file goes last, while the lock is still held.
        let _ = fs::remove_file(self.path.with_extension("lock"));
        if let Some(directory) = &self.directory {
            // It stays if somebody else has come to use it.
            let _ = fs::remove_dir(directory);
        }
    }
}

fn lock(instance: &str, path: &Path) -> Result<File> {
    loop {
        let file =
            File::options().create(true).truncate(false).write(true).open(path).with_context(
                || {
                    let hint = if is_root() { "" } else { ": run masq as root" };
                    format!("cannot open {}{hint}", path.display())
                },
            )?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, path) => return Ok(file),
            // Its last holder removed it between our two calls: what is locked has no name.
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => bail!(
                "instance {instance} is already running\n\
                 look at it with `masq status --instance {instance}`, or give this one another \
                 name with --instance"
            ),
            Err(error) => {
                return Err(io::Error::from(error))
                    .with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the open file is the one that the path names.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        (Ok(_) | Err(_), _) => false,
    }
}

/// Removes the socket file of a dead daemon.
fn clear(instance: &str, path: &Path) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        bail!(
            "{} is in the way: it is not a socket\nremove it, or set another `socket` in [control]",
            path.display()
        );
    }
    if UnixStream::connect(path).is_ok() {
        bail!(
            "{} is in use by another program\nend that program, or set another `socket` in \
             [control] for instance {instance}",
            path.display()
        );
    }
    fs::remove_file(path)
        .with_context(|| format!("cannot replace the dead socket {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test's own.
    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("masq-socket-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path.join("test.sock")
    }

    #[test]
    fn a_second_daemon_is_refused_and_the_first_unharmed() {
        let path = place("second");
        let first = Socket::bind("test", &path).unwrap();
        let error = Socket::bind("test", &path).unwrap_err().to_string();
        assert!(error.starts_with("instance test is already running"), "{error}");
        UnixStream::connect(&path).unwrap();
        drop(first);
        assert!(!path.parent().unwrap().exists(), "the directory was made for it");
    }

    #[test]
    fn a_dead_daemons_socket_is_replaced() {
        let path = place("dead");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = Socket::bind("test", &path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(socket);
    }

    #[test]
    fn only_what_a_dead_daemon_left_is_removed() {
        let path = place("removed");
        remove_dead("test", &path);
        assert!(!path.parent().unwrap().exists(), "nothing is made to remove nothing");
        let living = Socket::bind("test", &path).unwrap();
        remove_dead("test", &path);
        UnixStream::connect(&path).unwrap();
        drop(living);

        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        fs::write(path.with_extension("lock"), "").unwrap();
        remove_dead("test", &path);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_strangers_socket_or_file_is_left_alone() {
        let path = place("stranger");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let stranger = UnixListener::bind(&path).unwrap();
        let error = Socket::bind("test", &path).unwrap_err().to_string();
        assert!(error.contains("in use by another program"), "{error}");
        remove_dead("test", &path);
        UnixStream::connect(&path).unwrap();
        drop(stranger);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        let error = Socket::bind("test", &path).unwrap_err().to_string();
        assert!(error.contains("it is not a socket"), "{error}");
        remove_dead("test", &path);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "and nothing else");
    }
}
