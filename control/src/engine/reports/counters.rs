//! What is counted: by ports, by tunnels, by nobody in particular, and what is lost; since the start, or since it was cleared.

use std::borrow::Cow;
use std::collections::BTreeMap;

use adit_dataplane::counters::{Counter, CounterSlot, Kind, WorkerCounters};
use adit_dataplane::interface::{PortId, TunnelId};

use super::super::Controller;
use crate::report::{self, CounterSet, Counters};

/// Counters as they stood when they were cleared: subtracted from what is read.
#[derive(Debug, Default)]
pub(in crate::engine) struct Baseline {
    pub(super) ports: BTreeMap<String, CounterSet>,
    pub(super) tunnels: BTreeMap<String, CounterSet>,
    dataplane: CounterSet,
}

impl Baseline {
    pub(super) fn subtract(from: &mut CounterSet, base: Option<&CounterSet>) {
        let Some(base) = base else { return };
        for (name, value) in from {
            *value = value.saturating_sub(base.get(name).copied().unwrap_or(0));
        }
    }
}

impl Controller {
    /// Everything that is counted.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters {
            ports: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            dataplane: CounterSet::new(),
            balance: Some(self.balance()),
        };
        for (id, port) in (0..).map(PortId).zip(&self.config().ports) {
            let name = port.name.to_string();
            let mut set = self.port_counters(id);
            Baseline::subtract(&mut set, self.baseline.ports.get(&name));
            counters.ports.insert(name, set);
        }
        for (id, tunnel) in self.store.tunnels() {
            let name = tunnel.name.to_string();
            let mut set = self.tunnel_counters(id);
            Baseline::subtract(&mut set, self.baseline.tunnels.get(&name));
            counters.tunnels.insert(name, set);
        }
        for &counter in Counter::ALL {
            let count = self.global(counter);
            if count > 0 {
                counters.dataplane.insert(Cow::Borrowed(counter.name()), count);
            }
        }
        Baseline::subtract(&mut counters.dataplane, Some(&self.baseline.dataplane));
        counters
    }

    fn sum(&self, read: impl Fn(&WorkerCounters) -> u64) -> u64 {
        self.workers.iter().map(|worker| read(&worker.counters)).sum()
    }

    /// A counter that belongs to no tunnel, over all workers and this controller.
    fn global(&self, counter: Counter) -> u64 {
        let own = match counter {
            Counter::ArpBad => self.arp_bad,
            Counter::NdBad => self.nd_bad,
            Counter::NdDuplicate => self.nd_duplicate,
            _ => 0,
        };
        own + self.sum(|counters| counters.global(counter).get())
    }

    /// Identifications that came again too soon, since the start.
    pub fn reused_identifications(&self) -> u64 {
        self.global(Counter::TunIdReuse)
    }

    pub(super) fn port_counters(&self, id: PortId) -> CounterSet {
        let entry = |name, value| (Cow::Borrowed(name), value);
        CounterSet::from([
            entry("rx_packets", self.sum(|c| c.port(id).rx_packets.get())),
            entry("rx_bytes", self.sum(|c| c.port(id).rx_bytes.get())),
            entry("tx_packets", self.sum(|c| c.port(id).tx_packets.get())),
            entry("tx_bytes", self.sum(|c| c.port(id).tx_bytes.get())),
        ])
    }

    pub(super) fn tunnel_counters(&self, id: TunnelId) -> CounterSet {
        let slot = CounterSlot(id.0);
        let traffic = |read: fn(&adit_dataplane::counters::TunnelTraffic) -> u64| {
            self.sum(|counters| counters.tunnels.traffic(slot).map_or(0, read))
        };
        let entry = |name, value| (Cow::Borrowed(name), value);
        let mut set = CounterSet::from([
            entry("rx_packets", traffic(|t| t.rx_packets.get())),
            entry("rx_bytes", traffic(|t| t.rx_bytes.get())),
            entry("tx_packets", traffic(|t| t.tx_packets.get())),
            entry("tx_bytes", traffic(|t| t.tx_bytes.get())),
        ]);
        for &counter in Counter::ALL.iter().filter(|counter| counter.is_per_tunnel()) {
            let count = self.tunnel_event(slot, counter);
            if count > 0 {
                set.insert(Cow::Borrowed(counter.short_name()), count);
            }
        }
        set
    }

    fn tunnel_event(&self, slot: CounterSlot, counter: Counter) -> u64 {
        self.sum(|counters| {
            counters.tunnels.event(slot, counter).map_or(0, adit_dataplane::counters::Cell::get)
        })
    }

    /// Whether every packet is accounted for.
    pub fn balance(&self) -> report::Balance {
        let handed_over = self.sum(|c| c.balance.handed_over.get());
        let handed_back = self.sum(|c| c.balance.handed_back.get());
        // A worker hands messages over and has done with them; whether they are valid is told here.
        let refused = self.arp_bad + self.nd_bad;
        report::Balance {
            received: self.sum(|c| c.balance.received.get()),
            created: self.sum(|c| c.balance.created.get()),
            sent: self.sum(|c| c.balance.sent.get()),
            dropped: self.sum(|c| c.balance.dropped.get()) + refused,
            consumed: self.sum(|c| c.balance.consumed.get()).saturating_sub(refused),
            held: handed_over.saturating_sub(handed_back),
        }
    }

    /// Forgets what has been counted so far, of one port or tunnel or of all; returns of how many.
    /// The balance goes on: it adds up over the whole life.
    pub fn clear_counters(&mut self, name: Option<&str>) -> u64 {
        let wanted = |own: &str| name.is_none_or(|name| name == own);
        let mut cleared = 0;
        for (id, port) in (0..).map(PortId).zip(&self.store.base().ports) {
            if wanted(&port.name) {
                let set = self.port_counters(id);
                self.baseline.ports.insert(port.name.to_string(), set);
                cleared += 1;
            }
        }
        for (id, tunnel) in self.store.tunnels().filter(|(_, tunnel)| wanted(&tunnel.name)) {
            let set = self.tunnel_counters(id);
            self.baseline.tunnels.insert(tunnel.name.to_string(), set);
            cleared += 1;
        }
        if name.is_none() {
            let all = Counter::ALL.iter();
            self.baseline.dataplane =
                all.map(|&c| (Cow::Borrowed(c.name()), self.global(c))).collect();
        }
        cleared
    }

    /// What a number of a tunnel counts belongs to another tunnel from now on, or to none.
    pub(in crate::engine) fn restart_counters(
        &mut self,
        id: TunnelId,
        before: Option<&str>,
        now: Option<&str>,
    ) {
        if let Some(before) = before {
            self.baseline.tunnels.remove(before);
        }
        if let Some(now) = now {
            let set = self.tunnel_counters(id);
            if set.values().any(|count| *count > 0) {
                self.baseline.tunnels.insert(now.to_owned(), set);
            }
        }
        if let Some(number) = self.compiler.latency_of(id) {
            self.latency.tunnels.remove(&number);
        }
    }

    /// Lost packets by reason.
    pub fn drops(&self) -> report::Drops {
        let counters = self.counters();
        let drops = Counter::ALL.iter().filter(|counter| counter.kind() == Kind::Drop);
        let drops = drops.filter_map(|counter| {
            let short = counter.short_name();
            let tunnels: BTreeMap<String, u64> = if counter.is_per_tunnel() {
                let of =
                    |(name, set): (&String, &CounterSet)| Some((name.clone(), *set.get(short)?));
                counters.tunnels.iter().filter_map(of).filter(|(_, count)| *count > 0).collect()
            } else {
                BTreeMap::new()
            };
            let global = counters.dataplane.get(counter.name()).copied().unwrap_or(0);
            let count = global + tunnels.values().sum::<u64>();
            (count > 0).then(|| report::Drop {
                reason: counter.name().to_owned(),
                count,
                help: counter.help().to_owned(),
                tunnels,
            })
        });
        report::Drops::new(drops.collect())
    }
}
