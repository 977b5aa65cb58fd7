//! Ports on the kernel's interfaces, in a network namespace of their own: `net_tap` and
//! `net_af_packet`, joined by a bridge.
#![cfg(feature = "dpdk")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod rim;

use std::process::Command;

use adit_dataplane::dpdk::Port;

#[test]
fn frames_cross_the_kernel_between_a_tap_and_a_packet_socket() {
    if !rim::in_own_namespace("frames_cross_the_kernel_between_a_tap_and_a_packet_socket") {
        return;
    }
    rim::ip("link add near type veth peer name far");
    rim::ip("link add bridge type bridge");
    for interface in ["near", "far", "bridge"] {
        rim::ip(&format!("link set {interface} up"));
    }
    rim::ip("link set far master bridge");
    rim::ip("tuntap add dev kept mode tap multi_queue");
    let devices = ["net_af_packet0,iface=near", "net_tap0,iface=made", "net_tap0,iface=kept"];
    let (rim, mut workers) = rim::start(&devices, 2);
    rim::ip("link set made master bridge");
    rim::ip("link set kept master bridge up");

    let [socket, made, kept] = rim.ports() else { panic!("three ports") };
    assert_eq!(kept.device().name(), "net_tap1", "the second net_tap0 gets another number");
    assert_eq!((socket.queue_counts(), made.queue_counts()), ((1, 1), (2, 2)));
    assert!(socket.notices().is_empty(), "{:?}", socket.notices());
    for tap in [made, kept] {
        let kernel = std::fs::read_to_string(format!(
            "/sys/class/net/{}/address",
            tap.device().argument("iface").unwrap_or_default()
        ));
        let ours = tap.mac().to_string();
        assert!(kernel.is_err() || kernel.is_ok_and(|mac| mac.trim() != ours), "{ours}");
        assert!(tap.notices().is_empty(), "{:?}", tap.notices());
    }
    let idle = rim.pool().in_use_count();
    rim::registered(|| {
        rim::wait_for_links(&rim);
        rim::assert_passes(&mut workers, 0, 1);
        rim::assert_passes(&mut workers, 1, 0);
        rim::assert_passes(&mut workers, 0, 2);
        rim::assert_passes(&mut workers, 2, 0);
    });
    rim::drain(&mut workers);
    assert_eq!(rim.pool().in_use_count(), idle, "at rest every buffer is back");
    a_tap_in_another_namespace_counts_as_up(made);
    drop(workers);
    drop(rim);
    assert!(!interfaces().contains("made"), "a TAP that DPDK made goes with it");
    assert!(interfaces().contains("kept"), "one made beforehand stays");
}

fn a_tap_in_another_namespace_counts_as_up(tap: &Port) {
    rim::ip("link set made down");
    assert!(!tap.link().up, "down is down");
    let mut elsewhere = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    rim::ip(&format!("link set made netns {}", elsewhere.id()));
    assert!(tap.link().up, "what can't be asked is taken to be up");
    elsewhere.kill().unwrap();
    elsewhere.wait().unwrap();
}

fn interfaces() -> String {
    std::fs::read_to_string("/proc/net/dev").unwrap_or_default()
}
