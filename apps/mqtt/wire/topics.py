"""Topics and filters: what matches what, what lies within what, and many filters asked at once. Pure.

A filter is a topic whose levels may be ``+`` (any one level) or end in ``#`` (any number of levels, also none).
A topic that begins with ``$`` is matched by no filter that begins with a wildcard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Holder = TypeVar("Holder")
LEVELS = 16  # more levels than any topic of ours has; a deeper filter is refused before it costs anything


def matches(pattern: str, topic: str) -> bool:
    if topic.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    asked, given = pattern.split("/"), topic.split("/")
    for at, level in enumerate(asked):
        if level == "#":
            return True
        if at == len(given) or level not in ("+", given[at]):
            return False
    return len(asked) == len(given)


def within(pattern: str, allowed: str) -> bool:
    """Whether every topic that ``pattern`` matches is matched by ``allowed`` too."""
    asked, given = pattern.split("/"), allowed.split("/")
    for at, level in enumerate(given):
        if level == "#":
            return True
        if at == len(asked) or asked[at] == "#" or level not in ("+", asked[at]):
            return False
    return len(asked) == len(given)


@dataclass(slots=True)
class _Level(Generic[Holder]):
    below: dict[str, _Level[Holder]] = field(default_factory=dict)
    holders: set[Holder] = field(default_factory=set)


class Tree(Generic[Holder]):
    """Who asked for what. A topic is answered in time that grows with its levels, not with the number of filters."""

    def __init__(self) -> None:
        self._root: _Level[Holder] = _Level()
        self._known: dict[str, frozenset[Holder]] = {}

    def add(self, pattern: str, holder: Holder) -> None:
        self._known.clear()
        level = self._root
        for name in pattern.split("/"):
            level = level.below.setdefault(name, _Level())
        level.holders.add(holder)

    def remove(self, pattern: str, holder: Holder) -> None:
        self._known.clear()
        path = [self._root]
        for name in pattern.split("/"):
            below = path[-1].below.get(name)
            if below is None:
                return
            path.append(below)
        path[-1].holders.discard(holder)
        for parent, name in reversed(list(zip(path, pattern.split("/"), strict=False))):
            if parent.below[name].holders or parent.below[name].below:
                return
            del parent.below[name]

    def matching(self, topic: str) -> frozenset[Holder]:
        known = self._known.get(topic)
        if known is None:
            if len(self._known) >= 10_000:
                self._known.clear()
            known = self._known[topic] = frozenset(self._walk(topic))
        return known

    def __bool__(self) -> bool:
        return bool(self._root.below)

    def _walk(self, topic: str) -> Iterator[Holder]:
        here: Iterable[_Level[Holder]] = (self._root,)
        for depth, name in enumerate(topic.split("/")):
            wild = depth > 0 or not name.startswith("$")
            further = []
            for level in here:
                if wild and "#" in level.below:
                    yield from level.below["#"].holders
                further += [level.below[key] for key in (name, "+")[: 1 + wild] if key in level.below]
            here = further
        for level in here:
            yield from level.holders
            if "#" in level.below:
                yield from level.below["#"].holders
