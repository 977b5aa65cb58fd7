//! Flows are packets that `etherparse` builds, so that offsets are not the code's own.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::node::fragment::Plan4;

const KEY: FlowKey = FlowKey::new(0x0123_4567_89ab_cdef);

fn udp4(source: u32, destination: u32, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv4(source.to_be_bytes(), destination.to_be_bytes(), 64)
        .udp(ports.0, ports.1)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

fn udp6(source: u128, destination: u128, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv6(source.to_be_bytes(), destination.to_be_bytes(), 64)
        .udp(ports.0, ports.1)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

const NET6: u128 = 0x2001_0db8_0001_0000_0000_0000_0000_0000;

/// Puts extension headers behind the fixed header of an IPv6 packet.
fn with_extensions(plain: &[u8], first: u8, extensions: &[u8]) -> Vec<u8> {
    let mut packet = [&plain[..40], extensions, &plain[40..]].concat();
    let len = u16::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet[6] = first;
    packet
}

/// The flows that dull networks have: neighbouring hosts, neighbouring ports.
fn dull_flows() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let net = 0x0a01_0000;
    let far = 0x0a02_0001;
    vec![
        ("hosts", (0..16_384).map(|n| udp4(net + n, far, (5000, 5001), &[])).collect()),
        ("far hosts", (0..16_384).map(|n| udp4(net, far + n, (5000, 5001), &[])).collect()),
        ("pairs", (0..16_384).map(|n| udp4(net + n / 128, far + n % 128, (9, 9), &[])).collect()),
        ("ports", (0..16_384).map(|n| udp4(net, far, (40_000 + n, 443), &[])).collect()),
        ("both ports", (0..16_384).map(|n| udp4(net, far, (n, n), &[])).collect()),
        (
            "hosts and ports",
            (0..16_384_u16).map(|n| udp4(net + u32::from(n), far, (n, 53), &[])).collect(),
        ),
        ("IPv6 hosts", (0..16_384).map(|n| udp6(NET6 + n, NET6, (1, 2), &[])).collect()),
        ("IPv6 nets", (0..16_384).map(|n| udp6(NET6, NET6 + (n << 64), (1, 2), &[])).collect()),
        ("IPv6 ports", (0..16_384).map(|n| udp6(NET6, NET6 + 1, (n, 443), &[])).collect()),
    ]
}

/// Pearson's statistic of the classes, brought to a standard normal distribution by the cube root of
/// Wilson and Hilferty: even hashes pass 4.5 once in 300 000 times.
fn unevenness(buckets: u32, classes: impl Iterator<Item = u32>) -> f64 {
    let mut counts = vec![0_u32; usize::try_from(buckets).unwrap()];
    classes.for_each(|class| counts[usize::try_from(class).unwrap()] += 1);
    let total: u32 = counts.iter().sum();
    let expected = f64::from(total) / f64::from(buckets);
    let squares = counts.iter().map(|&n| (f64::from(n) - expected).powi(2)).sum::<f64>();
    let freedom = f64::from(buckets - 1);
    let width = 2.0 / (9.0 * freedom);
    ((squares / expected / freedom).cbrt() - (1.0 - width)) / width.sqrt()
}

#[test]
fn neighbouring_flows_spread_evenly_over_any_number_of_buckets() {
    for seed in [0, 1, u64::MAX, 0xdead_beef] {
        let key = FlowKey::new(seed);
        for (name, flows) in dull_flows() {
            let hashes: Vec<u64> = flows.iter().map(|packet| key.hash(packet)).collect();
            for buckets in [2_u32, 3, 7, 64, 256, 1000] {
                let of_low = |hash: &u64| u32::try_from(hash % u64::from(buckets)).unwrap();
                let of_high = |hash: &u64| {
                    u32::try_from((u128::from(*hash) * u128::from(buckets)) >> 64).unwrap()
                };
                let low = hashes.iter().map(of_low);
                let high = hashes.iter().map(of_high);
                let label = hashes.iter().map(|&hash| flow_label(hash) % buckets);
                for (part, value) in [
                    ("low", unevenness(buckets, low)),
                    ("high", unevenness(buckets, high)),
                    ("label", unevenness(buckets, label)),
                ] {
                    assert!(value < 4.5, "{name}, {part} bits, {buckets} buckets: {value}");
                }
            }
        }
    }
}

#[test]
fn no_two_of_many_flows_have_the_same_hash() {
    for (name, flows) in dull_flows() {
        let mut hashes: Vec<u64> = flows.iter().map(|packet| KEY.hash(packet)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), flows.len(), "{name}");
    }
}

