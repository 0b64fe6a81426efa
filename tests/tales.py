"""Ledgers of whole rollouts, played second by second: real rollouts, real samples, judged by the real verdict.

Deterministic: counts come from a seeded generator, times are made up, nothing is read. What a node or a balancer would
have done is written down here by hand; what follows from it is left to the code under test.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, wraps
from typing import Any

from controller.judge.samples import Cell, Counts, Sample
from controller.judge.verdict import Terms, verdict
from controller.judge.weighing import Judgement, look
from controller.model import (
    AppRelease,
    Cause,
    Check,
    Lane,
    Outcome,
    Phase,
    Rollout,
    Verdict,
)
from controller.rollout import rows
from controller.rollout.rows import GENESIS, Row, canonical, chain
from controller.rollout.turning import back, enter
from controller.stories.story import CANDIDATE, LAST_GOOD, SILENT, STARTING, STOPPING
from environments import Budget

T0_AT = 1795442534.0
"""2026-11-23 14:02:14 UTC."""
BOOT = 5000.0
READ = "GET /readings/{device}"
ERRORS = Check("errors", "share", paths=(READ, "POST /readings"), smallest_harm=0.02)
SLOW = Check("slow", "slower_than_control_p95", smallest_harm=0.05)
STORED = Check("stored", "conservation", law="acked = stored + duplicate")
PAGES = Check("pages", "share", about="existing", paths=("GET /customers/{id}",))


def digest(seed: str) -> str:
    return f"sha256:{random.Random(seed).getrandbits(256):064x}"


def release(app: str, commit: str, subject: str = "", **changes: Any) -> AppRelease:
    bits, settings = digest(f"{app} {commit} bits"), digest(f"{app} settings")
    return AppRelease(app, digest(f"{app} {commit}"), bits, settings, commit, subject, **changes)


def mqtt(candidate: str, base: str | None, subject: str = "", **changes: Any) -> Lane:
    return Lane(
        "mqtt",
        release("mqtt", candidate, subject, **changes),
        release("mqtt", base) if base else None,
        {"BOS": ("bos-a", "bos-b", "bos-c"), "DFW": ("dfw-a", "dfw-b", "dfw-c")},
        (("bos-a",), ("bos-a", "bos-b", "dfw-a")),
        ("mqtt", "http"),
        (ERRORS, SLOW, STORED),
        slow_above_ms=80.0,
    )


def c360(candidate: str, base: str) -> Lane:
    return Lane(
        "c360",
        release("c360", candidate),
        release("c360", base),
        {"region": ("use1-a", "use1-b", "use1-c")},
        (("use1-a",),),
        ("c360",),
        (PAGES,),
    )


@dataclass
class Tale:
    """A rollout being written: ``t`` is seconds since T0, which may be negative."""

    lanes: tuple[Lane, ...]
    commit: str
    subject: str
    number: int = 42
    environment: str = "prod"
    t0_at: float = T0_AT
    seed: int = 25
    bad: float = 0.012
    usual: float = 0.003
    per_node: tuple[int, int] = (24, 36)
    budget: Budget = field(default_factory=lambda: Budget(60.0, 60.0, 60.0, 30.0))
    t: float = -3.1
    written: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        why = f"Commit {self.commit[:7]} wants {self.lanes[0].app} to change."
        self.rollout = Rollout(
            self.number, self.environment, self.commit, self.subject, self.lanes, self.budget, 3, "boot-1",
            entered_at=BOOT - 2.2, seen_at=BOOT - 2.3, why=why,
        )  # fmt: skip
        self.states = {lane.app: Judgement() for lane in self.lanes}
        self.nodes: dict[str, str] = dict.fromkeys(self.rollout.nodes, LAST_GOOD)
        self.harmed: set[int] = set()
        self.requests = 0
        self.verdict: Verdict | None = None
        self.stored: dict[str, float] = {}

    # ---- writing rows ----

    @property
    def now(self) -> float:
        return BOOT + self.t

    def write(self, kind: str, body: Mapping[str, Any]) -> None:
        at, n = round(self.t0_at + self.t, 3), len(self.written) + 1
        text = canonical(body)
        previous = self.written[-1].hash if self.written else GENESIS
        hashed = chain(previous, n, at, self.rollout.generation, kind, text)
        self.written.append(Row(n, at, self.rollout.generation, kind, json.loads(text), hashed))

    def moves(self, t: float, rollout: Rollout, event: str) -> None:
        self.t, self.rollout = t, rollout
        self.write(rows.ROLLOUT, {"rollout": rows.written(rows.ROLLOUTS, rollout), "event": event})

    def happens(self, t: float, moment: str, text: str) -> None:
        self.t = t
        since = None if self.rollout.t0 is None else t
        self.write(rows.MOMENT, {"rollout": self.number, "moment": moment, "t": since, "text": text})

    def git(self, t: float, did: str, commit: str | None, why: str = "", message: str = "") -> None:
        self.t = t
        self.write(rows.GIT, {"rollout": self.number, "did": did, "commit": commit, "why": why, "message": message})

    def order(self, t: float, verb: str, who: str, reason: str, subject: str = "") -> None:
        self.t = t
        self.write(rows.ORDER, {"verb": verb, "who": who, "reason": reason, "subject": subject})

    # ---- what happens on a fleet ----

    def begins(self) -> None:
        self.t = -2.3
        seen = {"commit": self.commit, "subject": self.subject, "committed_at": self.t0_at - 3.1, "seen_s": 0.8}
        self.write(rows.SEEN, {**seen, "apps": {lane.app: lane.candidate.digest for lane in self.lanes}})
        self.moves(-2.2, self.rollout, "pending")
        self.happens(-0.2, "staged", f"the candidate is staged and verified on {len(self.rollout.nodes)} nodes")
        first = ", ".join(node for lane in self.lanes for node in lane.waves[0])
        self.now_is(0.0)
        verb = "leave" if ", " in first else "leaves"
        why = f"Wave 1 of {len(self.lanes[0].waves)}: {first} {verb} last good."
        self.moves(0.0, enter(self.rollout, Phase.DEPLOYING, why, "wave 1", self.now, t0=self.now), "deploying")

    def now_is(self, t: float) -> None:
        self.t = t

    def deploys(self) -> None:
        """Both waves, until the canaries serve."""
        self.sets(STARTING, *(node for lane in self.lanes for node in lane.waves[0]))
        self.looks(0.3)
        self.looks(1.3)
        self.sets(CANDIDATE, *(node for lane in self.lanes for node in lane.waves[0]))
        self.happens(1.6, "wave1", f"wave 1 serves: {', '.join(lane.waves[0][0] for lane in self.lanes)}")
        later = [node for lane in self.lanes for node in lane.canaries if node not in lane.waves[0]]
        if later:
            self.sets(STARTING, *later)
        self.looks(2.3)
        self.looks(3.3)
        self.sets(CANDIDATE, *later)
        if later:
            self.happens(3.6, "wave2", f"wave 2 serves: {', '.join(n for lane in self.lanes for n in lane.canaries)}")
        controls = ", ".join(node for lane in self.lanes for node in lane.controls)
        self.now_is(3.8)
        why = f"The canaries serve; on last good as control: {controls}."
        self.moves(3.8, enter(self.rollout, Phase.WATCHING, why, "watching", self.now, watch_from=self.now), "watching")

    def sets(self, state: str, *nodes: str) -> None:
        self.nodes.update(dict.fromkeys(nodes, state))

    def watches(self, until: float) -> None:
        """A look a second until the verdict is FAIL or ``until`` is reached."""
        t = 4.3
        while t < until and (self.verdict is None or self.verdict.outcome is not Outcome.FAIL):
            self.looks(t)
            t = round(t + 1.0, 1)

    def looks(self, t: float, judge: bool = True, ended: bool = False) -> None:
        self.t = t
        samples = [self.sample(lane) for lane in self.lanes]
        if judge:
            self.states = {s.app: look(self.states[s.app], self.lane(s.app), s) for s in samples}
            watched = max(0.0, t - 3.8)
            self.verdict = verdict(self.lanes, self.states, Terms(0.01, 0.02, watched, ended))
        judged = rows.written(rows.VERDICTS, self.verdict) if judge and self.verdict is not None else None
        evidence = {
            f"{app}/{name}": e.value for app, state in self.states.items() for name, e in state.evidence.items()
        }
        self.write(
            rows.SAMPLE,
            {
                "rollout": self.number, "t": t, "looks": [rows.written(rows.SAMPLES, s) for s in samples],
                "verdict": judged, "evidence": evidence, "nodes": dict(self.nodes), "shares": self.shares(),
                "harmed": {"requests": self.requests, "clients": len(self.harmed)},
            },
        )  # fmt: skip

    def lane(self, app: str) -> Lane:
        return next(lane for lane in self.lanes if lane.app == app)

    def shares(self) -> dict[str, float]:
        found = {}
        for lane in self.lanes:
            for zone, nodes in lane.zones.items():
                serving = [node for node in nodes if self.nodes[node] in (CANDIDATE, LAST_GOOD)]
                on = sum(self.nodes[node] == CANDIDATE for node in serving)
                found[f"{lane.app}/{zone}"] = round(on / len(serving), 3) if serving else 0.0
        return found

    def sample(self, lane: Lane) -> Sample:
        cells = []
        for zone, nodes in lane.zones.items():
            on = sum(self.nodes[node] == CANDIDATE for node in nodes)
            beside = sum(self.nodes[node] == LAST_GOOD for node in nodes)
            path = lane.checks[0].paths[0]
            canary, control = self.counts(on, self.bad), self.counts(beside, self.usual)
            cells.append(
                Cell(zone, path, canary, control, self.drawn(canary.total, 0.05), self.drawn(control.total, 0.05))
            )
            self.requests += canary.bad
            self.harmed |= {self.rng.randrange(240) for _ in range(canary.bad)}
        metrics = {node: self.stores(node) for node in lane.nodes if self.nodes[node] == CANDIDATE}
        return Sample(lane.app, self.t, tuple(cells), canary_metrics=metrics)

    def stores(self, node: str) -> Mapping[str, float]:
        self.stored[node] = self.stored.get(node, 0.0) + 50
        return {"acked": self.stored[node], "stored": self.stored[node] - 1, "duplicate": 1.0}

    def counts(self, nodes: int, share: float) -> Counts:
        total = sum(self.rng.randint(*self.per_node) for _ in range(nodes))
        bad = self.drawn(total, share)
        return Counts(total, bad, total, bad)

    def drawn(self, total: int, share: float) -> int:
        return sum(self.rng.random() < share for _ in range(total))

    # ---- how it goes back, or stays ----

    def turns(self, t: float, cause: Cause, why: str, short: str, guilty: tuple[str, ...] = ()) -> None:
        self.now_is(t)
        self.moves(t, back(self.rollout, cause, why, short, self.now, guilty), "reverting")

    def fails(self) -> None:
        assert self.verdict is not None
        assert self.verdict.outcome is Outcome.FAIL
        guilty = tuple(dict.fromkeys(f.app for f in self.verdict.findings if f.outcome is Outcome.FAIL))
        self.turns(round(self.t + 0.1, 1), Cause.HARM, self.verdict.why, self.verdict.short, guilty)

    def goes_back(self, late: tuple[str, ...] = ()) -> None:
        """Traffic off, nodes back, nothing left; ``late`` nodes do not come."""
        turn = self.t
        canaries = [node for lane in self.lanes for node in lane.canaries if self.nodes[node] != LAST_GOOD]
        self.happens(round(turn + 0.4, 1), "traffic_off", "no request starts on the candidate any more")
        self.sets(STOPPING, *canaries)
        self.looks(round(turn + 0.9, 1), judge=False)
        if late:
            self.sets(LAST_GOOD, *(node for node in canaries if node not in late))
            return
        self.happens(round(turn + 1.9, 1), "nodes_back", "every node is back on last good")
        self.sets(LAST_GOOD, *canaries)
        self.looks(round(turn + 1.9, 1), judge=False)
        self.happens(round(turn + 2.0, 1), "gone", "no process and no session of the candidate is left")

    def closes(self, t: float, phase: Phase, event: str) -> None:
        self.now_is(t)
        self.moves(t, enter(self.rollout, phase, self.rollout.why, self.rollout.short, self.now, heading=None), event)


def played_once(play: Callable[[], Tale]) -> Callable[[], Tale]:
    """Every caller gets a tale of its own, though it was played only once."""
    played = cache(play)

    @wraps(play)
    def fresh() -> Tale:
        return copy.deepcopy(played())

    return fresh


# ---- the tales ----------------------------------------------------------------------------------------------------

GOOD, BAD, SUBJECT = "b02d5a1c" * 5, "7c1e9f4d" * 5, "Look up readings by device first"
MESSAGE = """Revert "Look up readings by device first"

