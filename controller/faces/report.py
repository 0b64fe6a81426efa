"""The report of one rollout, and of several on one page: HTML that fetches nothing and reads well on paper.

Its order is the order of a person's questions: what happened and why; was the promise kept; show me; on what evidence;
what do I do now; what does the record say; what does git say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from controller.faces import timeline, words
from controller.faces.cards import evidence_card, git_card, now_card, record_card
from controller.faces.page import asset, bar, page, phase_badge
from controller.stories.story import COMING, NOBODYS, OVER, RUNNING, UNUSED, WITHIN, Spent, Story


def report(story: Story) -> str:
    """The page of one rollout."""
    body = [bar("Turnabout"), timeline.PATTERNS, head_card(story), budgets_card(story), timeline_card(story)]
    body += [f'<div class="two">{evidence_card(story)}{now_card(story)}</div>', record_card(story), git_card(story)]
    title = f"{story.environment} rollout {story.number}: {story.app} {story.phase}"
    return page(title, "\n".join([*body, footer(story)]), asset("report.css"), asset("timeline.js"))


# ---- what happened and why ----------------------------------------------------------------------------------------


def head_card(story: Story) -> str:
    after = f'<p class="soft">{escape(story.after)}</p>' if story.after else ""
    return (
        f'<section class="card"><div class="top">{phase_badge(story.phase)}<h1>{escape(story.environment)} · '
        f"{escape(story.app)} · {escape(story.rollout.subject)}</h1>"
        f'<span class="right soft num">rollout {story.number} · {words.day(story.t0_at or story.at)}</span></div>'
        f'<p class="why">{escape(story.sentence)}</p>{after}<p class="soft small" style="margin-top:8px">'
        f'{" &nbsp; ".join(lanes(story))}</p><div class="figures num">{figures(story)}</div></section>'
    )


def lanes(story: Story) -> Iterator[str]:
    for lane in story.rollout.lanes:
        name = f"{escape(lane.app)}: " if len(story.rollout.lanes) > 1 else ""
        base = f'<span class="good mono">● {lane.base.commit[:7]}</span> last good' if lane.base else "no last good"
        bits = lane.candidate.artifact_digest.removeprefix("sha256:")[:6]
        yield (
            f'{name}<span class="cand mono">◆ {lane.candidate.commit[:7]}</span> candidate, artefact '
            f'<span class="mono">{bits}</span> &nbsp; {base}'
        )


def figures(story: Story) -> str:
    return "".join(f"<div><b>{value}</b><span>{escape(says)}</span></div>" for value, says in numbers(story))


def numbers(story: Story) -> Iterator[tuple[str, str]]:
    """Each figure that the rollout has, with what it measures."""
    of = story.figures
    noun = "request" if of.harmed == 1 else "requests"
    yield f"{of.harmed:,}", f"{noun} harmed{words.of_clients(of.clients, ',')}"
    if of.seen_s is not None:
        yield words.seconds(of.seen_s), "from the commit to its being seen"
    if of.deploy_s is not None:
        yield words.seconds(of.deploy_s), "from T0 until every canary served"
    if of.verdict_s is not None:
        yield words.seconds(of.verdict_s), "watching until it was decided"
    if of.traffic_off_s is not None:
        yield words.seconds(of.traffic_off_s), "from the decision to traffic off"
    if of.nodes_back_s is not None:
        yield words.seconds(of.nodes_back_s), "from the decision to nodes back"
    if of.exposure_s is not None:
        gone = "a controller saw it gone" if story.went_back_alone else "gone"
        yield words.seconds(of.exposure_s), f"from T0 until {gone}, {story.rollout.budget.limit:.0f} s allowed"
    elif "promoted" in story.marks:
        yield words.seconds(story.marks["promoted"]), "from T0 until promoted"


# ---- was the promise kept -----------------------------------------------------------------------------------------

KEPT = {
    True: "Was the promise kept? Yes: every stage stayed within its budget",
    False: "Was the promise kept? No: a stage took longer than its budget",
    None: "Budgets, while it goes on",
}
ALONE = {
    True: "Was the promise kept? Yes: it was gone in time, though no controller was there",
    None: "Was the promise kept? The nodes went back by themselves, and no controller was there to see when",
}


def kept(story: Story) -> str:
    return ALONE.get(story.kept, KEPT[story.kept]) if story.went_back_alone else KEPT[story.kept]


def nobody_led(story: Story) -> str:
    """When no controller was there, and what held the promise then."""
    if not story.unled:
        return ""
    gaps = " and ".join(f"from {gap.begin:.1f} s to {gap.end:.1f} s" for gap in story.unled)
    said = f"No controller was there {gaps} after T0: these budgets were nobody's to keep, the nodes held the deadline."
    return f'<p class="soft small">{said}</p>'


def budgets_card(story: Story) -> str:
    cells = "".join(budget(spent) for spent in story.spent)
    promise = words.promised(story)
    return (
        f'<section class="card"><h2>{kept(story)}</h2><div class="budgets num">{cells}</div>'
        f'<p class="soft small" style="margin-top:10px">{escape(promise[0].upper() + promise[1:])}.</p>'
        f"{nobody_led(story)}</section>"
    )


SIGNS = {
    WITHIN: '<span class="fine">✓</span>',
    OVER: '<span class="harm">✗ over budget</span>',
    NOBODYS: '<span class="soft">no controller was there</span>',
    RUNNING: '<span class="cand">◆ running</span>',
    UNUSED: '<span class="soft">not used</span>',
    COMING: "",
}


def budget(spent: Spent) -> str:
    cls = {NOBODYS: "unled"}.get(spent.state, spent.state if spent.state in (OVER, RUNNING) else "")
    return (
        f'<div><b>{spent.name}</b> {SIGNS[spent.state]}<div class="track">'
        f'<i class="{cls}" style="width:{min(1.0, spent.used / spent.limit):.1%}"></i></div>'
        f'<span class="soft">{spent.used:.1f} of {spent.limit:.0f} s</span></div>'
    )


# ---- show me ------------------------------------------------------------------------------------------------------


def timeline_card(story: Story) -> str:
    table = (
        f'<details><summary>The same, second by second</summary><div class="seconds">{seconds(story)}</div></details>'
    )
    below = table if story.ticks else ""
    return f'<section class="card"><h2>What happened</h2>{timeline.drawn(story)}{below}</section>'


def seconds(story: Story) -> str:
    zones = [*story.shares]
    keys = dict.fromkeys(key for tick in story.ticks for key in tick.evidence)
    short = len(story.rollout.lanes) == 1
    named = [name.split("/")[1] if short else name.replace("/", " ") for name in (*zones, *keys)]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("t", "phase", *named, "together", "harmed", "nodes"))
    rows = []
    for tick in story.ticks:
        cells = [words.since_t0(tick.t), tick.phase, *(words.share(tick.shares.get(zone, 0.0)) for zone in zones)]
        cells += [words.evidence(tick.evidence[key]) if key in tick.evidence else "" for key in keys]
        cells += ["" if tick.together is None else words.evidence(tick.together), f"{tick.requests:,}"]
        changed = [f"{node} {state}" for node, state in tick.nodes.items() if state != "last good"]
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in (*cells, ", ".join(changed) or "all on last good")))
    return f'<table class="num"><tr>{head}</tr>{"".join(f"<tr>{row}</tr>" for row in rows)}</table>'


def footer(story: Story) -> str:
    return (
        f"<footer>Drawn from ledger rows {story.first_row:,} to {story.last_row:,} "
        f"(hash {story.hash[:6]}…{story.hash[-4:]}). "
        f"The same as JSON: <code>turnabout show {escape(story.name)} --json</code>. "
        "This file fetches nothing.</footer>"
    )


# ---- several on one page ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a page of several rollouts: what it is called, how it ended, and its rollouts in their order."""

    title: str
    sentence: str = ""
    sign: str = ""
    """HTML: a badge before the title."""
    stories: tuple[Story, ...] = ()


