"""adit beside dpdk-testpmd: clocks per packet of the same work's floor, and the ratio.

Both run at once on the worker core, one of them stopped (SIGSTOP) while the other is measured, in turns. testpmd only
moves packets from port to port (--forward-mode=io). scripts/bench calls this: scripts/bench testpmd --help
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import bench_traffic as traffic

ROOT = pathlib.Path(__file__).resolve().parents[2]
ADIT = ROOT / 'target/release/adit'
BURST = 32
HUGEPAGES = pathlib.Path('/proc/sys/vm/nr_hugepages')
HUGEPAGES_NEEDED = 900
"""Of 2 MiB, for both programs' buffers in the largest case."""
MBUFS_SPARE = 16_384
WARM_UP_SECONDS = 0.1
READY_SECONDS = 600
IN_FLIGHT_MAX = 8 * BURST
"""Packets that may be between two counters of a worker at the moment they are read."""


class Failure(Exception):
    """What went wrong, for a person."""


class Program:
    """One of the two, on the worker core; stopped but while it is measured."""

    def __init__(self, name, command, log):
        self.name, self.log = name, log
        with open(log, 'w') as output:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)
        self.thread = None

    def wait_for(self, condition):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f'{self.name} ended:\n{pathlib.Path(self.log).read_text()[-3000:]}')
            if found := condition():
                return found
            time.sleep(0.05)
        self.process.kill()
        self.process.wait()
        raise Failure(f'{self.name} was not ready after {READY_SECONDS} s: {pathlib.Path(self.log).read_text()[-3000:]}')

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def find_thread(self, pattern):
        """The statistics of the scheduler about the thread of that name, once it has it."""
        def find():
            tasks = pathlib.Path(f'/proc/{self.process.pid}/task').iterdir()
            named = (task for task in tasks if re.fullmatch(pattern, (task / 'comm').read_text().strip()))
            return next(named, None)
        return self.wait_for(find) / 'schedstat'

    def take_workers(self, patterns):
        """The threads that see to packets, by their names; the first is the one whose time is read."""
        self.workers = [self.find_thread(pattern) for pattern in patterns]
        self.thread = self.workers[0]

    def workers_cpu_ns(self):
        return sum(int(worker.read_text().split()[0]) for worker in self.workers)

    def cpu_ns(self):
        return int(self.thread.read_text().split()[0])

    def reading(self):
        """CPU time and packets sent, read when the scheduler has just counted: it does so once a tick."""
        before = now = self.cpu_ns()
        while now == before:
            now = self.cpu_ns()
        return now, self.packets_sent()

    def sample(self, seconds):
        """CPU nanoseconds per packet."""
        self.resume()
        time.sleep(WARM_UP_SECONDS)
        start_ns, start_packets = self.reading()
        time.sleep(seconds)
        end_ns, end_packets = self.reading()
        self.pause()
        if end_packets == start_packets:
            raise Failure(f'{self.name} sent nothing; see {self.log}')
        return (end_ns - start_ns) / (end_packets - start_packets)

    def ask_to_end(self):
        self.process.terminate()

    def end(self):
        if self.process.poll() is not None:
            return
        self.resume()
        self.ask_to_end()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Testpmd(Program):
    """Answers on DPDK's telemetry socket."""

    def __init__(self, folder, capture, mbufs, cores):
        prefix = f'adit-bench-{os.getpid()}-{len(cores)}'
        count = len(cores) - 1
        lcores = ','.join(f'{lcore}@{core}' for lcore, core in enumerate(cores))
        super().__init__('testpmd', [
            'dpdk-testpmd', '--in-memory', '--no-pci', '--file-prefix', prefix, '--log-level=lib.eal:debug',
            '--lcores', lcores, '--main-lcore', '0', *vdev_options(devices(capture, count)),
            '--', '--forward-mode=io', f'--burst={BURST}', f'--nb-cores={count}', f'--rxq={count}', f'--txq={count}',
            '--no-lsc-interrupt', f'--total-num-mbufs={mbufs}'], folder / 'testpmd.log')
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = f'/var/run/dpdk/{prefix}/dpdk_telemetry.v2'
        self.wait_for(lambda: self.connection.connect_ex(path) == 0)
        self.connection.recv(4096)
        self.wait_for(lambda: self.has_port(1) and self.packets_sent() > 0)
        self.take_workers(rf'(lcore|rte)-worker-{number}' for number in range(1, count + 1))

    def ask(self, question):
        self.connection.send(question.encode())
        return json.loads(self.connection.recv(65536))[question.split(',')[0]]

    def has_port(self, number):
        return number in (self.ask('/ethdev/list') or [])

    def packets_sent(self):
        return self.ask('/ethdev/stats,1')['opackets']

    def ask_to_end(self):
        # Press enter to exit. A signal would cost us what it says at last.
        self.process.stdin.write(b'\n')
        self.process.stdin.flush()

    def check(self):
        """That it has sent every packet; it says so when it ends, and ends here."""
        self.end()
        total = pathlib.Path(self.log).read_text().partition('Accumulated forward statistics')[2]
        said = re.search(r'RX-packets: (\d+) +RX-dropped: 0 .*\n +TX-packets: (\d+) +TX-dropped: 0 ', total)
        if not said or said[1] != said[2]:
            raise Failure(f'testpmd lost packets: {total[:300]}')

    def clocks_per_ns(self):
        """DPDK measures the clock when it starts."""
        said = re.search(r'TSC frequency is ~(\d+) KHz', pathlib.Path(self.log).read_text())
        if not said:
            raise Failure(f'testpmd did not say how fast the clock is; see {self.log}')
        return int(said[1]) / 1e6


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


