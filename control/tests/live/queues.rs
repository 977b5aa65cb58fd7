//! Several workers, each with its queue of one device.

use serde_json::Value;

use crate::appliance::Appliance;
use crate::sites::{HOST2, IPIP, Network};
use crate::traffic::{iperf, ping};
use crate::turn;

const TWO_WORKERS: &str = "{ idle: sleep, hugepages: off, mbufs: 16384, worker-cores: [0, 1] }";

#[test]
fn two_workers_share_the_queues_of_a_tap_and_both_forward() {
    let _turn = turn::shared();
    let network = Network::lay();
    let a = Appliance::start_with(&network.box_a, TWO_WORKERS, &IPIP.site_a());
    let b = Appliance::start_with(&network.box_b, TWO_WORKERS, &IPIP.site_b());
    ping(&network.host1, &format!("-c 20 -i 0.01 -w 10 {HOST2}")).all_answered();
    // The kernel spreads flows over the queues of a TAP, so enough of them reach both.
    let run = iperf(&network.host1, &network.host2, HOST2, "-t 2 -P 16");
    assert!(run.megabits_per_second > 10.0, "{} Mbit/s", run.megabits_per_second);
    for appliance in [&a, &b] {
        let workers = appliance.json("workers");
        let busy = workers_that_received(&workers);
        assert_eq!(busy, 2, "{workers:#}");
        let names = threads(appliance.pid());
        assert!(
            names.contains(&"adit-w0".to_owned()) && names.contains(&"adit-w1".to_owned()),
            "{names:?}"
        );
    }
}

#[test]
fn a_worker_without_a_queue_helps_the_one_that_receives_a_whole_tunnel() {
    let _turn = turn::shared();
    let network = Network::lay();
    let spread = TWO_WORKERS.replace("idle", "spread: on, idle");
    // One queue each way: everything arrives at the first worker, and the second sends through it.
    let single = |site: String| site.replace("device:", "queues: 1, device:");
    let a = Appliance::start_with(&network.box_a, &spread, &single(IPIP.site_a()));
    let b = Appliance::start_with(&network.box_b, &spread, &single(IPIP.site_b()));
    ping(&network.host1, &format!("-c 20 -i 0.01 -w 10 {HOST2}")).all_answered();
    let free_before = [&a, &b].map(Appliance::free_buffers);
    let run = iperf(&network.host1, &network.host2, HOST2, "-t 2 -P 16");
    assert!(run.megabits_per_second > 10.0, "{} Mbit/s", run.megabits_per_second);
    let datagrams = iperf(&network.host1, &network.host2, HOST2, "-u -b 2M -l 200 -t 2 -P 16");
    assert!(datagrams.megabits_per_second > 10.0, "{} Mbit/s", datagrams.megabits_per_second);
    assert!(datagrams.out_of_order < 0.5, "{} datagrams came late", datagrams.out_of_order);
    for (appliance, free_before) in [&a, &b].into_iter().zip(free_before) {
        appliance.settle(free_before);
        let workers = appliance.json("workers");
        let [first, second] = [0, 1].map(|number| &workers["workers"][number]);
        assert_eq!(workers_that_received(&workers), 1, "{workers:#}");
        let handed = |worker: &Value, way: &str| worker["spread"][way].as_u64().unwrap_or(0);
        assert!(handed(second, "handoffs_in") > 100, "{workers:#}");
        assert_eq!(first["spread"]["state"], "on", "{workers:#}");
        let text = appliance.show("workers");
        assert!(text.contains("HANDED OUT"), "{text}");
    }
}

/// How many workers have received packets, by `show workers --json`.
fn workers_that_received(workers: &Value) -> usize {
    let list = workers["workers"].as_array().expect("a list of workers");
    list.iter().filter(|worker| worker["rx_packets"].as_u64().unwrap_or(0) > 100).count()
}

fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let name = |path: std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned()
    };
    tasks.flatten().map(|task| name(task.path())).collect()
}
