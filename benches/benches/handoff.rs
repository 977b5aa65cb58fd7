//! One hot queue: all packets of one tunnel arrive on the queue of the first of two workers, and the
//! second one helps, or does not. Two real threads, pinned; sending a packet can be made to cost
//! extra clocks, which stand for encryption or checksums in software.
//!
//! Shown are millions of packets sent per second by one worker, by two with `spread: on`, and by two
//! about whom the controller of `spread: auto` decides; and the ratios to one worker, measured right
//! before. Slices of a hundredth of a second in which something else had one of the cores are left
//! out, and samples with hardly any others are thrown away.
//!
//! What a hand-off costs is how far the cores are apart: packets and rings move from cache to cache. So
//! each pair of samples comes with the clocks that a cache line takes there and back, and pairs on near
//! and on far cores are told apart: a hypervisor may move a virtual machine's cores in between.
//!
//! `scripts/bench handoff`; with `300 1000` for these extra clocks alone. Takes both cores.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use adit_control::engine::spread::{AutoSpread, LOOK_MS, Sample};
use adit_dataplane::clock::{CycleScale, Nanos, cycles};
use adit_dataplane::worker::Worker;
use adit_dataplane::worker::exchange::Shared;
use adit_dataplane::worker::spread::Team;
use benches::case::{BURST, Case, Verb};
use benches::court::Court;
use benches::hot_queue::{self, HotQueue};
use benches::numbers::Numbers;
use benches::packets::{Between, Families};
use benches::treadmill::Frame;

const FLOWS: usize = 4096;
/// Where an inner UDP header begins: behind Ethernet and two IPv4 headers.
const PORTS: usize = 14 + 20 + 20;

const EXTRA_CLOCKS: [u64; 4] = [0, 100, 300, 1000];
/// Good samples that are wanted, and how long for.
const SAMPLES: usize = 9;
const PATIENCE: Duration = Duration::from_secs(20);
const SAMPLE: Duration = Duration::from_millis(200);
/// What a sample is cut into, how long in it a worker may have waited for its core, and what share
/// of the slices must be left.
const SLICE: Duration = Duration::from_millis(10);
const WAIT_NANOS_MAX: u64 = 200_000;
const SHARE_LEFT: f64 = 0.2;
/// For buckets and caches to settle after a change.
const SETTLE: Duration = Duration::from_millis(60);
/// Looks of the controller that are waited for, and those that count.
const AUTO_LOOKS: usize = 20;

/// Clocks there and back from which on cores are far apart: they share no cache.
const FAR_CLOCKS: u64 = 300;

/// Two workers on two cores, until it is ended.
struct Appliance {
    court: Arc<Court>,
    queue: Arc<hot_queue::Shared>,
    team: Arc<Team>,
    shared: [Arc<Shared>; 2],
    threads: [(String, thread::JoinHandle<()>); 2],
    stop: Arc<AtomicBool>,
    hertz: u64,
}

/// A rate, and whether the cores were ours meanwhile.
#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    is_good: bool,
}

fn frames() -> Vec<Frame> {
    let case = Case {
        verb: Verb::Decap,
        families: Families::ALL[0].1,
        tunnels: 1,
        between: Between::Nothing,
        routes: 0,
    };
    let [frame] = case.frames()[..] else { panic!("one tunnel has one frame") };
    let mut numbers = Numbers::new(7);
    let flow = |_| {
        let (mut bytes, len) = frame;
        bytes[PORTS..PORTS + 4].copy_from_slice(&numbers.next_u64().to_be_bytes()[..4]);
        (bytes, len)
    };
    (0..FLOWS).map(flow).collect()
}

