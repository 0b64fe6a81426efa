"""How numbers, times and outcomes are written, the same on every surface."""

from __future__ import annotations

from datetime import UTC, datetime

from controller.judge.verdict import count, percent, rate
from controller.model import Outcome, Phase
from controller.stories.story import LAST_GOOD, Judged, Standstill, Story

PROOF = 99_999.0
"""Beyond this a larger number tells nobody anything."""


def seconds(value: float | None, none: str = "") -> str:
    return none if value is None else f"{value:.1f} s"


def clock(at: float) -> str:
    """UTC to a tenth of a second."""
    moment = datetime.fromtimestamp(round(at, 1), UTC)
    return f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"


def time_of_day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def day(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%a} {moment.day} {moment:%b %Y, %H:%M} UTC"


def since_t0(t: float | None) -> str:
    return "" if t is None else f"{round(t, 1) + 0.0:+.1f} s"  # adding zero takes the sign from a zero


def of_clients(clients: int, comma: str = "") -> str:
    """Whom the harm fell on; of nobody nothing is said."""
    return "" if clients == 0 else f"{comma} of {clients:,} client{'' if clients == 1 else 's'}"


def requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def ago(then: float, now: float) -> str:
    """An age in its two largest words."""
    left = max(0.0, now - then)
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if left >= size:
            n = int(left // size)
            return f"{n} {name}{'' if n == 1 else 's'}"
    return f"{int(left)} s"


def evidence(value: float) -> str:
    """An e-value: one decimal while it is small, and never an endless number."""
    if value > PROOF:
        return f">{PROOF:,.0f}"
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def smallest_harm(value: float | None) -> str:
    """From which rise of bad events on a check would have shown."""
    return "nothing yet" if value is None else percent(value)


def share(value: float) -> str:
    return f"{value * 100:.0f} %"


def on_worst_path(judged: Judged) -> tuple[str, tuple[str, str], tuple[str, str]] | None:
    """The path that the sentence of a failed check names, with both arms on it; None where it is all there is."""
    finding, worst = judged.finding, judged.finding.worst
    if worst is None or (worst.canary, worst.control) == (finding.canary, finding.control):
        return None
    canary, control = ((percent(arm.share), count(arm)) for arm in (worst.canary, worst.control))
    return f"on {worst.path}", canary, control


def both_arms(judged: Judged) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """(share, counts) of the candidate and of last good; None for a check without counts."""
    canary, control = judged.finding.canary, judged.finding.control
    if canary is None or control is None:
        return None
    if judged.kind == "missing_events":
        said = [(rate(arm), f"{arm.bad:,} in {arm.total:,}") for arm in (canary, control)]
    else:
        said = [(percent(arm.share), count(arm)) for arm in (canary, control)]
    return said[0], said[1]


def check_name(story: Story, judged: Judged) -> str:
    """The name of a check; with several applications, whose it is."""
    finding = judged.finding
    return finding.check if len(story.rollout.lanes) == 1 else f"{finding.app} {finding.check}"


def zone_name(story: Story, app: str, zone: str) -> str:
    return zone if len(story.rollout.lanes) == 1 else f"{app} {zone}"


def unled(still: Standstill) -> str:
    """That nobody is there to move anything, and what that means."""
    if still.last_at is None:
        return "nothing was ever led here; turnabout run starts a controller"
    since = f"last row {ago(still.last_at, still.at)} ago"
    return f"no controller leads it ({since}): nothing moves and orders wait; turnabout run starts one"


def blocks(still: Standstill) -> list[str]:
    """Why what the branch asks for is not looked at, and since when."""
    return [f"{one.why.strip()}\n(since {day(one.since)}, {ago(one.since, still.at)} ago)" for one in still.blocked]


def promised(story: Story) -> str:
    """What became of the promise, in one sentence without its full stop."""
    limit, gone = story.rollout.budget.limit, story.figures.exposure_s
    if gone is not None and story.went_back_alone:
        return f"gone by {gone:.1f} s after it began, when a controller looked again; {limit:.0f} s were allowed"
    if gone is not None:
        return f"gone {gone:.1f} s after it began; {limit:.0f} s were allowed"
    if "promoted" in story.marks:
        return f"promoted {story.marks['promoted']:.1f} s after it began"
    if story.phase is Phase.STUCK and story.rollout.heading is None:
        return "frozen behind a one-way door: no deadline takes it back"
    if story.over:
        return "it never left last good: no node was asked for anything"
    if story.gone_by is not None:
        by = time_of_day(story.gone_by)
        if story.at >= story.gone_by:
            late = ", ".join(node for node, state in story.nodes.items() if state != LAST_GOOD)
            return f"it was to be gone by {by}; {late or 'a balancer'} has not said so"
        return f"if it is not promoted it is gone by {by}: the nodes hold this deadline themselves"
    return f"once it begins it is promoted or gone within {limit:.0f} s"


OUTCOME_WORDS = {
    Outcome.PASS: "PASS",
    Outcome.WAIT: "undecided",
    Outcome.INCONCLUSIVE: "unclear",
    Outcome.ERROR: "not seen",
    Outcome.INCIDENT: "INCIDENT",
    Outcome.FAIL: "FAIL",
}
