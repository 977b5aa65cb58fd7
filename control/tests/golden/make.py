#!/usr/bin/python3
"""Makes the golden replays beside it: captures in, captures out and counters, all by scapy.

Each folder is one story: `adit.yaml`, `in-PORT.pcap` for what arrives, `out-PORT.pcap` for what has to
leave, and `counters.json` with every counter that has to move. Nothing here comes from adit: the expected
frames are written down packet by packet. Run again, it makes the same files.
"""

import json
import pathlib
import struct
from socket import inet_aton

from scapy.all import (ARP, ICMP, IP, TCP, UDP, Ether, HBHOptUnknown, ICMPv6EchoReply,
                       ICMPv6EchoRequest, IPOption, IPv6, IPv6ExtHdrDestOpt, PadN, PcapWriter, Raw, checksum)

HERE = pathlib.Path(__file__).parent
START = 1_700_000_000
WAN, LAN, ROUTER, HOST = (f"02:00:00:00:00:{last}" for last in ("01", "02", "fe", "05"))
EVERYBODY = "ff:ff:ff:ff:ff:ff"
DATA = bytes(range(56))


def from_host(packet):
    return Ether(src=HOST, dst=LAN) / packet


def to_host(packet):
    return Ether(src=LAN, dst=HOST) / packet


def from_router(packet):
    return Ether(src=ROUTER, dst=WAN) / packet


def to_router(packet):
    return Ether(src=WAN, dst=ROUTER) / packet


def write(path, frames):
    """Frames as (milliseconds, frame), in nanosecond pcap."""
    with PcapWriter(str(path), linktype=1, nano=True, endianness="<") as writer:
        writer.write_header(None)
        for at, frame in frames:
            writer.write_packet(bytes(frame), sec=START + at // 1000, usec=at % 1000 * 1_000_000)


def story(name, config, arriving, leaving, tunnels, dataplane):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "adit.yaml").write_text(config.lstrip())
    ports = {}
    for port in ("wan", "lan"):
        write(folder / f"in-{port}.pcap", arriving[port])
        write(folder / f"out-{port}.pcap", leaving[port])
        ports[port] = {
            "rx_packets": len(arriving[port]),
            "rx_bytes": sum(len(bytes(frame)) for _, frame in arriving[port]),
            "tx_packets": len(leaving[port]),
            "tx_bytes": sum(len(bytes(frame)) for _, frame in leaving[port]),
        }
    text = json.dumps({"ports": ports, "tunnels": tunnels, "dataplane": dataplane}, indent=2)
    (folder / "counters.json").write_text(text + "\n")


