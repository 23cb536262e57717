//! Why a dataplane does not start.

use std::io;
use std::path::PathBuf;

use masq_flow::HeaderError;

use crate::attach::AttachError;
use crate::bpffs::BpffsError;
use crate::claims::Holder;
use crate::namespaces::Namespace;
use crate::netlink::NetlinkError;

/// A dataplane does not start. Nothing is left behind that was not there before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A name that cannot be part of a file name.
    #[error("`{instance}` cannot name an instance: use 1 to 32 letters, digits, `-` and `_`")]
    Name {
        /// What was asked for.
        instance: String,
    },
    /// The process may not do this.
    #[error("not permitted to manage the network: run masq as root (it needs {missing})")]
    Permission {
        /// Which capability is missing.
        missing: &'static str,
    },
    /// Another daemon of the same instance runs.
    #[error("masq instance {instance} is running already")]
    Running {
        /// Which.
        instance: String,
    },
    /// The instance lives in another network namespace.
    #[error("masq instance {instance} {}", elsewhere(instance, namespace.as_ref()))]
    Elsewhere {
        /// Which.
        instance: String,
        /// Where, if that can be found.
        namespace: Option<Namespace>,
    },
    /// No such interface.
    #[error("there is no interface {interface}; there are: {}", known.join(", "))]
    UnknownInterface {
        /// What was asked for.
        interface: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An interface that masq cannot serve.
    #[error(
        "interface {interface} has an MTU of {mtu}, and masq takes at most {most}: run \
             `ip link set {interface} mtu {most}`"
    )]
    Mtu {
        /// Which.
        interface: String,
        /// What it has.
        mtu: u32,
        /// What it may have.
        most: u32,
    },
    /// The loopback interface, or the punt port.
    #[error("interface {interface} cannot be inside or outside")]
    Unusable {
        /// Which.
        interface: String,
    },
    /// Another instance has the interface.
    #[error("interface {interface} is used by {holder}")]
    Claimed {
        /// Which.
        interface: String,
        /// Whose it is.
        holder: Holder,
    },
    /// The BPF file system.
    #[error(transparent)]
    Bpffs(#[from] BpffsError),
    /// The programs.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The kernel's routing.
    #[error("cannot read or change the network's configuration")]
    Netlink(#[from] NetlinkError),
    /// The flow table that a predecessor left.
    #[error("the flow table cannot be used")]
    Table(#[from] HeaderError),
    /// The AF_XDP socket.
    #[error("cannot open the AF_XDP socket on {interface}")]
    Socket {
        /// The punt port's far end.
        interface: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The process may not lock enough memory for the AF_XDP socket.
    #[error(
        "not permitted to lock 32 MiB of memory for packets: give masq CAP_IPC_LOCK, or raise the \
         limit (`ulimit -l unlimited`, in a systemd service LimitMEMLOCK=infinity)"
    )]
    LockedMemory,
    /// A file of the instance.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something else that the system refused.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl StartError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Where an instance is that is not here, and what to do.
fn elsewhere(instance: &str, namespace: Option<&Namespace>) -> String {
    let Some(namespace) = namespace else {
        return "was started in another network namespace, which cannot be seen from here; use \
                another --instance here (`masq instances` lists those there are)"
            .to_owned();
    };
    format!(
        "lives in another network namespace (net:[{}]); use another --instance here, or remove it \
         there: {} masq detach --instance {instance}",
        namespace.inode,
        namespace.enter()
    )
}
