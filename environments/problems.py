"""What is wrong with an environment, as data: one Problem for each complaint, all of them in one BadEnvironment.

Which rules there are is not said here (``model.py``, ``overlay.py`` and ``rules.py`` say it), and nothing here reads
a file. What does live here is how a place in a file is written, and how the whole list reads to its author.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

FOLDER = "environments"
NEWLINE = b"\n"

type_words = {bool: "a boolean", int: "a whole number", float: "a number", str: "text", list: "an array"}

KeyPath = tuple[str | int, ...]


class Complaint(NamedTuple):
    """A problem before it is known which file it stands in.

    ``also`` are the other keys that take part: the author is sent to the one that the overlay sets, because the base
    serves the other environments too.
    """

    at: KeyPath
    reason: str
    also: tuple[KeyPath, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint: the file to open, the key to look for in it, and a sentence on what to do there."""

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}" if self.key else self.reason


class BadEnvironment(Exception):
    """The author of the environment files must act. Carries every complaint, never only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        by_file: dict[str, list[Problem]] = {}
        for problem in self.problems:
            by_file.setdefault(problem.file, []).append(problem)
        lines = []
        for file, problems in by_file.items():
            lines.append(f"{file}: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
            lines += [f"  - {problem}" for problem in problems]
        return "\n".join(lines)


def in_folder(file: str) -> str:
    """``prod.toml`` as people name it: ``environments/prod.toml``."""
    return f"{FOLDER}/{file}"


def dotted(path: KeyPath) -> str:
    """A key as it is written in a sentence: ``fleet.mqtt.waves[1].BOS``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: object) -> str:
    """A value as TOML writes it, short enough for a sentence."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str | bool):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 60 else f'{text[:56]}…"'
    return str(value)


def no_toml(content: bytes, error: ValueError) -> tuple[str, str]:
    """Where a file stops being TOML, as a key to look for, and the sentence on what stands there."""
    if isinstance(error, UnicodeDecodeError):
        return f"line {content[: error.start].count(NEWLINE) + 1}", "this is not UTF-8; save the file as UTF-8"
    what, _, where = str(error).partition(" (at ")
    lines = content.decode().split("\n")
    while len(lines) > 1 and not lines[-1].strip():  # what is missing at the end is missing after the last word
        lines.pop()
    found = re.match(r"line (\d+), column (\d+)", where)
    line, column = (int(found[1]), int(found[2])) if found else (len(lines), len(lines[-1]) + 1)
    text = lines[min(line, len(lines)) - 1].strip()
    said = (
        f"this is not TOML: {what[:1].lower()}{what[1:]}; the line is `{text if len(text) <= 80 else text[:76] + '…'}`"
    )
    return f"line {line}, column {column}", said


def kind_of(value: object) -> str:
    """What sort of value this is, for "… is text; write a number"."""
    return "a table" if isinstance(value, dict) else type_words.get(type(value), "a date or time")


def near(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    choices = sorted(known)
    # Words that begin alike are nearer than difflib sees, which looks at lengths: "watch" is meant for "watch_seconds".
    alike = [choice for choice in choices if word and choice.startswith(word)]
    return next(iter(alike or difflib.get_close_matches(word, choices, n=1)), None)


def nearest(word: str, known: Collection[str]) -> str:
    """``(did you mean "x"?)``, or the list to choose from where nothing is near."""
    meant = near(word, known)
    if meant:
        return f'(did you mean "{meant}"?)'
    return f"(known: {', '.join(sorted(known))})" if known else "(none is known)"
