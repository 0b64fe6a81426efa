"""``waivers.toml``: differences that somebody accepted for a while, who and why. Read strictly, with every complaint.

What a waiver matches and what it may not hide is not said here: that is the drift report's matter.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pydantic import Field, ValidationError

from environments.problems import BadEnvironment, Problem, in_folder, no_toml, shown
from environments.settings import lines
from environments.shape import Shape, Text

FILE = "waivers.toml"
LONGEST = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One waiver as it is written; ``place`` is its file and line."""

    match: str
    reason: str
    owner: str
    expires: date
    place: str


class WaiverShape(Shape):
    match: Text = Field(description="the finding's name, as reports print it; * stands for anything")
    reason: Text = Field(description="why it is accepted")
    owner: Text = Field(description="who answers for it")
    expires: date = Field(description="the last day on which it holds, at most 90 days ahead")


def read_waivers(read: Callable[[str], bytes | None], today: date, kinds: tuple[str, ...]) -> tuple[Accepted, ...]:
    """Every waiver of a folder; none where there is no file. Raises BadEnvironment with all that is wrong.

    ``kinds`` are the words that a finding's name can begin with. A date that has passed is no mistake.
    """
    content = read(FILE)
    if content is None:
        return ()
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadEnvironment([Problem(in_folder(FILE), *no_toml(content, error))]) from error
    starts = [number for path, number in lines(content.decode()) if path == ("waiver",)]
    found, problems = [], [_unknown(key) for key in table if key != "waiver"]
    given = table.get("waiver", [])
    if not isinstance(given, list) or len(starts) != len(given):
        reason = f"this is {shown(given)}; write each waiver as a table [[waiver]], on a line of its own"
        raise BadEnvironment([*problems, Problem(in_folder(FILE), "waiver", reason)])
    for number, (one, line) in enumerate(zip(given, starts, strict=True)):
        complaints = list(_complaints(one, today, kinds))
        problems += [Problem(in_folder(FILE), f"waiver[{number}]{key}, line {line}", why) for key, why in complaints]
        if not complaints:
            found.append(Accepted(**one, place=f"{in_folder(FILE)}:{line}"))
    if problems:
        raise BadEnvironment(problems)
    return tuple(found)


def _unknown(key: str) -> Problem:
    return Problem(in_folder(FILE), key, "this is not a known key; a waiver is a table [[waiver]]")


def _complaints(one: Any, today: date, kinds: tuple[str, ...]) -> list[tuple[str, str]]:
    try:
        waiver = WaiverShape.model_validate(one)
    except ValidationError as error:
        return [(f".{'.'.join(map(str, e['loc']))}", _reason(e)) for e in error.errors()]
    found = []
    if waiver.expires - today > LONGEST:
        days = (waiver.expires - today).days
        last = today + LONGEST
        found.append(
            (".expires", f"{waiver.expires} is {days} days ahead; write {last} at the latest, and renew it then")
        )
    if waiver.match.split()[0] not in kinds:
        reason = f"{shown(waiver.match)} begins with no kind of finding; begin with one of {', '.join(kinds)}"
        found.append((".match", reason))
    return found


def _reason(error: Any) -> str:
    key = str(error["loc"][-1]) if error["loc"] else ""
    meaning = WaiverShape.model_fields[key].description if key in WaiverShape.model_fields else ""
    if error["type"] == "extra_forbidden":
        return f"this is not a known key; a waiver has {', '.join(WaiverShape.model_fields)}"
    if error["type"] == "missing":
        return f"this key is missing ({meaning})"
    if error["type"].startswith("date"):
        return f"{shown(error['input'])} is no date; write one such as 2027-01-31, without quotes ({meaning})"
    return f"{shown(error['input'])} cannot stand here; write text ({meaning})"
