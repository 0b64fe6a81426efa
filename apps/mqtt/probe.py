"""The round trip of one synthetic device: ``python -m apps.mqtt.probe --port MQTT --http HTTP``.

Connects, publishes at quality of service 1, waits for the PUBACK, reads the same value back by HTTP. With ``--far
FILE``, which holds a far store's address, the round goes on: until the reading is there, and a command came back from
there (``far_round.py``). A release is judged without that: the far store's absence is no fault of a node. Prints one
JSON line; exit 0 when the round trip works, 1 when it does not. Its devices are ``probe-0`` … ``probe-63``, chosen by
process id, so that probes which overlap do not replace each other's connection.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from apps.mqtt.config import REQUIRED
from apps.mqtt.wire import proxy
from apps.mqtt.wire.packets import Connect, Disconnect, Publish, connack, encode, puback

TOTAL_SECONDS, FAR_SECONDS = 4.5, 20.0
DEVICES = 64


class Failed(Exception):
    pass


def round_trip(
    host: str, mqtt_port: int, http_port: int, device: str, deadline: float, far: str = ""
) -> dict[str, object]:
    """Raises Failed or OSError. ``far`` is the far store's address, or empty: no further than the edge."""
    status, ready, release = _get(host, http_port, "/ready", deadline)
    if status != 200:
        raise Failed(f"/ready answers {status}: {ready.get('why', 'no reason given')}")
    # The device's epoch must grow even if this machine's clock steps back, or the reading would not be the newest.
    latest = f"/v1/devices/{device}/latest"
    before = _get(host, http_port, latest, deadline)[1].get("epoch") or 0
    epoch = max(int(time.time() * 1000), before + 1)
    payload = json.dumps({"reading": epoch % 1000, "seq": 1, "epoch": epoch}).encode()
    began = time.monotonic()
    with socket.create_connection((host, mqtt_port), _left(deadline)) as peer:
        # It runs where the balancer does, so it is believed like it, and no key has to lie on the node for it.
        vouched = proxy.write(device) if ready.get("certificates") == REQUIRED else b""
        peer.sendall(vouched + encode(Connect(device, keep_alive=10)))
        _expect(peer, connack(0), "the CONNECT", deadline)
        peer.sendall(encode(Publish(f"f/{ready['zone']}/{device}/t", payload, qos=1, packet_id=1)))
        _expect(peer, puback(1), "the PUBLISH", deadline)
        acknowledged = time.monotonic()
        peer.sendall(encode(Disconnect()))
    status, answer, _ = _get(host, http_port, latest, deadline)
    if status != 200 or answer.get("epoch") != epoch or answer.get("reading") != epoch % 1000:
        raise Failed(f"the reading was acknowledged, but {latest} answers {status} {json.dumps(answer)[:200]}")
    read = time.monotonic()
    further: dict[str, float] = {}
    if far:
        from apps.mqtt.far_round import (  # the driver takes a while to import, and is not needed else
            FarFailed,
            far_round,
        )

        try:
            further = far_round(
                far, str(ready["zone"]), device, epoch, (host, mqtt_port), acknowledged, lambda: _left(deadline)
            )
        except FarFailed as failed:
            raise Failed(str(failed)) from None
    return {
        "puback_ms": round((acknowledged - began) * 1000, 2),
        "read_ms": round((read - acknowledged) * 1000, 2),
        **further,
        "release": release,
    }


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise Failed("the round trip took more time than it has")
    return left


def _expect(peer: socket.socket, wanted: bytes, what: str, deadline: float) -> None:
    got = b""
    while len(got) < len(wanted):
        peer.settimeout(_left(deadline))
        part = peer.recv(len(wanted) - len(got))
        if not part:
            raise Failed(f"the connection was closed instead of an answer to {what}")
        got += part
    if got != wanted:
        raise Failed(f"{what} was answered with {got.hex()} instead of {wanted.hex()}")


def _get(host: str, port: int, path: str, deadline: float) -> tuple[int, dict[str, Any], str | None]:
    connection = http.client.HTTPConnection(host, port, timeout=_left(deadline))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        answer = json.loads(response.read(65_536))
    except (http.client.HTTPException, ValueError) as error:
        raise Failed(f"{path} gives no JSON answer: {type(error).__name__}") from None
    finally:
        connection.close()
    return response.status, answer if isinstance(answer, dict) else {}, response.getheader("X-Release")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.mqtt.probe", description="One round trip through the edge.")
    parser.add_argument("--port", type=int, required=True, help="the MQTT port")
    parser.add_argument("--http", type=int, required=True, help="the HTTP port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--device", default=f"probe-{os.getpid() % DEVICES}")
    parser.add_argument("--far", type=Path, metavar="FILE", help="go on to the far store, whose address is in FILE")
    parser.add_argument("--within", type=float, help="seconds for all of it (4.5; with --far 20)")
    asked = parser.parse_args(argv)
    deadline = time.monotonic() + (asked.within or (FAR_SECONDS if asked.far else TOTAL_SECONDS))
    try:
        far = asked.far.read_text("utf-8").strip() if asked.far else ""
        found = round_trip(asked.host, asked.port, asked.http, asked.device, deadline, far)
    except (Failed, OSError) as error:
        print(json.dumps({"ok": False, "why": str(error)}))
        return 1
    print(json.dumps({"ok": True, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
