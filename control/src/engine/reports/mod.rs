//! What the controller says about itself: counters, drops, tunnels, routes, neighbors, latency.

mod counters;
mod latency;
mod paths;
mod reassembly;
mod routes;
mod stations;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::{Counter, Kind};
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::NextHop;

pub(super) use counters::Baseline;
pub(super) use latency::LatencyTotals;

use super::Controller;
use super::compile::{Standing, TunnelInfo};
use crate::config;
use crate::report::{self, TunnelState};

/// What a device says of itself.
#[derive(Debug, Clone, Default)]
pub struct PortState {
    /// The driver's name.
    pub driver: Option<String>,
    /// It has carrier.
    pub link_up: bool,
    /// Megabits per second.
    pub speed_mbps: Option<u32>,
    /// Receive and transmit queues.
    pub queues: (u16, u16),
    /// Frames that found no descriptor.
    pub rx_missed: u64,
    /// Broken frames.
    pub rx_errors: u64,
    /// Frames that found no buffer.
    pub rx_no_mbuf: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
    /// Frames whose IPv4 header checksum the device calls wrong.
    pub rx_bad_checksum: u64,
    /// What the device could do in place of the packet path, and does.
    pub offloads: Vec<report::Offload>,
}

/// What is known of a worker's thread.
#[derive(Debug, Clone, Default)]
pub struct WorkerFacts {
    /// The thread's name.
    pub name: String,
    /// The core it is pinned to.
    pub core: Option<u16>,
    /// The share of its time that it worked, since the start.
    pub busy: f64,
    /// How it shares work with others.
    pub sharing: Option<report::Sharing>,
}

/// The buffers.
#[derive(Debug, Clone, Default)]
pub struct PoolFacts {
    /// Not in use.
    pub free: u64,
    /// All.
    pub total: u64,
    /// Bytes of each, headroom included.
    pub buffer_bytes: usize,
}

impl Controller {
    /// The port of a name.
    pub fn port_named(&self, name: &str) -> Option<PortId> {
        let mut numbered = (0..).map(PortId).zip(&self.config().ports);
        numbered.find(|(_, port)| &*port.name == name).map(|(id, _)| id)
    }

    /// Ports; `states` are what the devices say, in order.
    pub fn ports(&self, states: &[PortState]) -> report::Ports {
        let nothing = PortState::default();
        let numbered = (0..).map(PortId).zip(self.config().ports.iter().zip(&self.ports));
        let ports = numbered.map(|(id, (port, facts))| {
            let state = states.get(id.index()).unwrap_or(&nothing);
            let mut counters = self.port_counters(id);
            Baseline::subtract(&mut counters, self.baseline.ports.get(&*port.name));
            let count = |name: &str| counters.get(name).copied().unwrap_or(0);
            report::Port {
                name: port.name.to_string(),
                device: port.device.clone(),
                driver: state.driver.clone(),
                mac: facts.mac.to_string(),
                link: if state.link_up { report::Link::Up } else { report::Link::Down },
                speed_mbps: state.speed_mbps,
                mtu: facts.mtu,
                addresses: port.addresses.iter().map(ToString::to_string).collect(),
                unused_addresses: self.unused_addresses(id),
                rx_queues: state.queues.0,
                tx_queues: state.queues.1,
                rx_packets: count("rx_packets"),
                rx_bytes: count("rx_bytes"),
                rx_missed: state.rx_missed,
                rx_errors: state.rx_errors,
                rx_no_mbuf: state.rx_no_mbuf,
                tx_packets: count("tx_packets"),
                tx_bytes: count("tx_bytes"),
                tx_errors: state.tx_errors,
                rx_bad_checksum: state.rx_bad_checksum,
                offloads: state.offloads.clone(),
            }
        });
        report::Ports { ports: ports.collect() }
    }

    /// Tunnels.
    pub fn tunnels(&self, now: Nanos) -> report::Tunnels {
        let known = self.store.tunnels();
        let known = known.filter_map(|(id, tunnel)| Some((id, tunnel, self.compiler.info(id)?)));
        report::Tunnels {
            tunnels: known.map(|(id, tunnel, info)| self.tunnel(id, tunnel, info, now)).collect(),
        }
    }

    /// One tunnel.
    pub fn tunnel_named(&self, name: &str, now: Nanos) -> Option<report::Tunnel> {
        let id = self.store.tunnel_id(name)?;
        Some(self.tunnel(id, self.store.tunnel(id)?, self.compiler.info(id)?, now))
    }

