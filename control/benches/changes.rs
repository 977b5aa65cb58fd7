//! How long changes take to be live on every worker, and what becomes of the frames meanwhile: single
//! changes over the API at a fixed rate, and reloads of everything. `scripts/bench changes` runs it.

#[path = "../tests/changes/flow.rs"]
mod flow;
#[path = "../tests/changes/http.rs"]
mod http;
#[path = "../tests/changes/judge.rs"]
mod judge;
#[path = "../tests/changes/rig.rs"]
mod rig;
#[path = "../tests/changes/script.rs"]
mod script;
#[path = "../tests/changes/wire.rs"]
mod wire;

use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use serde_json::json;

use http::Connection;
use judge::{Findings, Record};
use rig::{Rig, Size};
use script::Circle;

/// Changes under load, over ports in memory.
#[derive(Parser)]
struct Options {
    /// How long single changes are made
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Changes a second
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// How often everything is put in force anew
    #[arg(long, default_value_t = 10)]
    reloads: u32,
    /// Tunnels beside those of the flows, each with a route
    #[arg(long, default_value_t = 100_000)]
    tunnels: u32,
    /// Worker threads
    #[arg(long, default_value_t = 2)]
    workers: u16,
    /// Flows that frames belong to, each with a tunnel
    #[arg(long, default_value_t = 256)]
    flows: u16,
    /// Connections to the API, each with one request at a time
    #[arg(long, default_value_t = 4)]
    clients: u16,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let size = Size {
        workers: options.workers,
        flows: options.flows,
        bystanders: options.tunnels,
        hesitates_every: None,
    };
    println!(
        "{} workers, {} flows through a tunnel each, {} other tunnels",
        options.workers, options.flows, options.tunnels
    );
    let are_right = [single_changes(&options, size), reloads(&options, size)];
    if are_right != [true, true] {
        eprintln!("FAILED: frames were not as they should be");
        std::process::exit(1);
    }
}

/// Whether nothing was wrong with any frame, as of [`reloads`].
fn single_changes(options: &Options, size: Size) -> bool {
    let rig = Rig::start(size);
    let start = Instant::now();
    let mut all = histogram();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..options.clients)
            .map(|client| {
                let rig = &rig;
                scope.spawn(move || change(options, rig, client, start))
            })
            .collect();
        for client in clients {
            all.add(client.join().expect("a client")).expect("the same limits");
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "\nsingle changes, {} a second wanted, {} connections:",
        options.rate, options.clients
    );
    println!("  {} changes in {seconds:.1} s", all.len());
    report(&all, &rig.finish(), seconds)
}

/// One client's changes, each at its time or as soon as the one before is confirmed.
fn change(options: &Options, rig: &Rig, client: u16, start: Instant) -> Histogram<u64> {
    let mut api = Connection::open(&rig.socket());
    let mut took = histogram();
    let flows = (client..options.flows).step_by(options.clients.into());
    let mut circles: Vec<(u16, Circle)> = flows.map(|flow| (flow, Circle::new(flow))).collect();
    let count = options.seconds * u64::from(options.rate) / u64::from(options.clients);
    let nanos = 1_000_000_000 * u64::from(options.clients) / u64::from(options.rate.max(1));
    let of_flows = circles.len();
    for (number, turn) in (0..count).zip((0..of_flows).cycle()) {
        let due = start + Duration::from_nanos(nanos * number);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (flow, circle) = &mut circles[turn];
        let time = circle.go_on(&rig.cable.rules[usize::from(*flow)], &mut api);
        took.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
    took
}

fn reloads(options: &Options, size: Size) -> bool {
    let rig = Rig::start(size);
    let files = [rig.write_file(1), rig.write_file(2)];
    let mut api = Connection::open(&rig.socket());
    let mut took = histogram();
    let start = Instant::now();
    for (_, file) in (0..options.reloads).zip(files.iter().cycle()) {
        let asked = Instant::now();
        let (status, answer) = api.ask("POST", "/v1/apply", &json!({ "path": file }));
        assert_eq!(status, 200, "{answer}");
        took.saturating_record(u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("\nreloads that change all {} other tunnels:", options.tunnels);
    println!("  {} reloads in {seconds:.1} s", took.len());
    report(&took, &rig.finish(), seconds)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1000, 300_000_000_000, 3).expect("bounds in order")
}

/// Prints what there was to see, and says whether nothing was wrong with any frame.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn report(took: &Histogram<u64>, record: &Record, seconds: f64) -> bool {
    let millis = |nanos: u64| nanos as f64 / 1e6;
    println!(
        "  from request to live on every worker: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
        millis(took.value_at_quantile(0.5)),
        millis(took.value_at_quantile(0.99)),
        millis(took.max())
    );
    let findings = &record.findings;
    println!(
        "  {} frames received, {:.0} a second: {} lost, {} duplicated, {} out of order, {} by a stale rule, \
         {} misaimed, {} unreadable",
        record.received,
        record.received as f64 / seconds,
        findings.lost,
        findings.duplicated,
        findings.reordered,
        findings.stale,
        findings.misaimed,
        findings.unreadable
    );
    println!(
        "  {} times a flow went another way; the longest silence on the far port was {:.1} ms",
        record.turns,
        millis(u64::try_from(record.longest_gap.as_nanos()).unwrap_or(u64::MAX))
    );
    *findings == Findings::default()
}
