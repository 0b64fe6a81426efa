"""Environment against environment, as findings: one for each set of settings that explains, one for each oddity.

Pure. What was tried, and how a cause is found, is in ``explaining.py``; here it gets its words, weight and remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.drift import severity
from controller.drift.explaining import Explained, Settings, Side
from controller.drift.finding import Cause, Difference, Finding, Kind, Remedy, Severity, State, counted
from controller.drift.resources import GONE, Leaf, Resources, listed, shown
from environments.settings import NOTHING, Apart, Written

BASE = "environments/base.toml"


def findings(pair: Explained) -> Iterator[Finding]:
    """Everything by which two environments differ."""
    yield from intended(pair)
    yield from misaligned(pair)
    if pair.idle:
        yield idle(pair)


# ---- intended -----------------------------------------------------------------------------------------------------


def intended(pair: Explained) -> Iterator[Finding]:
    groups: dict[Settings, list[Leaf]] = {}
    for leaf in pair.differences:
        if leaf in pair.causes:
            groups.setdefault(pair.causes[leaf], []).append(leaf)
    for settings, leaves in groups.items():
        names = " with ".join(one.name for one in settings)
        resources = list(dict.fromkeys(id for id, _ in leaves))
        many = f"{counted(len(leaves), 'difference')} in {counted(len(resources), 'resource')}"
        yield Finding(
            kind=Kind.ALIGNMENT,
            about=f"{between(pair)} {names}",
            what=names,
            odd=(pair.right.name,),
            severity=Severity.LOW,
            state=State.EXPLAINED,
            why=f"{many}, and no more, when it is put into {pair.left.name}: {listed(resources)}.",
            differences=tuple(difference(pair, leaf) for leaf in leaves),
            values={side.name: said(pair, settings, side) for side in (pair.left, pair.right)},
            causes=tuple(cause(pair, one) for one in settings),
        )


def cause(pair: Explained, one: Apart) -> Cause:
    return cause_of(pair.left.written, pair.right.written, one)


def cause_of(left: Written, right: Written, one: Apart) -> Cause:
    """A setting as the cause of something, with its line in both environments."""
    places = {side.name: side.place(one.path) for side in (left, right)}
    return Cause(one.name, places, {left.name: setting(one.left), right.name: setting(one.right)})


def said(pair: Explained, settings: Settings, side: Side) -> str:
    return " · ".join(setting(one.left if side is pair.left else one.right) for one in settings)


def setting(value: Any) -> str:
    """A setting's value; of a table the values, because the keys are the same everywhere."""
    if value is NOTHING:
        return "not set"
    if isinstance(value, dict):
        inner = ", ".join(setting(one) if not isinstance(one, list) else key for key, one in value.items())
        return inner or "{}"
    if isinstance(value, list):
        return f"[{', '.join(setting(one) for one in value)}]"
    return shown(value)


def idle(pair: Explained) -> Finding:
    names = [one.name for one in pair.idle]
    return Finding(
        kind=Kind.ALIGNMENT,
        about=f"{between(pair)} settings that change nothing in the cloud",
        what=f"{counted(len(names), 'setting that changes', 'settings that change')} nothing in the cloud",
        odd=(pair.right.name,),
        severity=Severity.LOW,
        state=State.EXPLAINED,
        why=f"{listed(names, 6)}: tried, and nothing that is declared moved.",
        differences=tuple(
            Difference(one.name, {pair.left.name: setting(one.left), pair.right.name: setting(one.right)})
            for one in pair.idle
        ),
        causes=tuple(cause(pair, one) for one in pair.idle),
    )


# ---- misaligned ---------------------------------------------------------------------------------------------------


def misaligned(pair: Explained) -> Iterator[Finding]:
    groups: dict[tuple[str, str], list[Leaf]] = {}
    for id, path in pair.differences:
        if (id, path) not in pair.causes:
            groups.setdefault((id, top(path)), []).append((id, path))
    for (id, key), leaves in groups.items():
        differences = tuple(difference(pair, leaf) for leaf in leaves)
        left, right = pair.left.name, pair.right.name
        place = differences[0].place
        why = f"All of {right}'s {counted(pair.tried, 'setting')} put into {left} do not bring this about"
        if pair.left.checkout != pair.right.checkout:
            why += f": the two branches hold different programs ({place})"
        yield Finding(
            kind=Kind.ALIGNMENT,
            about=f"{between(pair)} {id} {key}".rstrip(),
            what=headline(pair, id, key, leaves),
            odd=(right,),
            severity=severity.weightiest(severity.of(id.partition(" ")[0], path) for _, path in leaves),
            state=State.UNEXPLAINED,
            why=f"{why}.",
            differences=differences,
            values={side: " · ".join(dict.fromkeys(one.values[side] for one in differences)) for side in (left, right)},
            remedies=(
                Remedy(f"make {right} follow {left}", f"turnabout promote {left} {right}"),
                Remedy("make it a named setting", f"{BASE}: declare it, and read it at {place}"),
            ),
            removed=key == "" and id not in pair.rights,
        )


def headline(pair: Explained, id: str, key: str, leaves: Sequence[Leaf]) -> str:
    if key == "":
        gone = pair.right if id not in pair.rights else pair.left
        return f"{id} is not declared in {gone.name}"
    return f"{id}: {key} is not the same" if len(leaves) > 1 else f"{id}: {leaves[0][1]} is not the same"


def top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def named(side: Side, declared: Resources, found: Mapping[Leaf, tuple[Any, Any]]) -> Iterator[Finding]:
    """What the program chose by an environment's name: a difference that no setting says."""
    for (id, path), (value, elsewhere) in found.items():
        one = declared.get(id)
        place = one.place if one else "infra"
        yield Finding(
            kind=Kind.ALIGNMENT,
            about=f"{side.name} {id} {path} asks for the name".replace("  ", " "),
            what=f"{id}: {path or 'it'} is chosen by the environment's name",
            odd=(side.name,),
            severity=severity.of(id.partition(" ")[0], path),
            state=State.UNEXPLAINED,
            why=f"The program declares this for the name {side.name} alone, and no setting says so.",
            differences=(Difference(f"{id} {path}".rstrip(), {side.name: shown(value)}, place),),
            values={side.name: shown(value), "any other name": shown(elsewhere)},
            remedies=(
                Remedy("make it a named setting", f"{BASE}: declare it, and read it at {place}"),
                Remedy("let every environment have the same", f"{place}: ask for no name"),
            ),
            removed=value is GONE,
        )


def difference(pair: Explained, leaf: Leaf) -> Difference:
    id, path = leaf
    one = pair.rights.get(id) or pair.lefts[id]
    hidden = path in one.secret or (pair.lefts.get(id) is not None and path in pair.lefts[id].secret)
    a, b = pair.differences[leaf]
    values = {pair.left.name: shown(a, hidden), pair.right.name: shown(b, hidden)}
    return Difference(f"{id} {path}".rstrip(), values, one.place)


def between(pair: Explained) -> str:
    return f"{pair.left.name}:{pair.right.name}"
