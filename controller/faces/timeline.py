"""The timeline of one rollout as SVG: phases, evidence, traffic, one lane for each node, harm, all on one axis.

Drawn from a Story alone; every colour has a hatching, a dash or a word beside it, and the colours come from the page.
"""

from __future__ import annotations

import json
from html import escape

from controller.faces import words
from controller.faces.curves import HIGH, evidence_row, judged
from controller.faces.marks import lines, moments_row
from controller.faces.svg import LEFT, RIGHT, WIDTH, Axis, across, label, rect, stairs
from controller.model import Phase
from controller.stories.story import CANDIDATE, EMPTY, LAST_GOOD, SILENT, STARTING, STOPPING, UNSEEN, Span, Story

PATTERNS = """<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>
<pattern id="starting" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="6" height="6" fill="var(--cand-bg)"/><rect width="3" height="6" fill="var(--cand)"/></pattern>
<pattern id="stopping" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">
<rect width="6" height="6" fill="var(--good-bg)"/><rect width="3" height="6" fill="var(--good)"/></pattern>
<pattern id="silent" width="5" height="5" patternUnits="userSpaceOnUse">
<rect width="5" height="5" fill="var(--warn-bg)"/><rect x="1" y="1" width="2" height="2" fill="var(--warn)"/></pattern>
</defs></svg>"""

FILL = {
    CANDIDATE: 'fill="var(--cand)"',
    STARTING: 'fill="url(#starting)"',
    LAST_GOOD: 'fill="var(--good)" opacity=".32"',
    STOPPING: 'fill="url(#stopping)"',
    SILENT: 'fill="url(#silent)"',
    UNSEEN: 'fill="var(--track)"',
    EMPTY: 'fill="none" stroke="var(--faint)"',
}
SWATCH = {
    CANDIDATE: "background:var(--cand)",
    STARTING: "background:repeating-linear-gradient(45deg,var(--cand) 0 3px,var(--cand-bg) 3px 6px)",
    LAST_GOOD: "background:var(--good);opacity:.32",
    STOPPING: "background:repeating-linear-gradient(-45deg,var(--good) 0 3px,var(--good-bg) 3px 6px)",
    SILENT: "background:radial-gradient(var(--warn) 35%,var(--warn-bg) 40%) 0 0/5px 5px",
    UNSEEN: "background:var(--track)",
    EMPTY: "border:1px solid var(--faint)",
}
PHASE_FILL = {
    "staging": ("track", "soft"),
    "settling": ("fine-bg", "fine"),
    Phase.DEPLOYING: ("good-bg", "good"),
    Phase.WATCHING: ("cand-bg", "cand"),
    Phase.REVERTING: ("harm", "on"),
    Phase.RETURNING: ("harm", "on"),
    Phase.PROMOTED: ("fine-bg", "fine"),
    Phase.REVERTED: ("harm-bg", "harm"),
    Phase.HELD: ("warn-bg", "warn"),
    Phase.SUPERSEDED: ("track", "soft"),
    Phase.STUCK: ("harm", "on"),
}


def axis(story: Story) -> Axis:
    end = max(story.t or 0.0, *(tick.t for tick in story.ticks), 1.0)
    staging = min([0.0, *(span.begin for span in story.spans)])
    pad = 0.13 if rests(story) else 0.03
    return Axis(max(staging, -0.1 * end) - 0.035 * end, end * (1 + pad))


def rests(story: Story) -> bool:
    """The last phase is drawn to the end: nothing changes it soon."""
    return story.over or story.phase is Phase.STUCK


def drawn(story: Story) -> str:
    """The chart with its key and the numbers for the pointer; a sentence where nothing was begun."""
    if story.t0_at is None:
        return '<p class="soft">No node was asked for anything, so there is nothing to draw.</p>'
    scale = axis(story)
    data = json.dumps(pointed(story, scale), ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<div class="key">{key(story)}</div><div class="chart">{svg(story, scale)}<div class="tip"></div>'
        f'<script type="application/json">{data}</script></div>'
    )


def key(story: Story) -> str:
    ran = [span.name for spans in story.paths.values() for span in spans]
    states = [LAST_GOOD, STARTING, CANDIDATE, STOPPING]
    states += [state for state in (SILENT, UNSEEN, EMPTY) if state in ran]
    return "".join(f'<span><i style="{SWATCH[state]}"></i>{state}</span>' for state in states)


def pointed(story: Story, scale: Axis) -> dict[str, object]:
    """What the pointer shows, second by second."""
    ticks = []
    for tick in story.ticks:
        evidence = "" if tick.together is None else f"\nevidence {words.evidence(tick.together)}"
        shares = "".join(f"\n{zone.split('/')[1]} {words.share(share)}" for zone, share in tick.shares.items())
        ticks.append(
            {"t": tick.t, "says": f"{words.since_t0(tick.t)}  {tick.phase}{evidence}\nharmed {tick.requests:,}{shares}"}
        )
    return {"begin": scale.begin, "end": scale.end, "left": LEFT, "right": RIGHT, "width": WIDTH, "ticks": ticks}


# ---- the rows -----------------------------------------------------------------------------------------------------


