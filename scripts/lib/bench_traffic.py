"""What the benchmarks put before adit: cases, and for each a capture and a configuration, the same at every run.

A case is a verb (forward, encap, decap), the families (inner/outer), a number of tunnels and of routes, and frame
sizes. Nothing here runs or measures; bench_testpmd.py does.
"""

import dataclasses
import ipaddress
import itertools
import random
import struct

SEED = 42
FLOWS_MIN = 1024
"""Frames of a capture, where there are not more tunnels or routes to spread over."""
FRAMES_MAX = 100_000

PAIRS = ['v4/v4', 'v6/v4', 'v4/v6', 'v6/v6']
MODES = {'v4/v4': 'ipip', 'v6/v4': 'sit', 'v4/v6': 'ipip6', 'v6/v6': 'ip6ip6'}
OVERHEAD = {'v4': 20, 'v6': 40}
# What tunnels have between the outer header and the packet inside: bytes, and how a file says it.
KINDS = {
    '': (0, ''),
    'gre': (4, ''),
    'gre-key': (8, ', key: 7'),
    'fou': (8, ', encap: { type: fou, dport: 5555 }'),
    'gue': (12, ', encap: { type: gue }'),
    # UDP, VXLAN, and the frame's own header.
    'vxlan': (30, ', id: 42, attach: lan'),
}

# Bytes without FCS, before encapsulation. IPv6 and UDP need 62 where IPv4 takes 60.
SMALL = [60]
# 7:4:1 of 64, 570 and 1400 bytes with FCS: the usual mix, its largest frame cut so that it fits 1500 encapsulated.
IMIX = [60] * 7 + [566] * 4 + [1396]

ADIT_IN, ADIT_OUT = bytes.fromhex('02ad17000001'), bytes.fromhex('02ad17000002')
HOST_MAC, ROUTER_MAC = bytes.fromhex('020000000005'), bytes.fromhex('0200000000fe')

HOST = {'v4': ipaddress.ip_address('10.1.0.5'), 'v6': ipaddress.ip_address('2001:db8:1::5')}
LOCAL = {'v4': ipaddress.ip_address('198.51.100.1'), 'v6': ipaddress.ip_address('2001:db8:100::1')}
GATEWAYS = {
    'v4': [ipaddress.ip_address('198.51.100.10') + n for n in range(64)],
    'v6': [ipaddress.ip_address('2001:db8:100::10') + n for n in range(64)],
}

