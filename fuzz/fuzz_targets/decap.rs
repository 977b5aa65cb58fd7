//! The whole packet path: any frames, at any times, through a worker over ports in memory with tunnels of
//! every kind. Whatever they are, everything is accounted for, and in the end every buffer is back.
//!
//! An input is a list of steps, each of a header of six bytes and a frame, see [`Step`]. Frames can be
//! bare bytes, or stand behind headers that let them in: those of the peer of any kind of tunnel.
#![no_main]
#![expect(clippy::unwrap_used, reason = "what can't be is a find")]

#[allow(dead_code, reason = "shared with other targets and the tests, each of which uses a part")]
mod bench;

use std::cell::RefCell;
use std::sync::Arc;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::reassembly::{Limits, SECONDS_MAX};
use adit_dataplane::tables::Tables;
use adit_dataplane::tunnel::stations::LIFETIME_S;
use adit_dataplane::worker::WorkerSettings;
use adit_dataplane::worker::exchange::{Handback, Punt};
use libfuzzer_sys::fuzz_target;

use bench::appliance::{Appliance, G_MAC, H_MAC, L, L_MAC, U, U_MAC, settings};
use bench::frames::{self, ip, mend_ipv4};
use bench::kinds::{FRAME_PEERS, KINDS, STATIONS, crowded, ends, protocol, wrapped};
use bench::{check_rest, play_control};

/// The longest frame; a port of the appliance takes 1500 bytes of IP.
const FRAME_MAX: usize = 1700;

/// Ports: to the underlay, of the LAN, and one into each tunnel of frames.
#[expect(clippy::cast_possible_truncation, reason = "they are few")]
const PORTS: u8 = 2 + FRAME_PEERS.len() as u8;

/// Steps of an input, at most.
const STEPS_MAX: usize = 64;

/// One step: what to put around the bytes, where they arrive, and when.
struct Step<'a> {
    /// Two bits of the protocol, two of the outer ECN, three of what the bytes are; the highest: it comes in one burst
    /// with the next.
    kind: u8,
    /// Whose peer sends it.
    tunnel: usize,
    port: PortId,
    /// Added to the time, in units of 100 ms squared: up to 650 s.
    later: u8,
    bytes: &'a [u8],
}

impl<'a> Step<'a> {
    /// The next step, and what is behind it.
    fn split(data: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[kind, tunnel, port, later, high, low], rest) = data.split_first_chunk::<6>()?;
        let len = usize::from(u16::from_be_bytes([high, low])) % FRAME_MAX;
        let (bytes, rest) = rest.split_at(len.min(rest.len()));
        let port = PortId(port % PORTS);
        let tunnel = usize::from(tunnel) % KINDS;
        Some((Self { kind, tunnel, port, later, bytes }, rest))
    }

    /// The frame: bare, or an IP packet with an Ethernet header, or what is in a tunnel packet or in a
    /// piece of one.
    fn frame(&self) -> Vec<u8> {
        let (to, from) = match self.port {
            U => (U_MAC, G_MAC),
            L => (L_MAC, H_MAC),
            _ => (STATIONS[1], STATIONS[0]),
        };
        let (local, remote) = ends(self.tunnel);
        let outer = ip(remote, local).may_be_cut().tos(self.kind >> 2 & 3);
        let packet = match self.kind >> 4 & 7 {
            0 => return self.bytes.to_vec(),
            1 => self.bytes.to_vec(),
            2 => self.mended(),
            3 => outer.carrying(self.protocol(), self.bytes),
            4 => wrapped(self.tunnel, outer, &self.mended()),
            5 => self.spoilt(outer),
            6 => {
                let is_ipv6 = outer.source.is_ipv6();
                ip(if is_ipv6 { "2001:db8:1::5" } else { "10.1.0.5" }, local)
                    .may_be_cut()
                    .carrying(if is_ipv6 { 58 } else { 1 }, self.bytes)
            }
            _ => self.piece(outer),
        };
        frames::frame(to, from, &packet)
    }

    /// What stands behind an outer header, as it says: what the peer sends there, or something else.
    fn protocol(&self) -> u8 {
        [protocol(self.tunnel), 4, 41, 1][usize::from(self.kind & 3)]
    }

    /// What the peer makes of the bytes behind the first two, one byte of which is changed: where, and how.
    fn spoilt(&self, outer: frames::Ip) -> Vec<u8> {
        let Some((&[at, change], inner)) = self.bytes.split_first_chunk::<2>() else {
            return Vec::new();
        };
        let mut packet = wrapped(self.tunnel, outer, inner);
        if let Some(byte) = packet.get_mut(usize::from(at)) {
            *byte ^= change;
        }
        if outer.source.is_ipv4() {
            mend_ipv4(&mut packet);
        }
        packet
    }

    /// The bytes with the checksum of an IPv4 header at their start made right.
    fn mended(&self) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        if bytes.len() >= 20 && bytes[0] >> 4 == 4 {
            mend_ipv4(&mut bytes);
        }
        bytes
    }

    /// A fragment whose offset, more flag and identification are the first four bytes.
    fn piece(&self, outer: frames::Ip) -> Vec<u8> {
        let protocol = self.protocol();
        let Some((&[offset, flags, high, low], part)) = self.bytes.split_first_chunk::<4>() else {
            return Vec::new();
        };
        let (units, more) = (u16::from(offset) | u16::from(flags & 0x1e) << 7, flags & 1 != 0);
        if outer.source.is_ipv6() {
            let field = units << 3 | u16::from(more);
            let [offset_high, offset_low] = field.to_be_bytes();
            let header = [protocol, 0, offset_high, offset_low, 0, 0, high, low];
            return outer.carrying(44, &[&header[..], part].concat());
        }
        let identification = u16::from_be_bytes([high, low]);
        let whole = frames::Ip { identification, ..outer }.carrying(protocol, part);
        frames::as_piece(&whole, units, more)
    }
}

