"""What is declared against what a cloud says it has, and what it has that no program declares.

Pure. Who is who stands in ``same.py``. What a kind's description does not say is not compared, what a program asks to
be left alone is not either, nor what refers to a kind that nobody looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.drift import severity
from controller.drift.finding import ABSENT, Difference, Finding, Kind, Remedy, Severity, State, counted
from controller.drift.resources import Resource, Resources, shown
from controller.drift.same import JOINS, PARAMETER, Account, Live, aliases, alike, key, known, logical, settled
from controller.drift.unmanaged import unmanaged

MOST_SHARE = 0.3
"""If more than this share of an environment is not as declared, no command to mend it is printed."""
WHOLE = ("tags", "policy", "assumeRolePolicy", "alarmActions", "defaultActions", "rules", "subnets", "securityGroups",
         "vpcSecurityGroupIds", "roles", "scopes", "actions")  # fmt: skip
"""What a description says whole, so that something more in it differs too."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The findings of both kinds, and how much of what is there is declared."""

    findings: tuple[Finding, ...]
    live: int
    managed: int


def compare(environment: str, declared: Resources, account: Account) -> Compared:
    mine = [one for one in declared.values() if one.kind in account.kinds]
    own = {alias: logical(one) for one in declared.values() for alias in aliases(one)}
    asked = {one.id: settled(known(one.values, own)) for one in mine}
    blind = {logical(one) for one in declared.values() if one.kind not in account.kinds}
    ids = {alias: id for alias, id in own.items() if alias.startswith(PARAMETER)}
    pairs: dict[str, Live] = {}
    for joined in (False, True):  # what is joined is known by the ids of what joins it
        there: dict[tuple[Any, ...], list[Live]] = {}
        for one in account.found:
            if (one.kind in JOINS) is joined:
                there.setdefault((one.kind, *key(one.kind, known(one.values, ids))), []).append(one)
        for each in mine:
            if (each.kind in JOINS) is joined and (same := there.get((each.kind, *key(each.kind, asked[each.id])))):
                match = max(same, key=lambda live: alike(asked[each.id], settled(known(live.values, ids))))
                same.remove(match)
                pairs[each.id] = match
                for id in filter(None, (match.id, match.arn)):
                    ids.setdefault(id, logical(each))  # what a bucket has one of goes by the bucket's own id
    if mine and not pairs:
        return Compared((nothing_there(environment, len(mine)),), len(account.found), 0)
    matched = {one.id: (asked[one.id], settled(known(pairs[one.id].values, ids))) for one in mine if one.id in pairs}
    found = list(drifted(environment, mine, pairs, matched, blind))
    too_many = len({one.about for one in found}) > MOST_SHARE * len(mine)
    paired: dict[tuple[str, str], list[Live]] = {}  # by name first: comparing each with each is slow in a large account
    for one in pairs.values():
        paired.setdefault((one.kind, one.id), []).append(one)
    extra = [one for one in account.found if one not in paired.get((one.kind, one.id), ())]
    found = [careful(one) for one in found] if too_many else found
    found += [unmanaged(environment, one, known(one.values, ids)) for one in extra]
    return Compared(tuple(found), len(account.found), len(pairs))


def drifted(
    environment: str,
    declared: Sequence[Resource],
    pairs: Mapping[str, Live],
    matched: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
    blind: set[str],
) -> Iterator[Finding]:
    """``matched`` has what was asked and what is there; what refers to a kind nobody looked at is not compared."""
    for one in declared:
        if one.id not in pairs:
            yield gone(environment, one)
            continue
        asked, has = matched[one.id]
        told = {root(path) for path in has}  # not every description says everything
        whole = {path for path in (*asked, *has) if (at := root(path)) in WHOLE and at in told}
        declares = {root(path) for path in asked} | {"tags"}
        for path in sorted((has.keys() & asked.keys()) | {path for path in whole if root(path) in declares}):
            a, b = asked.get(path), has.get(path)
            if a != b and not (isinstance(a, str) and a in blind) and not ignored(one, path):
                yield changed(environment, one, path, a, b, pairs[one.id].id)


def root(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def ignored(one: Resource, path: str) -> bool:
    left_alone = [str(value) for where, value in one.values.items() if where.startswith("(ignoreChanges)")]
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in left_alone)


def gone(environment: str, one: Resource) -> Finding:
    return finding(
        environment, one, "", f"{one.id} is gone", "declared", ABSENT,
        "The program declares it, and the cloud does not have it.", removed=True,
    )  # fmt: skip


def changed(environment: str, one: Resource, path: str, asked: Any, has: Any, id: str) -> Finding:
    hidden = path in one.secret
    return finding(
        environment, one, path, f"{one.id}: {path} is not as declared",
        ABSENT if asked is None else shown(asked, hidden), ABSENT if has is None else shown(has, hidden),
        f"Somebody changed {id} without the program.",
    )  # fmt: skip


def finding(
    environment: str, one: Resource, path: str, what: str, asked: str, has: str, why: str, removed: bool = False
) -> Finding:
    return Finding(
        kind=Kind.LIVE,
        about=f"{environment} {one.id} {path}".rstrip(),
        what=what,
        odd=(environment,),
        severity=severity.of(one.kind, path),
        state=State.UNEXPLAINED,
        why=why,
        differences=(Difference(f"{one.id} {path}".rstrip(), {"declared": asked, environment: has}, one.place),),
        values={environment: has},
        remedies=(
            Remedy("make live follow code", f"turnabout infra up {environment}"),
            Remedy("make code follow live", f"{one.place}: write what the cloud has"),
        ),
        removed=removed,
    )


def careful(one: Finding) -> Finding:
    """The finding without commands: where much is wrong at once the account or the checkout is the wrong one."""
    said = f"More than {MOST_SHARE:.0%} is not as declared: look whether this is the right account, before mending."
    return replace(one, why=f"{one.why} {said}", remedies=())


def nothing_there(environment: str, many: int) -> Finding:
    return Finding(
        kind=Kind.LIVE,
        about=f"{environment} everything",
        what=f"nothing of {environment} is in the cloud",
        odd=(environment,),
        severity=Severity.HIGH,
        state=State.UNEXPLAINED,
        why=f"None of {counted(many, 'declared resource')} is there: never brought up, or another account.",
        values={environment: ABSENT},
        remedies=(Remedy("see which account this is", "aws sts get-caller-identity"),),
        removed=True,
    )