# The mix of prefix lengths that is seen in the internet, and an access provider's own hosts and sites.
LENGTHS = {
    'v4': {24: 570, 22: 110, 23: 100, 21: 50, 20: 45, 19: 25, 18: 14, 16: 14, 17: 8, 32: 40, 29: 10, 30: 5, 28: 4},
    'v6': {48: 450, 32: 110, 44: 80, 40: 70, 36: 35, 29: 30, 46: 30, 47: 25, 42: 20, 33: 20, 34: 15, 45: 10, 38: 10,
           56: 40, 64: 40, 128: 10},
}
# First octets, or first 16 bits, of routes: neither special blocks nor what the benchmark itself uses.
REGIONS = {
    'v4': [n for n in range(1, 224) if n not in (10, 11, 12, 100, 127, 169, 172, 192, 198, 203)],
    'v6': [*range(0x2400, 0x2410), *range(0x2600, 0x2610), *range(0x2800, 0x2807), *range(0x2a00, 0x2a14)],
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table. `families` is inner/outer, of a plain packet v4 or v6."""
    verb: str
    families: str
    tunnels: int = 0
    routes4: int = 1
    routes6: int = 1
    imix: bool = False
    target: float | None = None
    kind: str = ''

    @property
    def inner(self):
        return self.families[:2]

    @property
    def outer(self):
        return self.families[-2:]

    def words(self):
        """What its row says, and a person may pick it by."""
        words = [self.verb, *([self.kind] if self.kind else []), self.families]
        if self.tunnels:
            words.append(str(self.tunnels))
        if self.routes4 > 1:
            words.append(f'{short(self.routes4)}-routes')
        return words + (['imix'] if self.imix else [])

    def growth(self):
        """Bytes that a frame leaves longer than it came."""
        return {'forward': 0, 'encap': 1, 'decap': -1}[self.verb] * (OVERHEAD[self.outer] + KINDS[self.kind][0])

    def mode(self):
        """What a file says it is."""
        if self.kind == 'vxlan':
            return 'vxlan'
        if self.kind.startswith('gre'):
            return 'gre' if self.outer == 'v4' else 'ip6gre'
        return MODES[self.families]

    def frame_count(self):
        spread = max(self.tunnels, self.routes4 if self.verb == 'forward' and self.routes4 > 1 else 0)
        return min(max(spread, FLOWS_MIN), FRAMES_MAX)


def short(number):
    for unit, letter in ((1_000_000, 'M'), (1000, 'k')):
        if number % unit == 0:
            return f'{number // unit}{letter}'
    return str(number)


def default_cases():
    """The rows that have a target, and those that show where cost comes from."""
    def tunnels(families, count, encap, decap, **more):
        return [Case('encap', families, count, target=encap, **more), Case('decap', families, count, target=decap, **more)]
    large = {'routes4': 1_000_000, 'routes6': 200_000}
    return [
        Case('forward', 'v4', target=1.8), Case('forward', 'v6'),
        Case('forward', 'v4', **large), Case('forward', 'v6', **large),
        *tunnels('v4/v4', 1, 2.1, 2.5), *tunnels('v4/v4', 1000, 2.1, 2.5),
        *tunnels('v6/v4', 1000, 2.6, 3.0), *tunnels('v4/v6', 1000, 2.6, 3.0), *tunnels('v6/v6', 1000, None, None),
        *tunnels('v4/v4', 100_000, 4.0, 4.0, **large),
        *tunnels('v4/v4', 1000, 2.4, 2.8, kind='gre'), *tunnels('v4/v4', 1000, None, None, kind='gre-key'),
        *tunnels('v4/v4', 1000, 3.0, 3.5, kind='fou'),
        # A port is attached to one tunnel.
        *tunnels('v4/v4', 1, 3.0, 3.5, kind='vxlan'),
        Case('forward', 'v4', imix=True), *tunnels('v4/v4', 1000, None, None, imix=True),
    ]


def all_cases():
    """Verbs by families by tunnels by routes by sizes; with a target where a default case has it."""
    targets = {dataclasses.replace(case, target=None): case for case in default_cases()}
    sizes = [{}, {'imix': True}]
    routes = [{}, {'routes4': 100_000}, {'routes4': 1_000_000, 'routes6': 200_000}]
    for route, size in itertools.product(routes, sizes):
        plain = [Case('forward', family, **route, **size) for family in ('v4', 'v6')]
        tunnels = [Case(verb, pair, count, **route, **size)
                   for pair in PAIRS for verb in ('encap', 'decap') for count in (1, 1000, 100_000)]
        yield from (targets.get(case, case) for case in plain + tunnels)


def behind(family, number):
    """An address behind tunnel `number`; its net is the /24 or /64 around it."""
    return ipaddress.ip_address(0x0b00_0008 + (number << 8) if family == 'v4' else (0x2001_0db8_0002 << 80) + (number << 64) + 8)


def remote(family, number):
    """The far end of tunnel `number`."""
    return ipaddress.ip_address(0xcb00_0000 + number * 7 if family == 'v4' else (0x2001_0db8_0200 << 80) + number * 7 + 2)


def routes(family, count):
    """`count` different networks as (number, prefix length)."""
    numbers = random.Random(f'{SEED} {family}')
    bits, head = (32, 8) if family == 'v4' else (128, 16)
    lengths = numbers.choices(list(LENGTHS[family]), LENGTHS[family].values(), k=2 * count)
    # Half of all nets lie in the other half's: hosts and sites are in pools, not anywhere.
    pools = [numbers.choice(REGIONS[family]) << (bits - head) | numbers.getrandbits(bits - head) for _ in range(count // 4 + 1)]
    found = {}
    for length in lengths:
        if len(found) == count:
            break
        keep = numbers.choice((head, 24 if family == 'v4' else 32))
        address = numbers.choice(pools) >> (bits - keep) << (bits - keep) | numbers.getrandbits(bits - keep)
        found[address >> (bits - length) << (bits - length), length] = None
    return list(found)


def checksum(header):
    total = sum(struct.unpack('!10H', header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip_packet(source, destination, protocol, payload):
    """An IP packet of the family of its addresses."""
    if source.version == 6:
        return struct.pack('!IHBB', 6 << 28, len(payload), protocol, 64) + source.packed + destination.packed + payload
    header = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0) + source.packed + destination.packed
    return header[:10] + struct.pack('!H', checksum(header)) + header[12:] + payload


def inner_packet(case, number, flow, size):
    """UDP between the host on the LAN and one behind tunnel `number`; for decap the other way."""
    host, far = HOST[case.inner], behind(case.inner, number)
    source, destination = (far, host) if case.verb == 'decap' else (host, far)
    room = max(size, 62 if case.inner == 'v6' else 60) - 14 - OVERHEAD[case.inner]
    udp = struct.pack('!HHHH', 1024 + flow % 60_000, 9, room, 0)
    return ip_packet(source, destination, 17, udp + bytes(room - 8))


def frames(case):
    """The frames of the case's capture, in an order that is not that of its tunnels or routes."""
    numbers = random.Random(SEED)
    count = case.frame_count()
    targets = list(range(case.tunnels or 1)) * -(-count // (case.tunnels or 1))
    numbers.shuffle(targets)
    networks = []
    if case.verb == 'forward' and case.routes4 > 1:
        networks = routes(case.inner, case.routes4 if case.inner == 'v4' else case.routes6)
    for flow, number in zip(range(count), targets):
        packet = inner_packet(case, number, flow, numbers.choice(IMIX if case.imix else SMALL))
        if networks:
            packet = redirect(packet, case.inner, numbers.choice(networks), numbers)
        if case.verb == 'decap':
            protocol, packet = behind_shim(case, packet, flow)
            packet = ip_packet(remote(case.outer, number), LOCAL[case.outer], protocol, packet)
        kind = b'\x08\x00' if packet[0] >> 4 == 4 else b'\x86\xdd'
        yield ADIT_IN + (ROUTER_MAC if case.verb == 'decap' else HOST_MAC) + kind + packet


def behind_shim(case, packet, flow):
    """What a peer puts in front of a packet, and the IP protocol of that."""
    protocol, kind = (4, 0x0800) if case.inner == 'v4' else (41, 0x86dd)
    if case.kind == 'gre':
        return 47, struct.pack('!HH', 0, kind) + packet
    if case.kind == 'gre-key':
        return 47, struct.pack('!HHI', 0x2000, kind, 7) + packet
    if case.kind == 'fou':
        return 17, struct.pack('!HHHH', 0xc000 + flow % 0x4000, 5555, 8 + len(packet), 0) + packet
    if case.kind == 'gue':
        return 17, struct.pack('!HHHHBBH', 0xc000 + flow % 0x4000, 6080, 12 + len(packet), 0, 0, protocol, 0) + packet
    if case.kind == 'vxlan':
        frame = HOST_MAC + ROUTER_MAC + struct.pack('!H', kind) + packet
        header = struct.pack('!II', 0x0800_0000, 42 << 8)
        return 17, struct.pack('!HHHH', 0xc000 + flow % 0x4000, 4789, 16 + len(frame), 0) + header + frame
    return protocol, packet


def redirect(packet, family, network, numbers):
    """The same packet to any address in a network."""
    (base, length), bits = network, 32 if family == 'v4' else 128
    address = base | numbers.getrandbits(bits - length) if length < bits else base
    if family == 'v6':
        return packet[:24] + address.to_bytes(16, 'big') + packet[40:]
    header = packet[:10] + b'\0\0' + packet[12:16] + address.to_bytes(4, 'big')
    return header[:10] + struct.pack('!H', checksum(header)) + header[12:] + packet[20:]


def write_capture(case, path):
    """Returns the mean length of its frames."""
    total = count = 0
    with open(path, 'wb') as out:
        out.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for frame in frames(case):
            out.write(struct.pack('<IIII', 0, 0, len(frame), len(frame)) + frame)
            total, count = total + len(frame), count + 1
    return total / count


def write_routes(family, count, path):
    """A file to include: `count` routes over 64 gateways."""
    with open(path, 'w') as out:
        out.write('routes:\n')
        for at, (address, length) in enumerate(routes(family, count)):
            network = ipaddress.ip_address(address.to_bytes(4 if family == 'v4' else 16, 'big'))
            out.write(f'  - {{ to: "{network}/{length}", via: "{GATEWAYS[family][at % 64]}" }}\n')


def write_tunnels(case, path):
    """A file to include: the tunnels, each with its route."""
    length = 24 if case.inner == 'v4' else 64
    with open(path, 'w') as out:
        out.write('tunnels:\n')
        for number in range(case.tunnels):
            net = ipaddress.ip_network(f'{behind(case.inner, number)}/{length}', strict=False)
            # Nothing is routed into a tunnel of frames.
            routed = '' if case.kind == 'vxlan' else f', routes: ["{net}"]'
            out.write(f'  t{number}: {{ mode: {case.mode()}{KINDS[case.kind][1]}, local: "{LOCAL[case.outer]}", '
                      f'remote: "{remote(case.outer, number)}"{routed} }}\n')


def port(name, device, mac, addresses, neighbors):
    """One port of a configuration. Neighbors are all static and addresses used at once: nobody answers behind net_null,
    and a capture without end does not wait until an address is known to be nobody else's."""
    entries = ', '.join(f'"{address}": "{mac.hex(":")}"' for address, mac in neighbors)
    texts = ', '.join(f'"{address}"' for address in addresses)
    return (f'  {name}:\n    device: "{device}"\n    macaddress: "{mac.hex(":")}"\n'
            f'    addresses: [{texts}]\n    dad: no\n    neighbors: {{ {entries} }}\n')


def configuration(case, devices, cores, mbufs, socket, includes):
    """The YAML of an appliance whose packets come in at `devices[0]` and leave at `devices[1]`."""
    routers = [(gateway, ROUTER_MAC) for gateway in GATEWAYS['v4'] + GATEWAYS['v6']]
    wan = ['198.51.100.1/24', '2001:db8:100::1/64'], routers
    lan = ['10.1.0.1/24', '2001:db8:1::1/64'], [(host, HOST_MAC) for host in HOST.values()]
    if case.kind == 'vxlan':
        lan = [], []
    names = [('lan', *lan), ('wan', *wan)] if case.verb != 'decap' else [('wan', *wan), ('lan', *lan)]
    ports = ''.join(port(name, device, mac, addresses, neighbors) for (name, addresses, neighbors), device, mac
                    in zip(names, devices, (ADIT_IN, ADIT_OUT)))
    control, *workers = cores
    # A core that a worker polls on can't be the control thread's own.
    control = f'control-core: {control}, ' if control not in workers else ''
    return (f'include: [{", ".join(includes)}]\n'
            f'dataplane: {{ {control}worker-cores: {workers}, idle: poll, hugepages: required, mbufs: {mbufs} }}\n'
            f'api: {{ socket: {socket} }}\nports:\n{ports}routes:\n'
            f'  - {{ to: default, via: "{GATEWAYS["v4"][0]}" }}\n  - {{ to: "::/0", via: "{GATEWAYS["v6"][0]}" }}\n')
