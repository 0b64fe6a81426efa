"""What devices of a factory do: what each measures, when, and what goes wrong with it. Pure, and the same for a seed.

A device is given a ``Random`` of its own, named after the seed and the device, so that what it does depends on nothing
but its own readings so far. How a mishap is carried out on a connection is in ``mishaps.py``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

FAULTS = {
    "garbage": "a payload that is no reading",
    "renumbered": "another reading under a number that is taken, as after a restart without a new epoch",
    "repeated": "an acknowledged reading once more, as after a lost PUBACK",
    "reboot": "a restart: the connection is cut, a new epoch begins, what was in memory is forgotten",
    "cut": "the connection is cut in the middle; what is not acknowledged is sent again",
    "skew": "the device's clock a day ahead or behind, for twenty readings",
    "silence": "no reading for five seconds",
    "spike": "a reading far outside of what the device measures",
    "trespass": "a reading on another device's topic",
    "oversize": "a payload that no edge takes",
    "malformed": "bytes that are not MQTT",
}
GARBAGE = (
    b"{not json", b"", b'{"reading": NaN, "seq": 1}', b'{"seq": 1}', b'{"reading": "21.5", "seq": 1}',
    b'{"reading": 1, "seq": 1, "seq": 2}', b'{"reading": 1}', b'{"reading": 1, "seq": -1}', b"\xff\xfe\x00",
    b'{"reading": 1, "seq": 18446744073709551616}', b"[" * 200, b'{"reading": 1, "seq": 1, "ts": -5}',
    b"99999999999999999999",
)  # fmt: skip
SKEW_READINGS = 20
SILENCE_SECONDS = 5.0
DAY_MS = 86_400_000
OVERSIZE_BYTES = 70_000


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine: what its sensor reads about, how far that swings, and in how many seconds it swings once."""

    name: str
    about: float
    swing: float
    seconds: float

    def value(self, at: float, random: Random) -> float:
        wave = math.sin(2 * math.pi * at / self.seconds)
        return round(self.about + self.swing * (wave + random.gauss(0, 0.15)), 3)

    def spike(self, random: Random) -> float:
        return round(self.about + self.swing * random.choice((-1, 1)) * random.uniform(15, 30), 3)


MACHINES = (
    Machine("press", 62.0, 6.0, 90.0),  # °C of the oil
    Machine("saw", 3.2, 0.5, 20.0),  # mm/s of vibration
    Machine("oven", 212.0, 9.0, 240.0),  # °C
    Machine("pump", 4.6, 0.3, 45.0),  # bar
)


def machine(number: int) -> Machine:
    return MACHINES[number % len(MACHINES)]


# ---- when the next reading is due ---------------------------------------------------------------------------------


def _steady(period: float, made: int, random: Random) -> float:
    return period


def _poisson(period: float, made: int, random: Random) -> float:
    return random.expovariate(1 / period)


def _bursts(period: float, made: int, random: Random) -> float:
    """Ten at once, and then nothing for as long as ten take."""
    return period / 20 if made % 10 else period * (10 - 9 / 20)


def _shifts(period: float, made: int, random: Random) -> float:
    """Forty readings twice as fast, and then a break that makes up for it."""
    return period / 2 if made % 40 else period * (40 - 39 / 2)


Schedule = Callable[[float, int, Random], float]
"""From the mean period and how many readings were made, to the seconds until the next; the mean is kept."""
SCHEDULES: dict[str, Schedule] = {"steady": _steady, "poisson": _poisson, "bursts": _bursts, "shifts": _shifts}
MIXED = "mixed"


def schedule(name: str, number: int) -> Schedule:
    return list(SCHEDULES.values())[number % len(SCHEDULES)] if name == MIXED else SCHEDULES[name]


# ---- what goes wrong ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mishaps:
    """Which faults there are, and in which share of the readings one of them happens."""

    kinds: Sequence[str] = ()
    share: float = 0.0

    def next(self, random: Random) -> str | None:
        if not self.kinds or random.random() >= self.share:
            return None
        return random.choice(self.kinds)


class BadFaults(ValueError):
    pass


def parse_faults(text: str) -> tuple[str, ...]:
    """``all``, ``none``, names, or ``all`` with exceptions: ``all,-trespass``. Raises BadFaults."""
    chosen: list[str] = []
    for word in text.replace(" ", "").split(","):
        name = word.removeprefix("-")
        if word in ("all", "none"):
            chosen = list(FAULTS) if word == "all" else []
        elif name not in FAULTS:
            raise BadFaults(f"{name!r} is no fault; there are all, none, {', '.join(FAULTS)}")
        elif word.startswith("-"):
            chosen = [each for each in chosen if each != name]
        elif name not in chosen:
            chosen.append(name)
    return tuple(chosen)