thread_local! {
    static TABLES: Arc<Tables> = crowded().build(1);
    /// Kept from input to input, as it is empty after each.
    static APPLIANCE: RefCell<Option<Appliance>> = const { RefCell::new(None) };
}

fn appliance() -> Appliance {
    let reassembly = Limits { pieces: 40, pieces_per_peer: 12 };
    let tables = TABLES.with(Arc::clone);
    Appliance::with(tables, WorkerSettings { reassembly, ..settings() })
}

/// One neighbor does not answer, the next does, the third is not asked.
fn resolve(number: usize, waiting: Punt) -> Handback {
    match waiting {
        Punt::Frame { port, frame } => Handback::Frame { port, frame },
        Punt::Unresolved { packet, .. } if number % 3 == 0 => Handback::Unreachable { packet },
        Punt::Unresolved { port, address, packet } if number % 3 == 1 => {
            Handback::Send { port, address, packet, since: 0 }
        }
        Punt::Unresolved { packet, .. } => {
            Handback::Release { packet, counter: Counter::NbrQueueDrop }
        }
    }
}

fn play(appliance: &mut Appliance, data: &[u8]) {
    let mut rest = data;
    for number in 0..STEPS_MAX {
        let Some((step, behind)) = Step::split(rest) else { break };
        rest = behind;
        let later = u64::from(step.later) * u64::from(step.later) * 10_000_000;
        appliance.now = Nanos(appliance.now.0.saturating_add(later));
        appliance.inject(step.port, &step.frame());
        if step.kind & 0x80 == 0 || number % 16 == 15 {
            appliance.run();
            play_control(appliance, resolve);
        }
    }
    appliance.run();
    play_control(appliance, resolve);
    appliance.run();
    play_control(appliance, resolve);
    // No piece waits any more, and no station is known.
    let rest_s = LIFETIME_S + u64::from(SECONDS_MAX);
    appliance.now = Nanos(appliance.now.0.saturating_add(rest_s * 1_000_000_000));
    // Packets and errors that were made at the end may wait once more.
    for _ in 0..3 {
        appliance.run();
        play_control(appliance, resolve);
    }
    appliance.run();
    check_rest(appliance);
}

fuzz_target!(|data: &[u8]| {
    APPLIANCE.with_borrow_mut(|kept| {
        // At the end of each input minutes pass, so that every rate is as at the start.
        let appliance = kept.get_or_insert_with(appliance);
        play(appliance, data);
        if appliance.shared.counters.balance.received.get() > 200_000 {
            *kept = None;
        }
    });
});
