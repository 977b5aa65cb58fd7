//! Start, stop, death and restart.

use std::time::{Duration, Instant};

use crate::appliance::{Appliance, SLEEPING};
use crate::network::Namespace;
use crate::sites::{HOST1, HOST2, IPIP, Network, Sites};
use crate::traffic::ping;
use crate::turn;

#[test]
fn after_kill_and_restart_it_forwards_again_within_two_seconds() {
    let _turn = turn::alone();
    // As whoever has to be back soon is configured: a second of it would be duplicate address detection.
    let site_a = IPIP.site_a().replace("device: \"net_tap", "dad: no, device: \"net_tap");
    let mut sites = Sites::up_with(&site_a, &IPIP.site_b());
    ping(&sites.network.host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    for _ in 0..3 {
        sites.a.signal("KILL");
        assert_eq!(sites.a.wait().code(), None);
        let started = Instant::now();
        sites.a.restart(&sites.network.box_a);
        // Pings every 10 ms until the first one comes back.
        ping(&sites.network.host2, &format!("-c 1 -i 0.01 -w 5 {HOST1}")).received_one();
        let elapsed = started.elapsed();
        assert!(elapsed < Duration::from_secs(2), "forwarding again after {elapsed:?}");
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_0_and_leave_no_socket() {
    let _turn = turn::shared();
    let network = Network::lay();
    for signal in ["TERM", "INT"] {
        let mut appliance = Appliance::start(&network.box_a, &IPIP.site_a());
        assert!(appliance.folder().join("api.sock").exists());
        appliance.signal(signal);
        let status = appliance.wait();
        assert_eq!(status.code(), Some(0), "SIG{signal}: {status}\n{}", appliance.log());
        assert!(!appliance.folder().join("api.sock").exists(), "SIG{signal} left the socket");
    }
}

#[test]
fn it_starts_again_after_a_clean_stop() {
    let _turn = turn::shared();
    let mut sites = Sites::up(IPIP);
    for _ in 0..3 {
        sites.a.signal("TERM");
        sites.a.wait();
        sites.a.restart(&sites.network.box_a);
        ping(&sites.network.host1, &format!("-c 1 -i 0.05 -w 5 {HOST2}")).received_one();
    }
}

#[test]
fn two_appliances_stand_in_one_namespace_and_answer_on_their_own_sockets() {
    let _turn = turn::shared();
    let (host1, one_box, host2) =
        (Namespace::new("host1"), Namespace::new("box"), Namespace::new("host2"));
    one_box.port("lan1", &host1, "eth0");
    one_box.port("lan2", &host2, "eth0");
    host1.address("eth0", "10.1.0.2/24");
    host2.address("eth0", "10.2.0.2/24");
    let body = |number| {
        format!(
            "ports:\n  lan: {{ device: \"net_tap0,iface=lan{number}\", addresses: [10.{number}.0.1/24] }}\n"
        )
    };
    let first = Appliance::start(&one_box, &body(1));
    let second = Appliance::start(&one_box, &body(2));
    ping(&host1, "-c 3 -i 0.01 -w 10 10.1.0.1").all_answered();
    ping(&host2, "-c 3 -i 0.01 -w 10 10.2.0.1").all_answered();
    assert!(first.show("ports").contains("lan1") && second.show("ports").contains("lan2"));
    drop(first);
    ping(&host2, "-c 3 -i 0.01 -w 10 10.2.0.1").all_answered();
}

#[test]
fn a_wrong_configuration_ends_the_start_with_2_and_names_every_mistake() {
    let _turn = turn::shared();
    let namespace = Namespace::new("box");
    let wrong = IPIP
        .site_a()
        .replace("172.16.10.1/24", "172.16.10.1/33")
        .replace("mode: ipip,", "mode: ipip, tll: 64,")
        .replace("via: 198.51.100.254", "via: 198.51.100.256");
    let refused = Appliance::try_start(&namespace, SLEEPING, &wrong).err().expect("three mistakes");
    assert_eq!(refused.code, Some(2), "{}", refused.log);
    for word in ["172.16.10.1/33", "tunnels.far.tll", "198.51.100.256"] {
        assert!(refused.log.contains(word), "no {word}:\n{}", refused.log);
    }
}

#[test]
fn a_port_that_cannot_start_ends_it_with_1_and_says_which_and_why() {
    let _turn = turn::shared();
    let namespace = Namespace::new("box");
    for device in
        ["0000:7f:1f.7", "net_af_packet0,iface=nowhere", "net_pcap0,rx_pcap=/nonexistent.pcap"]
    {
        let body =
            format!("ports:\n  broken: {{ device: \"{device}\", addresses: [10.1.0.1/24] }}\n");
        let refused = Appliance::try_start(&namespace, SLEEPING, &body)
            .err()
            .expect("there is no such device");
        assert_eq!(refused.code, Some(1), "{device}: {}", refused.log);
        assert!(
            refused.log.contains("broken") && refused.log.contains(device),
            "{device}: {}",
            refused.log
        );
    }
}

#[test]
fn a_tap_that_cannot_be_attached_is_named() {
    let _turn = turn::shared();
    let namespace = Namespace::new("box");
    let body = "ports:\n  lan: { device: \"net_tap0,iface=lan\", addresses: [10.1.0.1/24] }\n";
    namespace.ip("tuntap add dev lan mode tap");
    // Made with one queue only: the driver wants to attach several.
    let refused =
        Appliance::try_start(&namespace, SLEEPING, body).err().expect("the TAP can't be attached");
    assert_eq!(refused.code, Some(1), "{}", refused.log);
    assert!(refused.log.contains("lan"), "{}", refused.log);
}
