"""Which lines of a record are news to people, and how they are written: as sentences.

Pure. The loop's own moments come as clauses, and a rollout that waits says so again each time it waits for less; the
record keeps all of it, a reader wants a sentence and only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from controller.stories.advice import grouped, waited_for
from controller.stories.story import Moment


def news(moments: Iterable[Moment]) -> Iterator[Moment]:
    """The lines that say something new, each as a sentence."""
    waited: frozenset[str] = frozenset()
    for moment in moments:
        if moment.kind == "pending":
            told, waited = waited, frozenset(waited_for(moment.text))
            if waited and waited < told:
                continue
        begins_with_name = moment.kind == "order"
        yield replace(moment, text=as_sentence(grouped(moment.text), begins_with_name))


def as_sentence(text: str, begins_with_name: bool = False) -> str:
    """A clause gets its capital and its full stop; what ends like a sentence is one, and may begin with a name."""
    text = " ".join(text.split())
    if text.endswith((".", "?", "!")):
        return text
    return f"{text}." if begins_with_name else f"{text[:1].upper()}{text[1:]}."
