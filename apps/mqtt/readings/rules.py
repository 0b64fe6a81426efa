"""When a device deserves attention: rules over its readings, and what each reading changes. Pure.

A rule is ``above`` or ``below`` a value, a ``rate`` of change in a second, ``silence`` for so many seconds, or an
``anomaly``: a reading so many spreads away from what the device usually reads (``anomaly.py``). An alert is raised once
and cleared once: ``clear`` says how far back a reading has to come, so that one which wavers around the bound does not
ring all day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from apps.mqtt.readings.anomaly import Scores

KINDS = ("above", "below", "rate", "silence", "anomaly")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
RATE_OVER_MS = 1_000  # a rate is measured over at least this long: two readings in one millisecond say nothing


class BadRule(Exception):
    """A rule cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    devices: str  # a pattern of device ids, with *
    kind: str
    limit: float
    clear: float  # where an alert of ``above`` or ``below`` ends

    def concerns(self, device: str) -> bool:
        return fnmatchcase(device, self.devices)


@dataclass(frozen=True, slots=True)
class Change:
    """An alert begins or ends; ``why`` is the sentence for whoever is told."""

    rule: Rule
    device: str
    is_raised: bool
    why: str


@dataclass(slots=True)
class Devices:
    """What is known of the devices: the alerts that stand, and what rates are measured from."""

    rules: tuple[Rule, ...]
    raised: set[tuple[str, str]] = field(default_factory=set)  # rule, device
    _anchors: dict[str, tuple[float, int]] = field(default_factory=dict)  # value and time
    _scores: Scores = field(default_factory=Scores)

    def look(self, device: str, value: float, at: int) -> list[Change]:
        """One reading came at ``at``, in milliseconds."""
        changes = []
        rules = [rule for rule in self.rules if rule.concerns(device)]
        moved = self._rate(device, value, at)
        unusual = self._scores.of(device, value) if any(rule.kind == "anomaly" for rule in rules) else None
        for rule in rules:
            score = unusual if rule.kind == "anomaly" else moved
            key = (rule.name, device)
            verdict = _verdict(rule, value, score, key in self.raised)
            if verdict is None or verdict == (key in self.raised):
                continue
            (self.raised.add if verdict else self.raised.discard)(key)
            changes.append(Change(rule, device, verdict, _why(rule, device, value, score, verdict)))
        return changes

    def silent(self, rule: Rule, device: str, seconds: float) -> list[Change]:
        """Nothing has come from a device for so long."""
        key = (rule.name, device)
        if seconds < rule.limit or key in self.raised:
            return []
        self.raised.add(key)
        return [
            Change(rule, device, True, f"{device} has said nothing for {seconds:.0f} s; {rule.limit:g} s are allowed.")
        ]

    def _rate(self, device: str, value: float, at: int) -> float | None:
        anchor = self._anchors.get(device)
        if anchor is not None and 0 <= at - anchor[1] < RATE_OVER_MS:
            return None
        self._anchors[device] = (value, at)
        if anchor is None or at < anchor[1]:  # the clock was put back: nothing can be said
            return None
        return abs(value - anchor[0]) * 1000 / (at - anchor[1])


def _verdict(rule: Rule, value: float, score: float | None, stands: bool) -> bool | None:
    """Whether the alert stands after this reading; None: the reading does not say."""
    match rule.kind:
        case "above":
            return value > (rule.clear if stands else rule.limit)
        case "below":
            return value < (rule.clear if stands else rule.limit)
        case "rate" | "anomaly":
            return None if score is None else score > rule.limit
        case _:
            return False  # it has said something


def _why(rule: Rule, device: str, value: float, score: float | None, is_raised: bool) -> str:
    match rule.kind, is_raised:
        case "above", True:
            return f"{device} reads {value:g}, above {rule.limit:g}."
        case "below", True:
            return f"{device} reads {value:g}, below {rule.limit:g}."
        case "rate", True:
            return f"{device} changes by {score or 0:g} a second; {rule.limit:g} are allowed."
        case "anomaly", True:
            return f"{device} reads {value:g}, {score or 0:.1f} spreads from its usual; {rule.limit:g} are allowed."
        case "anomaly", False:
            return f"{device} reads {value:g}, as usual by now."
        case "silence", _:
            return f"{device} is heard again: it reads {value:g}."
    return f"{device} reads {value:g} again."


def parse(found: object) -> tuple[Rule, ...]:
    """Raises BadRule."""
    if not isinstance(found, list):
        raise BadRule("rules is not a list of tables")
    rules = tuple(_parse(each, f"rules[{at}]") for at, each in enumerate(found))
    names = [rule.name for rule in rules]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise BadRule(f"two rules are called {double!r}")
    return rules


def _parse(found: object, where: str) -> Rule:
    if not isinstance(found, Mapping):
        raise BadRule(f"{where} is not a table")
    unknown = found.keys() - {"name", "devices", "clear", *KINDS}
    if unknown:
        raise BadRule(f"{where}: {min(unknown)!r} is not known; a rule has name, devices and one of {', '.join(KINDS)}")
    name = found.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadRule(f"{where}: name is {name!r}; it may hold small letters, digits, - and _, at most 32")
    devices = found.get("devices", "*")
    if not isinstance(devices, str):
        raise BadRule(f"{where}: devices is {devices!r}; it must be a pattern such as 'press-*'")
    kinds = [kind for kind in KINDS if kind in found]
    if len(kinds) != 1:
        raise BadRule(f"{where}: give one of {', '.join(KINDS)}; {len(kinds)} are given")
    (kind,) = kinds
    limit = _number(found, kind, where)
    clear = _number(found, "clear", where) if "clear" in found else limit
    if {"above": clear > limit, "below": clear < limit}.get(kind, clear != limit):
        raise BadRule(f"{where}: clear is {clear:g}, which does not lie on the good side of {kind} = {limit:g}")
    return Rule(name, devices, kind, limit, clear)


def _number(found: Mapping[str, Any], key: str, where: str) -> float:
    value = found[key]
    if type(value) not in (int, float) or not math.isfinite(value) or (key in KINDS[2:] and value <= 0):
        raise BadRule(f"{where}: {key} is {value!r}; it must be a number{' over 0' if key in KINDS[2:] else ''}")
    return float(value)


def of_kind(rules: Iterable[Rule], kind: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.kind == kind)
