"""The same values as JSON, for scripts: documented in ``docs/json.md``, key by key, and only ever added to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from controller.model import AppRelease, Arm, Lane, Order
from controller.rollout.standing import Quarantined
from controller.stories.story import Figures, Judged, Overview, Past, Story, Tick

ROLLOUT, STATUS, HISTORY = "turnabout/rollout/1", "turnabout/status/1", "turnabout/history/1"
MOST = 1e12
"""Evidence beyond this is written as this: JSON has no infinity."""


def story_json(story: Story) -> dict[str, Any]:
    """One rollout."""
    rollout = story.rollout
    return {
        "schema": ROLLOUT,
        "environment": story.environment,
        "number": story.number,
        "commit": rollout.commit,
        "subject": rollout.subject,
        "phase": story.phase.value,
        "over": story.over,
        "cause": rollout.cause.value if rollout.cause else None,
        "sentence": story.sentence,
        "short": rollout.short,
        "after": story.after,
        "kept": story.kept,
        "attempt": rollout.attempt,
        "at": utc(story.at),
        "t0": utc(story.t0_at),
        "t": story.t,
        "gone_by": utc(story.gone_by),
        "limit_s": rollout.budget.limit,
        "apps": [lane_json(lane) for lane in rollout.lanes],
        "budgets": {
            spent.name: {"used_s": spent.used, "limit_s": spent.limit, "state": spent.state} for spent in story.spent
        },
        "figures": figures_json(story.figures),
        "marks": dict(story.marks),
        "nodes": dict(story.nodes),
        "shares": dict(story.shares),
        "evidence": {
            "together": number(story.together),
            "threshold": story.threshold,
            "checks": [check_json(judged) for judged in story.checks],
        },
        "ticks": [tick_json(tick) for tick in story.ticks],
        "moments": [
            {"row": m.n, "at": utc(m.at), "t": m.t, "kind": m.kind, "text": m.text} for m in story.moments
        ],
        "git": None
        if story.git is None
        else {
            "did": story.git.did, "commit": story.git.commit, "why": story.git.why, "message": story.git.message,
        },
        "quarantine": [*quarantine_json(story.quarantine)],
        "past": [past_json(one) for one in story.past],
        "later": past_json(story.later) if story.later is not None else None,
        "unled": [{"begin": gap.begin, "end": gap.end} for gap in story.unled],
        "advice": [{"says": one.says, "command": one.command} for one in story.advice],
        "ledger": {"first_row": story.first_row, "last_row": story.last_row, "hash": story.hash},
    }  # fmt: skip


def overview_json(overview: Overview) -> dict[str, Any]:
    """One environment."""
    story = overview.current
    return {
        "schema": STATUS,
        "environment": overview.environment,
        "at": utc(overview.at),
        "generation": overview.generation,
        "led_since": utc(overview.led_at),
        "running": [
            {
                "app": one.app,
                "release": release_json(one.release),
                "since": utc(one.since),
                "rollout": one.rollout,
            }
            for one in overview.running
        ],
        "rollout": None
        if story is None
        else {
            "number": story.number,
            "commit": story.rollout.commit,
            "subject": story.rollout.subject,
            "phase": story.phase.value,
            "over": story.over,
            "sentence": story.sentence,
            "after": story.after,
        },
        "led": overview.standstill.led,
        "last_row_at": utc(overview.standstill.last_at),
        "blocked": [
            {"about": one.about, "commit": one.commit, "since": utc(one.since), "why": one.why}
            for one in overview.standstill.blocked
        ],
        "hold": hold_json(overview.hold),
        "quarantine": [*quarantine_json(overview.quarantine)],
        "ledger": {"last_row": overview.last_row, "hash": overview.hash},
    }


def history_json(environment: str, past: Sequence[Past]) -> dict[str, Any]:
    """An environment's rollouts, oldest first."""
    return {"schema": HISTORY, "environment": environment, "rollouts": [past_json(one) for one in past]}


def utc(at: float | None) -> str | None:
    """UTC to the millisecond, as ISO 8601 writes it."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else min(value, MOST)


def release_json(release: AppRelease | None) -> dict[str, Any] | None:
    if release is None:
        return None
    return {
        "commit": release.commit,
        "digest": release.digest,
        "artifact_digest": release.artifact_digest,
        "config_digest": release.config_digest,
        "subject": release.subject,
    }


def lane_json(lane: Lane) -> dict[str, Any]:
    return {
        "app": lane.app,
        "candidate": release_json(lane.candidate),
        "last_good": release_json(lane.base),
        "zones": {zone: list(names) for zone, names in lane.zones.items()},
        "canaries": list(lane.canaries),
        "controls": list(lane.controls),
    }


def figures_json(of: Figures) -> dict[str, Any]:
    return {
        "seen_s": of.seen_s,
        "deploy_s": of.deploy_s,
        "verdict_s": of.verdict_s,
        "traffic_off_s": of.traffic_off_s,
        "nodes_back_s": of.nodes_back_s,
        "exposure_s": of.exposure_s,
        "harmed": of.harmed,
        "clients": of.clients,
    }


def arm_json(arm: Arm | None) -> dict[str, float] | None:
    return None if arm is None else {"bad": arm.bad, "total": arm.total}


def check_json(judged: Judged) -> dict[str, Any]:
    finding = judged.finding
    return {
        "app": finding.app,
        "check": finding.check,
        "kind": judged.kind,
        "about": finding.about,
        "outcome": finding.outcome.value,
        "sentence": finding.sentence,
        "candidate": arm_json(finding.canary),
        "last_good": arm_json(finding.control),
        "evidence": number(finding.evidence),
        "sees_from": finding.sees_from,
        "worst_path": None
        if finding.worst is None
        else {
            "path": finding.worst.path,
            "candidate": arm_json(finding.worst.canary),
            "last_good": arm_json(finding.worst.control),
        },
    }


def tick_json(tick: Tick) -> dict[str, Any]:
    return {
        "t": tick.t,
        "phase": tick.phase.value,
        "nodes": dict(tick.nodes),
        "shares": dict(tick.shares),
        "evidence": {name: number(value) for name, value in tick.evidence.items()},
        "together": number(tick.together),
        "harmed": tick.requests,
        "clients": tick.clients,
    }


def quarantine_json(entries: Iterable[Quarantined]) -> Iterable[dict[str, Any]]:
    for entry in entries:
        yield {
            "app": entry.app,
            "commit": entry.commit,
            "digest": entry.digest,
            "artifact_digest": entry.artifact_digest,
            "config_digest": entry.config_digest,
            "rollout": entry.rollout,
            "why": entry.why,
        }


def past_json(one: Past) -> dict[str, Any]:
    return {
        "number": one.number,
        "at": utc(one.at),
        "apps": list(one.apps),
        "commit": one.commit,
        "subject": one.subject,
        "phase": one.phase.value,
        "cause": one.cause.value if one.cause else None,
        "short": one.short,
        "seconds": one.seconds,
        "harmed": one.harmed,
    }


def hold_json(hold: Order | None) -> dict[str, Any] | None:
    return None if hold is None else {"who": hold.who, "reason": hold.reason, "row": hold.row}