impl Appliance {
    fn start() -> Self {
        let (queue, devices) = HotQueue::pair(frames());
        let case = Case {
            verb: Verb::Decap,
            families: Families::ALL[0].1,
            tunnels: 1,
            between: Between::Nothing,
            routes: 0,
        };
        let team = Team::new(2).expect("two are a team");
        let stop = Arc::new(AtomicBool::new(false));
        let court = Arc::new(Court::default());
        let workers = devices.map(|device| case.worker_over(device));
        let shared = [0, 1].map(|number| Arc::clone(workers[number].shared()));
        let mut number = 0;
        let threads = workers.map(|mut worker| {
            worker.join(team.member(number, 2).expect("a member, because each is made once"));
            let (stop, court, core) = (Arc::clone(&stop), Arc::clone(&court), number);
            let (tell, told) = mpsc::channel();
            let thread = thread::spawn(move || {
                let _ = tell.send(std::fs::read_link("/proc/thread-self"));
                work(worker, core, &stop, &court);
            });
            let path = told.recv().expect("it tells").expect("Linux");
            number += 1;
            (format!("/proc/{}/schedstat", path.display()), thread)
        });
        let hertz = hertz();
        Self { court, queue, team, shared, threads, stop, hertz }
    }

    /// Nanoseconds that the workers were ready to run and something else ran.
    fn waited(&self) -> u64 {
        let waited = |path: &str| -> Option<u64> {
            std::fs::read_to_string(path).ok()?.split(' ').nth(1)?.parse().ok()
        };
        self.threads.iter().filter_map(|(path, _)| waited(path)).sum()
    }

    /// A wait shows when it is over, so a slice counts if the next one was undisturbed as well.
    fn rate(&self, span: Duration) -> Rate {
        let (begin, first) = (Instant::now(), self.queue.sent());
        let (mut count, mut seconds, mut before) = (0.0, 0.0, None);
        while begin.elapsed() < span {
            let (waited, sent, start) = (self.waited(), self.queue.sent(), Instant::now());
            thread::sleep(SLICE);
            let slice = (difference(self.queue.sent(), sent), start.elapsed().as_secs_f64());
            let is_good = self.waited() - waited < WAIT_NANOS_MAX;
            if let (true, Some((sent, taken))) = (is_good, before) {
                (count, seconds) = (count + sent, seconds + taken);
            }
            before = is_good.then_some(slice);
        }
        let all = begin.elapsed().as_secs_f64();
        if seconds > SHARE_LEFT * all {
            Rate { per_second: count / seconds, is_good: true }
        } else {
            let count = difference(self.queue.sent(), first);
            Rate { per_second: count / all, is_good: false }
        }
    }

    fn rate_with(&self, helpers: u8) -> Rate {
        self.team.set_helpers(0, helpers);
        thread::sleep(SETTLE);
        self.rate(SAMPLE)
    }

    /// What the controller makes of it, from a start without help.
    fn rate_of_auto(&self) -> Rate {
        let mut auto = AutoSpread::new(BURST, self.hertz, vec![vec![1], vec![0]]);
        self.team.set_helpers(0, 0);
        let (start, mut rates) = (Instant::now(), Vec::new());
        for _ in 0..2 * AUTO_LOOKS {
            rates.push(self.rate(Duration::from_millis(LOOK_MS)));
            let samples: Vec<Sample> = (0..2).map(|number| self.sample(number)).collect();
            let now = Nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(0));
            for decision in auto.look(now, &samples) {
                self.team.set_helpers(decision.worker, decision.helpers);
            }
        }
        let mut late: Vec<f64> = rates
            .split_off(AUTO_LOOKS)
            .iter()
            .filter(|rate| rate.is_good)
            .map(|rate| rate.per_second)
            .collect();
        late.sort_by(f64::total_cmp);
        let per_second = late.get(late.len() / 2).copied().unwrap_or(0.0);
        Rate { per_second, is_good: late.len() > AUTO_LOOKS / 2 }
    }

    fn sample(&self, number: usize) -> Sample {
        let tally = self.team.tally(number).expect("it is there, because the worker is");
        Sample::read(&self.shared[number].counters, tally)
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for (_, thread) in self.threads {
            thread.join().expect("a worker that ends in order");
        }
    }
}

