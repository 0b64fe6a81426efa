"""The evidence of a rollout as curves on a logarithmic scale, against the threshold at which it goes back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from controller.faces import words
from controller.faces.svg import LEFT, RIGHT, WIDTH, Axis, across, apart, label, stairs
from controller.stories.story import SUSPICIOUS, Story, Tick

HIGH = 140.0
HIGHEST = 1e9
"""Evidence beyond this is drawn here: nobody needs a chart of certainty."""
DASHES = ("", "5 3", "2 3", "8 3 2 3")


def judged(story: Story) -> tuple[Tick, ...]:
    return tuple(tick for tick in story.ticks if tick.together is not None)


def evidence_row(story: Story, scale: Axis, y: float) -> str:
    """Curves from 1, which says nothing; what lies below is drawn on the line."""
    ticks, threshold = judged(story), story.threshold
    highest = max(min(value, HIGHEST) for tick in ticks for value in (tick.together or 1.0, *tick.evidence.values()))
    decades = math.log10(max(threshold * 6, highest * 1.6))

    def at(value: float) -> float:
        return y + HIGH * (1 - math.log10(min(max(value, 1.0), HIGHEST * 1.6)) / decades)

    limit, last = at(threshold), ticks[-1]
    out = [label(0, y + 12, "evidence", "head"), label(0, y + 28, "of harm,"), label(0, y + 42, "log scale")]
    out += grid(decades, threshold, at)
    out.append(across(limit, 'stroke="var(--harm)" stroke-dasharray="6 4"'))
    out.append(label(LEFT - 8, limit + 4, f"{threshold:,.0f}", "strong", "end", "harm"))
    ends = [(limit, "goes back", "harm", "")]
    for dash, name in zip(DASHES, worth_a_curve(ticks), strict=False):
        curve = stairs(scale, [(tick.t, at(tick.evidence.get(name, 1.0))) for tick in ticks])
        paint = f'fill="none" stroke="var(--soft)" stroke-width="1.1" stroke-dasharray="{dash}"'
        out.append(f'<path d="{curve}" {paint}/>')
        value = last.evidence.get(name, 1.0)
        ends.append((at(value), f"{name.split('/')[1]} {words.evidence(value)}", "", ""))
    value = last.together or 0.0
    colour = "harm" if value >= SUSPICIOUS else "fine"
    out += together(scale, [(tick.t, at(tick.together or 1.0)) for tick in ticks], at(1.0), colour)
    ends.append((at(value), f"together {words.evidence(value)}", colour, "strong"))
    out += [label(WIDTH - RIGHT + 8, where + 4, text, cls, "start", ink) for where, text, ink, cls in apart(ends, 14.0)]
    return "".join(out)


def grid(decades: float, threshold: float, at: Callable[[float], float]) -> Iterator[str]:
    for power in range(0, int(decades) + 1, 1 if decades < 6 else 3):
        yield across(at(10**power), 'class="grid"')
        if 10**power != threshold:
            yield label(LEFT - 8, at(10**power) + 4, f"{10**power:,}", "num", "end")


def worth_a_curve(ticks: Sequence[Tick]) -> list[str]:
    """The checks, the strongest first, that ever said anything; alone, a check is what is together."""
    names = ticks[-1].evidence
    if len(names) < 2:
        return []
    ever = {name: max(tick.evidence.get(name, 1.0) for tick in ticks) for name in names}
    return sorted((name for name in names if ever[name] > 1.5), key=lambda name: -ever[name])


def together(scale: Axis, points: Sequence[tuple[float, float]], floor: float, colour: str) -> Iterator[str]:
    """The curve that decides, filled to the line, with a point where it ends."""
    curve, (t, y) = stairs(scale, points), points[-1]
    down = f"V{floor:.1f}H{scale.x(points[0][0]):.1f}Z"
    yield f'<path d="{curve}{down}" fill="var(--{colour}-bg)" opacity=".75"/>'
    yield f'<path d="{curve}" fill="none" stroke="var(--{colour})" stroke-width="2.2"/>'
    yield f'<circle cx="{scale.x(t):.1f}" cy="{y:.1f}" r="4.5" fill="var(--{colour})"/>'
