"""Tables for the commands that answer once: status, history, show, quarantine, and the counts under a check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.faces import screen, words
from controller.faces.checks import check_rows, evidence_of
from controller.faces.terminal import UNICODE, Glyphs, Prose, heading, shown
from controller.judge.verdict import count
from controller.model import Outcome, Phase
from controller.rollout.standing import Quarantined
from controller.stories.advice import hexadecimal
from controller.stories.looks import Look
from controller.stories.rejudge import Judged
from controller.stories.remedies import BECAUSE
from controller.stories.story import CANDIDATE, LAST_GOOD, Overview, Past, Story

OUTCOME_STYLE = {
    Phase.PROMOTED: "fine",
    Phase.REVERTED: "harm",
    Phase.STUCK: "harm.strong",
    Phase.HELD: "warn",
}


def table(*names: str, right: tuple[str, ...] = (), wide: str = "") -> Table:
    """Columns that keep their words whole; ``wide`` is the one that may be cut."""
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="head", pad_edge=False, expand=bool(wide))
    for name in names:
        drawn.add_column(
            name, justify="right" if name in right else "left", no_wrap=True, overflow="ellipsis",
            ratio=1 if name == wide else None,
        )  # fmt: skip
    return drawn


# ---- status -------------------------------------------------------------------------------------------------------


def status(overviews: Sequence[Overview], g: Glyphs = UNICODE) -> RenderableType:
    """What each environment runs now, and what is going on in it."""
    sections: list[RenderableType] = []
    for overview in overviews:
        sections += [*environment(overview, g), ""]
    return shown(Group(*sections[:-1]), g)


def environment(overview: Overview, g: Glyphs) -> Iterator[RenderableType]:
    led = "no controller has led it yet"
    if overview.led_at is not None:
        led = f"generation {overview.generation}, led since {words.day(overview.led_at)}"
    if overview.standstill.led is False:
        yield Text.assemble((overview.environment, "bold"), (f"  {words.unled(overview.standstill)}", "warn"))
    else:
        yield Text.assemble((overview.environment, "bold"), (f"  {led}", "quiet"))
    running = table("app", "commit", "subject", "since", wide="subject")
    running.show_header = False
    for one in overview.running:
        if one.release is None:
            running.add_row(Text(one.app), Text("nothing yet", "quiet"), "", "")
            continue
        since = f"for {words.ago(one.since, overview.at)}, rollout {one.rollout}" if one.since is not None else ""
        running.add_row(
            Text(one.app), Text(f"{g.node[LAST_GOOD]} {one.release.commit[:7]}", "lastgood"), Text(one.release.subject),
            Text(since, "quiet"),
        )  # fmt: skip
    yield Padding(running, (0, 0, 0, 2)) if overview.running else Text("  nothing was rolled out yet", "quiet")
    for why in words.blocks(overview.standstill):
        yield Padding(Text(why, "warn"), (0, 0, 0, 2))
    yield from goings_on(overview, g)


def goings_on(overview: Overview, g: Glyphs) -> Iterator[RenderableType]:
    story = overview.current
    if story is not None and not (story.over and story.phase is Phase.PROMOTED):
        line = Table.grid(padding=(0, 2))
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_row(screen.badge(story.phase), Prose(f"rollout {story.number}: {story.sentence}"))
        yield Padding(line, (0, 0, 0, 2))
    if overview.hold is not None:
        said = (
            f"held by {overview.hold.who}: {overview.hold.reason}  (turnabout resume {overview.environment} {BECAUSE})"
        )
        yield Padding(Text(said, "warn"), (0, 0, 0, 2))
    if overview.quarantine:
        named = ", ".join(f"{q.app} {hexadecimal(q.digest)} (rollout {q.rollout})" for q in overview.quarantine[-3:])
        more = f" and {len(overview.quarantine) - 3} more" if len(overview.quarantine) > 3 else ""
        yield Padding(Text(f"not tried again: {named}{more}", "quiet"), (0, 0, 0, 2))


# ---- history and quarantine ---------------------------------------------------------------------------------------


def history(past: Sequence[Past], now: float, g: Glyphs = UNICODE) -> RenderableType:
    """Every rollout in a line, the newest first."""
    if not past:
        return shown(Text("Nothing was rolled out yet.", "quiet"), g)
    drawn = table(
        "", "WHEN", "APP", "COMMIT", "OUTCOME", "ON TRIAL", "HARMED", "SUBJECT",
        right=("", "ON TRIAL", "HARMED"), wide="SUBJECT",
    )  # fmt: skip
    for one in reversed(past):
        mark = {Phase.PROMOTED: g.good, Phase.REVERTED: g.bad, Phase.STUCK: g.bad}.get(one.phase, g.open)
        drawn.add_row(
            Text(str(one.number), "quiet"), Text(f"{words.ago(one.at, now)} ago", "quiet"), Text(" + ".join(one.apps)),
            Text(one.commit[:7], "quiet"), Text(f"{mark} {one.phase}", OUTCOME_STYLE.get(one.phase, "")),
            Text(words.seconds(one.seconds, "-")), Text(f"{one.harmed:,}", "bold" if one.harmed else "quiet"),
            Text(one.subject),
        )  # fmt: skip
    return shown(drawn, g)


def quarantine(environment: str, entries: Sequence[Quarantined], g: Glyphs = UNICODE) -> RenderableType:
    """What did harm and is not tried again, and how to ask for it all the same."""
    if not entries:
        return shown(Text(f"Nothing is quarantined in {environment}.", "quiet"), g)
    drawn = table("APP", "COMMIT", "ARTEFACT", "SETTINGS", "ROLLOUT", "WHY", right=("ROLLOUT",), wide="WHY")
    for entry in entries:
        drawn.add_row(
            Text(entry.app, "bold"), entry.commit[:7], hexadecimal(entry.artifact_digest),
            hexadecimal(entry.config_digest), str(entry.rollout), Text(entry.why),
        )  # fmt: skip
    command = f"turnabout quarantine clear {environment} {entries[-1].commit[:7]} {BECAUSE}"
    return shown(Group(drawn, "", Text(f"To try one again: {command}", "quiet")), g)


# ---- show ---------------------------------------------------------------------------------------------------------


def show(story: Story, g: Glyphs = UNICODE) -> RenderableType:
    """One rollout, whole: what the screen says, then the record, what git says and what to do."""
    sections: list[RenderableType] = [
        screen.title(story, g),
        "",
        screen.sentence(story, most=99),
        "",
        screen.budgets(story, g),
        "",
    ]
    checks = [*check_rows(story, g)]
    sections += [evidence_of(story, checks, len(checks), g), "", screen.harm(story, g), "", record(story, g)]
    if story.git is not None and story.git.message:
        message = Padding(Text(story.git.message.strip(), "quiet"), (0, 0, 0, 4))
        sections += ["", Text(f"git {(story.git.commit or '')[:7]}", "head"), message]
    advice = [one for one in story.advice if one.command != f"turnabout show {story.name}"]
    if advice:
        sections += ["", *(todo(one.says, one.command) for one in advice)]
    drawn = f"rows {story.first_row:,} to {story.last_row:,} of the ledger, hash {story.hash[:12]}"
    return shown(Group(*sections, "", Text(drawn, "quiet")), g)


def record(story: Story, g: Glyphs) -> RenderableType:
    drawn = Table.grid(padding=(0, 2))
    for _ in range(3):
        drawn.add_column(no_wrap=True)
    drawn.add_column(ratio=1)
    drawn.add_row(*heading("UTC", "SINCE T0", "", "FROM THE LEDGER"))
    for moment in story.moments:
        drawn.add_row(
            Text(words.clock(moment.at)), Text(f"{words.since_t0(moment.t):>8}", "quiet"), Text(moment.kind, "bold"),
            Prose(moment.text),
        )  # fmt: skip
    return drawn


def todo(says: str, command: str) -> Text:
    return Text.assemble((f"{says}: ", "quiet"), (command, "bold"))


# ---- what was counted, and what was kept --------------------------------------------------------------------------


def samples(check: str, found: Sequence[Look], g: Glyphs = UNICODE) -> RenderableType:
    """The counts under a check: every second in which something went wrong, by zone and path."""
    if not found:
        return shown(Text(f"No look has counted a bad event for {check}.", "quiet"), g)
    drawn = table("SINCE T0", "APP", "ZONE", "PATH", "CANDIDATE", "LAST GOOD", right=("SINCE T0",), wide="PATH")
    for look in found:
        bad = Text(f"{g.node[CANDIDATE]} {count(look.canary)}", "harm.strong" if look.canary.bad else "quiet")
        drawn.add_row(
            Text(words.since_t0(look.t), "quiet"), Text(look.app), Text(look.zone), Text(look.path), bad,
            Text(f"{g.node[LAST_GOOD]} {count(look.control)}", "bold" if look.control.bad else "quiet"),
        )  # fmt: skip
    return shown(drawn, g)


def kept(calls: Sequence[Mapping[str, Any]], logs: Mapping[str, Sequence[str]], g: Glyphs = UNICODE) -> RenderableType:
    """The failing calls and the last log lines that were saved before the candidate was stopped."""
    if not calls and not logs:
        return shown(Text("Nothing was kept: no call had failed when the candidate was stopped.", "quiet"), g)
    drawn = table("UTC", "SERVER", "STATUS", "MS", "CLIENT", "PATH", right=("MS",), wide="PATH")
    for call in calls:
        at, ms = call.get("at"), call.get("ms")
        drawn.add_row(
            Text(words.clock(float(at)) if isinstance(at, int | float) else "", "quiet"),
            Text(f"{g.node[CANDIDATE]} {call.get('server', '')}", "candidate"),
            Text(str(call.get("status", "")), "harm.strong"), Text(f"{ms:.0f}" if isinstance(ms, int | float) else ""),
            Text(str(call.get("client", "")), "quiet"), Text(str(call.get("path", ""))),
        )  # fmt: skip
    sections: list[RenderableType] = [drawn] if calls else [Text("No failing call was kept.", "quiet")]
    for node, lines in sorted(logs.items()):
        title = Text(f"the last lines that the candidate logged on {node}", "head")
        sections += ["", title, *(Text(line, "quiet") for line in lines)]
    return shown(Group(*sections), g)


def judged(number: int, recorded: Phase, said: Sequence[Judged], g: Glyphs = UNICODE) -> RenderableType:
    """What judges make of a recorded rollout, beside how it ended."""
    drawn = table("JUDGE", "SAYS", "AFTER T0", "WHY", right=("AFTER T0",), wide="WHY")
    for one in said:
        style = {Outcome.FAIL: "harm.strong", Outcome.PASS: "fine"}.get(one.outcome, "bold")
        drawn.add_row(Text(one.judge), Text(str(one.outcome), style), Text(words.seconds(one.at)), Prose(one.why))
    ended, again = (f"rollout {number} ended {recorded}", "bold"), ("; judged again on what was recorded", "quiet")
    title = Text.assemble(ended, again)
    return shown(Group(title, drawn), g)
