"""release.toml and requirements.lock say what the code does and needs."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Any, cast

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from starlette.routing import Route

from apps.c360.__main__ import FINISH_SECONDS
from apps.c360.customers import READS_VERSIONS, WRITE_SECONDS, WRITES_VERSION
from apps.c360.metrics import Metrics
from apps.c360.probe import WITHIN_SECONDS
from apps.c360.readiness import Readiness
from apps.c360.tests.servers import ROOT
from apps.c360.web import application

HERE = Path(__file__).parents[1]
RELEASE = tomllib.loads((HERE / "release.toml").read_text())


def test_the_data_versions_are_those_of_the_code() -> None:
    assert RELEASE["data_versions"] == {"reads": sorted(READS_VERSIONS), "writes": WRITES_VERSION}


def test_the_application_ends_and_the_probe_answers_within_what_is_promised() -> None:
    assert WRITE_SECONDS < FINISH_SECONDS < RELEASE["stop_seconds"]
    assert WITHIN_SECONDS < 5


def test_every_term_of_the_law_is_exported() -> None:
    (law,) = [check["law"] for check in RELEASE["checks"] if check["kind"] == "conservation"]
    exported = {line.split()[0] for line in Metrics("r").text(ready=True).splitlines() if line[0] != "#"}
    assert set(re.findall(r"\w+", law)) <= exported


def test_the_readme_names_every_address() -> None:
    readme = (HERE / "README.md").read_text()
    routes = application(cast("Any", None), Readiness(), Metrics("r")).routes
    addresses = [route.path for route in routes if isinstance(route, Route)]
    assert len(addresses) == 6
    assert [address for address in addresses if address not in readme] == []


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+) ", lock.read_text(), re.MULTILINE))


def test_the_lock_holds_everything_the_application_needs_and_nothing_else() -> None:
    needed, waiting = set[str](), ["starlette", "uvicorn", "pymongo", "jinja2"]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            asked = map(Requirement, requires(name) or [])
            waiting += [canonicalize_name(a.name) for a in asked if not a.marker or a.marker.evaluate({"extra": ""})]
    assert set(pins(HERE / "requirements.lock")) == needed


def test_the_lock_is_hashed_and_names_no_place() -> None:
    text = (HERE / "requirements.lock").read_text()
    pinned = [entry for entry in re.split(r"\n(?=\w)", text) if entry[0] != "#"]
    assert all("--hash=sha256:" in entry for entry in pinned)
    assert not re.search(r"://|find-links|index-url", text)


def test_the_lock_agrees_with_the_repositorys() -> None:
    if not (ROOT / "requirements.lock").exists():
        pytest.skip("the application was unpacked alone")
    mine, everything = pins(HERE / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert mine == {name: everything.get(name) for name in mine}