#[test]
fn one_changed_bit_changes_about_half_of_the_hash() {
    // Addresses and ports, bit by bit, over many flows.
    let ipv4: Vec<_> = (0..400).map(|n| udp4(n * 7919, n * 104_729, (9, 5), &[])).collect();
    let ipv6: Vec<_> = (0..400).map(|n| udp6(n << 77 | n, n * 104_729, (9, 5), &[])).collect();
    for (flows, bits) in [(ipv4, 12 * 8..24 * 8), (ipv6, 8 * 8..44 * 8)] {
        for bit in bits {
            let changed: u32 = flows
                .iter()
                .map(|packet| {
                    let mut other = packet.clone();
                    other[bit / 8] ^= 1 << (bit % 8);
                    (KEY.hash(packet) ^ KEY.hash(&other)).count_ones()
                })
                .sum();
            let mean = f64::from(changed) / 400.0;
            assert!((30.0..34.0).contains(&mean), "bit {bit} of {} bytes: {mean}", flows[0].len());
        }
    }
}

#[test]
fn another_secret_gives_other_hashes_and_the_same_the_same() {
    let packet = udp4(1, 2, (3, 4), &[]);
    assert_eq!(FlowKey::new(7).hash(&packet), FlowKey::new(7).hash(&packet));
    assert_ne!(FlowKey::new(7).hash(&packet), FlowKey::new(8).hash(&packet));
}

#[test]
fn nothing_but_addresses_protocol_and_ports_counts() {
    let plain = udp4(0x0a01_0009, 0x0a02_0009, (4000, 5000), b"one");
    let hash = KEY.hash(&plain);
    for (name, at) in
        [("TOS", 1), ("identification", 5), ("TTL", 8), ("checksum", 10), ("data", 29)]
    {
        let mut other = plain.clone();
        other[at] ^= 0xff;
        assert_eq!(KEY.hash(&other), hash, "{name}");
    }
    for (name, at) in [("source", 15), ("destination", 19), ("port", 21), ("port", 23)] {
        let mut other = plain.clone();
        other[at] ^= 1;
        assert_ne!(KEY.hash(&other), hash, "{name}");
    }
    let mut tcp = plain.clone();
    tcp[9] = 6;
    assert_ne!(KEY.hash(&tcp), hash, "protocol");
    let mut dont_fragment = plain;
    dont_fragment[6] ^= 0x40;
    assert_eq!(KEY.hash(&dont_fragment), hash, "DF");
    let plain = udp6(NET6 + 9, NET6 + 10, (4000, 5000), b"one");
    let hash = KEY.hash(&plain);
    for (name, at) in [("class", 0), ("label", 3), ("hop limit", 7), ("data", 49)] {
        let mut other = plain.clone();
        other[at] ^= 0x0f;
        assert_eq!(KEY.hash(&other), hash, "{name}");
    }
}

#[test]
fn protocols_without_ports_are_told_apart_by_addresses_alone() {
    let mut packet = udp4(1, 2, (3, 4), &[]);
    packet[9] = 1;
    let hash = KEY.hash(&packet);
    packet[21] ^= 1;
    assert_eq!(KEY.hash(&packet), hash);
}

#[test]
fn all_fragments_of_a_packet_have_one_hash_whatever_their_ports() {
    let mut packet = udp4(1, 2, (3, 4), &[7; 2000]);
    packet[6] = 0;
    let plan = Plan4::new(&packet, 600).unwrap();
    let mut hashes = Vec::new();
    for piece in plan.pieces() {
        let mut room = [0; 600];
        let len = plan.write_piece(&packet, piece, &mut room).unwrap();
        hashes.push(KEY.hash(&room[..len]));
    }
    assert_eq!(hashes.len(), 4);
    hashes.dedup();
    assert_eq!(hashes.len(), 1);
    assert_ne!(hashes[0], KEY.hash(&packet));
    let whole = udp6(NET6, NET6 + 1, (3, 4), &[7; 64]);
    let first = with_extensions(&whole, 44, &[17, 0, 0, 1, 0, 0, 0, 9]);
    let later = with_extensions(&whole, 44, &[17, 0, 0, 9, 0, 0, 0, 9]);
    assert_eq!(KEY.hash(&first), KEY.hash(&later));
    assert_ne!(KEY.hash(&first), KEY.hash(&whole));
}

