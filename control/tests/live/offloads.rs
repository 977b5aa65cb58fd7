//! What devices do in place of the packet path: the same packets come through, and a word of the device
//! lets nothing wrong in.

use std::time::Duration;

use serde_json::Value;

use crate::appliance::Appliance;
use crate::capture::Capture;
use crate::network::until;
use crate::sites::{HOST1, HOST2, IPIP, Network};
use crate::traffic::{iperf, ping};
use crate::turn;

const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x05];
const COUNT_LIMIT: Duration = Duration::from_secs(10);

/// The DPDK driver of a TAP checks checksums when it is asked to.
#[test]
fn a_device_that_checks_checksums_keeps_wrong_ones_out_and_right_ones_in() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checking = IPIP.site_a().replace("device:", "offloads: on, device:");
    let a = Appliance::start(&network.box_a, &checking);
    let b = Appliance::start(&network.box_b, &IPIP.site_b());
    assert_eq!(offload(&a, "lan", "rx-checksum"), (true, true));
    assert_eq!(offload(&b, "lan", "rx-checksum"), (true, false), "hardware alone by default");
    assert_eq!(offload(&a, "lan", "tx-checksum"), (true, false));
    let text = a.show("ports");
    assert!(text.contains("WHY") && text.contains("the kernel chooses the queues"), "{text}");

    let mut wire = Capture::start(&network.internet, folder.path(), "to-a", "ip proto 4");
    ping(&network.host1, &format!("-c 20 -i 0.01 -w 10 {HOST2}")).all_answered();
    // 4000 bytes without DF: three pieces in three tunnel packets.
    ping(&network.host1, &format!("-M dont -s 4000 -c 5 -i 0.01 -w 10 {HOST2}")).all_answered();
    let run = iperf(&network.host1, &network.host2, HOST2, "-t 1");
    assert!(run.megabits_per_second > 10.0, "{} Mbit/s", run.megabits_per_second);
    let lines = wire.at_least(70);
    let wrong: Vec<_> = lines.iter().filter(|line| line.contains("bad cksum")).collect();
    assert!(wrong.is_empty(), "tcpdump has looked at outer and inner headers: {wrong:?}");
    assert!(lines.iter().any(|line| line.contains("flags [+]")), "pieces were among them");

    let mac = a.json("ports")["ports"][0]["mac"].as_str().expect("a MAC address").to_owned();
    let before = a.counter("/dataplane/ip4.bad_header");
    let into_tunnel = a.counter("/tunnels/far/tx_packets");
    let frame = datagram(&mac);
    let mut wrong = frame.clone();
    wrong[14 + 10] ^= 1;
    // Straight onto the TAP: a bridge that filters would drop what is wrong itself.
    for frame in [&frame, &wrong, &wrong, &wrong] {
        network.box_a.shell(&format!(
            "python3 -c 'import socket; s = socket.socket(17, 3); s.bind((\"lan\", 0)); s.send(bytes({frame:?}))'"
        ));
    }
    until(COUNT_LIMIT, "three packets with wrong checksums", || {
        (a.counter("/dataplane/ip4.bad_header") == before + 3).then_some(())
    });
    assert_eq!(a.counter("/tunnels/far/tx_packets"), into_tunnel + 1, "the right one passed");
    assert_eq!(a.json("ports")["ports"][0]["rx_bad_checksum"], 3);
    ping(&network.host2, &format!("-c 5 -i 0.01 -w 10 {HOST1}")).all_answered();
}

/// Whether a device offers something and does it.
fn offload(appliance: &Appliance, port: &str, name: &str) -> (bool, bool) {
    let ports = appliance.json("ports");
    let find = |list: &Value, name: &str| -> Value {
        let found = list.as_array().into_iter().flatten().find(|entry| entry["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {ports:#}")).clone()
    };
    let entry = find(&find(&ports["ports"], port)["offloads"], name);
    (entry["offered"] == true, entry["used"] == true)
}

/// A UDP datagram from host1 to host2 as it arrives on the LAN port of `mac`.
fn datagram(mac: &str) -> Vec<u8> {
    let bytes: Vec<u8> =
        mac.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
    let to: [u8; 6] = bytes.try_into().expect("six bytes");
    let packet = etherparse::PacketBuilder::ethernet2(HOST_MAC, to)
        .ipv4([172, 16, 10, 2], [152, 16, 10, 2], 64)
        .udp(40_000, 9);
    let mut frame = Vec::new();
    packet.write(&mut frame, &[0x5a; 32]).expect("a vector takes any length");
    frame
}
