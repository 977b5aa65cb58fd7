//! A worker that runs neither allocates memory nor frees any, whatever it does with a burst.
#![expect(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "shared by two test programs, each of which uses a part")]
#[path = "packet_path/appliance.rs"]
mod appliance;
#[allow(dead_code, reason = "shared by two test programs, each of which uses a part")]
#[path = "spread/crew.rs"]
mod crew;
#[allow(dead_code, reason = "shared by two test programs, each of which uses a part")]
#[path = "packet_path/frames.rs"]
mod frames;
#[allow(dead_code, reason = "shared by two test programs, each of which uses a part")]
#[path = "packet_path/sessions.rs"]
mod sessions;

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::{Interface, PortId, TunnelId};
use adit_dataplane::latency::Histograms;
use adit_dataplane::tables::mirrors::Sessions;
use adit_dataplane::tunnel::DontFragment;
use adit_dataplane::worker::exchange::{Frame, Handback, Punt};

use appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use frames::{as_piece, frame, frame_of, in_pieces, ip};
use sessions::{add_session, version_two};

/// The system's allocator, with a count of its calls on each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Not there any more while the thread ends, when nobody counts.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is the system allocator's; counting touches a number of this thread alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the rules of `alloc`, which are the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the pointer came from `alloc` above, and so from the system with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`; the caller vouches for the new size.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A burst of one kind: its name, how many frames must leave for one that comes, and the frame.
type Kind = (&'static str, usize, PortId, Vec<u8>);

const LOCAL: &str = "198.51.100.1";
const REMOTE: &str = "203.0.113.2";

fn kinds() -> Vec<Kind> {
    let host = |packet: &[u8]| frame(L_MAC, H_MAC, packet);
    let router = |packet: &[u8]| frame(U_MAC, G_MAC, packet);
    let inward = ip("10.1.0.5", "10.2.0.8");
    let inward6 = ip("2001:db8:1::5", "2001:db8:2::8");
    let outward = ip("10.2.0.8", "10.1.0.5");
    let peer = |inner: &[u8]| router(&ip(REMOTE, LOCAL).around(inner));
    let small = inward.udp(50);
    let large = ip(LOCAL, REMOTE).around(&inward.udp(1480));
    let narrow = ip("192.0.2.9", LOCAL).icmp_error(3, 4, 1490, &large[..48]);
    vec![
        ("forward", 1, L, host(&ip("10.1.0.5", "203.0.113.66").udp(84))),
        ("encap", 1, L, host(&inward.udp(84))),
        ("encap of IPv6", 1, L, host(&inward6.udp(84))),
        ("encap into IPv6", 1, L, host(&ip("10.1.0.5", "10.3.0.8").udp(84))),
        ("decap", 1, U, peer(&outward.udp(84))),
        ("decap of IPv6", 1, U, peer(&ip("2001:db8:2::8", "2001:db8:1::5").udp(84))),
        ("fragments inside", 2, L, host(&inward.may_be_cut().udp(1500))),
        ("fragments outside", 2, L, host(&ip("10.1.0.5", "10.4.0.8").udp(1500))),
        ("time exceeded", 1, L, host(&inward.ttl(1).udp(84))),
        ("packet too big", 1, L, host(&inward6.udp(1500))),
        ("no route", 1, L, host(&ip("10.1.0.5", "172.31.9.9").udp(84))),
        ("echo", 1, L, host(&ip("10.1.0.5", "10.1.0.1").echo(&[1; 56]))),
        ("echo of IPv6", 1, L, host(&ip("2001:db8:1::5", "2001:db8:1::1").echo(&[1; 56]))),
        (
            "a piece of an outer packet",
            0,
            U,
            router(&as_piece(&ip(REMOTE, LOCAL).around(&small), 3, false)),
        ),
        ("an error of the underlay", 1, U, router(&narrow)),
        ("an unknown peer", 0, U, router(&ip("203.0.113.66", LOCAL).around(&small))),
        ("ARP", 0, U, frame_of(0x0806, [0xff; 6], G_MAC, &[1; 46])),
        ("an unresolved host", 0, L, host(&ip("10.1.0.5", "198.51.100.77").udp(84))),
        ("garbage", 0, U, vec![0xff; 70]),
    ]
}

fn plan() -> Blueprint {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.setup(0).latency = Some(0);
    let six = plan.tunnel("2001:db8:100::1", "2001:db8:200::2");
    plan.route("10.3.0.0/16", adit_dataplane::tables::NextHop::Tunnel(six));
    let cut = plan.tunnel(LOCAL, "203.0.113.3");
    plan.route("10.4.0.0/16", adit_dataplane::tables::NextHop::Tunnel(cut));
    plan.setup(2).dont_fragment = DontFragment::No;
    plan.setup(2).mtu = 1500;
    plan
}

/// Calls of the allocator while the worker works until nothing is left.
fn calls_while_working(appliance: &mut Appliance) -> u64 {
    let before = CALLS.get();
    appliance.work();
    CALLS.get() - before
}

/// The same, with copies of all that a port receives and sends, and of all that one tunnel does.
fn mirrored() -> Blueprint {
    let mut plan = plan();
    let mut session =
        |number| -> Box<[TunnelId]> { Box::new([add_session(&mut plan, 0, version_two(number))]) };
    let of_port = Sessions { ingress: session(7), egress: session(8) };
    let of_tunnel = Sessions { ingress: session(9), egress: session(10) };
    plan.mirrors = vec![(Interface::port(L), of_port), (Interface::tunnel(TunnelId(0)), of_tunnel)];
    plan.setup(0).is_mirrored = true;
    plan
}

/// Sends eight frames of one kind through, everything but the work outside the count.
fn pass_burst(appliance: &mut Appliance, kind: &Kind) -> u64 {
    let (name, leave, port, bytes) = kind;
    for _ in 0..8 {
        appliance.inject(*port, bytes);
    }
    // Every limit of rates is far away again.
    appliance.now.0 += 60_000_000_000;
    let calls = calls_while_working(appliance);
    let mut sent = 0;
    appliance.worker.device_mut().drain_sent(|_, _| sent += 1);
    assert_eq!(sent, 8 * leave, "{name}");
    for punt in appliance.take_punts() {
        if let Punt::Unresolved { packet, .. } = punt {
            assert!(appliance.shared.handbacks.push(Handback::Unreachable { packet }).is_ok());
        }
    }
    let calls = calls + calls_while_working(appliance);
    appliance.worker.device_mut().drain_sent(|_, _| ());
    calls
}

#[test]
fn no_burst_makes_a_worker_allocate_or_free() {
    let plan = plan();
    let mut appliance = plan.start();
    let kinds = kinds();
    // The first pass may: thread-locals of libraries are made at first use.
    for kind in &kinds {
        pass_burst(&mut appliance, kind);
    }
    for generation in 2..5 {
        for kind in &kinds {
            assert_eq!(pass_burst(&mut appliance, kind), 0, "{}", kind.0);
        }
        // New tables, an empty set of histograms, and a frame of the control thread.
        appliance.publish(plan.build(generation));
        assert!(appliance.shared.latency.ask(Box::new(Histograms::new(2))));
        let note = Frame::new(&[0; 60]).unwrap();
        assert!(appliance.shared.handbacks.push(Handback::Frame { port: U, frame: note }).is_ok());
        assert_eq!(calls_while_working(&mut appliance), 0, "new tables and histograms");
        appliance.worker.device_mut().drain_sent(|_, _| ());
        assert!(appliance.shared.latency.take().is_some());
    }
    appliance.assert_balance();
    appliance.assert_pool();
    assert_eq!(appliance.held(), 0);
}

#[test]
fn copies_for_mirror_sessions_allocate_nothing() {
    let mut appliance = mirrored().start();
    for pass in 0..3 {
        for (name, leave, port, bytes) in kinds() {
            for _ in 0..8 {
                appliance.inject(port, &bytes);
            }
            appliance.now.0 += 60_000_000_000;
            let calls = calls_while_working(&mut appliance);
            let mut sent = 0;
            appliance.worker.device_mut().drain_sent(|_, _| sent += 1);
            // The first pass may: thread-locals of libraries are made at first use.
            assert!(pass == 0 || calls == 0, "{name}");
            assert!(port != L || sent > 8 * leave, "{name} is not copied");
            for punt in appliance.take_punts() {
                if let Punt::Unresolved { packet, .. } = punt {
                    let back = Handback::Unreachable { packet };
                    assert!(appliance.shared.handbacks.push(back).is_ok());
                }
            }
            calls_while_working(&mut appliance);
            appliance.worker.device_mut().drain_sent(|_, _| ());
        }
    }
}

#[test]
fn putting_packets_together_and_giving_them_up_allocates_nothing() {
    let mut appliance = plan().start();
    let whole = ip(REMOTE, LOCAL).may_be_cut().around(&ip("10.2.0.8", "10.1.0.5").udp(600));
    let (mut calls, mut sent) = (0, 0);
    for number in 0..300_u16 {
        let mut packet = whole.clone();
        packet[4..6].copy_from_slice(&number.to_be_bytes());
        let pieces = in_pieces(&packet, &[128, 256, 512], 0);
        // Of every third packet one piece is missing, and every fifth has one twice.
        let missing = usize::from(number % 3 == 0);
        for piece in pieces.iter().skip(missing).chain(pieces.last().filter(|_| number % 5 == 0)) {
            appliance.inject(U, &frame(U_MAC, G_MAC, piece));
        }
        appliance.now.0 += 1_000_000 * u64::from(number % 128);
        let working = calls_while_working(&mut appliance);
        // The first rounds may: thread-locals of libraries are made at first use.
        calls += if number < 3 { 0 } else { working };
        appliance.worker.device_mut().drain_sent(|_, _| sent += 1);
    }
    assert_eq!((calls, sent), (0, 200));
    let lost = |counter| appliance.total(counter);
    assert!(lost(Counter::ReasmTimeout) > 50 && lost(Counter::ReasmLimit) > 0);
}

#[test]
fn handing_packets_over_and_moving_buckets_allocates_nothing() {
    let mut crew = crew::Crew::new(2);
    let mut calls = 0;
    for number in 0..40 {
        crew.team.set_helpers(0, u8::from(number % 8 < 6));
        let frames = (0..64).map(|flow| crew::tunnel_frame(flow, number, crew::Part::Whole));
        for bytes in frames {
            assert!(crew.workers[0].device_mut().memory.inject(U, &bytes));
        }
        let before = CALLS.get();
        crew.poll(0);
        crew.poll(1);
        // The first rounds may: thread-locals of libraries are made at first use.
        calls += if number < 2 { 0 } else { CALLS.get() - before };
    }
    assert_eq!(calls, 0);
    let tally = crew.team.tally(0).unwrap();
    assert!(tally.handed_out.get() > 500 && tally.moves.get() > 10, "{tally:?}");
    crew::assert_order(&crew.end([0, 1]));
}

#[test]
fn the_count_sees_an_allocation() {
    let before = CALLS.get();
    drop(core::hint::black_box(Box::new(7)));
    assert_eq!(CALLS.get() - before, 2);
}
