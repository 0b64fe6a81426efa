"""The rows of a ledger as values, and how the values of a rollout are written in them.

Pure. A ledger holds one environment's history: everything a controller must know after a crash, and everything a report
says, comes from its rows. Each row carries the hash of the one before it, so that a gap or a change shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter

from controller.judge.samples import Sample
from controller.model import Finding, Rollout, Verdict

Body = Mapping[str, Any]
T = TypeVar("T")

LEAD = "lead"
"""A controller took over: generation, clock, pid, why."""
SEEN = "seen"
"""A commit was seen on the branch: commit, subject, committed_at, seen_s, apps."""
BLOCKED = "blocked"
"""What the branch asks for cannot be looked at, or can be again: about (head | source | branch), commit, since, why.

``why`` is null when it is over. It decides nothing: people must see it where no rollout says it.
"""
POLICY = "policy"
"""The branch states other rules and wants no other release: from here on they hold: commit."""
ROLLOUT = "rollout"
"""The whole rollout, each time it moves: rollout, event."""
MOMENT = "moment"
"""Something that happened on the fleet, for people and figures: rollout, moment, seconds since T0, text."""
SAMPLE = "sample"
"""One look of the watch: rollout, sample, nodes, shares, verdict, evidence by check."""
ORDER = "order"
"""What a person asked for: verb, who, reason, subject."""
GIT = "git"
"""What git was told: rollout, did (revert | note | aside), commit or why it was not needed.

``aside``: the branch is protected, and the revert waits on the branch that ``message`` names; it is owed still.
"""
SAVED = "saved"
"""Kept before a candidate is stopped: rollout, and its bad calls, or node and its last log lines."""
DRIFT = "drift"
"""A promotion to this environment went on despite drift: source, who, reason, findings. It decides nothing."""
EVIDENCE = "evidence"
"""A row that could not be written in its time, kept from the spool: it records and decides nothing."""

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Row:
    """``at`` is UTC in seconds since 1970, for people only: no rule compares it."""

    n: int
    at: float
    generation: int
    kind: str
    body: Body
    hash: str


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def chain(previous: str, n: int, at: float, generation: int, kind: str, body: str) -> str:
    """The hash of a row: SHA-256 over the hash before it and everything the row says."""
    return hashlib.sha256("\n".join((previous, str(n), repr(at), str(generation), kind, body)).encode()).hexdigest()


ROLLOUTS = TypeAdapter(Rollout)
SAMPLES = TypeAdapter(Sample)
VERDICTS = TypeAdapter(Verdict)
FINDINGS = TypeAdapter(Finding)


def written(adapter: TypeAdapter[T], value: T) -> Any:
    """``value`` as plain JSON values."""
    return adapter.dump_python(value, mode="json")


def read(adapter: TypeAdapter[T], value: Any) -> T:
    return adapter.validate_python(value)
