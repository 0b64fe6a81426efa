"""A zone of two nodes: each answers for both, says so when it cannot, and streams lose nothing over a reconnect."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.wire.packets import puback
from apps.mqtt.zone.zone_reads import BadPlace, parse_place, write_place

Two = tuple[Edge, Edge]


def publish(edge: Edge, name: str, *payloads: bytes) -> None:
    device = Device(edge.mqtt, name).connected()
    for packet_id, payload in enumerate(payloads, 1):
        device.publish(payload, packet_id)
        assert device.receive(4) == puback(packet_id)
    device.close()


class Events:
    """What a stream says, event by event."""

    def __init__(self, edge: Edge, query: str = "", last: str | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", edge.http, timeout=20)
        self._connection.request("GET", f"/v1/stream{query}", headers={} if last is None else {"Last-Event-ID": last})
        self._answer = self._connection.getresponse()
        assert self._answer.getheader("Content-Type") == "text/event-stream"
        assert self._answer.readline() == b"retry: 1000\n"
        self.last = last

    def next(self) -> tuple[str, Any]:
        """The kind of the next event and its document."""
        found: dict[str, str] = {}
        while True:
            line = self._answer.readline().decode()
            assert line, "the stream ended"
            name, _, words = line.rstrip("\n").partition(": ")
            if name:
                found[name] = words
            elif "data" in found:
                self.last = found["id"]
                return found["event"], json.loads(found["data"])
            else:
                found = {}

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


@contextmanager
def stopped(edge: Edge) -> Iterator[None]:
    assert edge.process is not None
    os.kill(edge.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(edge.process.pid, signal.SIGCONT)


def test_any_node_knows_the_newest_reading_of_every_device(two: Two) -> None:
    first, second = two
    publish(first, "d1", numbered(1, 10), numbered(2, 20))
    publish(second, "d2", numbered(1, 30))
    publish(second, "d1", numbered(3, 40))  # it has moved
    publish(second, "d3", numbered(5, 50))
    publish(first, "d3", numbered(4, 99))  # sent late: not the newest, though it came last
    for edge in two:
        for name, reading in (("d1", 40), ("d2", 30), ("d3", 50)):
            status, latest = edge.get(f"/v1/devices/{name}/latest")
            assert (status, latest["reading"], "partial" in latest) == (200, reading, False)
        sentence = {"error": "This device has sent no reading to this zone."}
        assert edge.get("/v1/devices/unheard/latest") == (404, sentence)


@pytest.mark.parametrize("how", ["dead", "stopped"])
def test_an_answer_without_a_node_says_so_and_does_not_wait_for_it(two: Two, how: str) -> None:
    first, second = two
    publish(first, "d1", numbered(1, 10))
    publish(second, "d1", numbered(2, 20))
    if how == "dead":
        second.kill()
        missing_one(first)
        second.start()
    else:
        with stopped(second):
            missing_one(first)
    until(lambda: first.get("/v1/devices/d1/latest")[1]["reading"] == 20)


def missing_one(edge: Edge) -> None:
    for path in ("/v1/devices/d1/latest", "/v1/readings"):
        began = time.monotonic()
        answers = [edge.get(path) for _ in range(20)]
        assert time.monotonic() - began < 8  # one of them waits, the others know
        assert all((status, told["partial"], told["missing"]) == (200, True, ["bos-b"]) for status, told in answers)
    assert edge.get("/v1/devices/d1/latest")[1]["reading"] == 10
    assert edge.get("/v1/devices/d2/latest")[1]["missing"] == ["bos-b"]
    assert edge.is_ready()


def test_pages_of_the_zone_lead_on_across_nodes(two: Two) -> None:
    first, second = two
    for seq in range(0, 30, 3):
        publish(first, "d1", numbered(seq))
        publish(second, "d1", numbered(seq + 1), numbered(seq + 2))
    for edge in two:
        rows, place = [], "0"
        while page := edge.get(f"/v1/readings?after={place}&limit=7")[1]:
            if not page["readings"]:
                break
            rows += page["readings"]
            place = page["next"]
        assert sorted(row["seq"] for row in rows) == list(range(30))
        assert [row["rts"] for row in rows] == sorted(row["rts"] for row in rows)  # within a millisecond, either first
        assert {row["node"] for row in rows} == {"bos-a", "bos-b"}
        assert place == "bos-a:10,bos-b:20"


def test_a_place_is_read_as_it_is_written() -> None:
    assert parse_place(write_place({"b": 2, "a": 1}), "x") == {"a": 1, "b": 2}
    assert parse_place("17", "x") == {"x": 17}
    for bad in ("", "a", "a:", "a:-1", "a:1,", ":1", "a:1b", "9" * 20):
        with pytest.raises(BadPlace):
            parse_place(bad, "x")


def test_a_stream_tells_of_every_node_and_goes_on_at_another_where_it_broke_off(two: Two) -> None:
    first, second = two
    events = Events(first)
    publish(first, "d1", numbered(1))
    assert events.next()[1]["seq"] == 1
    publish(second, "d2", numbered(2))
    kind, row = events.next()
    assert (kind, row["seq"], row["node"], row["device"]) == ("reading", 2, "bos-b", "d2")
    events.close()
    for seq in range(3, 13):
        publish(two[seq % 2], "d1", numbered(seq))
    events = Events(second, last=events.last)
    assert sorted(events.next()[1]["seq"] for _ in range(10)) == list(range(3, 13))
    publish(first, "d1", numbered(13))
    assert events.next()[1]["seq"] == 13


def test_a_stream_survives_kill_9_of_the_node_that_serves_it(two: Two) -> None:
    first, second = two
    events = Events(first, "?device=d1")
    publish(first, "d1", numbered(1))
    publish(first, "other", numbered(99))
    assert events.next()[1]["seq"] == 1
    publish(first, "d1", numbered(2))
    first.kill()
    events = Events(second, "?device=d1", events.last)
    publish(second, "d1", numbered(3))
    assert events.next()[1]["seq"] == 3
    first.start()  # what it holds comes when it is back
    assert events.next()[1]["seq"] == 2


def test_a_stream_from_a_place_has_everything_since(edge: Edge) -> None:
    publish(edge, "d1", *(numbered(seq) for seq in range(1, 501)))
    events = Events(edge, "?after=bos-a:0.0")
    assert [events.next()[1]["seq"] for _ in range(500)] == list(range(1, 501))


def test_streams_that_end_free_their_place(edge: Edge) -> None:
    for _ in range(210):  # more than are served at once
        Events(edge).close()
        publish(edge, "d1", b"1")
    Events(edge)
