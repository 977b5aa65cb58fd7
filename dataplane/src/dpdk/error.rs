//! Why the rim does not start: each reason says what is wrong, where, and what would help.

use core::ffi::CStr;
use core::fmt;

use dpdk_sys as sys;

use super::name::InvalidDeviceName;

/// An error number of C, shown as its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub(super) i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: any number is allowed; returns a string in memory of this thread's own.
        let text = unsafe { sys::rte_strerror(self.0) };
        // SAFETY: terminated, and valid until this thread asks for the next.
        f.write_str(&unsafe { CStr::from_ptr(text) }.to_string_lossy())
    }
}

/// The error of this thread's last failed call into DPDK.
pub(super) fn last_error() -> Errno {
    // SAFETY: reads a thread-local number.
    Errno(unsafe { sys::shim_errno() })
}

/// Kernel error numbers that mean something particular here; Linux has the same on all machines.
pub(super) mod errno {
    pub(crate) const EPERM: i32 = 1;
    pub(crate) const ENODEV: i32 = 19;
    pub(crate) const ENOTSUP: i32 = 95;
}

/// Why the appliance can't start on its ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// DPDK itself.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// One of the ports.
    #[error("port {port} ({device}): {reason}")]
    Port {
        /// Its name in the configuration.
        port: String,
        /// Its device string.
        device: String,
        /// What is wrong with it.
        reason: Box<PortError>,
    },
}

/// Why DPDK does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EalError {
    /// It has been started before.
    #[error("DPDK can be started once in a process")]
    Twice,
    /// An argument can't be handed to C.
    #[error("an EAL argument contains a zero byte or there are too many of them")]
    Words,
    /// `hugepages: required`, and there are not enough.
    #[error(
        "{needed_megabytes} MiB of hugepages are needed and {free_megabytes} MiB are free: reserve \
         more (dpdk-hugepages.py --setup {needed_megabytes}M), lower `mbufs`, or set \
         `hugepages: auto`"
    )]
    Hugepages {
        /// For the pool and the drivers.
        needed_megabytes: u64,
        /// In the whole machine.
        free_megabytes: u64,
    },
    /// `rte_eal_init` got no memory.
    #[error("DPDK gets no memory with the arguments `{words}`: lower `mbufs`{log}")]
    Memory {
        /// What it was given.
        words: String,
        /// What it logged.
        log: Said,
    },
    /// `rte_eal_init` failed.
    #[error("DPDK does not start with the arguments `{words}`: {reason}{log}")]
    Init {
        /// What it was given.
        words: String,
        /// Its error.
        reason: Errno,
        /// What it logged.
        log: Said,
    },
    /// No memory for the buffers.
    #[error(
        "no memory for {count} buffers ({megabytes} MiB): {reason}; lower `mbufs` or give DPDK more"
    )]
    Pool {
        /// How many.
        count: u32,
        /// What they take.
        megabytes: u64,
        /// Its error.
        reason: Errno,
    },
    /// A worker's thread can't be registered.
    #[error("DPDK does not take another thread ({limit} at most): {reason}")]
    Thread {
        /// The most that it was built for.
        limit: u32,
        /// Its error.
        reason: Errno,
    },
}

/// Why a port does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum PortError {
    #[error(transparent)]
    Name(#[from] InvalidDeviceName),
    #[error("no driver for {driver} is installed; Debian and Ubuntu: apt install {package}")]
    DriverMissing { driver: String, package: String },
    #[error("the machine has no PCI device at this address; `lspci -D` lists those it has")]
    PciMissing,
    #[error(
        "bound to the kernel's driver `{driver}`, which DPDK can't use: \
         dpdk-devbind.py --bind=vfio-pci {address}{log}"
    )]
    PciDriver { address: String, driver: String, log: Said },
    #[error(
        "bound to {driver}, and yet DPDK does not open it: the driver package for this hardware \
         is missing, or this process may not use VFIO{log}"
    )]
    PciRefused { driver: String, log: Said },
    #[error("/dev/net/tun is missing: modprobe tun, or in a container --device /dev/net/tun")]
    TunMissing,
    #[error("{what} needs more rights: run as root or with {capability}{log}")]
    Permission { what: &'static str, capability: &'static str, log: Said },
    #[error("there is no network interface {interface}: `ip link` lists those there are")]
    InterfaceMissing { interface: String },
    #[error(
        "an interface {interface} exists and can't be attached: one made beforehand must be made \
         with `ip tuntap add dev {interface} mode tap multi_queue`, and nobody else may use it{log}"
    )]
    InterfaceTaken { interface: String, log: Said },
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
    #[error("another process listens on the socket {path}: choose another path or stop it")]
    SocketTaken { path: String },
    #[error(
        "nobody listens on the socket {path}: start the other end first, or let this end be the \
         server{log}"
    )]
    NoServer { path: String, log: Said },
    #[error("{free} free buffers are too few for its receive queues: raise `mbufs`{log}")]
    TooFewBuffers { free: usize, log: Said },
    #[error("the device has no {direction} queue{log}")]
    NoQueue { direction: &'static str, log: Said },
    #[error("the device has {have} queues and {want} are asked for: lower `queues`")]
    TooFewQueues { want: u16, have: u16 },
    #[error("the device can't have an MTU of {want}: {min} to {max} is possible")]
    Mtu { want: u16, min: u16, max: u16 },
    #[error("the driver {driver} does not take it: check its arguments (`{arguments}`){log}")]
    Arguments { driver: String, arguments: String, log: Said },
    #[error("{what} failed: {reason}{log}")]
    Refused { what: &'static str, reason: Errno, log: Said },
}

/// What DPDK logged about a failure; shown behind the reason, if there is anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(pub(super) Vec<String>);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (DPDK says: {})", self.0.join("; ")) }
    }
}
