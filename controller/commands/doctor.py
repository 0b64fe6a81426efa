"""``turnabout doctor``: whether everything that a site needs is here and answers. It looks, and mends nothing."""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

from controller import assemble
from controller.commands.exits import DONE, NO
from controller.errors import Trouble
from controller.fleets.nodes import NodeFleet
from controller.keys import BUILD, REVERT, build_key, revert_key
from controller.ledgers.sqlite import leader
from controller.site import Site

ANSWER_SECONDS = 2.0
AT_ONCE = 16
MONGO_PORT = 27017


def doctor(args: argparse.Namespace, site: Site) -> int:
    """Try everything that a controller of this site needs, and say of each how it does."""
    results = [(name, *tried(probe)) for name, probe in examinations(site)]
    if args.json:
        findings = [{"what": name, "good": good, "said": said} for name, good, said in results]
        print(json.dumps({"schema": "turnabout/doctor/1", "findings": findings}, indent=2))
    else:
        for name, good, said in results:
            print(f"{'ok ' if good else 'NO '} {name:24} {said}")
    return DONE if all(good for _, good, _ in results) else NO


def tried(probe: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, probe()
    except Exception as error:  # whatever is wrong is what a doctor is asked for
        return False, str(error) or type(error).__name__


def examinations(site: Site) -> list[tuple[str, Callable[[], str]]]:
    found: list[tuple[str, Callable[[], str]]] = [
        ("python", lambda: sys.version.split()[0]),
        ("git", lambda: shutil.which("git") or fail("there is no git on PATH; install it")),
        ("keys", partial(keys, site)),
        ("repository", lambda: f"{len(assemble.repository(site).heads())} branches"),
    ]
    for name in site.environments:
        found.append((f"{name} outputs", partial(declared, site, name)))
        found.append((f"{name} database", partial(far_store, site, name)))
        found.append((f"{name} ledger", partial(whole, site, name)))
        found.append((f"{name} controller", partial(led, site, name)))
        found.append((f"{name} nodes", partial(reached, site, name)))
        found.append((f"{name} commands", partial(commanded, site, name)))
        found.append((f"{name} balancers", partial(balanced, site, name)))
    return found


def fail(sentence: str) -> str:
    raise LookupError(sentence)


def keys(site: Site) -> str:
    missing = [name for name in (BUILD, REVERT) if not (site.keys / name).exists()]
    if missing:
        return f"{site.keys} has no {' and no '.join(missing)} yet: made when first needed"
    build, _ = build_key(site.keys), revert_key(site.keys)
    return f"{BUILD} ({build.name}) and {REVERT} in {site.keys}"


def declared(site: Site, name: str) -> str:
    outputs = site.outputs(name)
    nodes = f"{len(outputs.nodes)} nodes"
    if not (site.keys / BUILD).exists():
        return nodes
    build = build_key(site.keys)
    if build.public not in outputs.trusted:
        fail(f"its nodes do not trust {BUILD} ({build.name}), so they will stage nothing: bring them up with this key")
    return f"{nodes}, which trust {build.name}"


def far_store(site: Site, name: str) -> str:
    """Whether something listens where the applications' database is; what it says is the applications' matter."""
    uri = urlsplit(site.outputs(name).mongo_uri)
    if uri.scheme != "mongodb":
        return f"not looked at: {uri.scheme or 'none'} is named"
    places = [place.rpartition("@")[2] for place in uri.netloc.split(",")]
    return answering({place: place if ":" in place else f"{place}:{MONGO_PORT}" for place in places})


def balanced(site: Site, name: str) -> str:
    fronts = {
        f"{node.name} {port}": address
        for node in site.outputs(name).nodes
        for port, address in node.fronts.items()
    }  # fmt: skip
    return answering(fronts)


def answering(places: dict[str, str]) -> str:
    """How many of these take a connection. Fails with the names of those that do not."""
    tried = ((name if name == place else f"{name} at {place}", refusal(place)) for name, place in places.items())
    silent = [f"{what}: {said}" for what, said in tried if said is not None]
    if silent:
        fail(f"{'; '.join(silent)}. Bring the platform up, or what ended of it")
    return f"{len(places)} answer"


def refusal(place: str) -> str | None:
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS):
            return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error).lower()


def whole(site: Site, name: str) -> str:
    if not site.ledger(name).exists():
        return "none yet: the first controller makes it"
    ledger = assemble.open_ledger(site, name)
    broken = ledger.broken_at()
    if broken is not None:
        fail(f"row {broken} does not follow from the one before it: the file was changed by hand or damaged")
    return f"{len(ledger.rows())} rows, every hash follows"


def led(site: Site, name: str) -> str:
    pid = leader(site.leader(name))
    return f"leads, pid {pid}" if pid is not None else fail("none leads it: start one with turnabout run")


def reached(site: Site, name: str) -> str:
    """Whether every node can be observed."""
    fleet, nodes = asked(site, name)
    every([partial(fleet.observe, node) for node in nodes])
    return f"{len(nodes)} answer"


def commanded(site: Site, name: str) -> str:
    """Whether a command reaches every node, by whichever way commands go there."""
    outputs = site.outputs(name)
    fleet, nodes = asked(site, name)
    every([partial(fleet.status, node) for node in nodes])
    ways = ", ".join(sorted({node.transport for node in outputs.nodes}))
    return f"{len(nodes)} obey, by {ways}{f' through {outputs.bastion}' if outputs.bastion else ''}"


def asked(site: Site, name: str) -> tuple[NodeFleet, tuple[str, ...]]:
    parts, outputs = assemble.shared(site), site.outputs(name)
    fleet = NodeFleet(outputs, assemble.transport(site, outputs), parts.artifacts, parts.clock)
    return fleet, tuple(node.name for node in outputs.nodes)


def every(questions: list[Callable[[], object]]) -> None:
    """Ask all at once. Fails with what those said that did not answer, each sentence once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        troubles = [said for said in pool.map(silence, questions) if said is not None]
    if troubles:
        fail("; ".join(dict.fromkeys(troubles)))


def silence(question: Callable[[], object]) -> str | None:
    try:
        question()
    except Trouble as trouble:
        return str(trouble)
    return None
