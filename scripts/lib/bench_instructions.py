"""Instructions per packet of the packet path, counted by callgrind, so the same on a busy and on an idle machine.

With no option prints them beside those of benches/instructions.txt, and what is left to a tunnel of its own beside each
flood; --check fails when one grew by more than 3 %, or when too little is left; --record writes the file anew. scripts/bench
calls this, after building.
"""

import os
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / 'target/release/examples/instructions'
RECORD = ROOT / 'benches/instructions.txt'
GROWTH_MAX = 0.03
# What a tunnel keeps of its share when half of the packets are a flood, at least. What its own packets take less, which is to
# be wished, lowers it.
SHARE_MIN = 0.93
SHARES_MIN = {'half pieces gre v4': 0.89}
"""Others: pieces of GRE don't show whose they are, so all tunnels of their addresses are asked."""
HEADING = f"""# Instructions per packet of the packet path, device included: scripts/bench instructions --record
# They hold for {platform.machine()} and the pinned Rust; scripts/test fails when one grows by more than {GROWTH_MAX:.0%}.
"""
# The C library picks its memcpy by what the CPU can do; so it is the same one everywhere.
ENVIRONMENT = {**os.environ, 'GLIBC_TUNABLES': 'glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-ERMS,-FSRM'}


def count(number):
    """Instructions within the measured function, of one case."""
    command = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null', '--toggle-collect=*measured_polls*',
               PROGRAM, str(number)]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    collected = re.search(r'Collected : (\d+)', run.stderr)
    if run.returncode or not collected or int(collected[1]) == 0:
        sys.exit(f'{" ".join(map(str, command))}:\n{run.stdout}{run.stderr}')
    return int(collected[1])


def measure():
    """Instructions per packet by name of the case."""
    head, *names = subprocess.run([PROGRAM], capture_output=True, text=True, check=True).stdout.splitlines()
    packets = int(head.split()[0])
    return {name: count(number) / packets for number, name in enumerate(names)}


def shares(now):
    """What a tunnel keeps beside each flood, by case."""
    kept = {}
    for name, figure in now.items():
        if name.startswith('half '):
            flood, family = name.removeprefix('half ').rsplit(maxsplit=1)
            verb = 'encap' if flood.endswith(' in') else 'decap'
            kind = 'gre ' if flood.endswith(' gre') else ''
            kept[name] = now[f'{verb} {kind}{family} in {family} 1000'] / figure
    return kept


def recorded():
    lines = RECORD.read_text().splitlines() if RECORD.exists() else []
    words = [line.rsplit(maxsplit=1) for line in lines if line and not line.startswith('#')]
    return {name.strip(): float(figure) for name, figure in words}


def show(now, before):
    """Prints the table; returns the names of what grew too much."""
    print(f'{"instructions per packet":<24} {"now":>8} {"recorded":>9} {"change":>8}')
    grown = []
    for name, figure in now.items():
        known = before.get(name)
        change = figure / known - 1 if known else None
        print(f'{name:<24} {figure:>8.1f} {known or "":>9} {"" if change is None else f"{change:+.1%}":>8}')
        if change is None or change > GROWTH_MAX:
            grown.append(name)
    return grown


def main():
    option = sys.argv[1] if len(sys.argv) > 1 else ''
    if option not in ('', '--check', '--record') or len(sys.argv) > 2:
        sys.exit(f'scripts/bench instructions [--check | --record]\n\n{__doc__}')
    now = measure()
    grown = show(now, recorded())
    kept = shares(now)
    print('\nwhat a tunnel keeps of its share')
    for name, share in kept.items():
        print(f'{name:<24} {share:>8.0%}')
    short = [name for name, share in kept.items() if share < SHARES_MIN.get(name, SHARE_MIN)]
    if option == '--record':
        RECORD.write_text(HEADING + ''.join(f'{name:<24} {figure:>8.1f}\n' for name, figure in now.items()))
    elif option == '--check' and grown:
        sys.exit(f'more than {GROWTH_MAX:.0%} more instructions than {RECORD.relative_to(ROOT)} says: {", ".join(grown)}\n'
                 'If that is what the change costs: scripts/bench instructions --record')
    elif option == '--check' and short:
        sys.exit(f'less is left of its share to a tunnel than has to be, beside: {", ".join(short)}')


if __name__ == '__main__':
    main()
