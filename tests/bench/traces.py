"""Simulated watches: what both arms count second by second, as samples for the real judge, from a seed.

``traffic`` has the shapes. Nothing here decides anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from controller.judge.samples import Cell, Counts, Sample
from controller.node.counting import Row
from tests.bench.traffic import Spells, Traffic

SECONDS = 60
SIGMA = 0.5
"""Latencies are log-normal; their 95th percentile is SLOWEST standard deviations up."""
SLOWEST = 1.6449


class Spell:
    """Whether something is going on in this second: begins and ends by chance, with no memory."""

    def __init__(self, spells: Spells | None, random: Random) -> None:
        self.spells, self.random, self.on = spells, random, False

    def next(self) -> bool:
        if self.spells is not None:
            self.on = self.random.random() < (1 - 1 / self.spells.seconds if self.on else 1 / self.spells.every)
        return self.on

    def times(self) -> float:
        return self.spells.times if self.next() and self.spells is not None else 1.0


class Arm:
    """One arm's nodes: what is particular to them, and who tries again."""

    def __init__(self, traffic: Traffic, rate: float, nodes: int, random: Random) -> None:
        self.traffic, self.rate, self.random = traffic, rate, random
        self.swell = Spell(traffic.swell, random)
        self.stalls = [Spell(traffic.stall, random) for _ in range(nodes if traffic.stall else 0)]
        self.moods = [random.gauss(0, 1) for _ in range(nodes if traffic.wander and traffic.wander.own else 0)]
        self.hot_fails = False
        self.population = round(traffic.clients * rate)
        self.again: list[str] = []
        self.row, self.second, self.named = Row(), 0, 0
        """The node program's own counting says who counts as a client."""

    def counts(self, share: float, times: float) -> Counts:
        """One second's events, at so many times the usual traffic."""
        hot, rate = self.traffic.hot, self.rate * times * self.swell.times()
        share *= self.mood()
        self.second += 1
        before = self.row.clients + len(self.row.seen), self.row.bad_clients
        alone, bad = self.many(rate * (1 - hot.share) if hot else rate, share)
        good = alone
        if hot is not None:
            events = poisson(rate * hot.share, self.random)
            begins = share / (1 - share) / hot.spell if share < 1 else 1.0
            self.hot_fails = self.random.random() < (1 - 1 / hot.spell if self.hot_fails else begins)
            self.ask("hot", self.hot_fails, events)
            good, bad = (good, bad + events) if self.hot_fails else (good + events, bad)
        seen = self.row.clients + len(self.row.seen) - before[0]
        clients = seen if self.population else seen + alone
        return Counts(good + bad, bad, clients, self.row.bad_clients - before[1])

    def many(self, rate: float, share: float) -> tuple[int, int]:
        """Events of many clients: good and bad ones are two Poisson streams."""
        good, failing = poisson(rate * (1 - share), self.random), poisson(rate * share, self.random)
        clients = [*self.again, *(self.somebody() for _ in range(failing))]
        for client in clients:
            self.ask(client, True)
        for _ in range(good if self.population else 0):  # those who come once and are served are only counted
            self.ask(self.somebody(), False)
        if self.traffic.retries is None:
            return good, failing
        on = self.traffic.retries.more / (1 + self.traffic.retries.more)
        self.again = [client for client in clients if self.random.random() < self.traffic.retries.spill]
        return good, len(clients) + sum(geometric(on, self.random) for _ in clients)

    def somebody(self) -> str:
        if self.population:
            return f"c{self.random.randrange(self.population)}"
        self.named += 1
        return f"{self.named}"

    def ask(self, client: str, fails: bool, times: int = 1) -> None:
        if times:
            self.row.note(self.second, client, fails, None)

    def mood(self) -> float:
        """How many times as bad this arm's nodes are by themselves just now."""
        wander = self.traffic.wander
        if wander is None or not self.moods:
            return 1.0
        self.moods = [wandered(mood, wander.kept, self.random) for mood in self.moods]
        return sum(lognormal(mood, wander.spread) for mood in self.moods) / len(self.moods)

    def slow(self, total: int, slower: float) -> int:
        """How many of the events are slower than last good's slowest twentieth."""
        stalled = sum(stall.next() for stall in self.stalls) / len(self.stalls) if self.stalls else 0.0
        share = (1 - stalled) * slow_share(slower)
        if self.traffic.stall is not None:
            share += stalled * self.traffic.stall.share
        return sum(self.random.random() < share for _ in range(total))