def svg(story: Story, scale: Axis) -> str:
    marks, top = moments_row(story, scale)
    rows, y = [phases_row(story, scale, top)], top + 40
    if judged(story):
        rows.append(evidence_row(story, scale, y))
        y += HIGH + 22
    for lane in story.rollout.lanes:
        for zone in lane.zones:
            rows.append(share_row(story, scale, y, f"{lane.app}/{zone}", words.zone_name(story, lane.app, zone)))
            y += 30
    y += 8
    for lane in story.rollout.lanes:
        for names in lane.zones.values():
            for node in names:
                rows.append(path_row(story, scale, y, node, node in lane.controls))
                y += 19
            y += 6
    rows.append(harm_row(story, scale, y + 8))
    y += 56
    rows += [lines(marks, top - 4, y), axis_row(story, scale, y)]
    rows.append(
        f'<line class="cursor" y1="{top}" y2="{y}" stroke="var(--ink)" stroke-width=".8" style="display:none"/>'
    )
    name = f"{story.environment}-r{story.number}"
    return (
        f'<svg class="timeline" viewBox="0 0 {WIDTH} {y + 26:.0f}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">Timeline of rollout {story.number} in {escape(story.environment)}</title>'
        f'<desc id="{name}-d">Phases, evidence against its threshold, traffic of each zone, what each node ran, harmed '
        f"requests. The table below says the same.</desc>{''.join(rows)}</svg>"
    )


def phases_row(story: Story, scale: Axis, y: float) -> str:
    out = [label(0, y + 16, "phase", "head")]
    for i, span in enumerate(story.spans):
        end = scale.end if i == len(story.spans) - 1 and rests(story) else span.end
        back, ink = PHASE_FILL[span.name]
        out.append(
            rect(
                scale, (span.begin, end), y, 23, f'fill="var(--{back})"', f"{span.name}, {span.end - span.begin:.1f} s"
            )
        )
        x0, x1 = scale.x(span.begin), scale.x(end)
        if x1 - x0 > len(span.name) * 8.8 + 4:
            out.append(label((x0 + x1) / 2, y + 16, span.name, "strong" if span.name.isupper() else "", "middle", ink))
    return "".join(out)


def share_row(story: Story, scale: Axis, y: float, key: str, name: str) -> str:
    high, most = 22.0, max((tick.shares.get(key, 0.0) for tick in story.ticks), default=0.0)
    out = [label(0, y + 15, f"{name} traffic" if len(name) < 9 else name[:16], "head")]
    out.append(rect(scale, (scale.begin, scale.end), y, high, 'fill="var(--good-bg)"'))
    last = scale.end if story.over else story.t or 0.0
    steps = [(tick.t, tick.shares.get(key, 0.0)) for tick in story.ticks]
    off = story.marks.get("traffic_off")
    if off is not None:
        steps = [step for step in steps if step[0] < off] + [(off, 0.0)]
    points = [(t, y + high * (1 - share)) for t, share in [*steps, (last, steps[-1][1] if steps else 0.0)]]
    if most:
        said = f"{name}: up to {words.share(most)} of its traffic on the candidate"
        floor = f"V{y + high:.1f}H{scale.x(points[0][0]):.1f}Z"
        area = f'd="{stairs(scale, points)}{floor}" fill="var(--cand)" opacity=".85"'
        out.append(f"<path {area}><title>{said}</title></path>")
    out.append(label(WIDTH - RIGHT + 8, y + 15, f"up to {words.share(most)}", "num", "start", "cand" if most else ""))
    return "".join(out)


def path_row(story: Story, scale: Axis, y: float, node: str, control: bool) -> str:
    out = [label(0, y + 10, node if len(node) <= 15 else f"{node[:14]}…")]
    spans = story.paths[node]
    for i, span in enumerate(spans):
        end = scale.end if i == len(spans) - 1 and story.over else span.end
        begin = scale.begin if i == 0 else span.begin
        out.append(rect(scale, (begin, end), y, 12, FILL[span.name], f"{node}: {said(span)}"))
    if control:
        out.append(label(WIDTH - RIGHT + 8, y + 10, "control"))
    elif story.nodes[node] == SILENT:
        out.append(label(WIDTH - RIGHT + 8, y + 10, "silent", "strong", "start", "warn"))
    return "".join(out)


def said(span: Span) -> str:
    return f"{span.name}, {words.since_t0(span.begin)} to {words.since_t0(span.end)}"


def harm_row(story: Story, scale: Axis, y: float) -> str:
    high, most = 36.0, story.figures.harmed
    base = y + high
    out = [label(0, y + 12, "harmed", "head"), label(0, y + 27, "requests")]
    out.append(across(base, 'class="grid"'))
    if most == 0:
        return "".join([*out, label(WIDTH - RIGHT + 8, base - 2, "none")])
    points = [(0.0, base), *((tick.t, base - tick.requests / most * high) for tick in story.ticks)]
    points.append((scale.end if story.over else story.t or 0.0, base - high))
    curve = stairs(scale, points)
    ink, back = ("soft", "track") if "promoted" in story.marks else ("harm", "harm-bg")
    out.append(f'<path d="{curve}V{base:.1f}H{scale.x(0.0):.1f}Z" fill="var(--{back})"/>')
    out.append(f'<path d="{curve}" fill="none" stroke="var(--{ink})" stroke-width="1.6"/>')
    out.append(label(WIDTH - RIGHT + 8, y + 8, f"{most:,}", "strong", "start", ink))
    return "".join(out)


def axis_row(story: Story, scale: Axis, y: float) -> str:
    assert story.t0_at is not None
    out = [across(y, 'class="axis"')]
    for t in range(0, int(scale.end) + 1, scale.step):
        x = scale.x(t)
        out.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{y + 4:.1f}"/>')
        out.append(label(x, y + 18, f"{t} s", "num", "middle"))
    out.append(label(WIDTH - RIGHT + 8, y + 18, f"since {words.time_of_day(story.t0_at)} UTC"))
    return "".join(out)
