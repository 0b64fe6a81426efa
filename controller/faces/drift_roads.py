"""The pictures of a drift report: how many findings were open over time, and the roads that releases took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from controller.drift.finding import Kind, Moment, Report, Stop
from controller.drift.roads import strays

WIDE, HIGH, LEFT, LANE, SHOWN = 180, 34, 64, 58, 12
COLUMN, WIDEST = 78, 760
"""How far apart two stops are drawn; how wide a short road is drawn, which else would fill the page."""


def sparkline(trend: tuple[Moment, ...]) -> str:
    """The open findings of the last reports as a line; of one report nothing."""
    points = trend[-40:]
    if len(points) < 2:
        return ""
    most = max(1, *(one.open for one in points))
    across = (WIDE - 30) / (len(points) - 1)
    line = " ".join(f"{n * across:.1f},{HIGH - 5 - (HIGH - 12) * one.open / most:.1f}" for n, one in enumerate(points))
    colour = "harm" if points[-1].open else "fine"
    now, y = points[-1].open, HIGH - 1 - (HIGH - 12) * points[-1].open / most
    said = f"open findings over {len(points)} reports: from {points[0].open} to {now}"
    return (
        f'<span>open findings</span><svg class="spark" viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{said}">'
        f'<polyline points="{line}" fill="none" stroke="var(--{colour})" stroke-width="1.8"/>'
        f'<text x="{WIDE - 24}" y="{y:.1f}">{now}</text></svg>'
    )


def roads(report: Report) -> Iterator[str]:
    """A card for each application whose releases went somewhere."""
    if Kind.HISTORY not in report.kinds:
        return
    for app, ways in report.roads.items():
        ways = {name: ways[name][-SHOWN:] for name in report.environments if ways.get(name)}
        if len(ways) > 1:
            yield (
                f'<section class="card"><h2>The roads that releases of {escape(app)} took</h2><p class="soft small">'
                "● promoted &nbsp; ◁ gone back to &nbsp; ✗ not by the way before it &nbsp; a line joins the same "
                f'artefact</p><div class="scroll">{picture(app, ways)}</div></section>'
            )


def picture(app: str, ways: Mapping[str, tuple[Stop, ...]]) -> str:
    """Lane under lane, the newest on the right; a stop stands under the same artefact of the lane above, or later."""
    places: dict[str, dict[int, float]] = {}
    above: tuple[Stop, ...] = ()
    over: dict[int, float] = {}
    for name, way in ways.items():
        places[name] = dict(laid(way, above, over))
        above, over = way, places[name]
    wide = max([*(x for lane in places.values() for x in lane.values()), LEFT]) + COLUMN
    drawn = []
    names = list(ways)
    for n, name in enumerate(names):
        y = 30 + n * LANE
        drawn.append(f'<text class="name" x="0" y="{y + 4}">{escape(name)}</text>')
        drawn.append(f'<line x1="{LEFT}" x2="{wide}" y1="{y}" y2="{y}" stroke="var(--faint)"/>')
        before = ways[names[n - 1]] if n else ()
        wrong = strays(before, ways[name]) if n else {}
        if n:
            drawn += joined(before, ways[name], places[names[n - 1]], places[name], y)
        drawn += [stop(one, places[name][i], y, wrong.get(i, "")) for i, one in enumerate(ways[name])]
    said = f"Releases of {app} through {', '.join(names)}"
    size = f'viewBox="0 0 {wide:.0f} {len(names) * LANE}" style="max-width:{max(WIDEST, wide):.0f}px"'
    return f'<svg class="roads" {size} role="img" aria-label="{escape(said, quote=True)}">{"".join(drawn)}</svg>'


def laid(way: tuple[Stop, ...], above: tuple[Stop, ...], over: Mapping[int, float]) -> Iterator[tuple[int, float]]:
    at = LEFT - COLUMN / 2
    for n, one in enumerate(way):
        same = [over[i] for i, other in enumerate(above) if other.artifact == one.artifact and over[i] > at]
        at = max(at + COLUMN, same[0] + 16 if same else 0.0)
        yield n, at


def joined(
    above: tuple[Stop, ...], way: tuple[Stop, ...], over: Mapping[int, float], here: Mapping[int, float], y: int
) -> Iterator[str]:
    for n, one in enumerate(way):
        same = [over[i] for i, other in enumerate(above) if other.artifact == one.artifact and over[i] <= here[n]]
        if same:
            x0, x1, top = same[-1], here[n], y - LANE + 7
            curve = f"M{x0:.1f},{top}C{x0:.1f},{top + 26} {x1:.1f},{y - 32} {x1:.1f},{y - 7}"
            yield f'<path d="{curve}" fill="none" stroke="var(--good)" stroke-width="1.4" opacity=".55"/>'


def stop(one: Stop, x: float, y: int, wrong: str) -> str:
    tip = f"<title>rollout {one.rollout}: {escape(one.subject)}</title>"
    ink = ' style="fill:var(--harm)"' if wrong else ""
    text = f'<text class="mono" x="{x + 9:.1f}" y="{y - 7}"{ink}>{one.commit[:4]}</text>'
    if wrong:
        shape = f'<text x="{x - 5:.1f}" y="{y + 5}" style="fill:var(--harm);font-weight:700;font-size:15px">✗</text>'
    elif one.back:
        shape = f'<path d="M{x + 5:.1f},{y - 6}L{x - 6:.1f},{y}L{x + 5:.1f},{y + 6}Z" fill="var(--warn)"/>'
    else:
        shape = f'<circle cx="{x:.1f}" cy="{y}" r="6" fill="var(--good)"/>'
    return f"<g>{tip}{shape}{text}</g>"
