"""The report of one rollout, and of several on one page: HTML that fetches nothing and reads well on paper.

Its order is the order of a person's questions: what happened and why; was the promise kept; show me; on what evidence;
what do I do now; what does the record say; what does git say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from controller.faces import timeline, words
from controller.faces.page import OUTCOME_KIND, asset, badge, bar, command, page, phase_badge
from controller.model import Outcome, Phase
from controller.story import COMING, OVER, RUNNING, UNUSED, WITHIN, Judged, Past, Spent, Story

EXPLAINED = (
    "Evidence is how many times likelier these counts are if the candidate is worse than if it is not. Looking at it "
    "every second does not spoil it: by chance, a good release goes back at most once in {threshold:,.0f}. The "
    "balancer counted both arms, not the application."
)


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
    yield f"{of.harmed:,}", f"requests harmed, of {of.clients:,} clients"
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
        yield words.seconds(of.exposure_s), f"from T0 until gone, {story.rollout.budget.limit:.0f} s allowed"
    elif "promoted" in story.marks:
        yield words.seconds(story.marks["promoted"]), "from T0 until promoted"


# ---- was the promise kept -----------------------------------------------------------------------------------------

KEPT = {
    True: "Was the promise kept? Yes: every stage stayed within its budget",
    False: "Was the promise kept? No: a stage took longer than its budget",
    None: "Budgets, while it goes on",
}


def budgets_card(story: Story) -> str:
    cells = "".join(budget(spent) for spent in story.spent)
    promise = words.promised(story)
    return (
        f'<section class="card"><h2>{KEPT[story.kept]}</h2><div class="budgets num">{cells}</div>'
        f'<p class="soft small" style="margin-top:10px">{escape(promise[0].upper() + promise[1:])}.</p></section>'
    )


SIGNS = {
    WITHIN: '<span class="fine">✓</span>',
    OVER: '<span class="harm">✗ over budget</span>',
    RUNNING: '<span class="cand">◆ running</span>',
    UNUSED: '<span class="soft">not needed</span>',
    COMING: "",
}


def budget(spent: Spent) -> str:
    cls = spent.state if spent.state in (OVER, RUNNING) else ""
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
        cells = [f"{tick.t:+.1f} s", tick.phase, *(words.share(tick.shares.get(zone, 0.0)) for zone in zones)]
        cells += [words.evidence(tick.evidence[key]) if key in tick.evidence else "" for key in keys]
        cells += ["" if tick.together is None else words.evidence(tick.together), f"{tick.requests:,}"]
        changed = [f"{node} {state}" for node, state in tick.nodes.items() if state != "last good"]
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in (*cells, ", ".join(changed) or "all on last good")))
    return f'<table class="num"><tr>{head}</tr>{"".join(f"<tr>{row}</tr>" for row in rows)}</table>'


# ---- on what evidence ---------------------------------------------------------------------------------------------


def evidence_card(story: Story) -> str:
    if not story.checks:
        none = "Nothing was judged: evidence begins with the candidate's first request."
        return f'<section class="card"><h2>On what evidence</h2><p class="soft">{none}</p></section>'
    head = "<tr><th>check</th><th>candidate</th><th>last good</th><th>evidence</th><th>finding</th></tr>"
    rows = "".join(check_row(story, judged) for judged in story.checks)
    explained = EXPLAINED.format(threshold=story.threshold)
    return (
        f'<section class="card"><h2>On what evidence</h2><table class="evidence">{head}{rows}{together_row(story)}'
        "</table>"
        f'<p class="soft small" style="margin-top:10px">{explained}</p></section>'
    )


def check_row(story: Story, judged: Judged) -> str:
    finding, arms = judged.finding, words.both_arms(judged)
    name = f"<b>{escape(words.check_name(story, judged))}</b><br><span class='soft small'>{escape(judged.asks)}</span>"
    if arms is None:
        word = {Outcome.PASS: "holds", Outcome.FAIL: "broken"}.get(finding.outcome, "")
        cells = (word, "", '<span class="soft">exact</span>')
        if finding.outcome is not Outcome.PASS:
            name += f"<br><span class='small'>{escape(finding.sentence)}</span>"
    else:
        strong = "b" if judged.suspicious else "span"
        hue = ' class="harm"' if judged.suspicious else ""
        (share, counts), (share_then, counts_then) = arms
        cells = (
            f"<{strong}{hue}>{share}</{strong}><br><span class='soft'>{counts}</span>",
            f"{share_then}<br><span class='soft'>{counts_then}</span>",
            f"<{strong}{hue}>{words.evidence(finding.evidence or 0.0)}</{strong}>{sees(finding.sees_from)}",
        )
    said = badge(OUTCOME_KIND[finding.outcome], f"{SIGN[finding.outcome]}{words.OUTCOME_WORDS[finding.outcome]}")
    return row(name, *cells, said)


SIGN = {
    Outcome.PASS: "✓ ",
    Outcome.WAIT: "",
    Outcome.INCONCLUSIVE: "◷ ",
    Outcome.ERROR: "? ",
    Outcome.INCIDENT: "◷ ",
    Outcome.FAIL: "✗ ",
}


def sees(limit: float | None) -> str:
    return "" if limit is None else f"<br><span class='soft small'>sees from {words.smallest_harm(limit)}</span>"


def row(name: str, candidate: str, last_good: str, evidence: str, finding: str) -> str:
    return (
        f'<tr><td>{name}</td><td class="num" data-of="candidate">{candidate}</td>'
        f'<td class="num" data-of="last good">{last_good}</td><td class="num" data-of="evidence">{evidence}</td>'
        f"<td>{finding}</td></tr>"
    )


def together_row(story: Story) -> str:
    if story.together is None or not any(judged.statistical for judged in story.checks):
        return ""
    proven = story.together >= story.threshold
    value = f"<b{' class=harm' if proven else ''}>{words.evidence(story.together)}</b>"
    value += f"<br><span class='soft small'>goes back at {story.threshold:,.0f}</span>"
    return row("<b>together</b><br><span class='soft small'>mean of the checks</span>", "", "", value, "")


# ---- what now -----------------------------------------------------------------------------------------------------

CALM = {
    Phase.PROMOTED: "Nothing has to be done.",
    Phase.REVERTED: "Nothing has to be done tonight: {environment} serves <span class='mono good'>{base}</span>.",
    Phase.SUPERSEDED: "Nothing has to be done.",
    Phase.HELD: "{environment} serves <span class='mono good'>{base}</span>; somebody should look in the morning.",
    Phase.STUCK: "A person is needed.",
}


def now_card(story: Story) -> str:
    calm = CALM.get(story.phase, "").format(environment=escape(story.environment), base=story.base or "nothing")
    first = f'<p style="margin-bottom:8px">{calm}</p>' if calm else ""
    advice = "".join(f'<p class="soft">{escape(one.says)}</p>{command(one.command)}' for one in story.advice)
    return f'<section class="card"><h2>What now</h2>{first}{advice}{runs(story)}</section>'


def runs(story: Story) -> str:
    """The last rollouts as bars as high as they were long on trial."""
    if len(story.past) < 2:
        return ""
    longest = max([one.seconds or 0.0 for one in story.past] + [1.0])
    bars = "".join(past_bar(one, longest, one.number == story.number) for one in story.past)
    good = sum(one.phase is Phase.PROMOTED for one in story.past)
    bad = sum(one.phase is Phase.REVERTED for one in story.past)
    return (
        f'<h2 style="margin-top:20px">Last {len(story.past)} rollouts of {escape(story.app)} in '
        f'{escape(story.environment)}</h2><div class="runs">{bars}</div>'
        f'<p class="soft small">Height: seconds on trial. {good} promoted ✓, {bad} reverted ✗, '
        f"{len(story.past) - good - bad} otherwise ◷.</p>"
    )


def past_bar(one: Past, longest: float, this: bool) -> str:
    kind, sign = PAST.get(one.phase, ("warn", "◷"))
    high = max(3.0, (one.seconds or 0.0) / longest * 44)
    said = f"rollout {one.number}, {one.commit[:7]}: {one.phase}, {words.seconds(one.seconds, 'no time')} on trial"
    faint = "" if this else ";opacity:.5"
    return (
        f'<span title="{escape(said)}"><i style="height:{high:.0f}px;background:var(--{kind}){faint}"></i>'
        f"{f'<b>{sign}</b>' if this else sign}</span>"
    )


PAST = {Phase.PROMOTED: ("fine", "✓"), Phase.REVERTED: ("harm", "✗"), Phase.STUCK: ("harm", "✗")}


# ---- the record ---------------------------------------------------------------------------------------------------

MOMENT_KIND = {
    "deploy": "good", "wave": "good", "ready": "good", "watch": "cand", "revert": "harm", "return": "harm",
    "traffic": "harm", "stuck": "harm", "back": "good", "gone": "good", "promote": "fine", "settled": "fine",
    "order": "warn", "lead": "warn",
}  # fmt: skip


def record_card(story: Story) -> str:
    rows = "".join(
        f'<tr><td class="mono num">{words.clock(moment.at)}</td>'
        f'<td class="mono num soft">{words.since_t0(moment.t)}</td>'
        f"<td>{badge(MOMENT_KIND.get(moment.kind, 'none'), moment.kind)}</td><td>{escape(moment.text)}</td></tr>"
        for moment in story.moments
    )
    return f'<section class="card"><h2>From the ledger</h2><table class="record">{rows}</table></section>'


def git_card(story: Story) -> str:
    git = story.git
    if git is None:
        says = "nothing was pushed, the verdict is a note on the commit" if story.over else "nothing yet"
        if story.phase is Phase.REVERTED:
            says = "the revert commit is waiting for git to answer"
        return f'<section class="card"><h2>What git says</h2><p class="soft">{says[0].upper()}{says[1:]}.</p></section>'
    if git.commit is None:
        said = f"No revert commit was needed: {git.why}"
        return f'<section class="card"><h2>What git says</h2><p class="soft">{escape(said)}</p></section>'
    return (
        f'<section class="card"><h2>What git says: <span class="mono">{git.commit[:7]}</span> on '
        f"{escape(story.environment)}</h2><pre>{escape(git.message.strip())}</pre></section>"
    )


def footer(story: Story) -> str:
    return (
        f"<footer>Drawn from ledger rows {story.first_row:,} to {story.last_row:,} "
        f"(hash {story.hash[:6]}…{story.hash[-4:]}). "
        f"The same as JSON: <code>turnabout show {escape(story.environment)} {story.number} --json</code>. "
        "This file fetches nothing.</footer>"
    )


# ---- several on one page ------------------------------------------------------------------------------------------


def several(title: str, sentence: str, stories: Sequence[Story], kept: bool | None = None, above: str = "") -> str:
    """One page for several rollouts: a line and a timeline of each, and the rest of its report folded under it.

    ``above`` is HTML that stands under the sentence, such as a table of figures.
    """
    verdict = {True: badge("fine", "✓ KEPT"), False: badge("harm", "✗ NOT KEPT"), None: ""}[kept]
    links = "".join(
        f'<tr><td>{phase_badge(story.phase)}</td><td><a href="#{anchor(story)}">{escape(story.environment)} '
        f"{escape(story.app)}</a></td><td>{escape(story.rollout.subject)}</td>"
        f'<td class="num">{escape(words.promised(story))}</td></tr>'
        for story in stories
    )
    head = (
        f'<section class="card"><div class="top">{verdict}<h1>{escape(title)}</h1></div>'
        f'<p class="why">{escape(sentence)}</p>{above}<table class="index">{links}</table></section>'
    )
    body = "\n".join([bar("Turnabout"), timeline.PATTERNS, head, *(card(story) for story in stories)])
    return page(
        title, f"{body}\n<footer>This file fetches nothing.</footer>", asset("report.css"), asset("timeline.js")
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
