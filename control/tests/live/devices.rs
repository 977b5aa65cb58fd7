//! Every kind of software port that DPDK has: each starts, and packets pass it.

use std::path::Path;
use std::time::Duration;

use crate::appliance::{Appliance, SLEEPING};
use crate::capture::{self, Capture};
use crate::network::{Namespace, until};
use crate::sites::{HOST1, HOST2, IPIP, Network, address_host};
use crate::traffic::{iperf, ping};
use crate::turn;

const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x05];
const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x01];

/// Replaces the device of the port `name` in one of the sites' configurations.
fn with_device(site: &str, name: &str, device: &str) -> String {
    let number = u32::from(name == "wan");
    site.replace(&format!("net_tap{number},iface={name}"), device)
}

/// Without this the kernel hands over frames whose checksums it has not finished, and several segments as one.
fn finish_frames(namespace: &Namespace, interface: &str) {
    namespace.run(&format!("ethtool -K {interface} tx off tso off gso off gro off"));
}

#[test]
fn af_packet_ports_on_veth_carry_both_sides_of_a_site() {
    let _turn = turn::shared();
    let network = Network::lay();
    let site_a = Namespace::new("a-veth");
    let host = Namespace::new("host-veth");
    site_a.cable("eth0", &host, "eth0");
    site_a.cable("eth1", &network.internet, "to-veth");
    for (namespace, interface) in
        [(&site_a, "eth0"), (&site_a, "eth1"), (&host, "eth0"), (&network.internet, "to-veth")]
    {
        finish_frames(namespace, interface);
    }
    // Site A's network moves onto the veths.
    network.internet.ip("link set to-a down");
    network.internet.address("to-veth", "198.51.100.254/24");
    address_host(&host, "172.16.10", "fd00:1:");
    let body = with_device(&IPIP.site_a(), "lan", "net_af_packet0,iface=eth0");
    let _a = Appliance::start(&site_a, &with_device(&body, "wan", "net_af_packet1,iface=eth1"));
    let _b = Appliance::start(&network.box_b, &IPIP.site_b());
    ping(&host, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    ping(&network.host2, &format!("-c 20 -i 0.01 -w 10 {HOST1}")).all_answered();
    for options in ["-t 1", "-t 1 -R"] {
        let run = iperf(&host, &network.host2, HOST2, options);
        assert!(run.megabits_per_second > 10.0, "{options}: {} Mbit/s", run.megabits_per_second);
    }
}

#[test]
fn memif_joins_two_appliances_back_to_back() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("memif.sock");
    joined(&network, |role| {
        format!("net_memif0,role={role},id=0,socket={},socket-abstract=no", socket.display())
    });
}

#[test]
fn vhost_and_virtio_user_join_two_appliances_back_to_back() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("vhost.sock");
    joined(&network, |role| match role {
        "server" => format!("net_vhost0,iface={},queues=1", socket.display()),
        _ => format!("net_virtio_user0,path={},queues=1", socket.display()),
    });
}

