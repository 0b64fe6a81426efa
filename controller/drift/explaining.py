"""Which reviewed setting makes a difference between two environments: found by trying, never by comparing texts.

Pure but for ``declare``, which runs the program. Both environments are declared under one neutral name, so that nothing
differs only because it carries the environment's name. Then the settings of the right side are put into the left one at
a time: what a setting changes, it explains. A difference that no single one makes (a node of a new zone, lettered
beyond what the left has) is tried the other way round, by taking settings out of the right. Settings that mean
something only together are tried together.

What all settings together do not bring about is made by something else: the two branches hold different programs, or
the program asks for the environment's name. ``by_name`` finds the latter: whatever a name does to a value must be to
stand in it, or be worked out of it; a value that is the same for every other name was chosen by the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.drift.resources import Leaf, Resources, differing
from environments.settings import Apart, Written, apart, put

NEUTRAL, OTHER = "n7q4x1", "n7q4x2"
"""Names that no environment has and no text holds by accident."""
READ_OF_A_FLEET = ("zones", "nodes_per_zone")
Settings = tuple[Apart, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to one checkout's program: what it declares for an environment of this name and these settings."""

    checkout: str
    name: str
    table: Mapping[str, Any]


Declare = Callable[[Sequence[Ask]], Sequence[Resources | str]]
"""Answers in the order of the questions; a text is why nothing can be declared."""


@dataclass(frozen=True, slots=True)
class Side:
    """An environment, and the checkout whose program it is built by."""

    written: Written
    checkout: str

    @property
    def name(self) -> str:
        return self.written.name

    def ask(self, name: str = NEUTRAL, settings: Sequence[tuple[Any, Any]] = ()) -> Ask:
        return Ask(self.checkout, name, put(self.written.table, settings))


class NotDeclared(Exception):
    """An environment's program cannot be run; the message says why."""


@dataclass(frozen=True, slots=True)
class Explained:
    """How two environments differ. ``causes`` has no entry for a leaf that nobody explains."""

    left: Side
    right: Side
    lefts: Resources
    rights: Resources
    differences: Mapping[Leaf, tuple[Any, Any]]
    causes: Mapping[Leaf, Settings]
    idle: Settings
    """Settings that differ and change nothing that is declared."""
    tried: int
    untried: Mapping[str, str]
    """Settings that could not be tried, and why."""


def explain(left: Side, right: Side, declare: Declare) -> Explained:
    """Every difference, and the settings behind it. Raises NotDeclared."""
    lefts, rights = (declared(side, answer) for side, answer in zip(
        (left, right), declare([left.ask(), right.ask()]), strict=True))  # fmt: skip
    found = differing(lefts, rights)
    settings = apart(left.written, right.written)
    touched, failed, tried = forward(left, lefts, settings, declare)
    own = program(left, right, rights, declare)
    unsettled = [leaf for leaf in found if leaf not in own]
    causes = {
        leaf: tuple(s for group, leaves in touched.items() if leaf in leaves for s in group) for leaf in unsettled
    }
    if any(not causes[leaf] for leaf in unsettled):
        # What only several settings bring about is mostly in what they make: those that make anything come first.
        makers = [group for group, leaves in touched.items() if any(not path for _, path in leaves)]
        for groups in (makers, [group for group in touched if group not in makers]):
            alone = [leaf for leaf in unsettled if not causes[leaf]]
            more = trials(right, rights, groups, declare, right=False)[0] if alone else {}
            tried += len(more)
            for leaf in alone:
                causes[leaf] = tuple(s for group, leaves in more.items() if leaf in leaves for s in group)
    known = {leaf: sorted_(settings, group) for leaf, group in causes.items() if group}
    used = {one.path for group in known.values() for one in group} | {one.path for one in failed}
    idle = tuple(one for one in settings if one.path not in used)
    why = {one.name: said for one, said in failed.items()}
    return Explained(left, right, lefts, rights, found, known, idle, tried, why)


def declared(side: Side, answer: Resources | str) -> Resources:
    if isinstance(answer, str):
        raise NotDeclared(f"what {side.name} declares cannot be seen: {answer}")
    return answer


def sorted_(settings: Settings, group: Settings) -> Settings:
    paths = {one.path for one in group}
    return tuple(one for one in settings if one.path in paths)


def forward(
    left: Side, lefts: Resources, settings: Settings, declare: Declare
) -> tuple[dict[Settings, frozenset[Leaf]], dict[Apart, str], int]:
    """What each setting of the right does to the left; those that cannot be read alone are tried as one."""
    likely = [(one,) for one in settings if concerns_the_cloud(one)]
    rest = tuple(one for one in settings if not concerns_the_cloud(one))
    touched, failed = trials(left, lefts, [*likely, *([rest] if rest else [])], declare, right=True)
    tried = len(likely) + bool(rest)
    if rest in failed or touched.get(rest):
        touched.pop(rest, None)
        failed.pop(rest, None)
        each, wrong = trials(left, lefts, [(one,) for one in rest], declare, right=True)
        touched, failed, tried = touched | each, failed | wrong, tried + len(rest)
    touched.pop(rest, None)
    together = tuple(one for group in failed for one in group)
    if len(together) > 1:
        joined, wrong = trials(left, lefts, [together], declare, right=True)
        tried += 1
        if not wrong:
            return touched | joined, {}, tried
    return touched, {one: said for group, said in failed.items() for one in group}, tried


def trials(
    side: Side, base: Resources, groups: Sequence[Settings], declare: Declare, *, right: bool
) -> tuple[dict[Settings, frozenset[Leaf]], dict[Settings, str]]:
    asks = [side.ask(settings=[(one.path, one.right if right else one.left) for one in group]) for group in groups]
    touched: dict[Settings, frozenset[Leaf]] = {}
    failed: dict[Settings, str] = {}
    for group, answer in zip(groups, declare(asks), strict=True):
        if isinstance(answer, str):
            failed[group] = answer
        else:
            touched[group] = frozenset(differing(base, answer))
    return touched, failed


def concerns_the_cloud(setting: Apart) -> bool:
    """Whether a setting is worth a try of its own; the others are tried as one, which nearly always changes nothing."""
    return setting.path[0] == "infra" or (setting.path[0] == "fleet" and setting.path[-1] in READ_OF_A_FLEET)


def program(left: Side, right: Side, rights: Resources, declare: Declare) -> frozenset[Leaf]:
    """What the left's program declares otherwise even for the right's own settings; nothing, where it is the same."""
    if left.checkout == right.checkout:
        return frozenset()
    (answer,) = declare([Ask(left.checkout, NEUTRAL, right.written.table)])
    return frozenset(differing(declared(left, answer), rights))


def by_name(side: Side, neutral: Resources, declare: Declare) -> dict[Leaf, tuple[Any, Any]]:
    """What the program declares only because of this environment's name: the value, and what every other name has."""
    asked = declare([side.ask(side.name), side.ask(OTHER)])
    named, other = (declared(side, answer) for answer in asked)
    return dict(chosen(side.name, differing(neutral, named), other))


def chosen(
    name: str, found: Mapping[Leaf, tuple[Any, Any]], other: Resources
) -> Iterator[tuple[Leaf, tuple[Any, Any]]]:
    for (id, path), (neutral, named) in found.items():
        if isinstance(neutral, str) and isinstance(named, str) and NEUTRAL in neutral:
            if name.join(neutral.split(NEUTRAL)) != named:
                yield (id, path), (named, neutral)
        elif id not in other or other[id].values.get(path, neutral) == neutral:
            yield (id, path), (named, neutral)
