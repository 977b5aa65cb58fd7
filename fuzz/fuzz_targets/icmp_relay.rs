//! ICMP errors of the underlay, true and forged, between packets of hosts: what is learnt stays within its
//! bounds, no packet is lost or doubled over it, and every buffer comes back.
//!
//! An input is a list of steps, each of a header of eight bytes and some more, see [`Step`]. Checksums of
//! errors are made right, so that nearly all get as far as their quotes.
#![no_main]
#![expect(clippy::unwrap_used, reason = "what can't be is a find")]

#[allow(dead_code, reason = "shared with other targets and the tests, each of which uses a part")]
mod bench;

use std::cell::RefCell;
use std::sync::Arc;

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use adit_dataplane::tables::Tables;
use adit_dataplane::tables::soft_state::TunnelPath;
use adit_dataplane::wire::Family;
use adit_dataplane::worker::exchange::{Handback, Punt};
use libfuzzer_sys::fuzz_target;

use bench::appliance::{Appliance, G_MAC, H_MAC, L, L_MAC, SLOTS, U, U_MAC};
use bench::frames::{frame, ip};
use bench::kinds::{KINDS, PEERS, crowded, ends, inside, port_into, wrapped};
use bench::specimens::host_behind;
use bench::{check_rest, play_control};

/// Steps of an input, at most.
const STEPS_MAX: usize = 64;

/// One step: a packet of a host, or an error about one.
struct Step<'a> {
    /// What it is, the family inside, DF, and whether a quote is cut; four bits that mean nothing.
    what: u8,
    tunnel: usize,
    /// Type and code of an error, four bits each; else more of the length.
    kind: u8,
    /// MTU of an error, or the length of a packet.
    size: u16,
    /// Seconds until it comes, times five.
    later: u8,
    /// What of the quote is exchanged for the bytes.
    at: u8,
    bytes: &'a [u8],
}

impl<'a> Step<'a> {
    fn split(data: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[what, tunnel, kind, high, low, later, at, len], rest) = data.split_first_chunk()?;
        let (bytes, rest) = rest.split_at(usize::from(len).min(rest.len()));
        let size = u16::from_be_bytes([high, low]);
        let tunnel = usize::from(tunnel) % KINDS;
        Some((Self { what, tunnel, kind, size, later, at, bytes }, rest))
    }

    /// A packet of the host on L, or of a station, as it comes.
    fn packet(&self, len: usize) -> Vec<u8> {
        let family = usize::from(self.what >> 6 & 1);
        let from = ["10.1.0.5", "2001:db8:1::5"][family];
        let header = ip(from, &host_behind(self.tunnel % PEERS.len())[family]);
        let header = if self.what & 0x20 == 0 { header } else { header.may_be_cut() };
        header.udp(len.clamp(48, 1500))
    }

    fn frame(&self) -> (PortId, Vec<u8>) {
        if self.what & 0x80 == 0 {
            let packet = self.packet(self.size.into());
            return match port_into(self.tunnel) {
                Some(port) => (port, inside(self.tunnel, &packet)),
                None => (L, frame(L_MAC, H_MAC, &packet)),
            };
        }
        let (local, remote) = ends(self.tunnel);
        let inner = inside(self.tunnel, &self.packet(1400));
        let mut quote = wrapped(self.tunnel, ip(local, remote), &inner);
        // The bytes replace some of what was sent, or all of it from there on.
        let at = usize::from(self.at).min(quote.len());
        let end = (at + self.bytes.len()).min(quote.len());
        quote[at..end].copy_from_slice(&self.bytes[..end - at]);
        if self.what & 0x10 != 0 {
            quote.truncate(end);
        }
        quote.truncate(548);
        let router =
            if ip(local, remote).source.is_ipv4() { "192.0.2.9" } else { "2001:db8:300::9" };
        let error = ip(router, local).icmp_error(self.kind >> 4, self.kind & 15, self.size, &quote);
        (U, frame(U_MAC, G_MAC, &error))
    }
}

thread_local! {
    static TABLES: Arc<Tables> = crowded().build(1);
    static APPLIANCE: RefCell<Option<Appliance>> = const { RefCell::new(None) };
}

/// No neighbor answers.
fn give_up(_: usize, waiting: Punt) -> Handback {
    match waiting {
        Punt::Frame { port, frame } => Handback::Frame { port, frame },
        Punt::Unresolved { packet, .. } => Handback::Unreachable { packet },
    }
}

/// What is believed about any path is what a path can have.
fn check_paths(appliance: &Appliance) {
    let (state, tables) = (appliance.soft_state(), appliance.publication.load());
    for (number, tunnel) in (0..).zip(&tables.tunnels) {
        let Some(report) = state.report(TunnelPath(number), appliance.now) else { continue };
        if let Some((learnt, _)) = report.mtu {
            let least = if tunnel.setup.outer == Family::Ipv4 { 552 } else { 1280 };
            assert!((least..1500).contains(&learnt.mtu), "tunnel {number}: {learnt:?}");
            assert!(!learnt.is_locked || learnt.mtu == 552, "tunnel {number}: {learnt:?}");
        }
    }
}

fn play(appliance: &mut Appliance, data: &[u8]) {
    let mut rest = data;
    for _ in 0..STEPS_MAX {
        let Some((step, behind)) = Step::split(rest) else { break };
        rest = behind;
        appliance.now = Nanos(appliance.now.0 + u64::from(step.later) * 5_000_000_000);
        let (port, bytes) = step.frame();
        appliance.inject(port, &bytes);
        for sent in appliance.run() {
            assert!(sent.bytes.len() <= 1514, "longer than a port takes");
        }
        play_control(appliance, give_up);
        check_paths(appliance);
    }
    for _ in 0..3 {
        appliance.run();
        play_control(appliance, give_up);
    }
    appliance.run();
    check_rest(appliance);
    // A day later nothing is known, and every rate is as at the start.
    appliance.now = Nanos(appliance.now.0 + 86_400_000_000_000);
    for number in 0..SLOTS {
        assert_eq!(appliance.soft_state().report(TunnelPath(number), appliance.now), None);
    }
}

fuzz_target!(|data: &[u8]| {
    APPLIANCE.with_borrow_mut(|kept| {
        let appliance = kept.get_or_insert_with(|| Appliance::new(TABLES.with(Arc::clone)));
        play(appliance, data);
        if appliance.shared.counters.balance.received.get() > 200_000 {
            *kept = None;
        }
    });
});
