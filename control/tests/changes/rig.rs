//! The appliance without devices: real worker threads, the controller, the API on its socket, and the ports
//! of `wire.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use adit_control::api::{self, Answer, Call, Problem, Request, Server};
use adit_control::config::{self, Purpose};
use adit_control::engine::transactions::Transactions;
use adit_control::engine::{Controller, ControllerSettings, PortFacts, worker_rates};
use adit_dataplane::clock::{CycleScale, Nanos};
use adit_dataplane::reassembly;
use adit_dataplane::worker::{Worker, WorkerSettings};
use serde_json::{Map, Value, json};

use crate::flow::{self, GATEWAY_MAC, LAN_MAC, LOCAL, WAN_MAC};
use crate::judge::{self, Record};
use crate::script::constant_tunnel;
use crate::wire::{Cable, Wire};

/// What a rig is made of.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) workers: u16,
    pub(crate) flows: u16,
    /// Tunnels that carry nothing, each with a route.
    pub(crate) bystanders: u32,
    /// How often workers hesitate before they send: once in so many bursts.
    pub(crate) hesitates_every: Option<u32>,
}

/// See the module.
pub(crate) struct Rig {
    pub(crate) cable: Arc<Cable>,
    size: Size,
    folder: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    control: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
    receiver: JoinHandle<Record>,
}

impl Rig {
    /// Starts everything; frames flow when this returns.
    pub(crate) fn start(size: Size) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let cable = Cable::new(size.flows);
        let stop = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let (made, controllers) = std::sync::mpsc::channel();
        let control = {
            let (stop, socket) = (Arc::clone(&stop), folder.path().join("adit.sock"));
            let file = folder.path().join("first.json");
            write_file(&file, size, 0);
            thread::spawn(move || {
                let controller = controller(&file, size.workers);
                let shared = (controller.publication().clone(), controller.workers().to_vec());
                let rates = worker_rates(&controller.config().limits, size.workers);
                let (caller, calls) = api::channel();
                let server = Server::start(&socket, caller).expect("a socket of our own");
                made.send((shared, rates)).expect("the rig waits");
                control(controller, &calls, start, &stop);
                drop(server);
            })
        };
        let ((publication, shared), rates) = controllers.recv().expect("a controller");
        let workers = (0..size.workers).zip(shared).map(|(number, shared)| {
            let settings = WorkerSettings {
                number,
                workers: size.workers,
                burst: 32,
                latency_sample: 0,
                scale: CycleScale::from_measurement(1, 1),
                rates,
                reassembly: reassembly::Limits { pieces: 64, pieces_per_peer: 64 },
                seed: u64::from(number),
                measured_tunnels: 0,
                fast_path: true,
            };
            let wire = Wire::new(&cable, number, size.workers, size.hesitates_every);
            let worker = Worker::new(wire, Arc::clone(&publication), shared, settings);
            let stop = Arc::clone(&stop);
            thread::spawn(move || work(worker, start, &stop))
        });
        let workers = workers.collect();
        let receiver = {
            let cable = Arc::clone(&cable);
            thread::spawn(move || judge::receive(&cable))
        };
        let rig = Self { cable, size, folder, stop, control, workers, receiver };
        let flows = || rig.cable.generated.load(Ordering::Acquire) > 10_000;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !flows() {
            assert!(Instant::now() < deadline, "no frames");
            thread::yield_now();
        }
        rig
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("adit.sock")
    }

    /// Writes a configuration in which every bystander differs from that of other `versions`, and
    /// flows do not.
    pub(crate) fn write_file(&self, version: u32) -> PathBuf {
        let file = self.folder.path().join(format!("version{version}.json"));
        write_file(&file, self.size, version);
        file
    }

    /// Stops the generator, waits for the last frames, ends all threads.
    pub(crate) fn finish(self) -> Record {
        self.cable.is_over.store(true, Ordering::Release);
        let record = self.receiver.join().expect("the receiver");
        self.stop.store(true, Ordering::Release);
        self.control.thread().unpark();
        self.control.join().expect("the control thread");
        for worker in self.workers {
            worker.join().expect("a worker");
        }
        record
    }
}

fn controller(file: &Path, workers: u16) -> Controller {
    let config = config::load(file, Purpose::Replay).expect("a good file").config;
    let facts = config.ports.iter().map(|port| PortFacts { mac: port.mac, mtu: port.mtu });
    let facts = facts.collect();
    let settings = ControllerSettings { seed: 7, workers, is_settled: true };
    let mut controller = Controller::new(config, facts, &settings).expect("tables with room");
    controller.start(Nanos(0));
    controller
}

fn now(start: Instant) -> Nanos {
    Nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

fn work(mut worker: Worker<Wire>, start: Instant, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        if worker.poll(now(start)) == 0 {
            // The threads are more than the cores.
            thread::yield_now();
        }
    }
    drop(worker.into_device(now(start)));
}

/// The control thread, as in the running appliance but for devices.
fn control(
    mut controller: Controller,
    calls: &crossbeam::channel::Receiver<Call>,
    start: Instant,
    stop: &AtomicBool,
) {
    let mut transactions = Transactions::default();
    while !stop.load(Ordering::Acquire) {
        let busy = controller.turn(now(start));
        let busy = transactions.turn(&mut controller, now(start)) || busy;
        let mut calls = calls.try_iter().peekable();
        if calls.peek().is_some() {
            calls.for_each(|call| answer(&mut transactions, call, now(start)));
        } else if !busy {
            let micros = if transactions.is_busy() { 50 } else { 2000 };
            thread::park_timeout(Duration::from_micros(micros));
        }
    }
    controller.stop(now(start));
}

fn answer(transactions: &mut Transactions, call: Call, now: Nanos) {
    let request = call.request().clone();
    let reply = move |applied: Result<_, _>| call.answer(applied.map(Answer::Applied));
    match request {
        Request::Change(change) => transactions.change(change, now, Box::new(reply)),
        Request::Apply { path } => transactions.apply(&path, Purpose::Replay, Box::new(reply)),
        _ => reply(Err(Problem::unsupported("this"))),
    }
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn write_file(file: &Path, size: Size, version: u32) {
    let flows = (0..size.flows).map(|flow| (format!("f{flow}"), constant_tunnel(flow, 0)));
    let bystanders = (0..size.bystanders).map(|number| {
        let remote = std::net::Ipv4Addr::from((66 << 24) + number + (version << 18));
        let to = std::net::Ipv4Addr::from((11 << 24) + number);
        let tunnel = json!({ "mode": "ipip", "local": LOCAL, "remote": remote, "routes": [to] });
        (format!("b{number}"), tunnel)
    });
    let text = json!({
        "ports": {
            "lan": { "macaddress": mac(LAN_MAC), "addresses": ["10.1.0.1/24"] },
            "wan": {
                "macaddress": mac(WAN_MAC),
                "addresses": [format!("{}/24", flow::LOCAL)],
                "neighbors": { "198.51.100.254": mac(GATEWAY_MAC) },
            },
        },
        "tunnels": flows.chain(bystanders).collect::<Map<String, Value>>(),
        "routes": [{ "to": "default", "via": "198.51.100.254" }],
    });
    std::fs::write(file, text.to_string()).expect("room for a file");
}
