"""The lower cards of a report: on what evidence, what now, what the ledger says, what git says."""

from __future__ import annotations

from html import escape

from controller.faces import words
from controller.faces.page import OUTCOME_KIND, badge, command
from controller.model import CLOSED, Outcome, Phase
from controller.stories.advice import again, waits_for_person
from controller.stories.story import Judged, Moment, Past, Story

EXPLAINED = (
    "Evidence is how many times likelier these counts are if the candidate is worse than if it is not. Looking at it "
    "every second does not spoil it: by chance, a good release goes back at most once in {threshold:,.0f}. The "
    "balancer counted both arms, not the application."
)


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
    worst = words.on_worst_path(judged)
    there = there_then = ""
    if worst is not None:
        name += f"<br><span class='small'>above: all paths; below: {escape(worst[0])}</span>"
        there, there_then = below(worst[1]), below(worst[2])
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
            f"<{strong}{hue}>{share}</{strong}><br><span class='soft'>{counts}</span>{there}",
            f"{share_then}<br><span class='soft'>{counts_then}</span>{there_then}",
            f"<{strong}{hue}>{words.evidence(finding.evidence or 0.0)}</{strong}>{sees(finding.sees_from)}",
        )
    said = badge(OUTCOME_KIND[finding.outcome], f"{SIGN[finding.outcome]}{words.OUTCOME_WORDS[finding.outcome]}")
    return row(name, *cells, said)


def below(arm: tuple[str, str]) -> str:
    """What one arm counted on the path that the sentence names, under what it counted on all paths."""
    share, counts = arm
    return f"<br><span class='small'>{share} <span class='soft'>{counts}</span></span>"


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
    Phase.HELD: "{environment} serves <span class='mono good'>{base}</span>; {held}.",
    Phase.STUCK: "A person is needed.",
}


def now_card(story: Story) -> str:
    held = "somebody should look in the morning" if waits_for_person(story.rollout) else "it is judged again by itself"
    calm = CALM.get(story.phase, "").format(
        environment=escape(story.environment), base=story.base or "nothing", held=held
    )
    if story.later is not None and story.phase in CLOSED:
        calm = f"Nothing has to be done here any more. {escape(again(story.later))}"
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
    "deploy": "good", "wave": "good", "watch": "cand", "revert": "harm", "return": "harm",
    "traffic": "harm", "stuck": "harm", "back": "good", "gone": "good", "promote": "fine", "settled": "fine",
    "order": "warn", "lead": "warn", "synthetic": "warn",
}  # fmt: skip


def record_card(story: Story) -> str:
    rows = "".join(record_line(moment) for moment in story.moments)
    return f'<section class="card"><h2>From the ledger</h2><table class="record">{rows}</table></section>'


def record_line(moment: Moment) -> str:
    kind = MOMENT_KIND.get(moment.kind.rstrip("0123456789"), "none")
    return (
        f'<tr><td class="mono num">{words.clock(moment.at)}</td>'
        f'<td class="mono num soft">{words.since_t0(moment.t)}</td>'
        f"<td>{badge(kind, moment.kind)}</td><td>{escape(moment.text)}</td></tr>"
    )


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