def several(title: str, sentence: str, chapters: Sequence[Chapter], sign: str = "", above: str = "") -> str:
    """One page for several rollouts: a line and a timeline of each, and the rest of its report folded under it.

    ``sign`` is HTML before the title, ``above`` HTML that stands under the sentence, such as a table of figures.
    """
    links = "".join(chapter_links(chapter) for chapter in chapters)
    head = (
        f'<section class="card"><div class="top">{sign}<h1>{escape(title)}</h1></div>'
        f'<p class="why">{escape(sentence)}</p>{above}<table class="index">{links}</table></section>'
    )
    cards = (card(story) for chapter in chapters for story in chapter.stories)
    body = "\n".join([bar("Turnabout"), timeline.PATTERNS, head, *cards])
    return page(
        title, f"{body}\n<footer>This file fetches nothing.</footer>", asset("report.css"), asset("timeline.js")
    )


def chapter_links(chapter: Chapter) -> str:
    said = f'<span class="soft">{escape(chapter.sentence)}</span>' if chapter.sentence else ""
    title = f'<tr class="chapter"><td colspan="4">{chapter.sign} <b>{escape(chapter.title)}</b> {said}</td></tr>'
    return title + "".join(
        f'<tr><td>{phase_badge(story.phase)}</td><td><a href="#{anchor(story)}">{escape(story.name)}</a> '
        f"{escape(story.app)}</td><td>{escape(story.rollout.subject)}</td>"
        f'<td class="num">{escape(words.promised(story))}</td></tr>'
        for story in chapter.stories
    )


def anchor(story: Story) -> str:
    return f"{story.environment}-{story.number}"


def card(story: Story) -> str:
    mini = "".join(
        f"<span><b>{value}</b> <span class='soft'>{escape(says)}</span></span>" for value, says in numbers(story)
    )
    return (
        f'<section class="card" id="{anchor(story)}"><div class="top">{phase_badge(story.phase)}'
        f"<h1>{escape(story.environment)} · {escape(story.app)} · {escape(story.rollout.subject)}</h1>"
        f'<span class="right soft num">rollout {story.number}</span></div><p class="why">{escape(story.sentence)}</p>'
        f'<p class="soft">{escape(story.after)}</p><div class="mini small num">{mini}</div>{timeline.drawn(story)}'
        f"<details data-print><summary>Budgets, evidence, record and git</summary>{budgets_card(story)}"
        f'<div class="two">{evidence_card(story)}{now_card(story)}</div>{record_card(story)}{git_card(story)}</details>'
        "</section>"
    )
