"""Where the worker's clocks go: adit as `scripts/bench testpmd` runs it, sampled by perf, part by part.

Each sample of the worker's program counter belongs to the driver it is in, or by the line numbers in the binary to
adit: to lookups (routes, tunnels, neighbors) or counters if the innermost function inlined there is one, else to the
loop of the fast path around it. Clocks of a part are its share of the samples times the clocks per packet. A load
that misses a cache shows where its value is waited for. scripts/bench calls this: scripts/bench clocks --help
"""

import argparse
import collections
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import bench_testpmd as bench
import bench_traffic as traffic

SECONDS = 3
SAMPLES_A_SECOND = 20_000

PARTS = [
    ('receive', r'librte_net_pcap|librte_mempool|librte_mbuf|libc\.so'),
    ('transmit', r'librte_net_null'),
    ('rim', r'dataplane/src/(dpdk|packet)/|dpdk-sys-build/'),
    ('poll', r'dataplane/src/(worker|device|fast_path/mod)|control/src/engine/live|ld-linux|libdpdk|librte_'),
    ('time', r'dataplane/src/(clock|latency)\.rs'),
    ('lookup', r'dataplane/src/(fib|tables)/|tunnel/lookup/|fast_path/link\.rs'),
    ('count', r'dataplane/src/counters/'),
    ('sort', r'fast_path/sort\.rs'),
    ('arrive', r'fast_path/(arrive|shim)\.rs'),
    ('leave', r'fast_path/leave(_frames)?\.rs'),
    ('forward', r'fast_path/forward\.rs'),
    ('enter', r'fast_path/(enter(_frames)?|cover)\.rs'),
    ('kernel', r'kernel'),
    ('other', r''),
]
"""Names of parts, and what is in each: the first that matches an object's name or the file of a line."""

STAGE = re.compile(r'fast_path/(sort|arrive|shim|leave|leave_frames|forward|enter|enter_frames|cover)\.rs')


def part_of(place):
    return next(name for name, pattern in PARTS if re.search(pattern, place))


def run(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Binary:
    """Finds the source of instructions of a running program."""

    def __init__(self, path, pid):
        self.path = path
        maps = pathlib.Path(f'/proc/{pid}/maps').read_text()
        mapped = re.search(rf'^([0-9a-f]+)-[0-9a-f]+ r-xp ([0-9a-f]+) .*{re.escape(str(path))}$', maps, re.MULTILINE)
        self.start, self.offset = int(mapped[1], 16), int(mapped[2], 16)
        headers = run(['readelf', '-lW', str(path)])
        self.segments = [tuple(int(number, 16) for number in found)
                         for found in re.findall(r'LOAD +0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+)', headers)]

    def address(self, pointer):
        """The address in the file's own terms."""
        at = pointer - self.start + self.offset
        return next((at - offset + virtual for offset, virtual, size in self.segments if offset <= at < offset + size), at)

    def places(self, pointers):
        """For each the file of adit that the instruction counts for."""
        addresses = {self.address(pointer): pointer for pointer in pointers}
        told = run(['addr2line', '-e', str(self.path), '-i', '-a'], input='\n'.join(map(hex, addresses)))
        places, current = {}, []
        for line in told.splitlines():
            if line.startswith('0x'):
                current = places.setdefault(addresses[int(line, 16)], [])
            else:
                current.append(line.partition(':')[0].partition(f'{bench.ROOT}/')[2])
        return {pointer: place(files) for pointer, files in places.items()}


def place(files):
    """Of an instruction, whose inlined functions' files come innermost first."""
    own = [file for file in files if file]
    if own and part_of(own[0]) in ('lookup', 'count', 'time'):
        return own[0]
    return next((file for file in own if STAGE.search(file)), own[0] if own else '')


def sample(adit, folder):
    """Where the worker was, as parts and their numbers of samples."""
    record = folder / 'perf.data'
    run(['perf', 'record', '-q', '-e', 'cpu-clock', '-F', str(SAMPLES_A_SECOND), '-t', adit.thread.parent.name,
         '-o', str(record), 'sleep', str(SECONDS)])
    script = run(['perf', 'script', '-i', str(record), '-F', 'ip,sym,dso'])
    inside, parts = collections.Counter(), collections.Counter()
    for line in script.splitlines():
        if found := re.match(r'\s*([0-9a-f]+) .*\((.*)\)$', line):
            if found[2] == str(bench.ADIT):
                inside[int(found[1], 16)] += 1
            else:
                parts[part_of(found[2])] += 1
    places = Binary(bench.ADIT, adit.process.pid).places(inside)
    for pointer, count in inside.items():
        parts[part_of(places[pointer])] += count
    return parts


def measure(case, folder, cores):
    """Clocks per packet of adit, and how they fall to the parts."""
    capture = folder / 'in.pcap'
    mean_len = traffic.write_capture(case, capture)
    with contextlib.ExitStack() as running:
        adit = bench.Adit(folder, case, capture, case.frame_count() + bench.MBUFS_SPARE, cores)
        running.callback(adit.end)
        time.sleep(bench.WARM_UP_SECONDS)
        start_ns, start_packets = adit.reading()
        parts = sample(adit, folder)
        end_ns, end_packets = adit.reading()
        adit.check(case, mean_len)
    clocks = (end_ns - start_ns) / (end_packets - start_packets) * clocks_per_ns()
    return clocks, {name: count * clocks / parts.total() for name, count in parts.items()}


def clocks_per_ns():
    """Of the clock that the kernel found."""
    found = re.search(r'MHz\s*: ([0-9.]+)', pathlib.Path('/proc/cpuinfo').read_text())
    return float(found[1]) / 1000


def show(case, cores):
    """Measures one case and prints its row; whether it succeeded."""
    name = ' '.join(case.words())
    try:
        with tempfile.TemporaryDirectory(prefix='adit-clocks-') as folder:
            clocks, parts = measure(case, pathlib.Path(folder), cores)
    except bench.Failure as failure:
        print(f'{name}: FAILED: {failure}', flush=True)
        return False
    row = ' '.join(f'{parts.get(part, 0):>8.1f}' for part, _ in PARTS)
    print(f'{name:<30} {clocks:>6.1f} {row}', flush=True)
    return True


def parse():
    parser = argparse.ArgumentParser(
        prog='scripts/bench clocks', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('words', nargs='*', help='only cases with all these words: encap v4/v4 1000')
    return parser.parse_args()


def main():
    options = parse()
    if os.geteuid() != 0 or not os.cpu_count() > 1:
        sys.exit('this takes root, for hugepages, and two cores')
    if not shutil.which('perf'):
        sys.exit('this takes perf: apt-get install linux-perf (Debian) or linux-tools-generic (Ubuntu)')
    cases = [case for case in traffic.default_cases()
             if set(options.words) <= set(case.words()) and (options.words or not case.imix)]
    if not cases:
        sys.exit('no case has all these words; scripts/bench testpmd --list names them')
    names = [name for name, _ in PARTS]
    print(f'CPU clocks per packet of the worker thread, by {SAMPLES_A_SECOND} samples a second for {SECONDS} s.\n')
    print(f'{"":<30} {"all":>6} ' + ' '.join(f'{name:>8}' for name in names))
    with bench.hugepages():
        results = [show(case, (0, max(os.sched_getaffinity(0)))) for case in cases]
    sys.exit(0 if all(results) else 1)


if __name__ == '__main__':
    main()