class Adit(Program):
    """Answers on its API."""

    def __init__(self, folder, case, capture, mbufs, cores):
        self.socket = folder / 'adit.sock'
        config = folder / 'adit.yaml'
        includes = write_includes(folder, case)
        config.write_text(traffic.configuration(case, devices(capture, len(cores) - 1), cores, mbufs,
                                               self.socket, includes))
        super().__init__('adit', [ADIT, 'run', '-c', config], folder / 'adit.log')
        self.wait_for(lambda: re.search('^ready', pathlib.Path(self.log).read_text(), re.MULTILINE))
        self.take_workers(f'adit-w{number}' for number in range(len(cores) - 1))

    def ask(self, what):
        connection = UnixConnection(str(self.socket), timeout=60)
        connection.request('GET', f'/v1/{what}')
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def packets_sent(self):
        return sum(worker['tx_packets'] for worker in self.ask('workers')['workers'])

    def check(self, case, mean_len):
        """That it has sent every packet, and not as it came."""
        balance = self.ask('workers')['balance']
        # What it made itself are the announcements of its own addresses.
        lost = balance['received'] + balance['created'] - balance['sent']
        if any(balance[end] for end in ('dropped', 'held', 'consumed')) or abs(lost) > IN_FLIGHT_MAX:
            raise Failure(f'adit lost packets: {balance}; {self.ask("drops")}')
        sent = [port for port in self.ask('ports')['ports'] if port['driver'] == 'net_null'][0]
        if sent['tx_errors']:
            raise Failure(f'adit could not send {sent["tx_errors"]} packets')
        mean = sent['tx_bytes'] / sent['tx_packets']
        if abs(mean - mean_len - case.growth()) > 0.01 * mean_len:
            raise Failure(f'adit sent frames of {mean:.1f} bytes on average, not {mean_len + case.growth():.1f}')


def devices(capture, queues=1):
    """Two vdevs: one that plays the capture without end, on each queue, and one that takes everything."""
    return [f'net_pcap0{f",rx_pcap={capture}" * queues},infinite_rx=1', 'net_null0,no-rx=1']


def vdev_options(names):
    return [word for name in names for word in ('--vdev', name)]


def write_includes(folder, case):
    """Writes what the configuration includes; returns the names."""
    names = []
    if case.tunnels:
        traffic.write_tunnels(case, folder / 'tunnels.yaml')
        names.append('tunnels.yaml')
    for family, count in (('v4', case.routes4), ('v6', case.routes6)):
        if count > 1:
            traffic.write_routes(family, count, folder / f'routes-{family}.yaml')
            names.append(f'routes-{family}.yaml')
    return names