#[test]
fn ports_are_found_behind_extension_headers() {
    let plain = udp6(NET6, NET6 + 1, (3, 4), &[]);
    let extensions = [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
    assert_eq!(KEY.hash(&with_extensions(&plain, 0, &extensions)), KEY.hash(&plain));
}

#[test]
fn ports_are_found_behind_ipv4_options() {
    let plain = udp4(1, 2, (3, 4), &[]);
    let mut with_option = [&plain[..20], &[1, 1, 1, 0], &plain[20..]].concat();
    with_option[0] = 0x46;
    assert_eq!(KEY.hash(&with_option), KEY.hash(&plain));
}

/// Labels as they stand in front of what they are for: label, class and TTL of each (RFC 3032 §2.1).
fn labelled(labels: &[(u32, u32, u32)], inside: &[u8]) -> Vec<u8> {
    let last = labels.len() - 1;
    let entry = |(at, (label, class, ttl)): (usize, &(u32, u32, u32))| {
        (label << 12 | class << 9 | u32::from(at == last) << 8 | ttl).to_be_bytes()
    };
    let stack: Vec<u8> = labels.iter().enumerate().flat_map(entry).collect();
    [&stack, inside].concat()
}

#[test]
fn a_packet_behind_labels_has_the_hash_that_it_has_without() {
    for inner in [udp4(1, 2, (3, 4), &[7; 8]), udp6(NET6, NET6 + 1, (3, 4), &[7; 8])] {
        let hash = KEY.hash(&inner);
        assert_eq!(KEY.hash_labelled(&labelled(&[(100, 0, 64)], &inner)), hash);
        assert_eq!(KEY.hash_labelled(&labelled(&[(16, 5, 1), (100, 0, 64)], &inner)), hash);
    }
}

#[test]
fn others_behind_labels_are_told_apart_by_the_bottom_label_alone() {
    // A control word begins with 0 (RFC 4385 §2), so that nobody takes it for IP.
    let word = [0, 0, 0, 9, 0x45, 0, 0, 20];
    let hash = KEY.hash_labelled(&labelled(&[(16, 5, 9), (100, 0, 64)], &word));
    for same in [
        labelled(&[(17, 0, 1), (100, 7, 3)], &word),
        labelled(&[(100, 0, 64)], &[0, 0, 0, 10]),
        labelled(&[(100, 0, 64)], &[]),
    ] {
        assert_eq!(KEY.hash_labelled(&same), hash, "{same:?}");
    }
    let bottoms = (16..4096).map(|label| labelled(&[(16, 0, 64), (label, 0, 64)], &word));
    let mut hashes: Vec<u64> = bottoms.map(|packet| KEY.hash_labelled(&packet)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 4080);
}

#[test]
fn a_plain_header_has_the_hash_that_the_full_parser_finds() {
    let whole = udp4(0x0a01_0203, 0xc633_6401, (3, 4), &[7; 8]);
    let changed = |at: usize, value: u8| {
        let mut packet = whole.clone();
        packet[at] = value;
        packet
    };
    let with_protocol = |protocol| changed(9, protocol);
    for packet in [
        whole.clone(),
        with_protocol(1),
        with_protocol(6),
        with_protocol(132),
        changed(6, 0x20),
        changed(7, 1),
        changed(6, 0x40),
        whole[..22].to_vec(),
    ] {
        assert_eq!(KEY.hash_plain_ipv4(&packet), KEY.hash(&packet), "{packet:?}");
    }
}

#[test]
fn a_flow_label_is_never_zero_and_covers_its_range() {
    assert_eq!(flow_label(0), 1);
    assert_eq!(flow_label(0xf_fffe), 0xf_ffff);
    assert_eq!(flow_label(0xf_ffff), 1);
}

proptest! {
    #[test]
    fn any_bytes_have_a_hash_and_a_label(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!((1..=0xf_ffff).contains(&flow_label(KEY.hash(&bytes))));
    }
}
