//! After `kill -9` the same ports start again at once, whatever the killed process left behind.
#![cfg(feature = "dpdk")]

mod rim;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TEST: &str = "after_a_kill_the_same_ports_start_within_two_seconds";
const FOLDER: &str = "ADIT_TEST_RESTART_FOLDER";

#[test]
fn after_a_kill_the_same_ports_start_within_two_seconds() {
    if !rim::in_own_namespace(TEST) {
        return;
    }
    if let Some(folder) = std::env::var_os(FOLDER) {
        let _running = rim::Rim::start(&config(folder.to_str().unwrap())).unwrap();
        eprintln!("running");
        std::thread::sleep(Duration::from_mins(1));
        return;
    }
    rim::ip("tuntap add dev kept mode tap multi_queue");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(FOLDER, folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("running")));
    victim.kill().unwrap();
    let killed = Instant::now();
    victim.wait().unwrap();
    assert!(std::path::Path::new(folder).join("vhost").exists(), "a socket was left");

    let (_rim, mut workers) = rim::Rim::start(&config(folder)).unwrap();
    let taken = killed.elapsed();
    assert!(taken < Duration::from_secs(2), "{taken:?}");
    rim::registered(|| {
        // net_ring's own loop is enough: that the ports started is the point.
        rim::assert_passes(&mut workers, 3, 3);
    });
}

fn config(folder: &str) -> rim::RimConfig {
    let vhost = format!("net_vhost0,iface={folder}/vhost");
    let devices = ["net_tap0,iface=made", "net_tap1,iface=kept", &vhost, "net_ring0"];
    let mut config = rim::config(&devices, 1);
    "adit-test-restart".clone_into(&mut config.file_prefix);
    config
}
