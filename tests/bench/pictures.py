"""The judge's figures as pictures: power, false alarms, and what can be seen at all. SVG, readable in light and dark.

Only drawing: every number comes from ``judge``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from controller.faces.svg import label
from tests.bench.judges import ALPHA
from tests.bench.traffic import Traffic

NAMES = ("Turnabout", "threshold", "Mann-Whitney")
CLASSES = ("ours", "fixed", "ranks")
Point = tuple[float, float]
Scale = Callable[[float], float]
STYLE = """
svg { --ink: #1f2328; --quiet: #59636e; --line: #d0d7de; --ours: #0550ae; --fixed: #b35900; --ranks: #8250df;
  --bad: #b3261e; font: 14px system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --quiet: #9da7b3; --line: #30363d; --ours: #79c0ff;
  --fixed: #f0a35e; --ranks: #d2a8ff; --bad: #ff8f86; } }
text { fill: var(--ink); } .q { fill: var(--quiet); font-size: 12px; } .b { font-weight: 600; font-size: 16px; }
.grid { stroke: var(--line); stroke-width: 1; } .limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 6 4; }
.t-bad { fill: var(--bad); } path { fill: none; stroke-width: 2.4; }
path.ours { stroke: var(--ours); } path.fixed { stroke: var(--fixed); stroke-dasharray: 7 4; }
path.ranks { stroke: var(--ranks); stroke-dasharray: 2 4; }
.m.ours { fill: var(--ours); } .m.fixed { fill: var(--fixed); } .m.ranks { fill: var(--ranks); }
.t-ours { fill: var(--ours); font-weight: 600; } .t-fixed { fill: var(--fixed); } .t-ranks { fill: var(--ranks); }
"""


def draw(
    folder: Path,
    alarms: Sequence[tuple[Traffic, tuple[float, ...]]],
    power: Sequence[tuple[float, tuple[float, ...]]],
    limits: Sequence[tuple[float, float, float]],
    runs: int,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "judge-power.svg").write_text(powers(power))
    (folder / "judge-alarms.svg").write_text(bars(alarms, runs))
    (folder / "judge-limits.svg").write_text(seen(limits))


def page(width: int, height: int, title: str, says: str, body: Iterator[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d">'
    named = f'<title id="t">{title}</title>\n<desc id="d">{says}</desc>\n<style>{STYLE}</style>'
    return "\n".join([head, named, label(24, 30, title, "b"), label(24, 50, says, "q"), *body, "</svg>", ""])


def log_scale(low: float, high: float, begin: float, end: float) -> Scale:
    def at(value: float) -> float:
        inside = min(max(value, low), high)
        return begin + math.log(inside / low) / math.log(high / low) * (end - begin)

    return at


def mark(judge: int, x: float, y: float) -> str:
    """Each judge has a shape as well as a colour: circle, square, diamond."""
    cls = f'class="m {CLASSES[judge]}"'
    if judge == 0:
        return f'<circle {cls} cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>'
    if judge == 1:
        return f'<rect {cls} x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
    return f'<path {cls} style="stroke:none;fill:var(--ranks)" d="M{x:.1f},{y - 6.5:.1f}l6.5,6.5l-6.5,6.5l-6.5,-6.5z"/>'


def line(x1: float, y1: float, x2: float, y2: float, cls: str = "grid") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{cls}"/>'


def curve(judge: int, points: Sequence[Point]) -> Iterator[str]:
    yield f'<path class="{CLASSES[judge]}" d="M' + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>'
    yield from (mark(judge, x, y) for x, y in points)


def legend(x: float, y: float) -> Iterator[str]:
    for judge, name in enumerate(NAMES):
        yield mark(judge, x + judge * 130, y - 5)
        yield label(x + judge * 130 + 12, y, name, f"t-{CLASSES[judge]}")


def percent(value: float) -> str:
    return f"{value * 100:.3g} %"


def powers(power: Sequence[tuple[float, tuple[float, ...]]]) -> str:
    """How often each judge finds harm in 60 s, by how much harm there is."""
    left, right, top, bottom = 84.0, 736.0, 112.0, 400.0
    x = log_scale(power[0][0], power[-1][0], left, right)

    def y(share: float) -> float:
        return bottom - share * (bottom - top)

    def body() -> Iterator[str]:
        yield from legend(left, 82)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            yield line(left, y(share), right, y(share))
            yield label(left - 10, y(share) + 5, f"{share:.0%}", "q", "end")
        for harm in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
            yield line(x(harm), bottom, x(harm), bottom + 5)
            yield label(x(harm), bottom + 22, percent(harm), "q", "middle")
        yield label(x(0.002), bottom + 38, "no harm", "q t-bad", "middle")
        yield label((left + right) / 2, bottom + 56, "bad requests on the candidate; 0.2 % on last good", "q", "middle")
        yield label(x(0.002) + 12, y(power[0][1][1]) + 20, "taken back without any harm", "q t-bad")
        for judge in (2, 1, 0):
            yield from curve(judge, [(x(harm), y(shares[judge])) for harm, shares in power])

    says = "Share of 60 s watches in which the harm is found, at 10 requests a second on the canary and 90 on control."
    return page(760, 480, "How much harm is found", says, body())


def bars(alarms: Sequence[tuple[Traffic, tuple[float, ...]]], runs: int) -> str:
    """How often each judge takes back a harmless release, by the shape of the traffic."""
    left, right, step, top = 470.0, 920.0, 25.0, 126.0
    none = 0.5 / runs
    x = log_scale(none, 1.0, left, right)
    inside = [pair for pair in alarms if pair[0].promised and not pair[0].held_out]
    held = [pair for pair in alarms if pair[0].held_out]
    outside = [pair for pair in alarms if not pair[0].promised]
    groups = (("tuned on", inside), ("held out", held), ("outside of the model: not promised", outside))
    height = top + step * sum(len(rows) + 1.4 for _, rows in groups) + 20

    def body() -> Iterator[str]:
        yield from legend(left - 40, 82)
        for share in (0.001, 0.01, 0.1, 1.0):
            yield line(x(share), top - 12, x(share), height - 20, "limit" if share == ALPHA else "grid")
            if share > 3 * none:
                yield label(x(share), top - 18, percent(share), "q t-bad" if share == ALPHA else "q", "middle")
        yield line(x(none), top - 12, x(none), height - 20)
        yield label(x(none), top - 18, "none", "q", "middle")
        y = top
        for title, rows in groups:
            y += step
            yield label(24, y, title, "b")
            for traffic, shares in rows:
                y += step
                yield label(24, y, traffic.says, "q")
                yield line(x(none), y - 4, x(max(none, max(shares))), y - 4)
                yield from (mark(judge, x(max(none, shares[judge])), y - 4) for judge in (2, 1, 0))
            y += 0.4 * step

    says = f"Harmless releases taken back, of {runs:,} watches of each shape. The promise is the dashed line: 1 %."
    return page(960, round(height), "How often a harmless release is taken back", says, body())


def seen(limits: Sequence[tuple[float, float, float]]) -> str:
    """The smallest rise that a PASS says it would have seen, by traffic."""
    left, right, top, bottom = 84.0, 736.0, 90.0, 390.0
    x, y = log_scale(limits[0][0], limits[-1][0], left + 70, right - 70), log_scale(0.001, 0.1, bottom, top)

    def body() -> Iterator[str]:
        for rise in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1):
            yield line(left, y(rise), right, y(rise))
            yield label(left - 10, y(rise) + 5, percent(rise), "q", "end")
        for rate, _, _ in limits:
            yield line(x(rate), bottom, x(rate), bottom + 5)
            yield label(x(rate), bottom + 22, f"{rate:g}", "q", "middle")
        under = "events a second on the canary, nine times as many on control"
        yield label((left + right) / 2, bottom + 46, under, "q", "middle")
        yield from curve(0, [(x(rate), y(rise)) for rate, rise, _ in limits])
        for rate, rise, found in limits:
            yield label(x(rate) + 8, y(rise) - 10, f"+{percent(rise)}", "t-ours")
            yield label(x(rate) - 8, y(rise) + 22, f"{found:.0%} found", "q", "end")

    says = (
        "The smallest rise over 0.1 % bad that a PASS says it would have seen, and how often that very rise is found."
    )
    return page(760, 460, "What 60 seconds can show", says, body())