{why}

Turnabout-Rollout: prod-r42
Turnabout-Verdict: FAIL errors
Turnabout-Quarantine: mqtt 9f31c2 config 77ab01
"""


@played_once
def reverted() -> Tale:
    """Errors on an existing path: measured, taken back, reverted in git."""
    tale = Tale((mqtt(BAD, GOOD, SUBJECT),), BAD, SUBJECT)
    earlier(tale)
    tale.begins()
    tale.deploys()
    tale.watches(63.0)
    tale.fails()
    tale.goes_back()
    tale.closes(round(tale.t + 0.3, 1), Phase.REVERTED, "reverted")
    tale.git(round(tale.t + 0.6, 1), "revert", "e41b07d2" * 5, "", MESSAGE.format(why=tale.rollout.why))
    tale.git(round(tale.t + 0.2, 1), "note", BAD)
    return tale


@played_once
def promoted() -> Tale:
    """No harm in a whole watch; then the controls follow."""
    tale = Tale((mqtt(BAD, GOOD, SUBJECT),), BAD, SUBJECT, bad=0.002, seed=11, per_node=(60, 80))
    earlier(tale)
    tale.begins()
    tale.deploys()
    tale.watches(63.3)
    tale.looks(63.7, ended=True)
    assert tale.verdict is not None
    assert tale.verdict.outcome is Outcome.PASS, tale.verdict
    tale.now_is(63.8)
    passed = enter(
        tale.rollout, Phase.PROMOTED, tale.verdict.why, tale.verdict.short, tale.now,
        verdict_at=tale.now, settle=1, settle_t0=tale.now,
    )  # fmt: skip
    tale.moves(63.8, passed, "promoted")
    for t, nodes in ((64.3, ("bos-c", "dfw-b")), (66.3, ("dfw-c",))):
        tale.sets(STARTING, *nodes)
        tale.looks(t, judge=False)
        tale.looks(round(t + 1, 1), judge=False)
        tale.sets(CANDIDATE, *nodes)
    tale.looks(68.3, judge=False)
    tale.now_is(68.6)
    why = f"Every node runs it. {tale.rollout.why}"
    tale.moves(68.6, enter(tale.rollout, Phase.PROMOTED, why, tale.rollout.short, tale.now, settled=True), "settled")
    tale.git(69.1, "note", BAD)
    return tale


@played_once
def held() -> Tale:
    """Too few requests to say anything."""
    tale = Tale((mqtt(BAD, GOOD, SUBJECT),), BAD, SUBJECT, bad=0.0, usual=0.0, per_node=(0, 2), seed=5)
    earlier(tale)
    tale.begins()
    tale.deploys()
    tale.watches(63.3)
    tale.looks(63.7, ended=True)
    assert tale.verdict is not None
    assert tale.verdict.outcome is Outcome.INCONCLUSIVE, tale.verdict
    tale.turns(63.8, Cause.BLIND, f"The watch ended without a clear PASS. {tale.verdict.why}", "no clear pass")
    tale.goes_back()
    tale.closes(round(tale.t + 0.3, 1), Phase.HELD, "held")
    tale.git(round(tale.t + 0.2, 1), "note", BAD)
    return tale


@played_once
def stuck() -> Tale:
    """Harm was measured, and one node does not come back."""
    tale = Tale((mqtt(BAD, GOOD, SUBJECT),), BAD, SUBJECT)
    earlier(tale)
    tale.begins()
    tale.deploys()
    tale.watches(63.0)
    tale.fails()
    tale.goes_back(late=("dfw-a",))
    tale.sets(SILENT, "dfw-a")
    for t in range(19, 181, 1):
        if t > tale.t:
            tale.looks(float(t), judge=False)
    tale.now_is(180.1)
    why = f"dfw-a will not come back within the budget; the others are on last good. {tale.rollout.why}"
    late = replace(tale.rollout, phase=Phase.STUCK, entered_at=tale.now, why=why, heading=Phase.REVERTING)
    tale.moves(180.1, late, "stuck")
    return tale


@played_once
def frozen() -> Tale:
    """Harm behind a one-way door: nothing goes back."""
    tale = Tale((mqtt(BAD, GOOD, SUBJECT, on_deadline="freeze"),), BAD, SUBJECT)
    earlier(tale)
    tale.begins()
    tale.deploys()
    tale.watches(63.0)
    assert tale.verdict is not None
    tale.turns(round(tale.t + 0.1, 1), Cause.HARM, tale.verdict.why, tale.verdict.short, ("mqtt",))
    return tale


@played_once
def waiting() -> Tale:
    """A first release: it waits for an approval."""
    tale = Tale((mqtt(BAD, None, SUBJECT),), BAD, SUBJECT, number=1)
    tale.t = -2.3
    seen = {"commit": BAD, "subject": SUBJECT, "committed_at": T0_AT - 3.1, "seen_s": 0.8, "apps": {}}
    tale.write(rows.SEEN, seen)
    tale.moves(-2.2, tale.rollout, "pending")
    why = "Waits for an approval: first release of mqtt, with no last good to compare with (turnabout approve prod)."
    tale.moves(-1.2, replace(tale.rollout, why=why, short="waits for an approval"), "pending")
    return tale


@played_once
def both() -> Tale:
    """Two applications in one commit; the second does harm, both go back."""
    lanes = (mqtt(BAD, GOOD, SUBJECT), c360(BAD, GOOD))
    tale = Tale(lanes, BAD, SUBJECT, seed=4, bad=0.05)
    earlier(tale)
    tale.begins()
    tale.deploys()
    tale.watches(63.0)
    tale.fails()
    tale.goes_back()
    tale.closes(round(tale.t + 0.3, 1), Phase.REVERTED, "reverted")
    return tale


@played_once
def superseded() -> Tale:
    """A newer commit arrives in flight."""
    tale = Tale((mqtt(BAD, GOOD, SUBJECT),), BAD, SUBJECT, bad=0.002)
    earlier(tale)
    tale.begins()
    tale.deploys()
    tale.watches(20.0)
    tale.turns(20.4, Cause.SUPERSEDED, "Commit 99aa001 arrived in flight and wants something else.", "superseded")
    tale.goes_back()
    tale.closes(round(tale.t + 0.3, 1), Phase.SUPERSEDED, "superseded")
    return tale


@played_once
def crashed() -> Tale:
    """A candidate that does not start, and a controller that dies while it goes back."""
    tale = Tale((mqtt(BAD, GOOD, SUBJECT),), BAD, SUBJECT)
    earlier(tale)
    tale.begins()
    tale.sets(STARTING, "bos-a")
    tale.looks(0.3)
    tale.looks(1.3)
    why = "mqtt 7c1e9f4 was given up by bos-a: it ended three times in 4 s."
    tale.turns(2.0, Cause.HARM, why, "bos-a gave it up", ("mqtt",))
    tale.t = 2.2
    tale.rollout = replace(tale.rollout, generation=4)
    tale.write(rows.LEAD, {"generation": 4, "clock": "boot-1", "why": "the one before ended."})
    tale.moves(2.3, tale.rollout, "answered")
    tale.goes_back()
    tale.closes(round(tale.t + 0.3, 1), Phase.REVERTED, "reverted")
    tale.git(round(tale.t + 0.5, 1), "revert", None, "the branch does not carry it any more.", "")
    return tale


@played_once
def orphaned() -> Tale:
    """The controller dies in the watch and stays dead beyond the nodes' deadline; then the same commit is promoted."""
    tale = Tale((mqtt(BAD, GOOD, SUBJECT),), BAD, SUBJECT, bad=0.002)
    earlier(tale)
    tale.begins()
    tale.deploys()
    tale.watches(20.0)
    tale.t = 158.0
    kept = tale.rollout = replace(tale.rollout, generation=4)
    tale.write(rows.LEAD, {"generation": 4, "clock": "boot-1", "why": "started"})
    tale.moves(158.1, tale.rollout, "taken over")
    tale.turns(158.2, Cause.BLIND, "bos-a went back by itself: nobody confirmed it by the deadline.", "bos-a went back")
    tale.sets(LAST_GOOD, *tale.rollout.nodes)
    tale.happens(158.2, "traffic_off", "no request starts on the candidate any more")
    tale.happens(158.2, "nodes_back", "every node is back on last good")
    tale.closes(158.6, Phase.HELD, "held")
    tale.happens(158.6, "gone", "no process and no session of the candidate is left")
    held = tale.rollout
    again = replace(kept, number=43, attempt=2, phase=Phase.PENDING, t0=None, watch_from=None)
    tale.moves(160.0, again, "pending")
    began = enter(
        again, Phase.DEPLOYING, "Wave 1 of 2: bos-a leaves last good.", "wave 1", tale.now + 2, t0=tale.now + 2
    )
    tale.moves(162.0, began, "deploying")
    tale.now_is(230.0)
    ended = enter(began, Phase.PROMOTED, "No check found harm in 60 s.", "no harm found", tale.now, settled=True)
    tale.moves(230.0, ended, "settled")
    tale.rollout = held
    return tale


