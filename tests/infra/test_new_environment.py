"""A new environment is one file and one stack file: nothing in the program is changed for it."""

from __future__ import annotations

import importlib
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.outputs import from_json

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

HOUSE = Path(__file__).parents[2]

ENVIRONMENT = """\
branch = "demo"

[fleet.mqtt]
zones = ["MIA"]
nodes_per_zone = 2
waves = [{ MIA = 1 }]
synthetic_per_second = 5

[infra]
vpc = "10.40.0.0/16"
public = { us-east-1a = "10.40.0.0/24" }
protect = false
budget_dollars = 60
alerts_to = "demo@example.com"

[infra.zones]
MIA = { us-east-1-wl1-mia-wlz-1 = "10.40.16.0/24" }

[infra.atlas]
tier = "M0"
"""
STACK = """\
config:
  turnabout:organisation: 5f0000000000000000000000
  turnabout:repository: https://git.example/demo.git
  turnabout:trusted: '["{key}"]'
  turnabout:observeKey: {secret}
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with what ``pulumi up`` reads, in which the program may find its own way."""
    house = tmp_path / "house"
    for folder in ("infra", "environments", "apps", "controller"):
        shutil.copytree(HOUSE / folder, house / folder, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return house


def up(house: Path, name: str) -> Plan:
    """What Pulumi does: the stack file's configuration, and the program as a file of its folder."""
    from tests.infra.cloud import run

    yaml: Any = importlib.import_module("yaml")  # Pulumi brings it
    config = yaml.safe_load((house / "environments" / f"Pulumi.{name}.yaml").read_text())["config"]
    return run(lambda: void(runpy.run_path(str(house / "infra" / "__main__.py"), run_name="__main__")), name, config)


def void(_: object) -> None:
    """A program returns nothing."""


def test_demo_is_one_file_and_one_stack_file_and_comes_up(run: Callable[..., Plan], checkout: Path) -> None:
    (checkout / "environments" / "demo.toml").write_text(ENVIRONMENT)
    stack = STACK.format(key="cd" * 32, secret="a secret of demo's own")
    (checkout / "environments" / "Pulumi.demo.yaml").write_text(stack)

    made = up(checkout, "demo")

    outputs = from_json(made.exports["outputs"])
    assert (outputs.environment, outputs.trusted, outputs.repository) == (
        "demo",
        ("cd" * 32,),
        "https://git.example/demo.git",
    )
    assert [node.name for node in outputs.nodes] == ["mia-a", "mia-b"]
    assert made.one(":Eip", "mia-a").inputs["networkBorderGroup"] == "us-east-1-wl1-mia-wlz-1"
    assert made.of(":NatGateway") == made.of(":LoadBalancer") == []
    assert made.one(":Budget").inputs["limitAmount"] == "60"
    assert made.one(":TopicSubscription").inputs["endpoint"] == "demo@example.com"
    assert (checkout / "build" / "node.pyz").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["dev", "stage", "prod"])
def test_a_shipped_stack_file_says_what_it_still_wants(run: Callable[..., Plan], checkout: Path, name: str) -> None:
    import pulumi

    with pytest.raises(pulumi.RunError) as refused:
        up(checkout, name)

    assert str(refused.value) == (
        f"environments/Pulumi.{name}.yaml: turnabout:organisation is missing (Atlas's organisation, in which the "
        "project is made); turnabout:repository is missing (where the environment branches are fetched from); "
        "turnabout:trusted is missing (the build keys that nodes accept, as a JSON array of 64 hex digits each); "
        "turnabout:observeKey is missing (the secret that observers' tokens and SSH's host keys are made of; "
        "set it with --secret). "
        "Write each with `pulumi config set`."
    )


def test_what_is_wrong_in_an_environment_s_file_is_said_as_everywhere(run: Callable[..., Plan], checkout: Path) -> None:
    import pulumi

    (checkout / "environments" / "demo.toml").write_text(ENVIRONMENT.replace("10.40.16.0/24", "10.41.16.0/24"))
    stack = STACK.format(key="cd" * 32, secret="a secret of demo's own")
    (checkout / "environments" / "Pulumi.demo.yaml").write_text(stack)

    with pytest.raises(pulumi.RunError) as refused:
        up(checkout, "demo")

    assert str(refused.value) == (
        "environments/demo.toml: 1 problem\n"
        "  - infra.zones.MIA.us-east-1-wl1-mia-wlz-1: 10.41.16.0/24 lies outside of infra.vpc, 10.40.0.0/16; "
        "write a part of it"
    )
