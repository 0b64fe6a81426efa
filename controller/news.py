"""Which lines of a record are news to people, and how they are written: as sentences.

Pure. The loop's own moments come as clauses, and a rollout that waits says so again each time it waits for less; the
record keeps all of it, a reader wants a sentence and only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from controller.story import Moment

WAITS = "Waits for "


def news(moments: Iterable[Moment]) -> Iterator[Moment]:
    """The lines that say something new, each as a sentence."""
    waited: frozenset[str] = frozenset()
    for moment in moments:
        if moment.kind == "pending":
            waits = waited_for(moment.text)
            told, waited = waited, waits
            if waits and waits < told:
                continue
        yield replace(moment, text=as_sentence(moment.text))


def waited_for(text: str) -> frozenset[str]:
    """What a rollout says it waits for."""
    return frozenset(text.removeprefix(WAITS).rstrip(".").split("; ")) if text.startswith(WAITS) else frozenset()


def as_sentence(text: str) -> str:
    """A clause gets its capital and its full stop; what ends like a sentence is one, and may begin with a name."""
    text = " ".join(text.split())
    if text.endswith((".", "?", "!")):
        return text
    return f"{text[:1].upper()}{text[1:]}."