@contextlib.contextmanager
def hugepages():
    """Enough of them while this lasts; afterwards as many as there were."""
    before = int(HUGEPAGES.read_text())
    HUGEPAGES.write_text(str(max(before, HUGEPAGES_NEEDED)))
    try:
        if int(HUGEPAGES.read_text()) < HUGEPAGES_NEEDED:
            raise Failure(f'the system has not {HUGEPAGES_NEEDED} hugepages to give: memory is short or fragmented')
        yield
    finally:
        HUGEPAGES.write_text(str(before))


def measure(case, folder, samples, seconds, cores):
    """The clocks per packet of testpmd and of adit, a pair for each sample."""
    capture = folder / 'in.pcap'
    mean_len = traffic.write_capture(case, capture)
    mbufs = case.frame_count() + MBUFS_SPARE
    with contextlib.ExitStack() as running:
        adit = Adit(folder, case, capture, mbufs, cores)
        running.callback(adit.end)
        adit.pause()
        testpmd = Testpmd(folder, capture, mbufs, cores)
        running.callback(testpmd.end)
        clocks = testpmd.clocks_per_ns()
        testpmd.pause()
        pairs = [(testpmd.sample(seconds) * clocks, adit.sample(seconds) * clocks) for _ in range(samples)]
        testpmd.check()
        adit.resume()
        adit.check(case, mean_len)
    return pairs


def spread(values, digits):
    return f'{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})'


def row(name, testpmd, adit, ratio, target):
    print(f'{name:<34} {testpmd:>19} {adit:>22} {ratio:>19}  {target}', flush=True)


def run(case, options):
    """Measures one case and prints its row; whether it succeeded."""
    name = ' '.join(case.words())
    try:
        with tempfile.TemporaryDirectory(prefix='adit-bench-') as folder:
            pairs = measure(case, pathlib.Path(folder), options.samples, options.seconds, options.cores)
    except Failure as failure:
        print(f'{name}: FAILED: {failure}', flush=True)
        return False
    ratios = [adit / testpmd for testpmd, adit in pairs]
    target = ''
    if case.target:
        target = f'{case.target} ' + ('holds' if statistics.median(ratios) <= case.target else 'MISSED')
    row(name, spread([pair[0] for pair in pairs], 1), spread([pair[1] for pair in pairs], 1), spread(ratios, 2), target)
    return True


def choose(options):
    """The cases with all of the words: of the default ones, or where none has them, of all."""
    def chosen(cases):
        return [case for case in cases if set(options.words) <= set(case.words())]
    everything = list(traffic.all_cases())
    found = [] if options.all else chosen(traffic.default_cases())
    return found or chosen(everything)


def parse():
    parser = argparse.ArgumentParser(
        prog='scripts/bench testpmd', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('words', nargs='*', help='only cases with all these words: encap v4/v4 1000, 1M-routes, imix')
    parser.add_argument('--all', action='store_true', help='every combination instead of the rows that have a target')
    parser.add_argument('--quick', action='store_true', help='3 samples of 0.5 s instead of 7 of 1 s')
    parser.add_argument('--list', action='store_true', help='name the cases, and run none')
    options = parser.parse_args()
    options.samples, options.seconds = (3, 0.5) if options.quick else (7, 1)
    options.cores = 0, max(os.sched_getaffinity(0))
    return options


def main():
    options = parse()
    cases = choose(options)
    if not cases:
        sys.exit('no case has all these words; --all --list names them')
    if options.list:
        print('\n'.join(' '.join(case.words()) for case in cases))
        return
    if os.geteuid() != 0 or options.cores[1] == 0:
        sys.exit('this takes root, for hugepages, and two cores')
    # The clock that is read and the programs' main threads stay off the worker's core.
    worker_core = options.cores[1]
    print(f'CPU clocks per packet of the worker thread on core {worker_core}, bursts of {BURST}, latency measured in every burst:')
    print(f'median (least–most) of {options.samples} pairs of samples of {options.seconds} s. Frames of 60 bytes without FCS '
          '(62 for IPv6),\nor imix: 7:4:1 of 60, 566 and 1396; sizes before encapsulation.\n')
    row('', 'testpmd io', 'adit', 'ratio', 'target')
    with hugepages():
        results = [run(case, options) for case in cases]
    sys.exit(0 if all(results) else 1)


if __name__ == '__main__':
    main()
