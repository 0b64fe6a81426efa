"""The zone at a glance: what nodes say of themselves, put together, and the page that shows it."""

from __future__ import annotations

import http.client
import json
import re
import signal
from collections.abc import Callable
from typing import Any

from apps.mqtt.reads.web import LIVE_PAGE
from apps.mqtt.tests.device import Device, numbered
from apps.mqtt.tests.running import Edge, until
from apps.mqtt.tests.test_zone import Events
from apps.mqtt.wire.packets import puback
from apps.mqtt.zone.overview import put_together

PAGE = LIVE_PAGE.read_text()


def say(edge: Edge, name: str, *payloads: bytes) -> None:
    device = Device(edge.mqtt, name).connected()
    for number, payload in enumerate(payloads, 1):
        device.publish(payload, number)
        assert device.receive(4) == puback(number)
    device.close()


def zone(edge: Edge) -> dict[str, Any]:
    status, found = edge.get("/v1/zone")
    assert status == 200
    return dict(found)


def test_any_node_tells_of_the_whole_zone(two: tuple[Edge, Edge]) -> None:
    first, second = two
    say(first, "press-1", numbered(1, 20), b"rubbish")
    say(second, "saw-1", numbered(1, 3))
    say(second, "press-1", numbered(2, 21))  # it moved
    until(lambda: len(zone(first)["set_aside"]) == 1 and len(zone(first)["devices"]) == 2)
    told = until(lambda: (found := zone(second))["devices"][0]["seq"] == 2 and found)
    assert [(row["device"], row["reading"], row["node"]) for row in told["devices"]] == [
        ("press-1", 21, "bos-b"), ("saw-1", 3, "bos-b"),
    ]  # fmt: skip
    assert [(node["node"], node["ready"], node["stored"], node["backlog"]) for node in told["nodes"]] == [
        ("bos-a", True, 1, 1), ("bos-b", True, 2, 2),
    ]  # fmt: skip
    assert [node["totals"]["quarantined"] for node in told["nodes"]] == [1, 0]
    (aside,) = told["set_aside"]
    assert (aside["device"], aside["node"]) == ("press-1", "bos-a")
    assert aside["reason"] == "the payload is neither a JSON object nor an integer"
    assert "partial" not in told


def test_a_node_that_hangs_is_named_and_the_rest_is_told(two: tuple[Edge, Edge]) -> None:
    first, second = two
    say(first, "d1", numbered(1))
    assert second.process is not None
    second.process.send_signal(signal.SIGSTOP)
    try:
        told = until(lambda: (found := zone(first)).get("partial") and found)
    finally:
        second.process.send_signal(signal.SIGCONT)
    assert told["missing"] == ["bos-b"]
    assert [row["device"] for row in told["devices"]] == ["d1"]
    until(lambda: "partial" not in zone(first))


def test_alerts_that_stand_are_told_and_those_that_ended_are_not(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(rules=[{"name": "hot", "above": 90}]).start()
    say(edge, "press-7", numbered(1, 95))
    say(edge, "saw-1", numbered(1, 5))
    (alert,) = until(lambda: zone(edge)["alerts"])
    assert (alert["device"], alert["why"]) == ("press-7", "press-7 reads 95, above 90.")
    say(edge, "press-7", numbered(2, 20))
    until(lambda: not zone(edge)["alerts"])


def test_an_empty_zone_is_told_as_one(edge: Edge) -> None:
    told = zone(edge)
    assert (told["zone"], told["devices"], told["alerts"], told["set_aside"]) == ("BOS", [], [], [])
    assert (told["nodes"][0]["connected"], told["nodes"][0]["lag_seconds"]) == (0, 0)


def test_the_newest_of_a_device_counts_whichever_node_has_it() -> None:
    def node(name: str, *seqs: int) -> dict[str, Any]:
        rows = [{"device": "d1", "epoch": 0, "seq": seq, "reading": seq, "ts": None, "rts": 0} for seq in seqs]
        return {"node": name, "at": 1, "devices": rows, "alerts": [], "set_aside": []}

    for nodes in ([node("b", 7), node("a", 9)], [node("a", 9), node("b", 7)]):
        told = put_together("BOS", nodes, [])
        assert [(row["seq"], row["node"]) for row in told["devices"]] == [(9, "a")]
        assert [each["node"] for each in told["nodes"]] == ["a", "b"]


def test_the_page_is_one_file_that_asks_nobody_else(shared: Edge) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.http, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/html; charset=utf-8")
    assert answer.read().decode() == PAGE
    assert re.findall(r"(?:https?:)?//[\w.]+\.\w+", PAGE.replace("http://www.w3.org/2000/svg", "")) == []
    assert re.findall(r"\bsrc=|@import|innerHTML|document\.write", PAGE) == []
    assert "default-src 'none'" in PAGE


def test_what_the_page_reads_is_what_the_zone_tells(shared: Edge) -> None:
    """Every member that the page's script takes from a node, and every path that it asks."""
    told = json.loads(json.dumps(zone(shared)))
    members = set(re.findall(r"\bnode\.(\w+)", PAGE)) - {"pace", "totals"}
    assert len(members) > 7 and members <= told["nodes"][0].keys()
    assert set(re.findall(r"node\.totals\.(\w+)", PAGE)) <= told["nodes"][0]["totals"].keys()
    assert set(re.findall(r"\bzone\.(\w+)", PAGE)) <= told.keys() | {"missing"}
    assert set(re.findall(r'"(/v1/\w+)', PAGE)) == {"/v1/zone", "/v1/stream"}


def test_a_stream_says_where_it_begins_so_that_a_cut_before_the_first_event_loses_nothing(edge: Edge) -> None:
    say(edge, "d1", numbered(1))
    connection = http.client.HTTPConnection("127.0.0.1", edge.http, timeout=10)
    connection.request("GET", "/v1/stream")
    began = re.search(r"id: (\S+)", connection.getresponse().read(30).decode())
    assert began is not None
    connection.close()
    say(edge, "d1", numbered(2), numbered(3))
    events = Events(edge, last=began[1])
    assert [events.next()[1]["seq"] for _ in range(2)] == [2, 3]
