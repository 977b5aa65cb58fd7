"""Two workers beside one: packets per second of the appliance as it runs, each worker with a queue of its own.

Frames come from a capture in memory (net_pcap) and go to net_null. Both appliances run at once, one of them stopped
(SIGSTOP) while the other is measured, in turns. With two workers on two cores the control thread takes its time
from theirs. Before each case dpdk-testpmd, which only moves the same packets, with one core and with two: what the
machine has for a second worker. scripts/bench calls this, after building.
"""

import contextlib
import os
import pathlib
import sys
import tempfile
import time

import bench_testpmd as bench
import bench_traffic as traffic

SAMPLES = 9
SECONDS = 1
WANTED = 1.8
CASES = [traffic.Case('forward', 'v4'), traffic.Case('encap', 'v4/v4', 1000), traffic.Case('decap', 'v4/v4', 1000)]


def sample(program):
    """Packets per second of the clock, and per second of its workers' CPU time by their number."""
    program.resume()
    time.sleep(bench.WARM_UP_SECONDS)
    start, start_cpu, start_packets = time.monotonic(), program.workers_cpu_ns(), program.packets_sent()
    time.sleep(SECONDS)
    end, end_cpu, end_packets = time.monotonic(), program.workers_cpu_ns(), program.packets_sent()
    program.pause()
    packets = end_packets - start_packets
    return packets / (end - start), packets / (end_cpu - start_cpu) * 1e9 * len(program.workers)


def measure(start, check, folder, cores):
    """The samples of one worker and of two, in pairs."""
    with contextlib.ExitStack() as running:
        programs = []
        for workers in ([cores[1]], [cores[1], cores[0]]):
            place = folder / f'{len(workers)}'
            place.mkdir()
            program = start(place, [cores[0], *workers])
            running.callback(program.end)
            program.pause()
            programs.append(program)
        pairs = [[sample(program) for program in programs] for _ in range(SAMPLES)]
        for program in programs:
            program.resume()
            check(program)
            program.pause()
    return pairs


def show(case, cores):
    """Measures one case and prints its rows; whether it succeeded."""
    name = ' '.join(case.words())
    with tempfile.TemporaryDirectory(prefix='adit-bench-') as folder:
        folder = pathlib.Path(folder)
        capture = folder / 'in.pcap'
        mean_len = traffic.write_capture(case, capture)
        mbufs = 2 * case.frame_count() + bench.MBUFS_SPARE
        programs = [
            (f'testpmd, {name}', lambda place, cores: bench.Testpmd(place, capture, mbufs, cores), bench.Testpmd.check),
            (name, lambda place, cores: bench.Adit(place, case, capture, mbufs, cores),
             lambda adit: adit.check(case, mean_len))]
        results = []
        for number, (program, start, check) in enumerate(programs):
            place = folder / f'program-{number}'
            place.mkdir()
            results.append(show_one(program, start, check, place, cores))
    return all(results)


def show_one(name, start, check, folder, cores):
    """Measures one program and prints its row; whether it succeeded."""
    try:
        pairs = measure(start, check, folder, cores)
    except bench.Failure as failure:
        print(f'{name}: FAILED: {failure}', flush=True)
        return False
    one, two = ([pair[at][0] / 1e6 for pair in pairs] for at in (0, 1))
    by_clock, by_cpu = ([pair[1][at] / pair[0][at] for pair in pairs] for at in (0, 1))
    columns = [bench.spread(one, 2), bench.spread(two, 2), bench.spread(by_clock, 2), bench.spread(by_cpu, 2)]
    print(f'{name:<31}', *(f'{column:>20}' for column in columns), flush=True)
    return True


def main():
    cores = 0, max(os.sched_getaffinity(0))
    if sys.argv[1:] or os.geteuid() != 0 or cores[1] == 0:
        sys.exit(f'scripts/bench scaling: takes no option, but root, for hugepages, and two cores\n\n{__doc__}')
    print(f'Million packets a second, median (least–most) of {SAMPLES} pairs of samples of {SECONDS} s; at least {WANTED} is wanted.')
    print('By CPU time: the same for each second that both workers ran, so without what else the cores did.\n')
    print(f'{"":<31} {"1 worker":>20} {"2 workers":>20} {"ratio":>20} {"ratio by CPU time":>20}')
    with bench.hugepages():
        results = [show(case, cores) for case in CASES]
    sys.exit(0 if all(results) else 1)


if __name__ == '__main__':
    main()
