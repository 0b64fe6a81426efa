"""What people were told of drift, and what is therefore news: new, changed, ended; each once, and never again.

Pure. A record knows what is found; beside it stands what was told. News is the difference of the two, so that a report
that somebody makes by hand neither tells nor swallows anything. A measurement that is another figure each time is not
changed; what nobody looked at has not ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from controller.drift.finding import OPEN, Severity, State, counted
from controller.drift.remembering import Known, Record, Told

NEW, CHANGED, ENDED, FAILED, AGAIN = "drift", "drift changed", "drift ended", "drift unseen", "drift seen"
"""The events: what a notifier sorts by."""
MOST = 6
"""More news than these of one sort in one environment are one sentence."""


@dataclass(frozen=True, slots=True)
class News:
    environment: str
    event: str
    sentence: str
    findings: tuple[str, ...] = ()
    """Their ids."""


def news(record: Record) -> tuple[News, ...]:
    """What nobody was told yet."""
    found: dict[tuple[str, str], list[tuple[str, Known | Told]]] = {}
    for event, name, one in differences(record):
        found.setdefault((one.where, event), []).append((name, one))
    return tuple(
        line for (where, event), those in found.items() for line in (few if len(those) <= MOST else many)(
            where, event, those)
    )  # fmt: skip


def differences(record: Record) -> Iterator[tuple[str, str, Known | Told]]:
    for name, known in record.known.items():
        told = record.told.get(name)
        if told is None:
            yield NEW, name, known
        elif told.mark != known.mark:
            yield CHANGED, name, known
    for name, told in record.told.items():
        if name not in record.known:
            yield ENDED, name, told


def few(where: str, event: str, those: list[tuple[str, Known | Told]]) -> Iterator[News]:
    for _, one in those:
        if isinstance(one, Told):
            yield News(where, event, f"{one.what}: ended", (one.id,))
        else:
            weight = "not looked at" if one.state == State.UNSEEN else one.severity
            says = one.what if one.state == State.UNSEEN else f"{one.what} ({weight})"
            yield News(where, event, f"{says}: {one.why} {see(where)}", (one.id,))


def many(where: str, event: str, those: list[tuple[str, Known | Told]]) -> Iterator[News]:
    high = sum(isinstance(one, Known) and one.severity == Severity.HIGH and one.state in OPEN for _, one in those)
    said = {NEW: "are new", CHANGED: "changed", ENDED: "ended"}[event]
    heavy = f", {high} of them high" if high else ""
    sentence = f"{counted(len(those), 'finding')} of drift {said}{heavy}. {see(where)}"
    yield News(where, event, sentence, tuple(one.id for _, one in those))


def see(where: str) -> str:
    return f"See: turnabout drift --env {where}"


def after_telling(record: Record) -> Record:
    """The record once everybody was told."""
    told = {name: Told(one.mark, one.what, one.id, one.where) for name, one in record.known.items()}
    return replace(record, told=told)


def after_failing(record: Record, why: str) -> tuple[Record, bool]:
    """The record after a look that failed, and whether that is news."""
    return replace(record, failed=why), record.failed != why


def seen_again(known: Mapping[str, Known], record: Record) -> str:
    """What is said when looking works again after it had failed."""
    return f"Drift is looked at again; {counted(len(known), 'finding')} open. It had failed: {record.failed}"
