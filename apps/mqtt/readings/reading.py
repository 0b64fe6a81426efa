"""What a payload means: one reading, or the reason why it is none.

The rules of the payload and of a reading's identity live here; where readings are kept does not.

A payload is a JSON object ``{"reading": number, "seq": int, "epoch": int?, "ts": int?, "_pk": zone?}`` or a bare
integer. ``seq`` counts a device's readings, ``epoch`` tells its restarts apart (0 unless sent), ``ts`` is the device's
clock in milliseconds. A member that is not listed, and that no schema declares, makes the payload unreadable: to
acknowledge it and drop the member would lose what the device was told is safe.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NoReturn

INT64_MAX = 2**63 - 1
TS_MAX = 253_402_300_799_999  # the last millisecond of the year 9999: what every date type on the way can hold
Scan = Callable[[str, int], tuple[object, int]]
BARE_INTEGER = re.compile(rb"\s*([+-]?[0-9]{1,19})\s*")
MEMBERS = frozenset(("reading", "seq", "epoch", "ts", "_pk"))

Take = Callable[[Mapping[str, object]], None]
"""Whether a reading may have these members, as a schema says; raises Refused. Those beyond ``MEMBERS`` are kept."""


@dataclass(slots=True)  # one for each message: a frozen one takes three times as long to make
class Reading:
    """One value of one device. ``seq`` is None for a bare integer, which then has no ``epoch`` either."""

    value: int | float
    seq: int | None = None
    epoch: int | None = None
    ts: int | None = None
    more: str | None = None
    """The members that a schema allowed besides, as a JSON object."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    reason: str


class Refused(ValueError):
    """Why a payload is no reading, in the words that its row in quarantine gets."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Refused("a member appears twice")
    return members


def _constant(name: str) -> NoReturn:
    raise Refused(f"{name} is not a number that JSON knows")


# What ``decode`` calls in the end, without what it does besides. The stubs do not list it.
_scan: Scan = json.JSONDecoder(parse_constant=_constant).scan_once  # type: ignore[attr-defined]
_scan_with_care: Scan = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant).scan_once  # type: ignore[attr-defined]


def read(payload: bytes, zone: str, take: Take | None = None) -> Reading | Unreadable:
    """The reading that ``payload`` carries, or why it carries none. Never raises."""
    bare = BARE_INTEGER.fullmatch(payload)
    try:
        if bare is not None:
            return _bare(int(bare[1]), take)
        text = payload.decode("utf-8").strip(" \t\n\r")
        members, end = _scan(text, 0)
        if type(members) is dict and text.count('"') > 2 * len(members):  # a text among the values, or a member twice
            members, end = _scan_with_care(text, 0)
        if end < len(text):
            return Unreadable("the payload is neither a JSON object nor an integer")
        return _reading(members, zone, take)
    except Refused as refusal:
        return Unreadable(str(refusal))
    except UnicodeDecodeError:
        return Unreadable("the payload is not UTF-8")
    except RecursionError:
        return Unreadable("the payload is nested too deeply")
    except (ValueError, StopIteration):
        return Unreadable("the payload is neither a JSON object nor an integer")


def _bare(value: int, take: Take | None) -> Reading:
    if not -INT64_MAX - 1 <= value <= INT64_MAX:
        raise Refused("the integer is over 64 bits")
    if take is not None:
        take({"reading": value})
    return Reading(value)


def _reading(members: object, zone: str, take: Take | None) -> Reading:
    if type(members) is not dict:
        raise Refused("the payload is neither a JSON object nor an integer")
    if take is None and not members.keys() <= MEMBERS:
        unknown = members.keys() - MEMBERS
        raise Refused(f"the member {ascii(min(unknown))[:40]} is not known")
    value = members.get("reading")
    if type(value) is int:
        _in_range("reading", value, -INT64_MAX - 1, INT64_MAX)
    elif type(value) is not float:
        raise Refused("reading is missing" if "reading" not in members else "reading is not a number")
    elif not math.isfinite(value):
        raise Refused("reading is not finite")
    if "seq" not in members:
        raise Refused("seq is missing")
    seq = _in_range("seq", members["seq"], 0, INT64_MAX)
    epoch = _in_range("epoch", members.get("epoch", 0), 0, INT64_MAX)
    ts = _in_range("ts", members["ts"], 0, TS_MAX) if "ts" in members else None
    if members.get("_pk", zone) != zone:
        raise Refused(f"_pk is {ascii(members['_pk'])[:40]}, and this is zone {zone}")
    if take is None:
        return Reading(value, seq, epoch, ts)
    take(members)
    more = {name: members[name] for name in sorted(members.keys() - MEMBERS)}
    return Reading(value, seq, epoch, ts, json.dumps(more) if more else None)


def _in_range(name: str, number: object, low: int, high: int) -> int:
    if type(number) is not int:  # bool is an int to isinstance, and JSON's true is no number
        raise Refused(f"{name} is not an integer")
    if not low <= number <= high:
        raise Refused(f"{name} is not between {low} and {high}")
    return number


def identity(zone: str, device: str, reading: Reading) -> bytes:
    """The twelve bytes that name this reading everywhere; the same reading sent again has the same ones.

    Nine are a digest of the device, its epoch and the high part of ``seq``; three are the low part of ``seq``. So what
    one device counts stands side by side in every index: a batch changes a page for each device, not for each reading.

    A bare integer carries nothing to tell a resend from a second reading, so each receipt gets a name of its own:
    such devices are served at least once, never less.
    """
    if reading.seq is None:
        return int(time.time()).to_bytes(4, "big") + os.urandom(8)
    return _stem(zone, device, reading.epoch, reading.seq >> 24) + (reading.seq & 0xFFFFFF).to_bytes(3, "big")


@lru_cache(16_384)
def _stem(zone: str, device: str, epoch: int | None, high: int) -> bytes:
    return blake2b(f"{zone}|{device}|{epoch}|{high}".encode(), digest_size=9).digest()
