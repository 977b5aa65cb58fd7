"""Clocks per packet and memory as tables grow, 1 to 1 000 000 tunnels and routes: a table, and docs/growth.svg.

Over ports in memory, one process for each size. With --quick up to 10 000, and no picture. scripts/bench calls this,
after building.
"""

import math
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / 'target/release/examples/growth'
PICTURE = ROOT / 'docs/growth.svg'
SIZES = [10 ** power for power in range(7)]
# Name, words of the program, and what is counted.
SERIES = [
    ('encap IPv4 in IPv4, by tunnels', ['encap'], [], 'tunnel'),
    ('decap IPv4 in IPv4, by tunnels', ['decap'], [], 'tunnel'),
    ('forward IPv4, by routes', ['forward'], [], 'route'),
    ('forward IPv6, by routes', ['forward'], ['v6'], 'route'),
]
WIDTH, HEIGHT, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT = 720, 440, 70, 56, 620, 290


def run(before, size, after):
    """Median, least and most clocks per packet, those of the device, and bytes."""
    words = [PROGRAM, *before, str(size), *after]
    return [float(word) for word in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()]


def measure(sizes):
    """By series: a list of (size, median, least, most)."""
    results = {}
    print(f'{"clocks per packet":<32} {"":>9} {"median":>8} {"least":>8} {"most":>8} {"device":>8} {"bytes per one more":>20}')
    for name, before, after, unit in SERIES:
        known, base = [], None
        for size in sizes:
            median, least, most, device, memory = run(before, size, after)
            each = '' if base is None else f'{(memory - base) / (size - 1):.0f}'
            base = memory if base is None else base
            known.append((size, median, least, most))
            print(f'{name:<32} {size:>9} {median:>8.1f} {least:>8.1f} {most:>8.1f} {device:>8.1f} {each:>12} a {unit}', flush=True)
        results[name] = known
    return results


def step_of(top):
    """The distance of horizontal lines: at most eight of them."""
    raw = top / 8
    unit = 10 ** math.floor(math.log10(raw))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)


def axes(top, step, x, y):
    yield f'<text class="title" x="{LEFT}" y="24">Clocks per packet as tables grow</text>'
    yield f'<text x="{LEFT}" y="42">median; bars from the least to the most of 15 samples; device included</text>'
    for line in range(int(top / step) + 1):
        at = y(line * step)
        yield f'<line class="grid" x1="{LEFT}" x2="{LEFT + PLOT_WIDTH}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text text-anchor="end" x="{LEFT - 8}" y="{at + 4:.1f}">{line * step:g}</text>'
    for size in SIZES:
        label = f'{size:,}'.replace(',', ' ')
        yield f'<text text-anchor="middle" x="{x(size):.1f}" y="{TOP + PLOT_HEIGHT + 18}">{label}</text>'
    yield f'<text text-anchor="middle" x="{LEFT + PLOT_WIDTH / 2}" y="{TOP + PLOT_HEIGHT + 38}">tunnels or routes</text>'
    middle = TOP + PLOT_HEIGHT / 2
    yield f'<text text-anchor="middle" transform="rotate(-90 18 {middle})" x="18" y="{middle}">clocks per packet</text>'


def curve(number, name, points, x, y):
    path = ' '.join(f'{x(size):.1f},{y(median):.1f}' for size, median, _, _ in points)
    yield f'<polyline class="s{number}" fill="none" stroke-width="2" points="{path}"/>'
    for size, median, least, most in points:
        yield f'<line class="s{number}" x1="{x(size):.1f}" x2="{x(size):.1f}" y1="{y(least):.1f}" y2="{y(most):.1f}"/>'
        yield f'<circle class="f{number}" cx="{x(size):.1f}" cy="{y(median):.1f}" r="3.5"/>'
    left, top = LEFT + number % 2 * 310, TOP + PLOT_HEIGHT + 58 + number // 2 * 20
    yield f'<circle class="f{number}" cx="{left + 4}" cy="{top - 4}" r="4"/><text x="{left + 16}" y="{top}">{name}</text>'


def draw(results):
    """The picture; its background is the page's, its colours go with a light and with a dark one."""
    highest = max(most for points in results.values() for _, _, _, most in points)
    step = step_of(highest)
    top = math.ceil(highest / step) * step
    def x(size):
        return LEFT + 14 + math.log10(size) / 6 * (PLOT_WIDTH - 28)
    def y(value):
        return TOP + PLOT_HEIGHT * (1 - value / top)
    light, dark = ('#0b6bcb', '#c2410c', '#15803d', '#9333ea'), ('#6cb2ff', '#ff9d5c', '#5fd68a', '#cf9bff')
    def colours(palette):
        return ''.join(f'.s{n}{{stroke:{colour}}}.f{n}{{fill:{colour}}}' for n, colour in enumerate(palette))
    style = ('text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}.grid{stroke:#8884}'
             f'{colours(light)}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}{colours(dark)}}}')
    parts = [*axes(top, step, x, y)]
    for number, (name, points) in enumerate(results.items()):
        parts += curve(number, name, points, x, y)
    body = '\n'.join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
            f'aria-label="Clocks per packet by number of tunnels and routes">\n<style>{style}</style>\n{body}\n</svg>\n')


def main():
    quick = sys.argv[1:] == ['--quick']
    if sys.argv[1:] and not quick:
        sys.exit(f'scripts/bench growth [--quick]\n\n{__doc__}')
    results = measure(SIZES[:5] if quick else SIZES)
    if not quick:
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(draw(results))


if __name__ == '__main__':
    main()
