//! From a failed call to what a person can do about it.
//!
//! Drivers answer most failures with one number and write the reason into the log. What is asked
//! here (is the interface there, may /dev/net/tun be opened) is what a person would look at next.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;

use super::error::{EalError, Errno, PortError, Said, errno};
use super::log::{self, LogLevel};
use super::name::DeviceName;
use super::{host, leftovers};

/// Lines that every start without shared memory writes, or every failure: they say nothing.
const NOISE: &[&str] = &[
    "Failed to register mp action callback",
    "Bus (vdev) probe failed",
    "Driver cannot attach the device",
    "Failed to attach device on primary process",
];

/// Kernel drivers that hand a PCI device to user space.
const USER_SPACE_DRIVERS: &[&str] = &["vfio-pci", "igb_uio", "uio_pci_generic"];

/// How drivers write that this process lacks a right.
const DENIED: &[&str] = &[
    "Operation not permitted",
    "Permission denied",
    "have permission",
    "Could not open AF_PACKET socket",
];

/// At most so many lines are shown.
const SAID_MAX: usize = 4;

/// The last complaints in the log.
pub(super) fn said() -> Said {
    let lines = log::recent_log().into_iter().filter(|line| {
        line.level <= LogLevel::Warning && !NOISE.iter().any(|noise| line.text.contains(noise))
    });
    let mut texts: Vec<String> = lines.map(|line| line.text).collect();
    let surplus = texts.len().saturating_sub(SAID_MAX);
    texts.drain(..surplus);
    Said(texts)
}

/// Why `rte_eal_init` failed.
pub(super) fn of_eal(reason: Errno, words: &[String]) -> EalError {
    let (words, log) = (words[1..].join(" "), said());
    if log.0.iter().any(|line| line.contains("Cannot init memory")) {
        return EalError::Memory { words, log };
    }
    EalError::Init { words, reason, log }
}

/// Why a device did not appear.
pub(super) fn of_probe(device: &DeviceName, reason: Errno) -> PortError {
    let Some(driver) = device.driver() else { return of_pci(device.name()) };
    let log = said();
    let says = |text: &str| log.0.iter().any(|line| line.contains(text));
    if says("failed to parse device") || says("no driver found") {
        return driver_missing(driver);
    }
    if let Some(known) = of_rights(driver, &log).or_else(|| of_interface(device, driver, &log)) {
        return known;
    }
    for key in ["rx_pcap", "tx_pcap"] {
        if let Some(path) = device.argument(key)
            && let Some(reason) = file_trouble(path, key == "tx_pcap")
        {
            return PortError::File { path: path.to_owned(), reason };
        }
    }
    if let Some(path) = leftovers::socket_path(device)
        && UnixStream::connect(path).is_ok()
    {
        return PortError::SocketTaken { path: path.to_owned() };
    }
    if let (Some(path), true) = (device.argument("path"), says("connect error")) {
        return PortError::NoServer { path: path.to_owned(), log };
    }
    // Most drivers answer -1 whatever is wrong, which is no error number.
    if let (DeviceName::Virtual { arguments, .. }, errno::EPERM) = (device, reason.0) {
        let arguments = if arguments.is_empty() { "none" } else { arguments };
        let (driver, arguments) = (driver.to_owned(), arguments.to_owned());
        return PortError::Arguments { driver, arguments, log };
    }
    PortError::Refused { what: "opening the device", reason, log }
}

/// Why a device that is there can't be set up or started.
pub(super) fn of_start(
    device: &DeviceName,
    what: &'static str,
    reason: Errno,
    free: usize,
) -> PortError {
    let log = said();
    let says = |text: &str| log.0.iter().any(|line| line.contains(text));
    if says("mbuf") && (says("Not enough") || says("couldn't allocate") || says("infinite")) {
        return PortError::TooFewBuffers { free, log };
    }
    if device.driver() == Some("net_memif") && says("Failed to connect") {
        let path = device.argument("socket").unwrap_or("/run/memif.sock").to_owned();
        return PortError::NoServer { path, log };
    }
    if let Some(driver) = device.driver()
        && let Some(known) = of_rights(driver, &log)
    {
        return known;
    }
    PortError::Refused { what, reason, log }
}

fn of_pci(address: &str) -> PortError {
    let Some(folder) = host::pci_folder(address) else { return PortError::PciMissing };
    match host::pci_driver(&folder) {
        Some(driver) if USER_SPACE_DRIVERS.contains(&driver.as_str()) => {
            PortError::PciRefused { driver, log: said() }
        }
        driver => {
            let driver = driver.unwrap_or_else(|| "none".to_owned());
            PortError::PciDriver { address: address.to_owned(), driver, log: said() }
        }
    }
}

fn driver_missing(driver: &str) -> PortError {
    let short = driver.strip_prefix("net_").unwrap_or(driver);
    let short = if short == "virtio_user" { "virtio" } else { short };
    let abi = host::dpdk_abi().unwrap_or_default();
    let package = format!("librte-net-{}{abi}", short.replace('_', "-"));
    PortError::DriverMissing { driver: driver.to_owned(), package }
}

/// What this process may not do.
fn of_rights(driver: &str, log: &Said) -> Option<PortError> {
    let denied = log.0.iter().any(|line| DENIED.iter().any(|words| line.contains(words)));
    match driver {
        "net_tap" | "net_tun" => {
            let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
            match tun.map_err(|error| error.kind()) {
                Err(ErrorKind::NotFound) => Some(PortError::TunMissing),
                Err(ErrorKind::PermissionDenied) => Some(no_rights("/dev/net/tun", log)),
                _ => denied.then(|| no_rights("making a TAP interface", log)),
            }
        }
        "net_af_packet" | "net_af_xdp" | "net_pcap" => {
            denied.then(|| no_rights("a raw socket on an interface", log))
        }
        _ => None,
    }
}

/// What is wrong with the kernel interface that a software device was to stand on.
fn of_interface(device: &DeviceName, driver: &str, log: &Said) -> Option<PortError> {
    let interface = device.argument("iface")?.to_owned();
    let is_there = host::has_interface(&interface);
    match driver {
        "net_tap" | "net_tun" if is_there => {
            Some(PortError::InterfaceTaken { interface, log: log.clone() })
        }
        "net_af_packet" | "net_af_xdp" if !is_there => {
            Some(PortError::InterfaceMissing { interface })
        }
        _ => None,
    }
}

fn no_rights(what: &'static str, log: &Said) -> PortError {
    let capability = "CAP_NET_ADMIN and CAP_NET_RAW";
    PortError::Permission { what, capability, log: log.clone() }
}

/// Why a capture file can't be used.
fn file_trouble(path: &str, for_writing: bool) -> Option<String> {
    let opened = if for_writing {
        OpenOptions::new().append(true).create(true).open(path)
    } else {
        File::open(path)
    };
    opened.err().map(|error| error.to_string())
}

/// Errors of a setting that a device without the feature answers with.
pub(super) fn is_unsupported(reason: Errno) -> bool {
    matches!(reason.0, errno::ENODEV | errno::ENOTSUP | errno::EPERM)
}
