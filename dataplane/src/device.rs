//! Where packets come from and go to: the two implementations that exist are DPDK's ports
//! (`dpdk/`) and ordinary memory ([`memory`]), and a worker is generic over them.

pub mod memory;

pub use memory::{MemoryDevice, SentFrame};

use crate::interface::PortId;
use crate::packet::{Burst, Packet};

/// One worker's view of the ports: its own queues of each, and the pool its buffers come from.
///
/// Every method is called by the worker's thread alone, and none may block, allocate memory or
/// make a system call of its own (what a device's driver does is the driver's).
pub trait Device {
    /// How many ports there are; they are numbered from 0 in the order of the configuration.
    fn port_count(&self) -> usize;

    /// Takes up to `limit` frames that have arrived on this worker's queues of `port` and adds
    /// them to `burst`. Returns how many. Each frame starts at its destination MAC, has
    /// [`HEADROOM`](crate::packet::HEADROOM) bytes in front where the device can, no FCS, and
    /// fresh metadata with `ingress` set to the port and, where the device has checked the IPv4
    /// header checksum, one of the flags `GOOD_CHECKSUM` and `BAD_CHECKSUM`.
    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize;

    /// Sends the packets of `burst` on `port`, in order, as many as the device takes; those stay
    /// no longer in the burst. Returns how many were sent. What remains is the caller's to count
    /// and release.
    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize;

    /// A buffer for a packet that this node makes: empty, with headroom. `None`: there is none.
    fn allocate(&mut self) -> Option<Packet>;

    /// Gives all buffers of the burst back to the pool, in bulk.
    fn release(&mut self, burst: &mut Burst);
}
