"""scripts/bench scale: a configuration of a million tunnels and more routes, from YAML to a running appliance.

Starts `adit run` three times, on ports that need no hardware: with one tunnel, with all tunnels, with all tunnels and
routes. Prints the seconds from start to `ready`, the seconds of CPU, the peak of memory, and what a tunnel and a route
take in the end, the time to show one tunnel and to give one another remote (the least of five). A frame for the last tunnel arrives on port lan in each run; that it left on port wan, encapsulated,
is read from the capture of that port. Fails when it did not, or when --seconds or --gib is exceeded.

Memory is the whole process: VmHWM and HugetlbPages of /proc/PID/status. Packet buffers are in it (65 536 of them
unless --mbufs says otherwise), in VmHWM with --hugepages off and in HugetlbPages else.
"""
import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from ipaddress import IPv4Address, IPv6Network

ADIT = 'target/release/adit'
LOCAL, GATEWAY = '198.18.0.1', '198.18.0.254'
REMOTES = int(IPv4Address('11.0.0.0'))  # one address each
INNER = int(IPv4Address('32.0.0.0'))  # one /24 each
INNER_IPV6 = int(IPv6Network('2001::/16').network_address)  # one /48 each
MAC_LAN, MAC_HOST = bytes.fromhex('02ad17000001'), bytes.fromhex('020000000005')
READY_LIMIT_S = 600


def address(number):
    return str(IPv4Address(number))


def tunnel(index, has_route, style):
    """A tunnel; every fifth carries IPv6 as well."""
    keys = ['mode: sit', 'payload: any'] if index % 5 == 0 else ['mode: ipip']
    keys += [f'local: {LOCAL}', f'remote: {address(REMOTES + index)}']
    if has_route:
        keys.append(f'routes: [{address(INNER + index * 256)}/24]')
    if style == 'flow':
        return f'  site-{index:07}: {{ {", ".join(keys)} }}\n'
    return f'  site-{index:07}:\n' + ''.join(f'    {key}\n' for key in keys)


def route_ipv6(index, tunnels):
    to = IPv6Network((INNER_IPV6 + (index << 80), 48))
    return f'  - {{ to: "{to}", tunnel: site-{index * 5 % tunnels // 5 * 5:07} }}\n'


