//! A port that runs: what control asks it, and what each worker gets of it.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use dpdk_sys as sys;

use super::host;
use super::name::DeviceName;
use super::offload::Offload;
use super::queue::{HandOver, PortQueues, Transmit};
use crate::interface::PortId;
use crate::wire::ethernet::MacAddress;

/// What the rim itself counts on a port, beyond the device's own numbers.
#[derive(Debug, Default)]
pub(super) struct RimCounters {
    /// Frames in several segments that fit no buffer.
    pub(super) receive_too_long: AtomicU64,
    /// Frames of which the device says that their IPv4 header checksum is wrong.
    pub(super) receive_bad_checksum: AtomicU64,
    /// Frames handed over by a worker without a queue, which the device did not take.
    pub(super) handed_over_dropped: AtomicU64,
}

/// One port. Stops and closes when it is dropped.
#[derive(Debug)]
pub struct Port {
    pub(super) id: u16,
    pub(super) name: String,
    pub(super) device: DeviceName,
    pub(super) driver: String,
    pub(super) mac: MacAddress,
    pub(super) mtu: u16,
    pub(super) receive_queues: u16,
    pub(super) transmit_queues: u16,
    pub(super) notices: Vec<String>,
    pub(super) offloads: Vec<Offload>,
    /// It says of received frames whether their IPv4 header checksum is right.
    pub(super) checks_received: bool,
    pub(super) counters: Arc<RimCounters>,
    /// One for each transmit queue that workers share; empty when there are enough.
    pub(super) hand_overs: Vec<Arc<HandOver>>,
}

/// A port's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether frames can pass.
    pub up: bool,
    /// Megabits per second; `None`: unknown, or it means nothing.
    pub speed_mbps: Option<u32>,
    /// Both directions at once.
    pub full_duplex: bool,
}

/// What a device has counted since it started, and what the rim dropped on its behalf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what their names say")]
pub struct PortStats {
    pub receive_packets: u64,
    pub receive_bytes: u64,
    pub transmit_packets: u64,
    pub transmit_bytes: u64,
    /// The device had no descriptor: the workers are too slow.
    pub receive_missed: u64,
    pub receive_errors: u64,
    /// The pool was empty.
    pub receive_no_buffer: u64,
    pub transmit_errors: u64,
    /// Frames longer than a buffer, in several segments.
    pub receive_too_long: u64,
    /// Frames whose IPv4 header checksum the device called wrong. What the packet path finds wrong,
    /// it drops and counts itself.
    pub receive_bad_checksum: u64,
    /// Frames handed to another worker's transmit queue and not taken by the device.
    pub handed_over_dropped: u64,
}

impl Port {
    /// Its key in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device, as DPDK knows it.
    pub fn device(&self) -> &DeviceName {
        &self.device
    }

    /// The DPDK driver.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The MAC address that this port sends from and answers to.
    pub fn mac(&self) -> MacAddress {
        self.mac
    }

    /// The largest IP packet.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Queues for receiving and for sending.
    pub fn queue_counts(&self) -> (u16, u16) {
        (self.receive_queues, self.transmit_queues)
    }

    /// What did not work as wished, and does not keep the port from working.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// What the device could do in place of the packet path, what it does, and why not.
    pub fn offloads(&self) -> &[Offload] {
        &self.offloads
    }

    /// Whether the link is up. Does not wait.
    pub fn link(&self) -> Link {
        let mut link = sys::shim_link::default();
        // SAFETY: an open port, and a structure to fill.
        let result = unsafe { sys::shim_link_get(self.id, &raw mut link) };
        let speed = (1..u32::MAX).contains(&link.speed_mbps).then_some(link.speed_mbps);
        let up = result == 0 && link.up != 0 || self.is_tap_elsewhere();
        Link { up, speed_mbps: speed, full_duplex: link.full_duplex != 0 }
    }

    /// A TAP that was moved to another namespace carries traffic, but DPDK asks the kernel for it
    /// by name, finds none, and reports it down.
    fn is_tap_elsewhere(&self) -> bool {
        let interface = self.device.argument("iface");
        self.driver == "net_tap" && interface.is_some_and(|name| !host::has_interface(name))
    }

    /// The device's counters.
    pub fn stats(&self) -> PortStats {
        let mut stats = sys::rte_eth_stats::default();
        // SAFETY: an open port, and a structure to fill. Should it fail, all are zero.
        unsafe { sys::rte_eth_stats_get(self.id, &raw mut stats) };
        PortStats {
            receive_packets: stats.ipackets,
            receive_bytes: stats.ibytes,
            transmit_packets: stats.opackets,
            transmit_bytes: stats.obytes,
            receive_missed: stats.imissed,
            receive_errors: stats.ierrors,
            receive_no_buffer: stats.rx_nombuf,
            transmit_errors: stats.oerrors,
            receive_bad_checksum: self.counters.receive_bad_checksum.load(Ordering::Relaxed),
            receive_too_long: self.counters.receive_too_long.load(Ordering::Relaxed),
            handed_over_dropped: self.counters.handed_over_dropped.load(Ordering::Relaxed),
        }
    }

    /// Every counter that the driver has, by its own names; zeros are left out.
    pub fn extended_stats(&self) -> Vec<(String, u64)> {
        // SAFETY: with no room, the number of counters is returned.
        let count = unsafe { sys::rte_eth_xstats_get_names(self.id, core::ptr::null_mut(), 0) };
        let count = usize::try_from(count).unwrap_or(0);
        let mut names = vec![sys::rte_eth_xstat_name { name: [0; 64] }; count];
        let mut values = vec![sys::rte_eth_xstat { id: 0, value: 0 }; count];
        let room = u32::try_from(count).unwrap_or(0);
        // SAFETY: an open port, and room for that many.
        let name_count =
            unsafe { sys::rte_eth_xstats_get_names(self.id, names.as_mut_ptr(), room) };
        // SAFETY: as above.
        let value_count = unsafe { sys::rte_eth_xstats_get(self.id, values.as_mut_ptr(), room) };
        values.truncate(usize::try_from(value_count.min(name_count)).unwrap_or(0));
        let with_name = values.iter().filter(|stat| stat.value != 0).filter_map(|stat| {
            let name = names.get(usize::try_from(stat.id).ok()?)?;
            let bytes: Vec<u8> = name.name.iter().map(|&c| c.cast_unsigned()).collect();
            let text = bytes.split(|&byte| byte == 0).next()?;
            Some((String::from_utf8_lossy(text).into_owned(), stat.value))
        });
        with_name.collect()
    }

    /// The queues of one worker of `workers`: receive queues are dealt out like cards; a transmit
    /// queue is its own, or another worker sends for it.
    pub(super) fn queues(&self, number: PortId, worker: u16, workers: u16) -> PortQueues {
        let receive = (worker..self.receive_queues).step_by(usize::from(workers)).collect();
        let hand_over = |queue: u16| self.hand_overs.get(usize::from(queue)).cloned();
        let transmit = match hand_over(worker % self.transmit_queues) {
            Some(through) if worker >= self.transmit_queues => Transmit::Through(through),
            handed => Transmit::Own { queue: worker, handed },
        };
        PortQueues::new(self, number, receive, transmit)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        for hand_over in &self.hand_overs {
            hand_over.release_all();
        }
        // SAFETY: the last owner of the port; no worker has queues of it any more.
        unsafe { sys::rte_eth_dev_stop(self.id) };
        // SAFETY: as above; the port is not used again.
        unsafe { sys::rte_eth_dev_close(self.id) };
    }
}