/// How many more.
fn difference(after: u64, before: u64) -> f64 {
    u32::try_from(after - before).map_or(f64::INFINITY, f64::from)
}

fn work(mut worker: Worker<HotQueue>, core: usize, stop: &AtomicBool, court: &Court) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    while !stop.load(Ordering::Relaxed) {
        court.play(core);
        if worker.poll(Nanos(1)) == 0 {
            core::hint::spin_loop();
        }
    }
    drop(worker.into_device(Nanos(1)));
}

/// Clocks of the cycle counter in a second.
fn hertz() -> u64 {
    let (instant, start) = (Instant::now(), cycles());
    thread::sleep(Duration::from_millis(50));
    let passed = cycles() - start;
    let nanos = u64::try_from(instant.elapsed().as_nanos()).unwrap_or(1);
    CycleScale::from_measurement(passed, nanos).hertz()
}

/// One worker alone, and right after it two.
#[derive(Clone, Copy)]
struct Pair {
    alone: f64,
    other: f64,
    is_far: bool,
}

/// Of a number of each pair.
fn median(pairs: &[Pair], number: impl Fn(&Pair) -> f64) -> f64 {
    let mut values: Vec<f64> = pairs.iter().map(number).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Pairs of one worker alone and `other`, until enough of them are good or it has taken too long.
fn compare(appliance: &Appliance, wanted: usize, other: impl Fn() -> Rate) -> Vec<Pair> {
    let (start, mut pairs) = (Instant::now(), Vec::new());
    while pairs.len() < wanted && start.elapsed() < PATIENCE {
        let before = appliance.court.clocks() >= FAR_CLOCKS;
        let (one, two) = (appliance.rate_with(0), other());
        let is_far = appliance.court.clocks() >= FAR_CLOCKS;
        if one.is_good && two.is_good && before == is_far {
            pairs.push(Pair { alone: one.per_second, other: two.per_second, is_far });
        }
    }
    pairs
}

/// Measures one case and prints its rows; whether there was anything to measure.
fn run_case(extra_clocks: u64) -> bool {
    let appliance = Appliance::start();
    appliance.queue.extra_clocks.store(extra_clocks, Ordering::Relaxed);
    let on = compare(&appliance, SAMPLES, || appliance.rate_with(1));
    let auto = compare(&appliance, SAMPLES / 3, || appliance.rate_of_auto());
    for (cores, is_far) in [("near", false), ("far", true)] {
        let of = |pairs: &[Pair]| -> Vec<Pair> {
            pairs.iter().filter(|pair| pair.is_far == is_far).copied().collect()
        };
        let (on, auto) = (of(&on), of(&auto));
        if on.is_empty() && auto.is_empty() {
            continue;
        }
        let both: Vec<Pair> = on.iter().chain(&auto).copied().collect();
        let ratio = |pairs| median(pairs, |pair| pair.other / pair.alone);
        println!(
            "{extra_clocks:>12} {cores:>6} {:>8.2} {:>8.2} {:>8.2} {:>9.2} {:>10.2} {:>5} + {}",
            median(&both, |pair| pair.alone) / 1e6,
            median(&on, |pair| pair.other) / 1e6,
            median(&auto, |pair| pair.other) / 1e6,
            ratio(&on),
            ratio(&auto),
            on.len(),
            auto.len(),
        );
    }
    appliance.end();
    let has_pairs = !(on.is_empty() && auto.is_empty());
    if !has_pairs {
        println!("{extra_clocks:>12} FAILED: never had the workers both cores to themselves");
    }
    has_pairs
}

fn main() {
    let wanted: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    println!("Millions of packets per second, one tunnel on one queue, IPv4 out of IPv4");
    println!("extra clocks  cores    alone       on     auto  on/alone auto/alone  samples");
    let is_wanted = |extra: &u64| wanted.is_empty() || wanted.contains(extra);
    let results: Vec<bool> = EXTRA_CLOCKS.into_iter().filter(is_wanted).map(run_case).collect();
    if results.contains(&false) {
        std::process::exit(1);
    }
}