/// Two sites whose WAN ports are the two ends of one device, and traffic between their hosts.
fn joined(network: &Network, device: impl Fn(&str) -> String) {
    let on_link = |site: String, name: &str, address: &str, peer: &str| {
        let site = site.replace(&format!("[{name}/24,"), &format!("[{address}/24,"));
        let site = site.replace(&format!("\"{name}\""), &format!("\"{address}\""));
        let gateway = if address.ends_with(".1") { "198.51.100.254" } else { "203.0.113.254" };
        site.replace(&format!("via: {gateway}"), &format!("via: {peer}"))
    };
    // Both ends stand in one subnet, 198.18.0.0/24, and each is the other's gateway.
    let site_a = on_link(IPIP.site_a(), "198.51.100.1", "198.18.0.1", "198.18.0.2")
        .replace("203.0.113.2", "198.18.0.2");
    let site_b = on_link(IPIP.site_b(), "203.0.113.2", "198.18.0.2", "198.18.0.1")
        .replace("198.51.100.1", "198.18.0.1");
    let a = Appliance::start(&network.box_a, &with_device(&site_a, "wan", &device("server")));
    let b = Appliance::start(&network.box_b, &with_device(&site_b, "wan", &device("client")));
    ping(&network.host1, &format!("-c 3 -i 0.2 -w 10 {HOST2}")).received_one();
    ping(&network.host1, &format!("-c 20 -i 0.01 -w 10 {HOST2}")).all_answered();
    ping(&network.host2, &format!("-c 20 -i 0.01 -w 10 {HOST1}")).all_answered();
    let run = iperf(&network.host1, &network.host2, HOST2, "-t 1");
    assert!(run.megabits_per_second > 10.0, "{} Mbit/s", run.megabits_per_second);
    for appliance in [&a, &b] {
        assert!(appliance.counter("/ports/wan/rx_packets") > 40, "{}", appliance.show("counters"));
    }
}

#[test]
fn a_pcap_port_reads_one_capture_and_writes_another() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcap"));
    let requests: Vec<_> = (1..=50).map(echo_request).collect();
    capture::write(&input, &requests);
    let device = format!("net_pcap0,rx_pcap={},tx_pcap={}", input.display(), output.display());
    let b = Appliance::start(&network.box_b, &IPIP.site_b());
    // The capture is read in one go, more than waits for a neighbor: everybody is known before.
    ping(&network.host2, "-c 1 -w 10 152.16.10.1").received_one();
    let router = network.internet.link_address("to-b");
    until(RESOLVE_LIMIT, "gateway", || b.show("neighbors").contains(&router).then_some(()));
    let gateway = network.internet.link_address("to-a");
    let neighbor = "macaddress: \"02:00:00:00:00:01\", neighbors: { 172.16.10.2: \"02:00:00:00:00:05\" }, addresses: [172.16";
    let site_a =
        with_device(&IPIP.site_a(), "lan", &device).replacen("addresses: [172.16", neighbor, 1);
    let known = format!("neighbors: {{ 198.51.100.254: \"{gateway}\" }}, addresses: [198");
    let mut a = Appliance::start(&network.box_a, &site_a.replacen("addresses: [198", &known, 1));
    // host2 answers what the capture asks; the answers come back through the tunnel into the other capture.
    until(Duration::from_secs(10), "50 answers", || {
        (a.counter("/ports/lan/tx_packets") >= 50).then_some(())
    });
    assert_eq!(b.counter("/tunnels/far/rx_packets"), 50);
    a.signal("TERM");
    a.wait();
    let text = network.host1.run(&format!("tcpdump -n -r {} icmp", output.display()));
    let replies: Vec<_> = text
        .lines()
        .filter(|line| line.contains("152.16.10.2 > 172.16.10.2: ICMP echo reply"))
        .collect();
    assert_eq!(replies.len(), 50, "{text}");
}

/// An echo request of host1 to host2, as it arrives on the LAN port.
fn echo_request(sequence: u16) -> Vec<u8> {
    let packet = etherparse::PacketBuilder::ethernet2(HOST_MAC, PORT_MAC)
        .ipv4([172, 16, 10, 2], [152, 16, 10, 2], 64)
        .icmpv4_echo_request(7, sequence);
    let mut frame = Vec::new();
    packet.write(&mut frame, &[0x5a; 56]).expect("a vector takes any length");
    frame
}

