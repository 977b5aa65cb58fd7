//! The words that the EAL is started with.

use super::eal::Hugepages;
use super::name::DeviceName;

/// Beyond the pool: rings, queues and what drivers allocate for themselves.
const DRIVER_MEMORY: u64 = 64 << 20;

/// The same, for each port.
const PORT_MEMORY: u64 = 16 << 20;

/// What decides the words.
pub(super) struct Arguments<'a> {
    pub(super) file_prefix: &'a str,
    pub(super) control_cpus: &'a str,
    pub(super) use_hugepages: bool,
    pub(super) memory: u64,
    pub(super) devices: &'a [DeviceName],
    pub(super) extra: &'a [String],
}

impl Arguments<'_> {
    /// Program name first. What `extra` says about a thing replaces our own word about it.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = vec!["adit".to_owned()];
        let mut add = |new: &[&str], instead: &[&str]| {
            if !self.extra.iter().any(|word| instead.iter().any(|given| names(word, given))) {
                words.extend(new.iter().map(|&word| word.to_owned()));
            }
        };
        let lcores = format!("0@({})", self.control_cpus);
        let megabytes = self.memory.div_ceil(1 << 20).to_string();
        add(&["--lcores", &lcores], &["--lcores", "-l", "-c", "--main-lcore"]);
        add(&["--file-prefix", self.file_prefix], &["--file-prefix"]);
        add(&["--no-telemetry"], &["--telemetry"]);
        let memory = ["--in-memory", "--no-huge", "--huge-dir", "--no-shconf", "--socket-mem"];
        if self.use_hugepages {
            // Files of hugepages would outlive the process when it is killed.
            add(&["--in-memory"], &memory);
            // A vhost peer maps at most eight files, and memory is otherwise one for each page.
            if self.devices.iter().any(|device| device.driver() == Some("net_virtio_user")) {
                add(&["--single-file-segments"], &["--single-file-segments"]);
            }
        } else {
            add(&["--no-huge", "--no-shconf"], &memory);
            add(&["-m", &megabytes], &["-m", "--memory-size", "--in-memory", "--socket-mem"]);
        }
        let mut hardware =
            self.devices.iter().filter(|device| device.driver().is_none()).peekable();
        if hardware.peek().is_none() {
            add(&["--no-pci"], &["-a", "--allow", "--no-pci"]);
        }
        for device in hardware {
            words.extend(["-a".to_owned(), device.to_string()]);
        }
        words.extend(self.extra.iter().cloned());
        words
    }
}

/// Whether a word is that option: `--name`, `--name=value`, `-x`, `-xvalue`.
fn names(word: &str, option: &str) -> bool {
    let Some(rest) = word.strip_prefix(option) else { return false };
    rest.is_empty() || rest.starts_with('=') || !option.starts_with("--")
}

/// Bytes that the EAL needs for a pool of `pool_memory` bytes and that many ports.
pub(super) fn memory_needed(pool_memory: u64, port_count: usize) -> u64 {
    pool_memory + DRIVER_MEMORY + PORT_MEMORY * port_count as u64
}

/// Whether hugepages are used, or what stands against it.
pub(super) fn choose_hugepages(
    wish: Hugepages,
    free: u64,
    needed: u64,
) -> Result<bool, super::EalError> {
    match wish {
        Hugepages::Off => Ok(false),
        Hugepages::Auto => Ok(free >= needed),
        Hugepages::Required if free >= needed => Ok(true),
        Hugepages::Required => Err(super::EalError::Hugepages {
            needed_megabytes: needed.div_ceil(1 << 20),
            free_megabytes: free >> 20,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(devices: &[&str], use_hugepages: bool, extra: &[&str]) -> String {
        let devices: Vec<_> = devices.iter().map(|text| text.parse().unwrap()).collect();
        let extra: Vec<_> = extra.iter().map(|&word| word.to_owned()).collect();
        let arguments = Arguments {
            file_prefix: "adit-1",
            control_cpus: "0-1",
            use_hugepages,
            memory: 100 << 20,
            devices: &devices,
            extra: &extra,
        };
        arguments.words().join(" ")
    }

    #[test]
    fn without_hardware_the_pci_bus_is_left_alone() {
        assert_eq!(
            words(&["net_tap0"], false, &[]),
            "adit --lcores 0@(0-1) --file-prefix adit-1 --no-telemetry --no-huge --no-shconf -m 100 \
             --no-pci"
        );
    }

    #[test]
    fn only_the_hardware_that_is_named_is_touched() {
        assert_eq!(
            words(&["3b:00.0,txq_inline=64", "net_tap0"], true, &[]),
            "adit --lcores 0@(0-1) --file-prefix adit-1 --no-telemetry --in-memory \
             -a 0000:3b:00.0,txq_inline=64"
        );
    }

    #[test]
    fn a_vhost_peer_gets_hugepages_in_few_files() {
        let with = words(&["net_virtio_user0,path=x"], true, &[]);
        assert!(with.contains("--in-memory --single-file-segments"), "{with}");
    }

    #[test]
    fn what_a_person_asks_for_replaces_our_own_word() {
        let words = words(&[], false, &["-m512", "--file-prefix=mine", "-l", "1"]);
        assert_eq!(
            words,
            "adit --no-telemetry --no-huge --no-shconf --no-pci -m512 --file-prefix=mine -l 1"
        );
    }

    #[test]
    fn hugepages_are_used_when_enough_are_free() {
        assert!(choose_hugepages(Hugepages::Auto, 10, 10).unwrap());
        assert!(!choose_hugepages(Hugepages::Auto, 9, 10).unwrap());
        assert!(!choose_hugepages(Hugepages::Off, 10, 10).unwrap());
        let error = choose_hugepages(Hugepages::Required, 0, 5 << 20).unwrap_err().to_string();
        assert!(error.contains("5 MiB"), "{error}");
    }
}