def classic():
    """The picture of the demo: ping and TCP between 172.16.10.2 and 152.16.10.2 over IPIP."""
    config = """
version: 1
ports:
  wan:
    macaddress: "02:00:00:00:00:01"
    addresses: [198.51.100.1/24]
    neighbors: { 198.51.100.254: "02:00:00:00:00:fe" }
  lan:
    macaddress: "02:00:00:00:00:02"
    addresses: [172.16.10.1/24]
    neighbors: { 172.16.10.2: "02:00:00:00:00:05" }
tunnels:
  site2:
    mode: ipip
    local: 198.51.100.1
    remote: 203.0.113.1
    ttl: 255
    addresses: [192.168.50.1/30]
    routes: [152.16.10.0/24]
routes:
  - { to: default, via: 198.51.100.254 }
"""
    one, two = "172.16.10.2", "152.16.10.2"

    def ours(inner, tos=0):
        return IP(src="198.51.100.1", dst="203.0.113.1", ttl=255, flags="DF", id=0, tos=tos) / inner

    def theirs(inner, **fields):
        # One hop on: the peer sent 255. Its identification counts although DF is set.
        header = {"src": "203.0.113.1", "dst": "198.51.100.1", "ttl": 254, "flags": "DF", "id": 48813}
        return IP(**(header | fields)) / inner

    def ping(ttl):
        return IP(src=one, dst=two, ttl=ttl, flags="DF", id=0x9D2A) / ICMP(id=77, seq=1) / Raw(DATA)

    def pong(ttl):
        # The far kernel leaves DF clear in its replies, while the header around them has it set.
        return IP(src=two, dst=one, ttl=ttl, id=0x51A3) / ICMP(type=0, id=77, seq=1) / Raw(DATA)

    def syn(ttl):
        options = [("MSS", 1440), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
        tcp = TCP(sport=43210, dport=5201, flags="S", seq=1000, window=64240, options=options)
        return IP(src=one, dst=two, ttl=ttl, flags="DF", id=1, tos=0x10) / tcp

    def segment(ttl):
        tcp = TCP(sport=43210, dport=5201, flags="A", seq=1001, ack=2001)
        return IP(src=one, dst=two, ttl=ttl, flags="DF", id=2) / tcp / Raw(b"x" * 1440)

    who_has = ARP(op=1, hwsrc=HOST, psrc=one, hwdst="00:00:00:00:00:00", pdst="172.16.10.1")
    is_at = ARP(op=2, hwsrc=LAN, psrc="172.16.10.1", hwdst=HOST, pdst=one)
    assert (len(ping(64)), len(ours(ping(63))), len(ours(segment(63)))) == (84, 104, 1500)
    story(
        "classic",
        config,
        {
            "lan": [(0, from_host(ping(64))), (2, from_host(syn(64))), (3, from_host(segment(64))),
                    (4, Ether(src=HOST, dst=EVERYBODY) / who_has)],
            "wan": [(1, from_router(theirs(pong(64)))),
                    (5, from_router(theirs(pong(64), src="203.0.113.99"))),
                    (6, from_router(theirs(Raw(b"\x00\x00\x08\x00") / pong(64), proto=47)))],
        },
        {
            "wan": [(0, to_router(ours(ping(63)))), (2, to_router(ours(syn(63), tos=0x10))),
                    (3, to_router(ours(segment(63))))],
            "lan": [(1, to_host(pong(63))), (4, Ether(src=LAN, dst=HOST) / is_at)],
        },
        {"site2": {"rx_packets": 1, "rx_bytes": 84, "tx_packets": 3,
                   "tx_bytes": 84 + len(syn(63)) + 1480}},
        {"tun.no_match": 1, "tun.proto_mismatch": 1},
    )


def islands():
    """IPv6 islands over IPv4: echo both ways, ECN and DSCP carried outside, stray bytes trimmed."""
    config = """
version: 1
ports:
  wan:
    macaddress: "02:00:00:00:00:01"
    addresses: [198.51.100.1/24]
    neighbors: { 198.51.100.254: "02:00:00:00:00:fe" }
  lan:
    macaddress: "02:00:00:00:00:02"
    addresses: ["2001:db8:1::1/64"]
    neighbors: { "2001:db8:1::5": "02:00:00:00:00:05" }
tunnels:
  six:
    mode: sit
    local: 198.51.100.1
    remote: 203.0.113.1
    ttl: inherit
    addresses: ["2001:db8:50::1/64"]
    routes: ["2001:db8:2::/48"]
routes:
  - { to: default, via: 198.51.100.254 }
"""
    near, far = "2001:db8:1::5", "2001:db8:2::8"

    def ask(hops, source=near, target=far):
        head = IPv6(src=source, dst=target, hlim=hops, tc=0xB9, fl=0x54321)
        return head / ICMPv6EchoRequest(id=5, seq=6, data=DATA)

    def answer(hops, source=far, target=near, tc=0xB9):
        return IPv6(src=source, dst=target, hlim=hops, tc=tc) / ICMPv6EchoReply(id=5, seq=6, data=DATA)

    def ours(inner, ttl, tos):
        return IP(src="198.51.100.1", dst="203.0.113.1", ttl=ttl, flags="DF", id=0, tos=tos) / inner

    def theirs(inner, tos=0, tail=b""):
        return IP(src="203.0.113.1", dst="198.51.100.1", ttl=9, id=3, tos=tos, proto=41) / inner / Raw(tail)

    story(
        "islands",
        config,
        {
            "lan": [(0, from_host(ask(64)))],
            # ECT(1) inside; outside ECT(1), then CE with bytes behind the inner packet.
            "wan": [(1, from_router(theirs(answer(20), tos=1))),
                    (2, from_router(theirs(bytes(answer(20)), tos=3, tail=b"behind"))),
                    (3, from_router(theirs(ask(7, far, "2001:db8:50::1"))))],
        },
        {
            "wan": [(0, to_router(ours(ask(63), 63, 0xB9))),
                    # Our own answer: hop limit 64 is not decremented; DSCP copied, ECN not.
                    (3, to_router(ours(answer(64, "2001:db8:50::1", far, 0xB8), 64, 0xB8)))],
            "lan": [(1, to_host(answer(19))), (2, to_host(answer(19, tc=0xBB)))],
        },
        {"six": {"rx_packets": 3, "rx_bytes": 312, "tx_packets": 2, "tx_bytes": 208}},
        {},
    )


def folded():
    """Minimal encapsulation (RFC 2004), which scapy has no layer for: the forwarding header is packed here."""
    config = """
version: 1
ports:
  wan:
    macaddress: "02:00:00:00:00:01"
    addresses: [198.51.100.1/24]
    neighbors: { 198.51.100.254: "02:00:00:00:00:fe" }
  lan:
    macaddress: "02:00:00:00:00:02"
    addresses: [172.16.10.1/24]
    neighbors: { 172.16.10.2: "02:00:00:00:00:05" }
tunnels:
  away:
    mode: minimal
    local: 198.51.100.1
    remote: 203.0.113.1
    inner-source: [152.16.10.0/24, 203.0.113.1/32]
    routes: [152.16.10.0/24]
routes:
  - { to: default, via: 198.51.100.254 }
"""
    one, two, near, far = "172.16.10.2", "152.16.10.2", "198.51.100.1", "203.0.113.1"

    def minimal(packet, source, target):
        kept = inet_aton(packet.dst) + (b"" if packet.src == source else inet_aton(packet.src))
        header = struct.pack("!BBH", packet.proto, 0x80 if packet.src != source else 0, 0) + kept
        header = header[:2] + struct.pack("!H", checksum(header)) + header[4:]
        whole = packet.copy()
        payload = bytes(IP(bytes(packet)).payload)
        whole.remove_payload()
        whole.proto, whole.src, whole.dst = 55, source, target
        return whole / Raw(header + payload)

    def ping(ttl, **fields):
        return IP(**({"src": one, "dst": two, "ttl": ttl, "flags": "DF", "id": 0x9D2A} | fields),
                  proto=1) / ICMP(id=77, seq=1) / Raw(DATA)

    def pong(ttl, source=two):
        return IP(src=source, dst=one, ttl=ttl, id=0x51A3, tos=0xB9, proto=1) / ICMP(type=0, id=77, seq=1) / Raw(DATA)

    stamps = [IPOption(b"\x44\x08\x05\x00\x00\x00\x00\x00")]
    piece = ping(64, flags="MF")
    wrong = bytearray(bytes(minimal(pong(60), far, near)))
    wrong[24] ^= 1
    story(
        "folded",
        config,
        {
            "lan": [(0, from_host(ping(64))), (1, from_host(ping(9, tos=0xB8, options=stamps))),
                    (2, from_host(piece))],
            "wan": [(3, from_router(minimal(pong(60), far, near))),
                    (4, from_router(minimal(pong(60, far), far, near))),
                    (5, from_router(IP(bytes(wrong))))],
        },
        {
            "wan": [(0, to_router(minimal(ping(63), near, far))),
                    (1, to_router(minimal(ping(8, tos=0xB8, options=stamps), near, far)))],
            "lan": [(3, to_host(pong(59))), (4, to_host(pong(59, far)))],
        },
        {"away": {"rx_packets": 2, "rx_bytes": 168, "tx_packets": 2, "tx_bytes": 176,
                  "tx_fragment": 1}},
        {"minimal.bad_csum": 1},
    )


def backbone():
    """Both families over IPv6 with the encapsulation limit and a fixed flow label; a hub of two tunnels."""
    config = """
version: 1
ports:
  wan:
    macaddress: "02:00:00:00:00:01"
    addresses: ["2001:db8:100::1/64"]
    neighbors: { "2001:db8:100::fe": "02:00:00:00:00:fe" }
  lan:
    macaddress: "02:00:00:00:00:02"
    addresses: [10.1.0.1/24]
    neighbors: { 10.1.0.5: "02:00:00:00:00:05" }
tunnels:
  east:
    mode: any
    local: "2001:db8:100::1"
    remote: "2001:db8:200::2"
    encap-limit: 4
    flow-label: 74565
    routes: [10.2.0.0/16]
  west:
    mode: ipip6
    local: "2001:db8:100::1"
    remote: "2001:db8:300::2"
    flow-label: 1
    dscp: 34
    ttl: 33
    routes: [10.3.0.0/16]
routes:
  - { to: default, via: "2001:db8:100::fe" }
"""
    us, east, west = "2001:db8:100::1", "2001:db8:200::2", "2001:db8:300::2"

    def datagram(source, target, ttl, tos=0):
        return IP(src=source, dst=target, ttl=ttl, tos=tos, id=7) / UDP(sport=4000, dport=4001) / Raw(DATA)

    def to_east(inner):
        limit = IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=4, optlen=1, optdata=b"\x04"), PadN(optdata=bytes(1))])
        return IPv6(src=us, dst=east, hlim=64, fl=74565) / limit / inner

    def to_west(inner, ecn=0):
        return IPv6(src=us, dst=west, hlim=33, fl=1, tc=34 << 2 | ecn) / inner

    limit = bytes(to_east(datagram("10.1.0.5", "10.2.0.8", 63)))[40:48]
    assert limit == bytes.fromhex("0400040104010100"), limit.hex()
    story(
        "backbone",
        config,
        {
            "lan": [(0, from_host(datagram("10.1.0.5", "10.2.0.8", 64))),
                    (1, from_host(datagram("10.1.0.5", "10.3.0.8", 64, tos=0xFE)))],
            # East sends to west through us, and west to a tunnel that it does not own.
            "wan": [(2, from_router(IPv6(src=east, dst=us, hlim=5) / datagram("10.2.0.8", "10.3.0.8", 30, 2))),
                    (3, from_router(IPv6(src=west, dst=us, hlim=5) / datagram("10.2.0.8", "10.1.0.5", 30)))],
        },
        {
            "wan": [(0, to_router(to_east(datagram("10.1.0.5", "10.2.0.8", 63)))),
                    (1, to_router(to_west(datagram("10.1.0.5", "10.3.0.8", 63, 0xFE), ecn=2))),
                    (2, to_router(to_west(datagram("10.2.0.8", "10.3.0.8", 29, 2), ecn=2)))],
            "lan": [],
        },
        {"east": {"rx_packets": 1, "rx_bytes": 84, "tx_packets": 1, "tx_bytes": 84},
         "west": {"tx_packets": 2, "tx_bytes": 168, "rx_inner_src_filter": 1}},
        {},
    )


if __name__ == "__main__":
    classic()
    islands()
    folded()
    backbone()
