"""The program against a cloud that only answers. Without the ``cloud`` group of libraries every test is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.cloud import Answers, Plan

HOUSE = Path(__file__).parents[2]
Run = Callable[..., "Plan"]
LONGEST = (
    *(f"engine/test_{name}.py" for name in ("lives", "trouble", "changes", "pipeline", "refused", "asked_for")),
    "engine/test_replacement.py",
    *(f"test_{name}.py" for name in ("drift_commits", "drift_beside", "drift_live", "drift_gate", "drift_declared")),
    "test_promoted_release.py",
)
"""These begin first, so that no worker is left alone with one; those of the engine together: they share an account."""
CONTROLLERS = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA controllers"
"""The key that may log in where commands go by SSH."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {Path(__file__).parent / name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(LONGEST)))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The program as the stack of an environment; ``changed`` replaces text in its file, ``in_base`` in base.toml."""
    pulumi = pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
    pytest.importorskip("pulumi_aws")
    pytest.importorskip("pulumi_mongodbatlas")
    from environments import load
    from infra.application import read_app
    from infra.program import Account, Platform
    from tests.infra.cloud import run

    program = tmp_path_factory.mktemp("program") / "node.pyz"
    program.write_bytes(b"the node program")

    def build(
        name: str,
        changed: Mapping[str, str] | None = None,
        in_base: Mapping[str, str] | None = None,
        answers: Answers | None = None,
    ) -> Plan:
        changes = {f"{name}.toml": changed or {}, "base.toml": in_base or {}}

        def read(file: str) -> bytes:
            text = (HOUSE / "environments" / file).read_text()
            for old, new in changes.get(file, {}).items():
                assert old in text, old
                text = text.replace(old, new)
            return text.encode()

        environment = load(read, name)

        def declare() -> None:
            account = Account(
                organisation="5f0000000000000000000000",
                repository="https://git.example/factory.git",
                trusted=("ab" * 32,),
                observe_key=pulumi.Output.from_input("the stack's secret"),  # kept secret even so
                node_program=program,
                ssh_key=CONTROLLERS,
            )
            apps = {app: read_app(HOUSE / "apps", app) for app in environment.fleets}
            pulumi.export("outputs", Platform(environment, account, apps).document)

        return run(declare, name, answers=answers)

    return build


@pytest.fixture(scope="session")
def plan(run: Run) -> Callable[[str], Plan]:
    """What the program declares for a shipped environment."""
    return cache(run)