TALES: Mapping[str, Callable[[], Tale]] = {
    tale.__name__: tale
    for tale in (reverted, promoted, held, stuck, frozen, waiting, both, superseded, crashed, orphaned)
}  # fmt: skip


def earlier(tale: Tale) -> None:
    """Eleven rollouts before: nine promoted, one reverted, one held."""
    tale.t = -40 * 86400.0
    tale.write(rows.LEAD, {"generation": 3, "clock": "boot-1", "why": "it was started."})
    kept, seconds = tale.rollout, (9, 13, 8, 24, 12, 11, 15, 9, 31, 10, 13)
    for i, on_trial in enumerate(seconds):
        began = -86400.0 * (34 - 3 * i)
        commit = f"{0xA1B2C30 + i * 77:07x}0" * 5
        base = GOOD if i == len(seconds) - 1 else f"{0xA1B2C30 + (i - 1) * 77:07x}0" * 5
        lane = mqtt(GOOD if i == len(seconds) - 1 else commit, base, f"Change {i + 1}")
        one = replace(kept, number=31 + i, commit=lane.candidate.commit, subject=f"Change {i + 1}", lanes=(lane,))
        tale.moves(began - 1, one, "pending")
        deploying = enter(one, Phase.DEPLOYING, "Wave 1 of 2: bos-a leaves last good.", "wave 1", BOOT, t0=BOOT)
        tale.moves(began, deploying, "deploying")
        ended = BOOT + on_trial
        if i in (3, 8):
            cause, phase = (Cause.HARM, Phase.REVERTED) if i == 3 else (Cause.BLIND, Phase.HELD)
            turned = back(deploying, cause, "errors on mqtt.", "errors on mqtt", ended - 2, ("mqtt",) if i == 3 else ())
            tale.moves(began + on_trial - 2, turned, "reverting")
            tale.moves(began + on_trial, enter(turned, phase, turned.why, turned.short, ended), phase.lower())
            continue
        done = enter(
            deploying, Phase.PROMOTED, "No check found harm.", "no harm found", ended, settle=1, settle_t0=ended
        )
        tale.moves(began + on_trial, done, "promoted")
        tale.moves(began + on_trial + 5, replace(done, settled=True), "settled")
    tale.rollout = kept
