//! From a device string to a running port.

use core::ffi::{CStr, c_int};
use std::ffi::CString;

use dpdk_sys as sys;

use super::diagnosis;
use super::error::{Errno, PortError, Said, errno};
use super::name::DeviceName;
use super::offload::{Outcome, Terms};
use super::pool::Pool;
use super::port::Port;
use super::queue::HandOver;
use super::rim::PortConfig;
use super::{host, leftovers, log, steering};
use crate::wire::ethernet::MacAddress;

/// Descriptors of a queue of hardware; a driver rounds it to what it can.
const HARDWARE_DESCRIPTORS: u16 = 1024;

/// The same for software, which holds as many buffers (a TAP) or doesn't care.
const SOFTWARE_DESCRIPTORS: u16 = 256;

/// What DPDK adds to an MTU: addresses, type, FCS.
const ETHERNET_LEN: u32 = 14 + 4;

/// Drivers whose arguments say how many receive queues there are. Frames arrive on all of them,
/// asked for or not, so all are polled even by a single worker.
const FIXED_QUEUE_DRIVERS: &[&str] =
    &["net_af_packet", "net_af_xdp", "net_pcap", "net_ring", "net_vhost"];

/// A port half way.
struct Setup<'a> {
    config: &'a PortConfig,
    device: &'a DeviceName,
    pool: &'a Pool,
    id: u16,
    info: sys::rte_eth_dev_info,
    notices: Vec<String>,
}

/// Opens, configures and starts a port. `seed` goes into a derived MAC address.
pub(super) fn start(
    config: &PortConfig,
    device: &DeviceName,
    workers: u16,
    pool: &Pool,
    seed: &str,
) -> Result<Port, PortError> {
    log::clear();
    leftovers::remove_stale_socket(device);
    let id = open(device)?;
    let info = device_info(id).map_err(|reason| refused("asking the device", reason))?;
    let driver = text(info.driver_name);
    let mut setup = Setup { config, device, pool, id, info, notices: Vec::new() };
    let (receive_queues, transmit_queues) = setup.queue_counts(workers)?;
    // Made before the device is configured, so that a failure from here on closes it.
    let mut port = Port {
        id,
        name: config.name.clone(),
        driver,
        mac: setup.mac(seed),
        mtu: config.mtu,
        receive_queues,
        transmit_queues,
        notices: Vec::new(),
        offloads: Vec::new(),
        checks_received: false,
        counters: std::sync::Arc::default(),
        hand_overs: Vec::new(),
        device: device.clone(),
    };
    if transmit_queues < workers {
        port.hand_overs.resize_with(usize::from(transmit_queues), HandOver::new);
    }
    let terms = setup.terms(receive_queues);
    let mut outcome = setup.configure(&terms, transmit_queues)?;
    port.checks_received = outcome.taken.receive != 0;
    setup.set_up_queues(receive_queues, transmit_queues)?;
    setup.set_mtu()?;
    let promiscuous = setup.program_mac(port.mac) || config.takes_all;
    // SAFETY: configured, and all queues are set up.
    let result = unsafe { sys::rte_eth_dev_start(id) };
    setup.checked("starting the device", result)?;
    setup.receive_what_is_ours(promiscuous);
    setup.ask_what_is_hashed(&terms, &mut outcome);
    port.offloads = terms.report(&outcome);
    port.notices = setup.notices;
    Ok(port)
}

/// The number of the device's port.
fn open(device: &DeviceName) -> Result<u16, PortError> {
    // Hardware was named to the EAL when it started, and is there or not.
    let mut reason = Errno(0);
    if device.driver().is_some() {
        let argument = c_text(&device.to_string());
        // SAFETY: a terminated string; the EAL is initialised.
        reason = Errno(-unsafe { sys::rte_dev_probe(argument.as_ptr()) });
    }
    let name = c_text(device.name());
    let mut id = 0;
    // SAFETY: a terminated string, and room for a number.
    let found = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
    if found == 0 && reason.0 == 0 { Ok(id) } else { Err(diagnosis::of_probe(device, reason)) }
}

fn device_info(id: u16) -> Result<sys::rte_eth_dev_info, Errno> {
    let mut info = sys::rte_eth_dev_info::default();
    // SAFETY: an open port, and a structure to fill.
    let result = unsafe { sys::rte_eth_dev_info_get(id, &raw mut info) };
    if result == 0 { Ok(info) } else { Err(Errno(-result)) }
}

fn refused(what: &'static str, reason: Errno) -> PortError {
    PortError::Refused { what, reason, log: diagnosis::said() }
}

