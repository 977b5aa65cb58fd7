//! What a port's `device` says: a PCI address, or a software device with its arguments.

use core::fmt;
use core::str::FromStr;

/// The longest name that DPDK keeps of a device.
const NAME_MAX: usize = 63;

/// A device string, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// Hardware: the full address (`0000:3b:00.0`) and arguments for its driver.
    Pci {
        /// Domain, bus, device and function.
        address: String,
        /// What follows the first comma.
        arguments: String,
    },
    /// Software: `net_tap0,iface=adit-wan` is instance 0 of the driver `net_tap`.
    Virtual {
        /// Driver and number.
        name: String,
        /// What follows the first comma.
        arguments: String,
    },
}

/// Text that is no device string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a device: a PCI address such as 0000:3b:00.0, or the name of a DPDK software device such \
     as net_tap0,iface=adit-wan is expected"
)]
pub struct InvalidDeviceName;

impl DeviceName {
    /// The name that DPDK knows the device by.
    pub fn name(&self) -> &str {
        match self {
            Self::Pci { address, .. } => address,
            Self::Virtual { name, .. } => name,
        }
    }

    /// The driver of a software device: its name without the number.
    pub fn driver(&self) -> Option<&str> {
        match self {
            Self::Pci { .. } => None,
            Self::Virtual { name, .. } => {
                Some(name.trim_end_matches(|last: char| last.is_ascii_digit()))
            }
        }
    }

    /// The value of the first argument with that key.
    pub fn argument(&self, key: &str) -> Option<&str> {
        let (Self::Pci { arguments, .. } | Self::Virtual { arguments, .. }) = self;
        let mut pairs = arguments.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Gives a software device the first free number if its name is taken.
    pub(super) fn make_unique(&mut self, taken: &[&str]) {
        let Some(driver) = self.driver().map(str::to_owned) else { return };
        let Self::Virtual { name, .. } = self else { return };
        if !taken.contains(&name.as_str()) {
            return;
        }
        let mut free = (0..).map(|number: u32| format!("{driver}{number}"));
        if let Some(unused) = free.find(|candidate| !taken.contains(&candidate.as_str())) {
            *name = unused;
        }
    }
}

impl FromStr for DeviceName {
    type Err = InvalidDeviceName;

    fn from_str(text: &str) -> Result<Self, InvalidDeviceName> {
        let (name, arguments) = text.trim().split_once(',').unwrap_or((text.trim(), ""));
        let arguments = arguments.to_owned();
        if arguments.contains(['\0', '\n']) {
            return Err(InvalidDeviceName);
        }
        if let Some(address) = pci_address(name) {
            return Ok(Self::Pci { address, arguments });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
        let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic());
        if starts_well && name.len() <= NAME_MAX && name.chars().all(allowed) {
            return Ok(Self::Virtual { name: name.to_owned(), arguments });
        }
        Err(InvalidDeviceName)
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Pci { arguments, .. } | Self::Virtual { arguments, .. }) = self;
        f.write_str(self.name())?;
        if arguments.is_empty() { Ok(()) } else { write!(f, ",{arguments}") }
    }
}

/// The full form of `[domain:]bus:device.function`, in lower case as the kernel writes it.
fn pci_address(text: &str) -> Option<String> {
    let (rest, function) = text.rsplit_once('.')?;
    let mut parts = rest.rsplit(':');
    let device = hexadecimal(parts.next()?, 2)?;
    let bus = hexadecimal(parts.next()?, 2)?;
    let domain = parts.next().map_or(Some(0), |domain| hexadecimal(domain, 8))?;
    let function = hexadecimal(function, 1)?;
    if parts.next().is_some() || device > 0x1f || function > 7 {
        return None;
    }
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"))
}

fn hexadecimal(text: &str, digits: usize) -> Option<u32> {
    if text.len() > digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_pci_address_means_domain_0() {
        let device: DeviceName = "3B:00.0".parse().unwrap();
        assert_eq!(device.name(), "0000:3b:00.0");
        assert_eq!(device, "0000:3b:00.0".parse().unwrap());
        assert_eq!(device.driver(), None);
    }

    #[test]
    fn a_software_device_has_a_driver_a_number_and_arguments() {
        let device: DeviceName = "net_af_packet12,iface=eth1,qpairs=2".parse().unwrap();
        assert_eq!(device.driver(), Some("net_af_packet"));
        assert_eq!(device.argument("iface"), Some("eth1"));
        assert_eq!(device.argument("qpairs"), Some("2"));
        assert_eq!(device.argument("face"), None);
        assert_eq!(device.to_string(), "net_af_packet12,iface=eth1,qpairs=2");
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for wrong in
            ["", ",iface=x", "3b:00.9", "3b:20.0", "a b", "1:2:3:4.0", "3b:00", "net_tap0\0"]
        {
            assert_eq!(wrong.parse::<DeviceName>(), Err(InvalidDeviceName), "{wrong:?}");
        }
    }

    #[test]
    fn a_taken_name_gets_the_first_free_number() {
        let mut device: DeviceName = "net_tap0,iface=b".parse().unwrap();
        device.make_unique(&["net_tap0", "net_tap1", "net_null2"]);
        assert_eq!(device.to_string(), "net_tap2,iface=b");
        device.make_unique(&["net_tap0"]);
        assert_eq!(device.name(), "net_tap2");
    }
}
