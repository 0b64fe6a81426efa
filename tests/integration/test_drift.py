"""Drift on real nodes, ledgers and stores: planted by hand, found by the report, ended by the command it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.drift import stores
from controller.model import Phase
from controller.observers.stores import MongoStores
from infra.local.ports import Ports
from infra.local.servers import (
    Server,
    ServerMissing,
    answers,
    find_haproxy,
    find_mongod,
    mongo_uri,
    start,
    start_mongod,
)
from tests.integration import toy
from tests.integration.small import HERE, TOY, Place, Small, begin, discard, turnabout, wait

PROD = f'promotes_from = "stage"\n{TOY}'
KINDS = ("release", "runtime", "history", "traffic")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """Stage and prod, each with its own controller, and one site that knows both."""
    try:
        find_haproxy()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    small = begin(tmp_path_factory.mktemp("drift") / "w", {"stage": TOY, "prod": PROD})
    try:
        for place in small.places.values():
            place.start()
            promoted(place, place.head(), first=True)
        (small.root / "both").mkdir()
        for name in small.places:
            (small.root / "both" / name).symlink_to(small.root / f"state-{name}" / name)
        (small.root / "both" / "artifacts").symlink_to(small.root / "state-prod" / "artifacts")
        site = 'environments = ["stage", "prod"]\noutputs = "seen"\nstate = "both"\nkeys = "platform/keys"\n'
        (small.root / "both.toml").write_text(site)
        yield small
    finally:
        discard(small)


def promoted(place: Place, commit: str, first: bool = False) -> None:
    if first:
        wait("it asks", lambda: (rollout := place.rollout(commit)) is not None and "an approval" in rollout.why)
        assert place.turnabout("approve", place.name, "--reason", "the first one")[0] == 0
    place.until(commit, Phase.PROMOTED)


def drift(small: Small, *kinds: str) -> tuple[int, dict[str, Any]]:
    folder = str(small.places["stage"].clone)
    code, said = turnabout(
        "--site", str(small.root / "both.toml"), "drift", "--folder", folder, "--json", "--kind", *(kinds or KINDS)
    )
    return code, json.loads(said)


def opened(report: dict[str, Any]) -> list[str]:
    return [one["what"] for one in report["findings"] if one["open"]]


def run(command: str, **env: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        command, shell=True, check=True, timeout=60, cwd=HERE, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(HERE), "PATH": path, **env},
    )  # fmt: skip


def test_environments_that_nobody_touched_have_no_drift(small: Small) -> None:
    code, report = drift(small)
    assert (code, opened(report)) == (0, [])
    assert {(one["kind"], one["environment"]) for one in report["looked"]} >= {
        (kind, name) for kind in KINDS for name in ("stage", "prod")
    }


def test_a_file_that_was_patched_on_a_node_is_found_and_put_back_by_the_printed_command(small: Small) -> None:
    prod = small.places["prod"]
    release = prod.node("bos-b")["running"].removeprefix("sha256:")
    patched = prod.root("bos-b") / "store" / "releases" / release / "tree" / "apps" / "toy" / "answer.py"
    before = patched.read_bytes()
    patched.write_bytes(before + b"\n# quick fix\n")
    code, report = drift(small, "release")
    assert (code, opened(report)) == (2, ["1 file of bos-b's release is not as staged"])
    (one,) = [one for one in report["findings"] if one["open"]]
    assert "apps/toy/answer.py" in one["why"]
    run(one["remedies"][0]["does"], TURNABOUT_SITE=str(small.root / "both.toml"))
    assert patched.read_bytes() == before
    assert drift(small, "release")[0] == 0


def test_the_release_of_a_node_is_laid_down_again_by_a_command_of_the_controller(small: Small) -> None:
    prod = small.places["prod"]
    release = prod.node("bos-b")["running"].removeprefix("sha256:")
    patched = prod.root("bos-b") / "store" / "releases" / release / "tree" / "apps" / "toy" / "answer.py"
    before = patched.read_bytes()
    patched.write_bytes(before + b"\n# quick fix\n")
    assert prod.turnabout("node", "mend", "prod/bos-b") == (
        0,
        "prod/bos-b: 1 file was put back: apps/toy/answer.py. What was read before is read again at its next start.\n",
    )
    assert patched.read_bytes() == before
    code, said = prod.turnabout("node", "mend", "bos-b", "--json")
    assert (code, json.loads(said)["mended"]) == (0, [])
    code, said = prod.turnabout("node", "mend", "bos-x")
    assert (code, said) == (1, "mending bos-x: prod has no such node. prod has bos-a, bos-b, bos-c.\n")


def test_a_changed_balancer_is_found_on_the_node_that_has_it(small: Small) -> None:
    config = small.places["prod"].root("bos-c") / "haproxy.cfg"
    text = config.read_text()
    line = next(line for line in text.splitlines() if line.strip().startswith("timeout client"))
    config.write_text(text.replace(line, "    timeout client 7s", 1))
    try:
        code, report = drift(small, "runtime")
    finally:
        config.write_text(text)
    assert (code, opened(report)) == (2, ["the balancer's configuration is not the same on bos-c"])
    assert drift(small, "runtime")[0] == 0


def test_a_node_that_cannot_be_asked_is_not_looked_at_and_never_aligned(small: Small) -> None:
    with small.places["prod"].cut("bos-a"):
        # its observations go past the gate of the site of both: what is cut is the way of commands
        code, report = drift(small, "runtime")
    assert code == 1
    assert [one["what"] for one in report["findings"] if one["state"] == "not looked at"] == [
        "runtime was not looked at in prod"
    ]


def test_a_release_that_stage_never_ran_is_history_until_it_is_taken_out(small: Small) -> None:
    prod = small.places["prod"]
    commit = prod.change("Straight to prod", toy.good("unrehearsed"))
    prod.until(commit, Phase.PROMOTED)
    code, report = drift(small, "history")
    assert (code, opened(report)) == (2, [f"{commit[:7]} reached prod without passing stage"])
    (one,) = [one for one in report["findings"] if one["open"]]
    assert (one["severity"], one["new"]) == ("high", True)
    assert drift(small, "history")[1]["findings"][0]["new"] is False


# ---- stores -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    try:
        find_mongod()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    ports = Ports()
    port = ports.take()
    server = start_mongod(tmp_path_factory.mktemp("mongod"), "127.0.0.1", port)
    try:
        yield server, port
    finally:
        server.stop()


def seed(port: int, name: str) -> None:
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True) as client:
        database = client[name]
        database.create_collection("orders", validator={"cents": {"$gte": 0}})
        database["orders"].create_index([("customer", 1), ("at", -1)], name="by_customer")
        database["orders"].insert_many([{"customer": f"c{n}", "at": n, "cents": n} for n in range(60)])
        role = {"resource": {"db": name, "collection": "orders"}, "actions": ["find"]}
        database.command("createRole", "reader", privileges=[role], roles=[])


def between(port: int) -> list[Any]:
    uri = mongo_uri("127.0.0.1", port)
    left = MongoStores(uri).store({"c360": "c360_stage"})
    right = MongoStores(uri).store({"c360": "c360"})
    return [*stores.findings("stage", "prod", left, right, uri)]


def plant(port: int, change: str) -> None:
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True) as client:
        database = client["c360"]
        orders, write = database["orders"], {"resource": {"db": "c360", "collection": "orders"}, "actions": ["insert"]}
        match change:
            case "drop an index":
                orders.drop_index("by_customer")
            case "turn an index round":
                orders.drop_index("by_customer")
                orders.create_index([("customer", 1), ("at", 1)], name="by_customer")
            case "add an index":
                orders.create_index("cents", name="by_hand")
            case "take the validator away":
                database.command("collMod", "orders", validator={})
            case "let readers write":
                database.command("grantPrivilegesToRole", "reader", privileges=[write])
            case "drop the role":
                database.command("dropRole", "reader")
            case "drop the collection":
                orders.drop()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("drop an index", "index by_customer of orders is missing in prod"),
        ("turn an index round", "index by_customer of orders is not the same"),
        ("add an index", "index by_hand of orders is in prod alone"),
        ("take the validator away", "the validator of orders is not the same"),
        ("let readers write", "role reader is not the same"),
        ("drop the role", "role reader is not the same"),
        ("drop the collection", "prod has no collection orders"),
    ],
)
def test_what_somebody_changed_in_a_store_is_found_and_ended_by_the_printed_command(
    store: tuple[Server, int], change: str, what: str
) -> None:
    from pymongo import MongoClient

    _, port = store
    for name in ("c360_stage", "c360"):
        seed(port, name)
    try:
        assert between(port) == []
        plant(port, change)
        found = between(port)
        assert found[0].what == what
        for one in found:
            run(one.remedies[0].does)
        assert [one.what for one in between(port)] == []
    finally:
        with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True) as client:
            for name in ("c360_stage", "c360"):
                client[name].command("dropAllRolesFromDatabase")
                client.drop_database(name)


def test_roles_that_a_user_may_not_read_are_not_looked_at_and_never_aligned(tmp_path: Path) -> None:
    from pymongo import MongoClient

    try:
        argv = [find_mongod(), "--auth", "--dbpath", str(tmp_path), "--bind_ip", "127.0.0.1", "--nounixsocket"]
    except ServerMissing as missing:
        pytest.skip(str(missing))
    port = Ports().take()
    server = start("mongod", [*argv, "--port", str(port)], tmp_path / "mongod.log")
    try:
        wait("mongod answers", lambda: answers(port, "127.0.0.1"))
        with MongoClient[dict[str, Any]]("127.0.0.1", port) as first:  # nobody is there yet: this one may do anything
            first.admin.command("createUser", "ann", pwd="secret", roles=["root"])
        with MongoClient[dict[str, Any]]("127.0.0.1", port, username="ann", password="secret") as client:
            client["c360"].create_collection("orders")
            client["c360"].command("createUser", "looks", pwd="secret", roles=["read"])
        store = MongoStores(f"mongodb://looks:secret@127.0.0.1:{port}/c360").store({"c360": "c360"})
        assert [*store["c360"].collections] == ["orders"]
        (one,) = stores.unread("prod", store)
        assert (one.state, one.what) == ("not looked at", "the roles of prod's databases were not looked at")
        assert one.why == "Who may do what in c360 may not be read."
        may = MongoStores(f"mongodb://ann:secret@127.0.0.1:{port}/?authSource=admin").store({"c360": "c360"})
        assert [*stores.unread("prod", may)] == []
    finally:
        server.stop()


def test_a_store_that_is_down_is_said_with_its_address_and_without_its_password(tmp_path: Path) -> None:
    from controller.errors import Unreachable

    with pytest.raises(Unreachable, match=r"asking the far store at mongodb://127.0.0.1:1/\?") as down:
        MongoStores("mongodb://ann:secret@127.0.0.1:1/?directConnection=true").store({"c360": "c360"})
    assert "secret" not in str(down.value)