impl Setup<'_> {
    fn is_driver(&self, names: &[&str]) -> bool {
        self.device.driver().is_some_and(|driver| names.contains(&driver))
    }

    /// The kernel owns a TAP's settings: DPDK must not touch its MAC address or flags.
    fn is_tap(&self) -> bool {
        self.is_driver(&["net_tap"])
    }

    fn checked(&self, what: &'static str, result: c_int) -> Result<(), PortError> {
        if result >= 0 {
            return Ok(());
        }
        Err(diagnosis::of_start(self.device, what, Errno(-result), self.pool.free_count()))
    }

    /// Receive and transmit queues.
    fn queue_counts(&self, workers: u16) -> Result<(u16, u16), PortError> {
        let (max_receive, max_transmit) = (self.info.max_rx_queues, self.info.max_tx_queues);
        for (direction, max) in [("receive", max_receive), ("transmit", max_transmit)] {
            if max == 0 {
                return Err(PortError::NoQueue { direction, log: Said::default() });
            }
        }
        let have = max_receive.min(max_transmit);
        let (receive, transmit) = match self.config.queues {
            Some(want) if want.get() > have => {
                return Err(PortError::TooFewQueues { want: want.get(), have });
            }
            Some(want) => (want.get(), want.get()),
            None if self.is_driver(FIXED_QUEUE_DRIVERS) => (max_receive, max_transmit),
            None => (workers.min(max_receive), workers.min(max_transmit)),
        };
        // A TAP's queues are file descriptors that both directions share.
        if self.is_tap() {
            let both = receive.min(transmit);
            return Ok((both, both));
        }
        Ok((receive, transmit))
    }

    /// The device's own address unless another is configured, except where that belongs to the
    /// kernel's end of a TAP, or is none.
    fn mac(&self, seed: &str) -> MacAddress {
        if let Some(mac) = self.config.mac {
            return mac;
        }
        match device_mac(self.id) {
            Some(mac) if mac.is_station() && !self.is_tap() => mac,
            _ => derived_mac(&[&host::machine_id(), seed, &self.config.name]),
        }
    }

    /// What is wanted of the device, and what it says it can.
    fn terms(&self, receive_queues: u16) -> Terms {
        Terms {
            offloads: self.config.offloads,
            rss: self.config.rss,
            receive_queues,
            hash: self.info.flow_type_rss_offloads,
            receive: self.info.rx_offload_capa,
            transmit: self.info.tx_offload_capa,
            is_software: self.device.driver().is_some(),
            is_tap: self.is_tap(),
        }
    }

    /// Tells the device its queues and what to do for us, less and less until it takes it.
    fn configure(&mut self, terms: &Terms, transmit: u16) -> Result<Outcome, PortError> {
        let mtu = u32::from(self.config.mtu);
        let wishes = terms.wishes();
        let without_mtu = wishes.last().map(|least| (*least, 0));
        let mut result = 0;
        for (wish, mtu) in wishes.iter().map(|wish| (*wish, mtu)).chain(without_mtu) {
            let mut conf = sys::rte_eth_conf::default();
            conf.rxmode.mtu = mtu;
            conf.rxmode.offloads = wish.receive;
            if wish.hash != 0 {
                conf.rxmode.mq_mode = sys::RTE_ETH_MQ_RX_RSS;
                conf.rx_adv_conf.rss_conf.rss_hf = wish.hash;
            }
            let receive = terms.receive_queues;
            // SAFETY: an open port that is stopped, and a filled structure.
            result =
                unsafe { sys::rte_eth_dev_configure(self.id, receive, transmit, &raw const conf) };
            if result == 0 {
                if wishes.first() != Some(&wish) {
                    self.notices.push("the device does less than it offers".to_owned());
                }
                return Ok(Outcome { taken: wish, hash: wish.hash, ..Outcome::default() });
            }
        }
        self.checked("configuring the device", result)?;
        Ok(Outcome::default())
    }

    /// After the start: what the device hashes by its own word, and rules where that falls short.
    fn ask_what_is_hashed(&mut self, terms: &Terms, outcome: &mut Outcome) {
        if outcome.hash != 0 {
            let mut conf = sys::rte_eth_rss_conf::default();
            // SAFETY: a started port, and a structure to fill, without room for a key.
            let result = unsafe { sys::rte_eth_dev_rss_hash_conf_get(self.id, &raw mut conf) };
            // A driver that can't be asked is believed.
            outcome.hash = if result == 0 { conf.rss_hf } else { outcome.hash };
        }
        if terms.wants_rules(outcome.is_inner()) {
            let hash = self.info.flow_type_rss_offloads;
            outcome.rules = steering::spread_tunnels(self.id, terms.receive_queues, hash);
        }
    }

    fn set_up_queues(&self, receive: u16, transmit: u16) -> Result<(), PortError> {
        let is_hardware = self.device.driver().is_none();
        let wish = if is_hardware { HARDWARE_DESCRIPTORS } else { SOFTWARE_DESCRIPTORS };
        let (mut receive_len, mut transmit_len) = (wish, wish);
        // SAFETY: a configured port, and two numbers to change.
        let result = unsafe {
            sys::rte_eth_dev_adjust_nb_rx_tx_desc(
                self.id,
                &raw mut receive_len,
                &raw mut transmit_len,
            )
        };
        self.checked("asking for queue lengths", result)?;
        // SAFETY: an open port.
        let socket = unsafe { sys::rte_eth_dev_socket_id(self.id) }.cast_unsigned();
        let defaults = core::ptr::null;
        for queue in 0..receive {
            let pool = self.pool.as_ptr();
            // SAFETY: a configured port that is stopped; the pool outlives it.
            let result = unsafe {
                sys::rte_eth_rx_queue_setup(self.id, queue, receive_len, socket, defaults(), pool)
            };
            self.checked("setting up a receive queue", result)?;
        }
        for queue in 0..transmit {
            let defaults = core::ptr::null();
            // SAFETY: a configured port that is stopped.
            let result = unsafe {
                sys::rte_eth_tx_queue_setup(self.id, queue, transmit_len, socket, defaults)
            };
            self.checked("setting up a transmit queue", result)?;
        }
        Ok(())
    }

    /// What has no MTU of its own carries frames of any size, and a TAP in another namespace can't
    /// be asked; any other refusal would lose frames.
    fn set_mtu(&mut self) -> Result<(), PortError> {
        let want = self.config.mtu;
        // SAFETY: a configured port.
        let reason = Errno(-unsafe { sys::rte_eth_dev_set_mtu(self.id, want) });
        match reason.0 {
            0 => Ok(()),
            errno::ENOTSUP if self.device.driver().is_some() => Ok(()),
            _ if diagnosis::is_unsupported(reason) => {
                let notice = format!("the device keeps its own MTU instead of {want}: {reason}");
                self.notices.push(notice);
                Ok(())
            }
            _ => Err(PortError::Mtu { want, min: self.info.min_mtu, max: self.max_mtu() }),
        }
    }

    /// Some drivers bound the frame and not the MTU.
    fn max_mtu(&self) -> u16 {
        let frame = self.info.max_rx_pktlen.saturating_sub(ETHERNET_LEN);
        self.info.max_mtu.min(u16::try_from(frame).unwrap_or(u16::MAX))
    }

    /// Gives the device our address. True: it has another, so it must receive everything.
    fn program_mac(&self, mac: MacAddress) -> bool {
        if self.is_tap() || device_mac(self.id) == Some(mac) {
            return false;
        }
        let mut address = sys::rte_ether_addr { addr_bytes: mac.0 };
        // SAFETY: an open port, and an address.
        unsafe { sys::rte_eth_dev_default_mac_addr_set(self.id, &raw mut address) != 0 }
    }

    /// After the start: groups always (neighbor discovery needs them), strangers if we must.
    fn receive_what_is_ours(&mut self, promiscuous: bool) {
        if self.is_tap() {
            return;
        }
        if promiscuous {
            // SAFETY: a started port.
            let reason = Errno(-unsafe { sys::rte_eth_promiscuous_enable(self.id) });
            if reason.0 != 0 && !diagnosis::is_unsupported(reason) {
                let notice = "the device takes neither our MAC address nor promiscuous mode";
                self.notices.push(format!("{notice}: {reason}"));
            }
        }
        // SAFETY: a started port. What can't filter receives groups anyway.
        let reason = Errno(-unsafe { sys::rte_eth_allmulticast_enable(self.id) });
        if reason.0 != 0 && !promiscuous && !diagnosis::is_unsupported(reason) {
            self.notices.push(format!("the device does not receive all multicast: {reason}"));
        }
    }
}

