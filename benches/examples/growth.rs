//! What one more tunnel or route costs: `growth encap|decap TUNNELS` or `growth forward ROUTES [v6]`
//! prints clocks per packet (median, least, most), those of the device alone, and bytes of memory
//! that the tables asked for.
//!
//! `scripts/bench growth` runs it for each size, each in a process of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_dataplane::clock::Nanos;
use benches::case::{BURST, Case, Verb};
use benches::measure::measure;
use benches::packets::{Between, Families};

/// Bytes that are allocated at the moment.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
struct Counting;

// SAFETY: every call goes to the system's allocator as it is; the count touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise about pointer and layout is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The case that the words name.
fn case(words: &[String]) -> Option<Case> {
    let count = words.get(1)?.parse().ok()?;
    let is_ipv4 = words.get(2).is_none_or(|word| word != "v6");
    let families = Families { inner_is_ipv4: is_ipv4, outer_is_ipv4: is_ipv4 };
    let tunnels = u32::try_from(count).ok()?;
    match words.first()?.as_str() {
        "forward" => Some(Case {
            verb: Verb::Forward,
            families,
            tunnels: 0,
            between: Between::Nothing,
            routes: count,
        }),
        "encap" => Some(Case {
            verb: Verb::Encap,
            families,
            tunnels,
            between: Between::Nothing,
            routes: 0,
        }),
        "decap" => Some(Case {
            verb: Verb::Decap,
            families,
            tunnels,
            between: Between::Nothing,
            routes: 0,
        }),
        _ => None,
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(case) = case(&words) else {
        eprintln!("growth encap|decap TUNNELS | growth forward ROUTES [v6]");
        std::process::exit(2);
    };
    let before = ALLOCATED.load(Ordering::Relaxed);
    let tables = case.tables();
    let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
    drop(tables);
    let mut device = case.device_alone();
    let device = measure(|| device.turn());
    let mut worker = case.worker();
    let cost = measure(|| {
        worker.poll(Nanos(1));
    });
    let polls = worker.shared().counters.work.polls.get();
    let sent = worker.device_mut().sent();
    assert_eq!(sent, polls * u64::from(BURST) * case.sent_for_each(), "packets were lost");
    println!("{} {} {} {} {bytes}", cost.median, cost.least, cost.most, device.median);
}
