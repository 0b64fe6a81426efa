"""What became of every acknowledged message: in the far store, still on a node, or lost.

The acknowledgements come from the file that the traffic wrote. The far store is asked first and is given time to get
what is on its way; what is then not there is looked for on each node of its zone.
"""

import json
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from infra.outputs import Outputs


class FarStoreAway(Exception):
    """The far store could not be asked; nothing is known of what it holds."""


Key = tuple[str, int, int]
"""Device, epoch, number: what makes a reading one and the same wherever it is stored."""
PAGE = 1000


def fates(acked: Path, platforms: Sequence[Outputs], patience: float) -> dict[str, dict[str, Any]]:
    """By environment: how many messages were acknowledged, where they are, and which are lost."""
    expected = _acknowledged(acked)
    return {
        outputs.environment: _fate(outputs, expected.get(outputs.environment, {}), patience) for outputs in platforms
    }


def _acknowledged(path: Path) -> dict[str, dict[str, set[Key]]]:
    """Environment to zone to acknowledged messages."""
    found: dict[str, dict[str, set[Key]]] = {}
    with path.open() as lines:
        for line in lines:
            row = json.loads(line)
            keys = found.setdefault(row["environment"], {}).setdefault(row["zone"], set())
            for device, numbers in row["acked"].items():
                keys.update((device, row["epoch"], number) for number in numbers)
    return found


def _fate(outputs: Outputs, zones: dict[str, set[Key]], patience: float) -> dict[str, Any]:
    until = time.monotonic() + patience
    acked = far = on_node = doubled = 0
    lost: list[Key] = []
    for zone, keys in sorted(zones.items()):
        stored = _in_far_store(outputs.mongo_uri, zone, keys)
        while not keys <= stored.keys() and time.monotonic() < until:
            time.sleep(0.5)
            stored = _in_far_store(outputs.mongo_uri, zone, keys)
        missing = keys - stored.keys()
        held = missing & _on_nodes(outputs, zone, missing)
        acked += len(keys)
        far += len(keys) - len(missing)
        on_node += len(held)
        doubled += sum(count - 1 for key, count in stored.items() if key in keys)
        lost.extend(sorted(missing - held))
    return {
        "acked": acked,
        "in_far_store": far,
        "on_nodes_only": on_node,
        "acked_lost": len(lost),
        "doubled": doubled,
        "lost": [f"{device} {epoch} {number}" for device, epoch, number in lost[:20]],
    }


def _in_far_store(uri: str, zone: str, keys: set[Key]) -> Counter[Key]:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=5000)
    with client:
        readings = client[f"{client.get_default_database().name}_zone_{zone.lower()}"]["readings"]
        epochs = sorted({epoch for _, epoch, _ in keys})
        rows = readings.find({"epoch": {"$in": epochs}}, {"_id": 0, "device": 1, "epoch": 1, "seq": 1})
        try:
            return Counter((row["device"], row["epoch"], row["seq"]) for row in rows.batch_size(10_000))
        except PyMongoError as error:
            raise FarStoreAway(f"The far store cannot be asked ({error}); start it, then verify again.") from error


def _on_nodes(outputs: Outputs, zone: str, keys: set[Key]) -> set[Key]:
    """Those of ``keys`` that a node of the zone still holds; a node that does not answer holds none for now."""
    found: set[Key] = set()
    for node in outputs.nodes:
        if node.zone == zone and node.app == "mqtt":
            for device in sorted({device for device, _, _ in keys}):
                found.update(_readings(f"http://{node.listens['http']}/v1/readings", device))
    return found


def _readings(url: str, device: str) -> Iterator[Key]:
    after = 0
    while True:
        query = urllib.parse.urlencode({"device": device, "after": after, "limit": PAGE})
        try:
            with urllib.request.urlopen(f"{url}?{query}", timeout=5) as answer:
                page = json.load(answer)
        except (OSError, ValueError):
            return
        for row in page["readings"]:
            yield row["device"], row["epoch"], row["seq"]
        if len(page["readings"]) < PAGE:
            return
        after = page["next"]
