"""Reads of the whole zone, by any of its nodes: this node's answer and its peers', put together.

A peer that does not answer is named in ``missing`` and the answer is marked ``partial``: it is right for the others.
A place in the zone's readings is one number for each node, written ``bos-a:17,bos-b:4``; a node that is alone counts
with a plain number.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from apps.mqtt.peers import Peer, PeerAway

Row = dict[str, Any]


class BadPlace(Exception):
    """A place that no answer of ours gave."""


class ZoneReads:
    def __init__(self, node: str, peers: Mapping[str, Peer], page: Callable[[int, int, str | None], list[Row]]) -> None:
        """``page`` gives this node's readings after a number, at most so many, of one device or of all."""
        self._node = node
        self._peers = peers
        self._page = page

    @property
    def is_alone(self) -> bool:
        return not self._peers

    async def latest(self, device: str, own: Row | None) -> tuple[Row | None, list[str]]:
        """The newest reading in the zone, and the nodes that did not answer."""
        answers, missing = await self._ask("/peer/latest", {name: {"device": device} for name in self._peers})
        found = [row for row in (own, *(answer["latest"] for answer in answers.values())) if row is not None]
        newest = None
        for row in found:
            newest = row if newest is None or is_newer(row, newest) else newest
        return newest, missing

    async def heard_elsewhere(self, device: str) -> tuple[int | None, bool]:
        """When a peer took the newest reading that peers have of a device, and whether all of them answered."""
        newest, missing = await self.latest(device, None)
        return (None if newest is None else int(newest["rts"])), not missing

    async def readings(self, place: str, limit: int, device: str | None) -> tuple[list[Row], str | int, list[str]]:
        """Rows after a place, the next place, and the nodes that did not answer. Raises BadPlace."""
        places = parse_place(place, self._node)
        asked: dict[str, Row] = {name: {"after": places.get(name, 0), "limit": limit} for name in self._peers}
        if device is not None:
            asked = {name: {**query, "device": device} for name, query in asked.items()}
        answers, missing = await self._ask("/peer/readings", asked)
        pages = {name: answer["readings"] for name, answer in answers.items()}
        pages[self._node] = self._page(places.get(self._node, 0), limit, device)
        if not self._peers:
            rows = pages[self._node]
            return rows, rows[-1]["n"] if rows else places.get(self._node, 0), []
        for name, rows in pages.items():
            for row in rows:
                row["node"] = name
        merged = list(islice(heapq.merge(*pages.values(), key=lambda row: int(row["rts"])), limit))
        places = dict.fromkeys((self._node, *self._peers), 0) | places
        for row in merged:
            places[row["node"]] = row["n"]
        return merged, write_place(places), missing

    async def ask_all(self, path: str, query: Row) -> tuple[dict[str, Any], list[str]]:
        """What each peer answers, and the nodes that did not."""
        return await self._ask(path, dict.fromkeys(self._peers, query))

    async def _ask(self, path: str, queries: Mapping[str, dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        if not queries:
            return {}, []
        answers = await asyncio.gather(
            *(self._peers[name].ask(path, query) for name, query in queries.items()), return_exceptions=True
        )
        found: dict[str, Any] = {}
        missing = []
        for name, answer in zip(queries, answers, strict=True):
            if isinstance(answer, PeerAway):
                missing.append(name)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[name] = answer
        return found, sorted(missing)


def is_newer(row: Row, than: Row) -> bool:
    """The newest is what the device numbered last; where one carries no number, what came last."""
    if row["seq"] is None or than["seq"] is None:
        return bool(row["rts"] > than["rts"])
    return bool((row["epoch"], row["seq"]) > (than["epoch"], than["seq"]))


def parse_place(place: str, node: str) -> dict[str, int]:
    if place.isascii() and place.isdigit() and len(place) <= 19 and int(place) < 2**63:
        return {node: int(place)}
    places: dict[str, int] = {}
    for part in place.split(","):
        name, colon, number = part.rpartition(":")
        if not (colon and name and number.isascii() and number.isdigit() and len(number) <= 18):
            raise BadPlace(part)
        places[name] = int(number)
    return places


def write_place(places: Mapping[str, int]) -> str:
    return ",".join(f"{name}:{number}" for name, number in sorted(places.items()))
