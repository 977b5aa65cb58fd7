//! The configuration once it is known to be right: strong types, resolved names, nothing left to check.
//! Everything but tunnels, which are in `tunnel.rs`. Parts are cheap to compare and to clone.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;

use adit_dataplane::wire::ethernet::MacAddress;
use ipnet::IpNet;

use super::labels::LabelEntry;
use super::mistake::Origin;
use super::tunnel::Tunnel;
use super::words::{Hugepages, Idle, Offloads, Rss, Spread, UnmatchedIcmp};

/// The name of a port or tunnel. Shared, because routes and tables repeat it.
pub type Name = Arc<str>;

/// A whole configuration, its include files merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Cores, buffers, bursts. Changing any of it needs a restart.
    pub dataplane: Dataplane,
    /// Limits on what strangers can make us do.
    pub limits: Limits,
    /// How the appliance is talked to.
    pub api: Api,
    /// In the order of the file, which numbers them.
    pub ports: Vec<Port>,
    /// Addresses that outlive a link.
    pub loopback: Loopback,
    /// The section `defaults` as it was written, for tunnels that are added later.
    pub tunnel_defaults: serde_json::Value,
    /// In the order of the files.
    pub tunnels: Vec<Tunnel>,
    /// Those of the section `routes`, then the shorthand ones of each tunnel. Connected routes are not listed.
    pub routes: Vec<Route>,
}

/// The section `dataplane`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataplane {
    /// Where the control thread runs; `None`: wherever the system puts it.
    pub control_core: Option<u16>,
    /// One poll-mode worker per core; empty: the machine's last core.
    pub worker_cores: Vec<u16>,
    /// Packets a worker takes at once, 1–256.
    pub burst: u16,
    /// What a worker does without packets.
    pub idle: Idle,
    /// Whether packet buffers live in hugepages.
    pub hugepages: Hugepages,
    /// Packet buffers.
    pub mbufs: u32,
    /// One burst in this many is measured; 0: none.
    pub latency_sample: u32,
    /// Handed to DPDK as they are.
    pub eal_args: Vec<String>,
    /// Whether a hot queue is shared with other workers.
    pub spread: Spread,
}

/// The section `limits`. Rates are events per second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// ICMP errors of this node, all but those about size.
    pub icmp_errors_per_second: u32,
    /// The same, towards one source.
    pub icmp_errors_per_source_per_second: u32,
    /// ICMP errors about size.
    pub icmp_too_big_per_second: u32,
    /// All fragments that wait for others.
    pub reassembly_memory_bytes: u64,
    /// The same, of one peer.
    pub reassembly_memory_per_peer_bytes: u64,
    /// How many tunnels of this node one packet may enter.
    pub nested_encaps: u8,
    /// How many tunnels of this node one packet may leave; 1 is no nesting.
    pub decap_depth: u8,
    /// The answer to tunnel packets that match no tunnel.
    pub unmatched_icmp: UnmatchedIcmp,
}

/// The section `api`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// The UNIX socket of the HTTP API.
    pub socket: PathBuf,
}

/// An entry of `ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its key.
    pub name: Name,
    /// PCI address or DPDK vdev; only `Purpose::Run` guarantees it.
    pub device: Option<String>,
    /// Configured, or derived from the position in the file.
    pub mac: MacAddress,
    /// Whether `mac` was written in the file.
    pub mac_is_configured: bool,
    /// The largest IP packet.
    pub mtu: u16,
    /// Receive and transmit queues; `None`: one per worker, as many as the device has.
    pub queues: Option<NonZeroU16>,
    /// Checksums that the device looks after.
    pub offloads: Offloads,
    /// By what the device spreads packets over its receive queues.
    pub rss: Rss,
    /// Duplicate address detection.
    pub dad: bool,
    /// With the prefix length of their net.
    pub addresses: Vec<IpNet>,
    /// Static neighbors.
    pub neighbors: Vec<Neighbor>,
    /// What becomes of frames with MPLS labels; `None`: none are taken.
    pub labels: Option<Box<[LabelEntry]>>,
}

/// A static entry of `ports.*.neighbors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbor {
    /// Where it was written.
    pub origin: Origin,
    /// On a connected net of the port, or link-local.
    pub address: IpAddr,
    /// A unicast address.
    pub mac: MacAddress,
}

/// The section `loopback`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loopback {
    /// Local on every port.
    pub addresses: Vec<IpNet>,
}

/// An entry of `routes`, or of `tunnels.*.routes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination, its host bits zero.
    pub to: IpNet,
    /// The lower one of two for the same destination wins.
    pub metric: u32,
    /// What happens with the packet.
    pub action: RouteAction,
    /// Written as the shorthand `tunnels.*.routes`.
    pub is_shorthand: bool,
}

/// What a route does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAction {
    /// One or more, chosen by flow in proportion to their weights.
    NextHops(Vec<NextHop>),
    /// Drop silently.
    Blackhole,
    /// Drop, and say that the destination is unreachable.
    Unreachable,
    /// Drop, and say that it is forbidden.
    Prohibit,
}

/// One way a route sends packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// Its share among the next hops of the route.
    pub weight: NonZeroU16,
    /// Where to.
    pub via: Via,
}

/// Where a next hop is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// A gateway on a net that is connected on `port`, or a link-local one there. Never our own address.
    Gateway {
        /// The gateway.
        address: IpAddr,
        /// The port, found by the connected nets where the file does not name it.
        port: Name,
    },
    /// A tunnel. Gateways on a tunnel's own net end up here as well.
    Tunnel(Name),
    /// One of the many peers of a tunnel, by its IPv6 address there.
    Peer {
        /// The tunnel.
        tunnel: Name,
        /// The peer's address, which has its IPv4 address in it.
        address: Ipv6Addr,
    },
}
