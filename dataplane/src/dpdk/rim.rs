//! Starting and ending the whole rim: environment, pool, ports, and the workers' views.

use core::num::NonZeroU16;
use std::sync::Arc;

use super::arguments::{self, Arguments};
use super::eal::{Eal, Hugepages};
use super::error::{PortError, StartError};
use super::name::DeviceName;
use super::offload::{Offloads, Rss};
use super::pool::{self, Pool};
use super::port::Port;
use super::queue::WorkerPorts;
use super::{host, setup};
use crate::wire::ethernet::MacAddress;

/// What the rim is started with.
#[derive(Clone, Debug)]
pub struct RimConfig {
    /// Whether memory comes from hugepages.
    pub hugepages: Hugepages,
    /// How many buffers there are.
    pub mbufs: u32,
    /// Tells this process from others on the machine: two appliances need two. Names a folder
    /// under DPDK's run-time folder, so letters, digits, `-`, `_` and `.` only.
    pub file_prefix: String,
    /// Where the control thread runs; `None`: anywhere it is allowed to.
    pub control_core: Option<u16>,
    /// Handed to DPDK as they are.
    pub eal_args: Vec<String>,
    /// How many workers there will be; at least one is assumed.
    pub workers: u16,
    /// In the order of their numbers.
    pub ports: Vec<PortConfig>,
}

/// What one port is started with.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Its key in the configuration.
    pub name: String,
    /// A device string, see [`DeviceName`].
    pub device: String,
    /// Its MAC address; `None`: the device's own, or where that won't do a derived one.
    pub mac: Option<MacAddress>,
    /// The largest IP packet.
    pub mtu: u16,
    /// It takes in the frames of all stations: it has no addresses, and may be attached to a tunnel.
    pub takes_all: bool,
    /// Receive and transmit queues; `None`: one per worker, as many as the device has.
    pub queues: Option<NonZeroU16>,
    /// Checksums that the device looks after.
    pub offloads: Offloads,
    /// By what it spreads packets over its receive queues.
    pub rss: Rss,
}

/// What control and all workers share; the ports close when the last of them lets go.
pub(super) struct Shared {
    pub(super) ports: Vec<Port>,
    pub(super) pool: Pool,
    eal: Eal,
}

/// DPDK, running. Workers' views keep it alive as well.
pub struct Rim {
    shared: Arc<Shared>,
    notices: Vec<String>,
}

impl Rim {
    /// Starts DPDK, the pool and the ports; once per process. The calling thread becomes DPDK's
    /// control thread. The second part has a view for each worker, in order.
    pub fn start(config: &RimConfig) -> Result<(Self, Vec<WorkerPorts>), StartError> {
        let workers = config.workers.max(1);
        let devices = devices(&config.ports)?;
        let data_room =
            pool::data_room(config.ports.iter().map(|port| port.mtu).max().unwrap_or(0));
        let mut notices = Vec::new();
        let eal = start_eal(config, &devices, data_room, &mut notices)?;
        let pool = Pool::new(config.mbufs, data_room)?;
        let mut shared = Shared { ports: Vec::with_capacity(devices.len()), pool, eal };
        for (port, device) in config.ports.iter().zip(&devices) {
            let name = device.to_string();
            let started = setup::start(port, device, workers, &shared.pool, &config.file_prefix);
            let port = started.map_err(|reason| at_port(port, name, reason))?;
            shared.ports.push(port);
        }
        let shared = Arc::new(shared);
        let views = (0..workers).map(|w| WorkerPorts::new(Arc::clone(&shared), w, workers));
        Ok((Self { notices, shared: Arc::clone(&shared) }, views.collect()))
    }

    /// In the order of the configuration.
    pub fn ports(&self) -> &[Port] {
        &self.shared.ports
    }

    /// The buffers.
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Stops and closes the ports, unless a worker's view still keeps them. True: they are closed
    /// and every buffer has come back. False: somebody holds a view or a packet.
    pub fn close(self) -> bool {
        let Some(Shared { ports, pool, .. }) = Arc::into_inner(self.shared) else { return false };
        drop(ports);
        pool.in_use_count() == 0
    }

    /// What did not work as wished at the start, and does no harm. Each port has its own beside.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Whether buffers are in hugepages.
    pub fn has_hugepages(&self) -> bool {
        self.shared.eal.has_hugepages()
    }

    /// The version of the library, such as `DPDK 22.11.11`.
    pub fn version() -> String {
        Eal::version()
    }
}

/// The devices of all ports, each with a name of its own.
fn devices(ports: &[PortConfig]) -> Result<Vec<DeviceName>, StartError> {
    let mut devices: Vec<DeviceName> = Vec::with_capacity(ports.len());
    for port in ports {
        let parsed = port.device.parse::<DeviceName>();
        let mut device =
            parsed.map_err(|reason| at_port(port, port.device.clone(), PortError::Name(reason)))?;
        let taken: Vec<&str> = devices.iter().map(DeviceName::name).collect();
        device.make_unique(&taken);
        devices.push(device);
    }
    Ok(devices)
}

fn at_port(port: &PortConfig, device: String, reason: PortError) -> StartError {
    StartError::Port { port: port.name.clone(), device, reason: Box::new(reason) }
}

fn start_eal(
    config: &RimConfig,
    devices: &[DeviceName],
    data_room: u16,
    notices: &mut Vec<String>,
) -> Result<Eal, StartError> {
    let memory =
        arguments::memory_needed(pool::memory_needed(config.mbufs, data_room), devices.len());
    let free = host::free_hugepage_bytes();
    let use_hugepages = arguments::choose_hugepages(config.hugepages, free, memory)?;
    if config.hugepages == Hugepages::Auto && !use_hugepages && free > 0 {
        let (free, memory) = (free >> 20, memory.div_ceil(1 << 20));
        notices.push(format!(
            "ordinary memory is used: {free} MiB of hugepages are free and {memory} MiB are needed"
        ));
    }
    let control_cpus = config.control_core.map_or_else(host::allowed_cpus, |core| core.to_string());
    let arguments = Arguments {
        file_prefix: &config.file_prefix,
        control_cpus: &control_cpus,
        use_hugepages,
        memory,
        devices,
        extra: &config.eal_args,
    };
    Ok(Eal::start(&arguments.words())?)
}