class Devices:
    """Devices that report: at random, or at a fixed distance that began when they connected."""

    def __init__(self, traffic: Traffic, rate: float, fresh: bool, random: Random) -> None:
        self.rate, self.every, self.random, self.heard = rate, traffic.reports_every, random, 0
        self.units = rate * (self.every or 1.0)
        devices = round(self.units) if self.every else 0
        self.due = [self.every + random.random() if fresh else self.every * random.random() for _ in range(devices)]

    def metrics(self, second: int, lost: float) -> dict[str, float]:
        if not self.every:
            self.heard += poisson(self.rate * (1 - lost), self.random)
        for i, due in enumerate(self.due):
            if due <= second:
                self.heard += self.random.random() >= lost
                self.due[i] = due + self.every * self.random.uniform(0.95, 1.05)
        return {"committed": float(self.heard), "connected_seconds": self.units * second}


def trace(traffic: Traffic, random: Random) -> Iterator[Sample]:
    """A watch of SECONDS looks."""
    canary = Arm(traffic, traffic.canary, 1, random)
    control = Arm(traffic, traffic.control, max(1, round(traffic.control / traffic.canary)), random)
    devices = [Devices(traffic, rate, fresh, random) for rate, fresh in ((canary.rate, True), (control.rate, False))]
    hiccup, weather = Spell(traffic.hiccup, random), random.gauss(0, 1)
    for second in range(SECONDS):
        times, worse = ramp(traffic, second), hiccup.times()
        if traffic.wander is not None and not traffic.wander.own:
            weather = wandered(weather, traffic.wander.kept, random)
            worse *= lognormal(weather, traffic.wander.spread)
        one = canary.counts(bad_share(traffic, second, True, worse), times)
        two = control.counts(bad_share(traffic, second, False, worse), times)
        slow = (0, 0)
        if "slow" in traffic.checks:
            slow = (canary.slow(one.total, slowness(traffic, second)), control.slow(two.total, 1.0))
        heard: tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]] = ({}, {})
        if "silence" in traffic.checks:
            lost = (harms(traffic, second) and traffic.harm is not None and traffic.harm.lost) or 0.0
            heard = ({"a": devices[0].metrics(second + 1, lost)}, {"b": devices[1].metrics(second + 1, 0.0)})
        yield Sample("app", float(second + 1), (Cell("ZONE", "/", one, two, *slow),), *heard, {"a": 1.0, "b": 1.0})


def harms(traffic: Traffic, second: int) -> bool:
    return traffic.harm is not None and second >= traffic.harm.since


def bad_share(traffic: Traffic, second: int, canary: bool, worse: float) -> float:
    """The share of bad events on one arm in this second."""
    share, incident = min(0.9, traffic.bad * worse), traffic.incident
    if incident is not None and second >= incident.at + (0 if canary else incident.later):
        share = incident.bad
    if canary and harms(traffic, second) and traffic.harm is not None and traffic.harm.bad is not None:
        return max(share, traffic.harm.bad)
    return share


def slowness(traffic: Traffic, second: int) -> float:
    """How many times as slow the candidate is in this second."""
    harm = traffic.harm.slower if traffic.harm is not None and harms(traffic, second) else 1.0
    cold = traffic.cold.times if traffic.cold is not None and second < traffic.cold.seconds else 1.0
    return harm * cold


def slow_share(slower: float) -> float:
    """The share of events above last good's 95th percentile when all of them are ``slower`` times as slow."""
    return 0.5 * math.erfc((SLOWEST - math.log(slower) / SIGMA) / math.sqrt(2))


def ramp(traffic: Traffic, second: int) -> float:
    begin, end = traffic.ramp
    return begin * math.pow(end / begin, second / (SECONDS - 1))


def wandered(level: float, kept: float, random: Random) -> float:
    """The next second of a stationary wander with standard deviation 1."""
    return kept * level + math.sqrt(1 - kept * kept) * random.gauss(0, 1)


def lognormal(level: float, spread: float) -> float:
    """With mean 1."""
    return math.exp(spread * level - spread * spread / 2)


def geometric(on: float, random: Random) -> int:
    """How often in a row something happens that goes on with chance ``on``."""
    return int(math.log(1 - random.random()) / math.log(on)) if on > 0 else 0


def poisson(mean: float, random: Random) -> int:
    """Exact up to a mean of 60; beyond that the normal distribution is as good, and quicker."""
    if mean > 60:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
