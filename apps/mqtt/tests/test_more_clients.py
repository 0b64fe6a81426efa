"""Asynchronous clients that others wrote, where they are installed: aiomqtt and gmqtt (MQTT 5)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from apps.mqtt.tests.device import numbered
from apps.mqtt.tests.running import Edge


def test_aiomqtt_publishes_and_subscribes(edge: Edge) -> None:
    aiomqtt = pytest.importorskip("aiomqtt", reason="aiomqtt is not installed here.")

    async def both() -> list[int]:
        where = {"hostname": "127.0.0.1", "port": edge.mqtt}
        async with (
            aiomqtt.Client(identifier="watch-a", **where) as eye,
            aiomqtt.Client(identifier="d1", **where) as device,
        ):
            await eye.subscribe("f/BOS/+/t", qos=1)
            for seq in range(100):
                await device.publish("f/BOS/d1/t", numbered(seq), qos=1)
            got: list[int] = []
            async for message in eye.messages:
                got.append(json.loads(message.payload)["seq"])
                if len(got) == 100:
                    return got
            return got

    assert asyncio.run(asyncio.wait_for(both(), 30)) == list(range(100))


def test_gmqtt_publishes_and_subscribes(edge: Edge) -> None:
    gmqtt = pytest.importorskip("gmqtt", reason="gmqtt is not installed here.")

    async def both() -> list[int]:
        got: list[int] = []
        ready, done = asyncio.Event(), asyncio.Event()

        def heard(_client: Any, _topic: str, payload: bytes, _qos: int, told: dict[str, Any]) -> int:
            assert told["content_type"] == ["json"]
            got.append(json.loads(payload)["seq"])
            if len(got) == 100:
                done.set()
            return 0

        eye, device = gmqtt.Client("watch-g"), gmqtt.Client("d1")
        eye.on_message = heard
        eye.on_subscribe = lambda *_: ready.set()
        for each in (eye, device):
            await each.connect("127.0.0.1", edge.mqtt)
        eye.subscribe("f/BOS/+/t", qos=1)
        await ready.wait()
        for seq in range(100):
            device.publish("f/BOS/d1/t", numbered(seq), qos=1, content_type="json")
        await done.wait()
        for each in (eye, device):
            await each.disconnect()
        return got

    assert asyncio.run(asyncio.wait_for(both(), 30)) == list(range(100))
