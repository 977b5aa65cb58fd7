#!/usr/bin/python3
"""The far end of a tunnel of minimal encapsulation (RFC 2004), which Linux has no device for.

    minimal_peer.py DEVICE LOCAL REMOTE

Makes the TUN device DEVICE, which the caller gives addresses and routes. What is routed into it goes to REMOTE from
LOCAL, and what comes from there comes out of it. Written from the RFC alone. Nothing is checked but the checksum.
"""

import fcntl
import os
import select
import socket
import struct
import sys

MINIMAL = 55
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
HAS_SOURCE = 0x80


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def sealed(header, at):
    return header[:at] + struct.pack("!H", checksum(header)) + header[at + 2:]


def rewritten(header, length, protocol, source, destination):
    """An IPv4 header with another length, protocol and other addresses."""
    fixed = header[:2] + struct.pack("!H", length) + header[4:9] + bytes([protocol, 0, 0])
    return sealed(fixed + source + destination + header[20:], 10)


def folded(packet, local, remote):
    """Figure 2 and 3 of RFC 2004; None for what may not be encapsulated."""
    if packet[0] >> 4 != 4 or struct.unpack("!H", packet[6:8])[0] & 0x3FFF:
        return None
    length = (packet[0] & 15) * 4
    header, payload = packet[:length], packet[length:]
    source = b"" if header[12:16] == local else header[12:16]
    flags = HAS_SOURCE if source else 0
    forwarding = sealed(bytes([header[9], flags, 0, 0]) + header[16:20] + source, 2)
    total = length + len(forwarding) + len(payload)
    return rewritten(header, total, MINIMAL, local, remote) + forwarding + payload


def unfolded(packet):
    """The sender's packet; None if there is none inside."""
    length = (packet[0] & 15) * 4
    header, rest = packet[:length], packet[length:]
    size = 12 if len(rest) > 1 and rest[1] & HAS_SOURCE else 8
    if len(rest) < size or checksum(rest[:size]):
        return None
    source = rest[8:12] if size == 12 else header[12:16]
    total = length + len(rest) - size
    return rewritten(header, total, rest[0], source, rest[4:8]) + rest[size:]


def main(device, local, remote):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    arriving = socket.socket(socket.AF_INET, socket.SOCK_RAW, MINIMAL)
    leaving = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ends = socket.inet_aton(local), socket.inet_aton(remote)
    while True:
        for ready in select.select([tun, arriving], [], [])[0]:
            if ready is arriving:
                packet = unfolded(arriving.recv(65535))
                if packet:
                    os.write(tun, packet)
            else:
                packet = folded(os.read(tun, 65535), *ends)
                if packet:
                    leaving.sendto(packet, (remote, 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