def share(count, part, parts):
    return range(count * part // parts, count * (part + 1) // parts)


def write_configuration(folder, options, tunnels, ipv4, ipv6):
    with open(f'{folder}/adit.yaml', 'w') as file:
        file.write(f'''include: [part-*.yaml]
api: {{ socket: {folder}/adit.sock }}
dataplane: {{ idle: sleep, hugepages: {options.hugepages}, mbufs: {options.mbufs} }}
ports:
  wan:
    device: "net_pcap0,rx_pcap={folder}/nothing.pcap,tx_pcap={folder}/wan.pcap"
    addresses: [{LOCAL}/24]
    neighbors: {{ {GATEWAY}: "02:00:00:00:00:fe" }}
  lan:
    device: "net_pcap1,rx_pcap={folder}/lan.pcap,tx_pcap={folder}/answers.pcap"
    macaddress: "{MAC_LAN.hex(':')}"
    addresses: [198.19.0.1/24]
routes:
  - {{ to: default, via: {GATEWAY} }}
''')
    for part in range(options.files):
        with open(f'{folder}/part-{part:03}.yaml', 'w') as file:
            file.write('tunnels:\n')
            for index in share(tunnels, part, options.files):
                # The last one has a route in any case: for the frame.
                has_route = index < ipv4 or index == tunnels - 1
                file.write(tunnel(index, has_route, options.style))
            file.write('routes:\n')
            for index in share(ipv6, part, options.files):
                file.write(route_ipv6(index, tunnels))


def checksum(header):
    total = sum(struct.unpack('!10H', header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frame_for(destination):
    """UDP from a host on port lan."""
    source = IPv4Address('198.19.0.2').packed
    header = bytearray(struct.pack('!BBHHHBBH4s4s', 0x45, 0, 46, 1, 0x4000, 64, 17, 0, source, destination))
    header[10:12] = struct.pack('!H', checksum(bytes(header)))
    udp = struct.pack('!HHHH', 40000, 9, 26, 0) + bytes(18)
    return MAC_LAN + MAC_HOST + b'\x08\x00' + bytes(header) + udp


def write_capture(path, frames):
    with open(path, 'wb') as file:
        file.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            file.write(struct.pack('<IIII', 0, 0, len(frame), len(frame)) + frame)


def frames_in(path):
    with open(path, 'rb') as file:
        data = file.read()
    at = 24
    while at < len(data):
        length = struct.unpack_from('<I', data, at + 8)[0]
        yield data[at + 16:at + 16 + length]
        at += 16 + length


def status(process, *keys):
    """Values of /proc/PID/status, in bytes."""
    with open(f'/proc/{process.pid}/status') as file:
        values = dict(line.split(':', 1) for line in file)
    return [int(values.get(key, '0').split()[0]) * 1024 for key in keys]


def cpu_seconds(process):
    with open(f'/proc/{process.pid}/stat') as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def wait_for_ready(process):
    deadline = time.monotonic() + READY_LIMIT_S
    for line in process.stderr:
        if line.startswith('ready:'):
            return
        if time.monotonic() > deadline:
            break
        sys.stderr.write(line)
    sys.exit('adit did not become ready')


def show(folder, name):
    command = [ADIT, 'show', '--socket', f'{folder}/adit.sock', 'tunnels', name, '--json']
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)['tunnels'][0]


def change(folder, name, host):
    """Seconds until a tunnel has another remote, the start of the client included."""
    command = [ADIT, 'tunnel', '--socket', f'{folder}/adit.sock', name, 'set-remote', f'203.0.113.{host}']
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - start


def run(options, tunnels, ipv4, ipv6):
    """One appliance; returns what was measured."""
    with tempfile.TemporaryDirectory(prefix='adit-scale-') as folder:
        write_configuration(folder, options, tunnels, ipv4, ipv6)
        last = tunnels - 1
        write_capture(f'{folder}/nothing.pcap', [])
        write_capture(f'{folder}/lan.pcap', [frame_for(IPv4Address(INNER + last * 256 + 1).packed)])
        start = time.monotonic()
        command = [ADIT, 'run', '-c', f'{folder}/adit.yaml']
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            wait_for_ready(process)
            ready_s = time.monotonic() - start
            measured = {'ready_s': ready_s, 'cpu_s': cpu_seconds(process)}
            measured['peak'], measured['now'], measured['huge'] = status(process, 'VmHWM', 'VmRSS', 'HugetlbPages')
            time.sleep(1)
            asked = time.monotonic()
            measured['sent'] = show(folder, f'site-{last:07}')['tx_packets']
            measured['show_s'] = time.monotonic() - asked
            measured['change_s'] = min(change(folder, f'site-{last:07}', host) for host in range(1, 6))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
        outer = IPv4Address(LOCAL).packed + IPv4Address(REMOTES + last).packed
        left = [frame for frame in frames_in(f'{folder}/wan.pcap') if frame[26:34] == outer and frame[23] == 4]
        if measured['sent'] != 1 or len(left) != 1:
            sys.exit(f'the frame for the last of {tunnels} tunnels did not leave encapsulated')
        return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tunnels', type=int, default=1_000_000)
    parser.add_argument('--ipv4', type=int, default=1_000_000, help='routes, one a tunnel, in `routes` of the tunnel')
    parser.add_argument('--ipv6', type=int, default=200_000, help='routes in the section `routes`')
    parser.add_argument('--files', type=int, default=10, help='included files')
    parser.add_argument('--style', choices=['flow', 'block'], default='flow', help='of YAML: one line a tunnel, or a line a key')
    parser.add_argument('--hugepages', choices=['off', 'auto', 'required'], default='off')
    parser.add_argument('--mbufs', type=int, default=65_536)
    parser.add_argument('--seconds', type=float, default=30, help='the most from start to ready')
    parser.add_argument('--gib', type=float, default=4, help='the most memory')
    options = parser.parse_args()
    steps = [('1 tunnel', 1, 0, 0), ('tunnels', options.tunnels, 0, 0),
             ('tunnels and routes', options.tunnels, options.ipv4, options.ipv6)]
    print(f'{options.tunnels} tunnels, {options.ipv4} IPv4 and {options.ipv6} IPv6 routes in {options.files} files of '
          f'{options.style} style, {os.cpu_count()} cores')
    print(f'{"":20}{"ready":>9}{"CPU":>9}{"peak":>11}{"at rest":>11}{"hugepages":>11}'
          f'{"show one":>11}{"change one":>12}')
    mib = 1 << 20
    results = []
    for name, *counts in steps:
        result = run(options, *counts)
        results.append(result)
        print(f'{name:20}{result["ready_s"]:7.1f} s{result["cpu_s"]:7.1f} s{result["peak"] / mib:7.0f} MiB'
              f'{result["now"] / mib:7.0f} MiB{result["huge"] / mib:7.0f} MiB'
              f'{result["show_s"] * 1000:8.0f} ms{result["change_s"] * 1000:9.0f} ms', flush=True)
    one, plain, whole = results
    per_tunnel = (plain['now'] - one['now']) / options.tunnels
    per_route = (whole['now'] - plain['now']) / max(options.ipv4 + options.ipv6, 1)
    print(f'{per_tunnel:.0f} bytes a tunnel, {per_route:.0f} bytes a route; the frame for the last tunnel left encapsulated')
    memory = whole['peak'] + whole['huge']
    if whole['ready_s'] > options.seconds or memory > options.gib * (1 << 30):
        sys.exit(f'more than {options.seconds:g} s or {options.gib:g} GiB')


main()
