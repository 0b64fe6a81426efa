"""One look through the glass: every kind that was asked for is looked at, and what was seen becomes one Report.

Where looking fails the report says so, in the place of that kind; it never takes it for aligned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from controller.drift import alignment, explaining, live
from controller.drift.explaining import NotDeclared, Side
from controller.drift.finding import (
    Coverage,
    Finding,
    Kind,
    Part,
    Report,
    Waiver,
    counted,
    ordered,
    unseen,
)
from controller.drift.remembering import Record, remember
from controller.drift.same import Account
from controller.drift.waiving import laid_on
from controller.errors import Trouble
from controller.glass.keeping import changing
from controller.glass.siting import Wanted, sited, unsited
from controller.observers import atlas, aws
from controller.observers.aws import AwsAccount, clients
from controller.observers.program import Programs
from controller.site import Site
from environments import BadEnvironment, from_folder
from environments.settings import written as as_written
from environments.waivers import read_waivers

SIDE_BY_SIDE = 12
"""So many comparisons wait at once, for programs or clouds; they hardly work themselves."""


def look(wanted: Wanted) -> Report:
    """Look at everything that is wanted. Raises BadEnvironment, when the environments themselves are wrong."""
    began, at = time.monotonic(), time.time()
    parts = list(looks(wanted))
    waivers, unread = accepted(wanted, at)
    findings = [*(finding for part in parts for finding in part.findings), *unread.findings]
    coverage: dict[str, Coverage] = {}
    for part in parts:
        for name, known in part.coverage.items():
            coverage[name] = coverage.get(name, Coverage()) + known
    return Report(
        at=at,
        took=time.monotonic() - began,
        environments=wanted.environments,
        kinds=wanted.kinds,
        findings=ordered(laid_on(findings, waivers, datetime.fromtimestamp(at, UTC).date())),
        looked=frozenset(pair for part in (*parts, unread) for pair in part.looked),
        coverage=coverage,
        settings=sum(part.tried for part in parts),
        roads={app: road for part in parts for app, road in part.roads.items()},
        pairs=wanted.pairs,
        promoted={name: when for part in parts for name, when in part.promoted.items()},
    )


def looks(wanted: Wanted) -> Iterator[Part]:
    if {Kind.ALIGNMENT, Kind.LIVE, Kind.UNMANAGED} & {*wanted.kinds}:
        yield from declared(wanted)
    yield from sited(wanted, wanted.site) if wanted.site else unsited(wanted)


# ---- alignment ----------------------------------------------------------------------------------------------------


def declared(wanted: Wanted) -> Iterator[Part]:
    """What programs declare: each pair compared and explained, and each environment held against its cloud."""
    for name in wanted.environments:
        from_folder(wanted.folder_of(name), name)  # whatever is wrong in a file is said with every complaint
    sides = {
        name: Side(as_written(wanted.folder_of(name), name), str(wanted.checkout_of(name)))
        for name in wanted.environments
    }
    there = [name for name in wanted.environments if "infra" in sides[name].written.table]
    pairs = [pair for pair in wanted.pairs if {*pair} <= {*there}]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool, Programs() as programs:
        # nobody waits for anybody: while clouds take their time to answer, programs run
        clouds, aligned, named = [], [], []
        if {Kind.LIVE, Kind.UNMANAGED} & {*wanted.kinds}:
            clouds = [pool.submit(in_the_cloud, sides[name], programs, wanted) for name in there]
        if Kind.ALIGNMENT in wanted.kinds:
            aligned = [pool.submit(compared, sides[left], sides[right], programs) for left, right in pairs]
            named = [pool.submit(by_name, sides[name], programs) for name in there]
        yield from (one.result() for one in clouds)
        parts = [one.result() for one in aligned]
        yield from parts
        blind = {name for pair, part in zip(pairs, parts, strict=False) if not part.looked for name in pair}
        yield from (one.result() for name, one in zip(there, named, strict=False) if name not in blind)


def compared(left: Side, right: Side, programs: Programs) -> Part:
    try:
        pair = explaining.explain(left, right, programs.declare)
    except (NotDeclared, Trouble) as no:
        return Part((unseen(Kind.ALIGNMENT, (left.name, right.name), f"{str(no).rstrip('.')}."),))
    looked = frozenset((Kind.ALIGNMENT, side.name) for side in (left, right))
    coverage = {left.name: Coverage(len(pair.lefts)), right.name: Coverage(len(pair.rights))}
    return Part(tuple(alignment.findings(pair)), looked, coverage, pair.tried)


def by_name(side: Side, programs: Programs) -> Part:
    try:
        (neutral,) = programs.declare([side.ask()])
        resources = explaining.declared(side, neutral)
        found = explaining.by_name(side, resources, programs.declare)
    except (NotDeclared, Trouble) as no:
        return Part((unseen(Kind.ALIGNMENT, (side.name,), f"{str(no).rstrip('.')}."),))
    coverage = {side.name: Coverage(len(resources))}
    return Part(tuple(alignment.named(side, resources, found)), frozenset({(Kind.ALIGNMENT, side.name)}), coverage)


# ---- live and unmanaged -------------------------------------------------------------------------------------------


def in_the_cloud(side: Side, programs: Programs, wanted: Wanted) -> Part:
    """What an environment declares against what AWS has. Kinds that nobody here can describe are not looked at."""
    kinds = tuple(kind for kind in (Kind.LIVE, Kind.UNMANAGED) if kind in wanted.kinds)
    infra = from_folder(wanted.folder_of(side.name), side.name).infra
    assert infra is not None
    try:
        (answer,) = programs.declare([side.ask(side.name)])
        resources = explaining.declared(side, answer)
    except (NotDeclared, Trouble) as no:
        return Part(tuple(unseen(kind, (side.name,), f"{str(no).rstrip('.')}.") for kind in kinds))
    account = both(
        asked(lambda: AwsAccount(clients(infra.region)).look(side.name), aws.EVERY),
        asked(lambda: atlas.project().look(side.name), atlas.KINDS),
    )
    if not account.kinds:
        why = " ".join(dict.fromkeys(account.blind.values()))
        return Part(tuple(unseen(kind, (side.name,), why) for kind in kinds))
    compared = live.compare(side.name, resources, account)
    found = [one for one in compared.findings if one.kind in kinds]
    found += blind(side.name, account, {one.kind for one in resources.values()})
    coverage = {side.name: Coverage(len(resources), compared.live, compared.managed, account.calls)}
    return Part(tuple(found), frozenset((kind, side.name) for kind in kinds), coverage)


def asked(look: Callable[[], Account], kinds: Iterable[str]) -> Account:
    """What a cloud has; where it could not be asked, all its kinds are blind."""
    try:
        return look()
    except Trouble as no:
        return Account((), frozenset(), dict.fromkeys(kinds, str(no)))


def both(one: Account, other: Account) -> Account:
    found, kinds = (*one.found, *other.found), one.kinds | other.kinds
    return Account(found, kinds, {**one.blind, **other.blind}, one.calls + other.calls)


def blind(name: str, account: Account, kinds: set[str]) -> Iterator[Finding]:
    """What could not be looked at: what the account may not see, and what nobody here can describe."""
    if account.blind:
        reasons = {why: [kind for kind, each in account.blind.items() if each == why] for why in account.blind.values()}
        said = " ".join(f"{', '.join(blinded)}: {why}" for why, blinded in reasons.items())
        yield unseen(Kind.LIVE, (name,), f"Not everything could be seen. {said}")
    others = sorted(kinds - account.kinds - account.blind.keys())
    if others:
        many = counted(len(others), "kind")
        why = f"{many} of declared resources cannot be described here yet: {', '.join(others)}."
        part = unseen(Kind.LIVE, (name,), why, f"turnabout infra refresh {name}")
        yield replace(part, about=f"{name} other kinds", what=f"{many} of {name}'s resources were not looked at")


# ---- waivers, and the record --------------------------------------------------------------------------------------


def accepted(wanted: Wanted, at: float) -> tuple[tuple[Waiver, ...], Part]:
    """The waivers of the checkout. A file that cannot be read waives nothing, and the report says so."""

    def content(file: str) -> bytes | None:
        path = wanted.folder / file
        return path.read_bytes() if path.is_file() else None

    try:
        found = read_waivers(content, datetime.fromtimestamp(at, UTC).date(), tuple(Kind))
    except BadEnvironment as bad:
        return (), Part(
            (unseen(Kind.WAIVER, wanted.environments, f"{bad}", "mend the file; until then it waives nothing"),)
        )
    waivers = tuple(Waiver(one.match, one.reason, one.owner, one.expires, one.place) for one in found)
    return waivers, Part(looked=frozenset((Kind.WAIVER, name) for name in wanted.environments))


def recorded(site: Site | None, report: Report) -> Report:
    """The report with what earlier ones knew, which is kept beside the ledgers. Raises Refused, Unreachable."""
    if site is None:
        return remember(Record(), report)[1]
    with changing(site.state) as kept:
        kept.record, told = remember(kept.record, report)
    return told
