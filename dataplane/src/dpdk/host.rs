//! What the rim has to know of the machine: free hugepages, allowed CPUs, interfaces, PCI devices.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of hugepages that nobody uses.
pub(super) fn free_hugepage_bytes() -> u64 {
    let Ok(sizes) = fs::read_dir("/sys/kernel/mm/hugepages") else { return 0 };
    sizes
        .flatten()
        .filter_map(|size| {
            let name = size.file_name();
            let kilobytes = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?;
            let kilobytes: u64 = kilobytes.parse().ok()?;
            let free = fs::read_to_string(size.path().join("free_hugepages")).ok()?;
            Some(kilobytes * 1024 * free.trim().parse::<u64>().ok()?)
        })
        .sum()
}

/// The CPUs that this thread may use, as DPDK writes lists: `0-3,8`.
pub(super) fn allowed_cpus() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or_else(|| "0".to_owned(), |list| list.trim().to_owned())
}

/// Whether this process sees a network interface of that name in its own namespace.
pub(super) fn has_interface(name: &str) -> bool {
    // Unlike /sys/class/net, this follows the thread's namespace wherever /sys was mounted.
    let list = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    list.lines().filter_map(|line| line.split_once(':')).any(|(found, _)| found.trim() == name)
}

/// The folder of a PCI device that the kernel knows.
pub(super) fn pci_folder(address: &str) -> Option<PathBuf> {
    let folder = Path::new("/sys/bus/pci/devices").join(address);
    folder.exists().then_some(folder)
}

/// The kernel driver that a PCI device is bound to.
pub(super) fn pci_driver(folder: &Path) -> Option<String> {
    let target = fs::read_link(folder.join("driver")).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// The number in `librte_eal.so.NUMBER`: Debian's packages of drivers carry it in their names.
pub(super) fn dpdk_abi() -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let (_, rest) = maps.split_once("librte_eal.so.")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!number.is_empty()).then_some(number)
}

/// Text that stays the same on one machine and differs between machines, where there is such.
pub(super) fn machine_id() -> String {
    fs::read_to_string("/etc/machine-id").unwrap_or_default()
}
