"""The verbs as one table, and the quick reading of calls that are written in the usual way.

Most calls come from a controller and are always spelled alike: those are read here without argparse. Whatever is
spelled otherwise, or wrongly, is left to ``usage``, which makes a parser of the same table and knows every message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from .errors import Json

REQUIRED = object()


class Unfit(ValueError):
    """A text is not of the kind that is wanted; says what would be."""


def digest(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise Unfit(f"{text!r} is not sha256:<64 hex digits>")
    return text


def digest_or_none(text: str) -> str | None:
    return None if text == "none" else digest(text)


def seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def weight(text: str) -> tuple[str, int]:
    server, _, weight = text.partition("=")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", server) or not weight.isdigit() or int(weight) > 256:
        raise Unfit(f"{text!r} is not BACKEND/SERVER=WEIGHT with a weight of 0 to 256")
    return server, int(weight)


class Argument:
    """One word or option of a verb. ``kind`` None is a switch; ``many`` takes one or more words."""

    __slots__ = ("about", "default", "into", "kind", "many", "name")

    def __init__(
        self, name: str, kind: Callable[[str], object] | None = str, about: str = "", default: object = REQUIRED,
        into: str = "", many: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.kind, self.about, self.default, self.many = name, kind, about, default, many
        self.into = into or name.lstrip("-")


TOKEN, GENERATION = Argument("--token"), Argument("--generation", int)
TIMES = (
    Argument("--boot", about="the boot id that the times belong to"),
    Argument("--until", seconds, "the promise's end, in this boot's boottime"),
    Argument("--expires", seconds, "later than this the order is refused"),
)
ORDERS: dict[str, tuple[str, tuple[Argument, ...]]] = {
    "activate": ("run a staged release until a deadline", (
        TOKEN, GENERATION, *TIMES, Argument("digest", digest),
        Argument("--base", digest_or_none, "the last good that is expected here, or none"),
    )),
    "confirm": ("the pending release becomes last good", (GENERATION, Argument("token"))),
    "revert": ("end a token; back to last good", (
        GENERATION, Argument("--reason"), Argument("token"),
        Argument("--harm", None, "remember its digest as harmful", default=False),
    )),
    "return": ("after a promotion: back to the release before", (
        GENERATION, TOKEN, Argument("--from", digest, into="digest"), Argument("--to", digest_or_none, into="base"),
    )),
    "traffic": ("lease weights until a deadline", (
        TOKEN, GENERATION, *TIMES, Argument("weights", weight, "BACKEND/SERVER=WEIGHT", many=True),
    )),
    "status": ("what runs, what is promised", ()),
    "observe": ("status, counts and metrics in one answer", ()),
}  # fmt: skip
"""The verbs that ask serve; what they are given is what serve is told."""
VERBS = ORDERS | {
    "stage": ("take a release from a tar on stdin", (
        Argument("digest", digest),
        Argument("--anew", None, "one that is here is laid down again: what lies otherwise is put back", default=False),
    )),
    "adopt": ("a new node: what is promoted becomes last good, before it runs", (
        Argument("digest", digest), Argument("--previous", digest_or_none, "the release before it, or none"),
    )),
    "probe": ("try the application's round trip from outside it", ()),
    "logs": ("the last lines of the application", (
        Argument("--lines", int, default=50), Argument("--of", digest, "only what this release wrote", default=None),
    )),
    "inspect": ("what the machine is, and whether the release is on disk as it was staged", (
        Argument("--mend", None, "put changed files of the release back", default=False),
    )),
    "gc": ("remove releases nobody can need", ()),
    "serve": ("hold the promises (started by supervise)", (Argument("--heartbeat", int, default=None),)),
    "supervise": ("start the balancer and serve, and watch over them", ()),
}  # fmt: skip


def quick(words: Sequence[str]) -> tuple[str, str, Json] | None:
    """Root, verb and what it was given; None for everything that is not plain and right."""
    if len(words) < 2 or words[0].startswith("-") or words[1] not in VERBS:
        return None
    arguments = VERBS[words[1]][1]
    options = {argument.name: argument for argument in arguments if argument.name.startswith("-")}
    places = [argument for argument in arguments if argument.name not in options]
    given: Json = {argument.into: argument.default for argument in arguments if argument.default is not REQUIRED}
    rest = list(words[2:])
    try:
        while rest:
            word = rest.pop(0)
            if not word.startswith("-"):
                place = places.pop(0)
                assert place.kind is not None
                taken = [word]
                while place.many and rest and not rest[0].startswith("-"):
                    taken.append(rest.pop(0))
                values = [place.kind(one) for one in taken]
                given[place.into] = values if place.many else values[0]
            elif (kind := options[word].kind) is None:
                given[options[word].into] = True
            elif rest[0].startswith("-"):
                return None
            else:
                given[options[word].into] = kind(rest.pop(0))
    except (ValueError, LookupError):
        return None
    return (words[0], words[1], given) if all(argument.into in given for argument in arguments) else None