fn device_mac(id: u16) -> Option<MacAddress> {
    let mut address = sys::rte_ether_addr::default();
    // SAFETY: an open port, and a structure to fill.
    let result = unsafe { sys::rte_eth_macaddr_get(id, &raw mut address) };
    (result == 0).then_some(MacAddress(address.addr_bytes))
}

/// A locally administered address that is the same at every start: FNV-1a over the texts.
fn derived_mac(texts: &[&str]) -> MacAddress {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in texts.iter().flat_map(|text| text.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let [a, b, c, d, ..] = (hash ^ hash >> 32).to_le_bytes();
    MacAddress([0x02, 0xad, a, b, c, d])
}

/// Device strings have no zero bytes: `DeviceName` refuses them.
fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

fn text(pointer: *const core::ffi::c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: a terminated string of the driver, which stays loaded.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_mac_is_stable_local_and_differs_by_port_and_process() {
        let lan = derived_mac(&["host", "adit-a", "lan"]);
        assert_eq!(lan, derived_mac(&["host", "adit-a", "lan"]));
        assert!(lan.is_station() && lan.0[0] & 2 != 0);
        assert_ne!(lan, derived_mac(&["host", "adit-a", "wan"]));
        assert_ne!(lan, derived_mac(&["host", "adit-b", "lan"]));
        assert_ne!(derived_mac(&["a", "bc"]), derived_mac(&["ab", "c"]));
    }
}