#[test]
fn a_ring_port_returns_what_it_sends_until_the_ttl_ends() {
    let _turn = turn::shared();
    let network = Network::lay();
    // 10.99.0.2 is behind the ring, and its link address is the port's own: each packet comes back, one hop older.
    let site_a = IPIP.site_a().replacen(
        "ports:\n",
        "ports:
  ring: { device: net_ring0, macaddress: \"02:00:00:00:00:99\", addresses: [10.99.0.1/24],
          neighbors: { 10.99.0.2: \"02:00:00:00:00:99\" } }
",
        1,
    );
    let a = Appliance::start(&network.box_a, &site_a);
    let before = |path: &str| a.counter(&format!("/ports/ring/{path}"));
    let (sent, received) = (before("tx_packets"), before("rx_packets"));
    let pings = ping(&network.host1, "-c 5 -i 0.05 -t 20 -W 2 10.99.0.2");
    pings.refused_with("Time to live exceeded");
    // A few announcements of the port's own address may still go round.
    for (path, before) in [("tx_packets", sent), ("rx_packets", received)] {
        let packets = a.counter(&format!("/ports/ring/{path}")) - before;
        assert!((95..=99).contains(&packets), "{path}: {packets}");
    }
    assert_eq!(a.counter("/dataplane/ip4.ttl_expired"), 5);
}

#[test]
fn a_null_port_takes_everything_and_its_noise_disturbs_nobody() {
    let _turn = turn::shared();
    let network = Network::lay();
    // `sink` only takes. `noise` hands over empty frames as fast as they are fetched: they are addressed to nobody.
    let site_a = IPIP.site_a().replacen(
        "ports:\n",
        "ports:
  sink: { device: \"net_null0,no-rx=1\", addresses: [10.98.0.1/24], neighbors: { 10.98.0.2: \"02:00:00:00:00:98\" } }
  noise: { device: net_null1, addresses: [10.97.0.1/24] }
",
        1,
    );
    let a = Appliance::start(&network.box_a, &site_a);
    ping(&network.host1, "-c 1 -w 10 172.16.10.1").received_one();
    let before = a.counter("/ports/sink/tx_packets");
    ping(&network.host1, "-c 10 -i 0.01 -W 1 10.98.0.2").refused_with("0 received");
    let sent = a.counter("/ports/sink/tx_packets") - before;
    // A few announcements of the port's own address may be among them.
    assert!((10..=14).contains(&sent), "{sent} packets sent");
    ping(&network.host1, "-c 20 -i 0.01 -w 10 172.16.10.1").all_answered();
    let received = a.counter("/ports/noise/rx_packets");
    assert!(received > 1000, "only {received} frames of noise");
}

#[test]
fn a_tap_that_was_moved_into_another_namespace_still_carries() {
    let _turn = turn::shared();
    let (host, site) = (Namespace::new("host"), Namespace::new("box"));
    let body = "ports:\n  lan: { device: \"net_tap0,iface=moved\", addresses: [10.1.0.1/24] }\n";
    let _appliance = Appliance::start_with(&site, SLEEPING, body);
    site.ip(&format!("link set moved netns {}", host.name()));
    host.address("moved", "10.1.0.2/24");
    ping(&host, "-c 10 -i 0.02 -w 10 10.1.0.1").all_answered();
}

#[test]
fn a_port_takes_the_mtu_of_its_configuration_and_shows_link_and_speed() {
    let _turn = turn::shared();
    let (host, site) = (Namespace::new("host"), Namespace::new("box"));
    site.port("lan", &host, "eth0");
    let body =
        "ports:\n  lan: { device: \"net_tap0,iface=lan\", mtu: 1400, addresses: [10.1.0.1/24] }\n";
    let appliance = Appliance::start(&site, body);
    assert!(site.ip("link show lan").contains("mtu 1400"), "{}", site.ip("link show lan"));
    let table = appliance.show("ports");
    assert!(table.contains("1400") && table.contains("up"), "{table}");
    host.address("eth0", "10.1.0.2/24");
    // The host may send more than the port takes: it is told by nobody on a link, so it stays within.
    let mut capture = Capture::start(&site, Path::new(appliance.folder()), "lan", "icmp");
    ping(&host, "-c 2 -i 0.01 -w 10 -s 1372 10.1.0.1").all_answered();
    assert!(capture.at_least(4).iter().all(|line| line.contains("length 1400)")));
}
