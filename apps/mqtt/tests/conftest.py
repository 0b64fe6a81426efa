"""Fixtures: an edge per test that is surely ended, one far store per module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.mqtt.tests.running import Edge, Mongod, replica_set, until


@pytest.fixture
def new_edge(tmp_path: Path) -> Iterator[Callable[..., Edge]]:
    """Makes edges that are not started yet, and ends those that run when the test is over."""
    made: list[Edge] = []

    def make(**settings: Any) -> Edge:
        directory = tmp_path / f"edge{len(made)}"
        directory.mkdir()
        made.append(Edge(directory, **settings))
        return made[-1]

    yield make
    for edge in made:
        if not edge.ended():
            edge.kill()


@pytest.fixture
def edge(new_edge: Callable[..., Edge]) -> Edge:
    return new_edge(connect_seconds=1).start()


@pytest.fixture
def two(new_edge: Callable[..., Edge]) -> tuple[Edge, Edge]:
    """Two nodes of one zone, running."""
    first, second = new_edge(node="bos-a"), new_edge(node="bos-b")
    first.meet(second)
    second.meet(first)
    first.start()
    second.start()
    until(lambda: first.metrics()["peers_reached"] == second.metrics()["peers_reached"] == 1)
    return first, second


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for tests that leave nothing behind for each other."""
    edge = Edge(tmp_path_factory.mktemp("shared"), connect_seconds=1).start()
    yield edge
    assert edge.stop() == 0
    assert "Traceback" not in edge.log.read_text()


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with replica_set(tmp_path_factory.mktemp("mongod")) as server:
        yield server