    fn tunnel(
        &self,
        id: TunnelId,
        tunnel: &config::Tunnel,
        info: &TunnelInfo,
        now: Nanos,
    ) -> report::Tunnel {
        let mut counters = self.tunnel_counters(id);
        Baseline::subtract(&mut counters, self.baseline.tunnels.get(&*tunnel.name));
        let count = |name: &str| counters.get(name).copied().unwrap_or(0);
        let dropped = |prefix: &str| {
            let drops = Counter::ALL.iter().filter(|c| c.is_per_tunnel() && c.kind() == Kind::Drop);
            let names = drops.map(|c| c.short_name()).filter(|name| name.starts_with(prefix));
            names.map(count).sum()
        };
        let (state, reason) = standing(&info.standing);
        let labels = tunnel.labels.as_deref();
        let pushed = labels.map_or(&[][..], |labels| labels.push.as_slice());
        report::Tunnel {
            name: tunnel.name.to_string(),
            mode: tunnel.mode.to_string(),
            local: info.local.map(|address| address.to_string()),
            more_locals: tunnel.more_locals.iter().map(ToString::to_string).collect(),
            remote: tunnel.peers().next().map(|address| address.to_string()),
            more_remotes: tunnel.peers().skip(1).map(|address| address.to_string()).collect(),
            state,
            reason,
            mtu: self.effective_mtu(id, tunnel, now),
            labels: labels.map_or(0, |labels| labels.arriving.len()),
            push: pushed.iter().map(|label| label.number()).collect(),
            addresses: tunnel.addresses.iter().map(ToString::to_string).collect(),
            underlay: self.underlay(info),
            rx_packets: count("rx_packets"),
            rx_bytes: count("rx_bytes"),
            rx_dropped: dropped("rx_"),
            tx_packets: count("tx_packets"),
            tx_bytes: count("tx_bytes"),
            tx_dropped: dropped("tx_"),
            comment: tunnel.comment.to_string(),
        }
    }

    fn underlay(&self, info: &TunnelInfo) -> Option<report::Underlay> {
        let port_name =
            |id: PortId| self.config().ports.get(id.index()).map(|port| port.name.to_string());
        let mut underlay = report::Underlay {
            port: info.underlay_port.and_then(port_name),
            tunnel: None,
            next_hop: None,
        };
        match info.underlay {
            NextHop::Via(id) => {
                let adjacency = self.pair.live().neighbors.adjacency(id)?;
                underlay.next_hop = Some(adjacency.address.to_string());
            }
            NextHop::Tunnel(id) => {
                underlay.port = None;
                underlay.tunnel = self.store.tunnel(id).map(|tunnel| tunnel.name.to_string());
            }
            NextHop::Group(_) => {}
            _ => return None,
        }
        Some(underlay)
    }

    /// Neighbors.
    pub fn neighbors(&self, now: Nanos) -> report::Neighbors {
        let port_name = |id: PortId| {
            self.config()
                .ports
                .get(id.index())
                .map(|port| port.name.to_string())
                .unwrap_or_default()
        };
        let neighbors = self.neighbors.entries().map(|entry| report::Neighbor {
            port: port_name(entry.port),
            address: entry.address.to_string(),
            mac: entry.mac.map(|mac| mac.to_string()),
            state: entry.state.name().to_owned(),
            age_seconds: Some(now.since(entry.since).as_secs()),
            queued: u32::try_from(entry.held).unwrap_or(u32::MAX),
        });
        report::Neighbors { neighbors: neighbors.collect() }
    }

    /// Workers; `facts` are what is known of their threads, in order.
    pub fn worker_report(&self, facts: &[WorkerFacts], pool: &PoolFacts) -> report::Workers {
        let nothing = WorkerFacts::default();
        let workers = self.workers.iter().enumerate().map(|(number, worker)| {
            let facts = facts.get(number).unwrap_or(&nothing);
            let work = &worker.counters.work;
            report::Worker {
                name: facts.name.clone(),
                core: facts.core,
                generation: work.generation.load(std::sync::atomic::Ordering::Acquire),
                polls: work.polls.get(),
                bursts: work.bursts.get(),
                busy: facts.busy,
                rx_packets: worker.counters.balance.received.get(),
                tx_packets: worker.counters.balance.sent.get(),
                spread: facts.sharing.clone(),
            }
        });
        report::Workers {
            workers: workers.collect(),
            imbalance: None,
            mempool: report::Mempool { free: pool.free, size: pool.total },
            balance: self.balance(),
        }
    }
}

fn standing(standing: &Standing) -> (TunnelState, Option<String>) {
    let down = |reason: &str| (TunnelState::Down, Some(reason.to_owned()));
    match standing {
        Standing::Running => (TunnelState::Up, None),
        Standing::Disabled => (TunnelState::Disabled, None),
        Standing::ReceiveOnly => (TunnelState::Up, Some("receives only: no remote".to_owned())),
        Standing::NoRoute => down("no route to the remote"),
        Standing::Recursive => down("recursive: the route to the remote leads into the tunnel"),
        Standing::OtherLink => down("the route to the remote leaves by another port than its link"),
        Standing::NoLocal => down("no local address that it could send from"),
        Standing::UnprovedLocal => {
            down("its local address is not used: see duplicate address detection in `show ports`")
        }
    }
}
