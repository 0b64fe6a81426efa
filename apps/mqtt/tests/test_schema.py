"""Declared members: what is held against them, what is kept beyond a reading, and what is inferred for review."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pymongo import MongoClient

from apps.mqtt.config import BadConfig, load
from apps.mqtt.disk.layout import FILE
from apps.mqtt.readings.reading import Reading, Unreadable, read
from apps.mqtt.readings.schema import BadSchema, Schema, parse
from apps.mqtt.tests.device import Device
from apps.mqtt.tests.running import Edge, Mongod, until
from apps.mqtt.wire.packets import puback

PRESS = {
    "devices": "press-*",
    "members": {
        "_pk": {}, "reading": {"min": -40, "max": 400}, "seq": {}, "ts": {"optional": True},
        "unit": {"type": "text", "values": ["C", "F"]}, "shift": {"type": "integer", "optional": True},
        "ok": {"type": "boolean", "optional": True}, "load": {"type": "number", "optional": True, "max": 1},
    },
}  # fmt: skip
GOOD = {"_pk": "BOS", "reading": 21.5, "seq": 1, "unit": "C"}


def told(members: object, device: str = "press-1", schema: list[Any] | None = None) -> Reading | str:
    tables = Schema(parse([PRESS] if schema is None else schema))
    found = read(json.dumps(members).encode(), "BOS", partial(tables.take, device))
    return found.reason if isinstance(found, Unreadable) else found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"_pk": "DFW"}, "_pk is 'DFW', and this is zone BOS"),
        ({"_pk": None}, "_pk is None, and this is zone BOS"),
        ({"reading": 401}, "reading is 401, which is not between -40 and 400"),
        ({"unit": "K"}, "unit is 'K', which is none of its values"),
        ({"unit": 7}, "unit is not a text"),
        ({"shift": 1.5}, "shift is not an integer"),
        ({"shift": True}, "shift is not an integer"),
        ({"ok": 1}, "ok is not a boolean"),
        ({"load": 2}, "load is 2, which is not between -inf and 1"),
        ({"load": [1]}, "load is neither a number nor a text nor true or false"),
        ({"colour": "red"}, "the member 'colour' is not declared"),
        ({"epoch": 3}, "the member 'epoch' is not declared"),
        ({"unit": "C" * 300}, "unit has 300 characters; 256 can be kept"),
        ({"shift": 2**63}, "shift is over 64 bits"),
    ],
)
def test_what_breaks_the_schema_has_a_reason(change: dict[str, Any], reason: str) -> None:
    assert told(GOOD | change) == reason


def test_what_is_declared_is_a_reading_and_the_rest_of_it_is_kept() -> None:
    assert told(GOOD) == Reading(21.5, 1, 0, None, '{"unit": "C"}')
    assert told(GOOD | {"shift": 2, "ok": True, "load": 1}) == Reading(
        21.5, 1, 0, None, '{"load": 1, "ok": true, "shift": 2, "unit": "C"}'
    )
    assert told({name: value for name, value in GOOD.items() if name != "_pk"}) == (
        "_pk is missing, which the schema asks for"
    )
    assert told(7) == "_pk is missing, which the schema asks for"
    assert told(7, schema=[{"members": {"reading": {"type": "integer"}}}]) == Reading(7)
    assert told(GOOD, "saw-1") == "the schema declares nothing for this device"


def test_without_a_schema_the_zone_may_be_named_and_nothing_else() -> None:
    assert read(b'{"_pk": "BOS", "reading": 1, "seq": 1}', "BOS") == Reading(1, 1, 0)
    assert read(b'{"_pk": "DFW", "reading": 1, "seq": 1}', "BOS") == Unreadable("_pk is 'DFW', and this is zone BOS")
    assert read(b'{"unit": "C", "reading": 1, "seq": 1}', "BOS") == Unreadable("the member 'unit' is not known")


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({}, "schema is not a list of tables"),
        ([{"device": "x"}], "schema[0] is not a table of devices and members"),
        ([{"devices": 1, "members": {"reading": {}}}], "schema[0]: devices is 1"),
        ([{"members": {"seq": {}}}], "schema[0]: members is not a table of members with reading among them"),
        ([{"members": {"reading": {}, "unit": {}}}], "schema[0].unit: type is None; it must be number or integer"),
        ([{"members": {"reading": {"type": "text"}}}], "schema[0].reading: type is 'text'; it must be number"),
        ([{"members": {"reading": {}, "rts": {"type": "text"}}}], "schema[0].rts: a member cannot be called so"),
        ([{"members": {"reading": {}, "a.b": {"type": "text"}}}], "a.b: a member cannot be called so"),
        ([{"members": {"reading": 7}}], "schema[0].reading is not a table"),
        ([{"members": {"reading": {"most": 7}}}], "schema[0].reading: 'most' is not known"),
        ([{"members": {"reading": {"min": 7, "max": 3}}}], "min and max are numbers, min the lower one"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_one_sentence(
    new_edge: Callable[..., Edge], schema: Any, sentence: str
) -> None:
    with pytest.raises(BadSchema) as caught:
        parse(schema)
    assert sentence in str(caught.value)
    edge = new_edge(schema=schema)
    edge.config.write_text(json.dumps(edge.document))
    with pytest.raises(BadConfig, match=r'"settings.schema" cannot be used'):
        load(edge.config)


def test_a_mode_that_is_none_is_refused(new_edge: Callable[..., Edge]) -> None:
    edge = new_edge(schema_mode="guess")
    edge.config.write_text(json.dumps(edge.document))
    with pytest.raises(BadConfig, match=r'"settings.schema_mode" is .guess.; it must be "declared" or "infer"'):
        load(edge.config)


def say(edge: Edge, name: str, *payloads: dict[str, Any]) -> None:
    device = Device(edge.mqtt, name).connected()
    for number, payload in enumerate(payloads, 1):
        device.publish(json.dumps(payload).encode(), number)
        assert device.receive(4) == puback(number)
    device.close()


def test_what_breaks_the_schema_is_acknowledged_from_quarantine_and_the_rest_is_read_whole(
    new_edge: Callable[..., Edge],
) -> None:
    edge = new_edge(schema=[PRESS]).start()
    say(edge, "press-1", GOOD, GOOD | {"seq": 2, "unit": "K"}, GOOD | {"unit": "F"}, GOOD)
    (row,) = edge.readings()
    assert (row["reading"], row["more"]) == (21.5, {"unit": "C"})
    counts = edge.metrics()
    assert (counts["committed"], counts["quarantined"], counts["duplicates"]) == (1, 2, 1)
    edge.kill()
    with sqlite3.connect(edge.data / FILE) as db:
        reasons = [reason for (reason,) in db.execute("SELECT reason FROM quarantine ORDER BY n")]
    assert reasons == ["unit is 'K', which is none of its values", "another reading has this epoch and seq"]


def test_declared_members_reach_the_far_store(new_edge: Callable[..., Edge], mongod: Mongod) -> None:
    edge = new_edge(schema=[PRESS], mongo_uri=mongod.uri).start()
    say(edge, "press-1", GOOD | {"shift": 2})
    with MongoClient[dict[str, Any]](mongod.uri) as client:
        document = until(lambda: client["zone_bos"]["readings"].find_one({"device": "press-1"}))
    assert (document["_pk"], document["unit"], document["shift"]) == ("BOS", "C", 2)


def test_what_arrives_in_development_is_written_down_as_a_schema_that_takes_the_same(
    new_edge: Callable[..., Edge],
) -> None:
    edge = new_edge(schema_mode="infer").start()
    for number in (1, 2):
        say(
            edge, f"press-{number}", GOOD | {"mixed": 1, "load": 1, "new": True},
            GOOD | {"seq": 2, "mixed": "x", "load": 0.5},
            GOOD | {"seq": 3, "nested": {"a": 1}}, GOOD | {"seq": 4, "rts": 1},
        )  # fmt: skip
    say(edge, "saw-1", {"reading": 3, "seq": 1})
    assert edge.metrics()["quarantined"] == 4
    file = edge.data / "schema.inferred.toml"
    text: str = until(lambda: file.exists() and "saw-*" in (text := file.read_text()) and text)
    assert "# press-*: 2 devices, 4 readings" in text
    assert "mixed was integer and text: it cannot be declared as both" in text
    assert "load was from 0.5 to 1" in text
    press, saw = tomllib.loads(text)["schema"]
    assert press == {
        "devices": "press-*",
        "members": {"_pk": {}, "reading": {"type": "number"}, "seq": {}, "unit": {"type": "text"},
                    "load": {"type": "number"}, "new": {"type": "boolean", "optional": True}},
    }  # fmt: skip
    assert told(GOOD | {"load": 0.7}, schema=[press, saw]) == Reading(21.5, 1, 0, None, '{"load": 0.7, "unit": "C"}')
    assert saw["members"] == {"reading": {"type": "integer"}, "seq": {}}
