//! DPDK at the rim: the environment, the buffers, the ports and the threads.
//!
//! This folder and nothing else calls C. What it gives to the rest of the product is safe: a
//! [`Rim`] that control starts and asks about ports and buffers, one [`WorkerPorts`] for each
//! worker, which is the [`Device`](crate::device::Device) of the packet path, and
//! [`register_thread`]. The ports are closed when the last of them is dropped.
//!
//! Which bytes a packet has is decided elsewhere; here frames are carried in and out unseen.

mod arguments;
mod diagnosis;
mod eal;
mod error;
mod host;
mod leftovers;
mod log;
mod mbuf;
mod name;
mod offload;
mod pool;
mod port;
mod queue;
mod rim;
mod setup;
mod steering;
mod thread;

pub use eal::Hugepages;
pub use error::{EalError, PortError, StartError};
pub use log::{LogLevel, LogLine, forward_log, recent_log};
pub use name::{DeviceName, InvalidDeviceName};
pub use offload::{Offload, Offloads, Rss};
pub use pool::Pool;
pub use port::{Link, Port, PortStats};
pub use queue::WorkerPorts;
pub use rim::{PortConfig, Rim, RimConfig};
pub use thread::{Registration, register_thread};
