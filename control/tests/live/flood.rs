//! Whatever arrives: nothing crashes, nothing is lost without being counted, no buffer stays behind.

use std::time::Duration;

use crate::appliance::Appliance;
use crate::capture;
use crate::network::until;
use crate::sites::{HOST1, HOST2, IPIP, Network};
use crate::traffic::{iperf, ping};
use crate::turn;

const PORT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x01];
const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// Numbers that look random and are the same in every run (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("it is below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}

/// Frames of 64 to 1518 bytes (with the checksum that captures leave out): noise behind an Ethernet header,
/// and tunnel packets with some of their bytes overwritten.
fn hostile_frames(count: usize) -> Vec<Vec<u8>> {
    let mut noise = Noise(0x5eed_ad17);
    (0..count)
        .map(|number| {
            let mut frame =
                if number % 2 == 0 { random_frame(&mut noise) } else { tunnel_packet(&mut noise) };
            for _ in 0..noise.below(4) {
                let at = 14 + noise.below(frame.len() - 14);
                frame[at] = noise.byte();
            }
            frame
        })
        .collect()
}

fn random_frame(noise: &mut Noise) -> Vec<u8> {
    let len = 60 + noise.below(1514 - 60 + 1);
    let mut frame: Vec<u8> = (0..len).map(|_| noise.byte()).collect();
    frame[..6].copy_from_slice(&PORT_MAC);
    let ethertype: [u8; 2] = [[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0]][noise.below(4)];
    frame[12..14].copy_from_slice(&ethertype);
    // A version and length that let some of them pass the first tests.
    frame[14] = [0x45, 0x46, 0x60, 0x4f][noise.below(4)];
    frame
}

/// What site B would send: an echo request in IPv4 in IPv4, of any size.
fn tunnel_packet(noise: &mut Noise) -> Vec<u8> {
    let payload = vec![noise.byte(); noise.below(1514 - 14 - 20 - 28 + 1)];
    let inner = etherparse::PacketBuilder::ipv4([152, 16, 10, 2], [172, 16, 10, 2], 64)
        .icmpv4_echo_request(1, 1);
    let mut inner_bytes = Vec::new();
    inner.write(&mut inner_bytes, &payload).expect("a vector takes any length");
    let outer = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 0xfe], PORT_MAC).ipv4(
        [203, 0, 113, 2],
        [198, 51, 100, 1],
        64,
    );
    let mut frame = Vec::new();
    outer
        .write(&mut frame, etherparse::IpNumber::IPV4, &inner_bytes)
        .expect("a vector takes any length");
    frame.resize(frame.len().max(60), 0);
    frame
}

#[test]
fn a_hundred_thousand_hostile_frames_crash_nothing_and_every_buffer_comes_back() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcap"));
    let device = format!("net_pcap0,rx_pcap={},tx_pcap={}", input.display(), output.display());
    let site_a = IPIP.site_a().replace("net_tap1,iface=wan", &device).replacen(
        "addresses: [198.51",
        "macaddress: \"02:00:00:00:00:01\", neighbors: { 198.51.100.254: \"02:00:00:00:00:fe\" }, addresses: [198.51",
        1,
    );
    // What is free at rest: the same ports, and one harmless frame.
    capture::write(&input, &[vec![0xff; 60]]);
    let at_rest = Appliance::start(&network.box_a, &site_a);
    let free_at_rest = at_rest.free_buffers();
    drop(at_rest);
    capture::write(&input, &hostile_frames(100_000));
    let mut a = Appliance::start(&network.box_a, &site_a);
    until(Duration::from_mins(1), "end of the capture", || {
        assert!(a.is_running(), "it died:\n{}", a.log());
        (a.counter("/ports/wan/rx_packets") >= 100_000).then_some(())
    });
    assert!(
        a.counter("/tunnels/far/rx_packets") > 10_000,
        "untouched tunnel packets are decapsulated"
    );
    ping(&network.host1, "-c 10 -i 0.01 -w 10 172.16.10.1").all_answered();
    a.settle(free_at_rest);
}

#[test]
fn after_traffic_what_was_received_and_made_equals_what_was_sent_and_dropped() {
    let _turn = turn::shared();
    let network = Network::lay();
    let a = Appliance::start(&network.box_a, &IPIP.site_a());
    let b = Appliance::start(&network.box_b, &IPIP.site_b());
    let (a_free, b_free) = (a.free_buffers(), b.free_buffers());
    ping(&network.host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    ping(&network.host2, &format!("-M dont -s 1472 -c 50 -i 0.005 -w 10 {HOST1}")).all_answered();
    ping(&network.host1, &format!("-t 1 -c 5 -i 0.01 -W 1 {HOST2}")).refused_with("exceeded");
    iperf(&network.host1, &network.host2, HOST2, "-t 1 -R");
    for (appliance, free) in [(&a, a_free), (&b, b_free)] {
        appliance.settle(free);
    }
    // What one end put into the tunnel the other one took out of it.
    until(DRAIN_LIMIT, "equal counters at both ends", || {
        let both = |path: &str| {
            (a.counter(&format!("/tunnels/far/{path}")), b.counter(&format!("/tunnels/far/{path}")))
        };
        let ((a_in, b_in), (a_out, b_out)) = (both("rx_packets"), both("tx_packets"));
        // An inner packet that was cut is counted once going in, and in pieces coming out.
        (a_in >= b_out && b_in >= a_out && a_in > 0).then_some(())
    });
}
