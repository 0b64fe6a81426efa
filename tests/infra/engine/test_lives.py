"""Pulumi's own engine brings dev, stage and prod up, finds nothing to do, sees no drift, and takes them down again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.infra.engine.conftest import STACKS

if TYPE_CHECKING:
    from tests.infra.cloud import Plan
    from tests.infra.life import Life

    Lives = dict[str, Life]
    Plans = Callable[[str], Plan]

pytestmark = [pytest.mark.timeout(1200), pytest.mark.parametrize("stack", STACKS)]


def test_a_preview_says_what_would_be_made_and_makes_nothing(lives: Lives, stack: str) -> None:
    life = lives[stack]

    assert life.preview.code == 0, life.preview.err
    assert life.preview.said == f"{stack}: {len(life.resources)} to create, 0 as they are"
    assert life.preview.out.rstrip().endswith("s. Nothing was changed.")
    assert life.after_preview == 0


def test_up_makes_what_the_program_declares_and_the_cloud_has_it(lives: Lives, plan: Plans, stack: str) -> None:
    life, declared = lives[stack], plan(stack)

    assert life.up.code == 0, life.up.err
    assert life.up.said == f"{stack}: {len(life.resources)} created, 0 as they are"
    assert sorted((one["type"], one["urn"].rpartition("::")[2]) for one in life.resources) == sorted(
        (one.kind, one.name) for one in declared.clouds()
    )
    assert life.there == len(life.resources) > 100


def test_a_second_up_and_a_refresh_find_nothing_to_do(lives: Lives, stack: str) -> None:
    life = lives[stack]

    assert (life.again.code, life.again.said) == (0, f"{stack}: nothing to do")
    assert (life.refresh.code, life.refresh.said) == (0, f"{stack}: nothing to do")


def test_what_the_controller_is_told_has_the_addresses_that_the_cloud_gave(lives: Lives, stack: str) -> None:
    life = lives[stack]

    machines = {one["id"] for one in life.resources if one["type"] == "aws:ec2/instance:Instance"}
    carried = {one["outputs"].get("carrierIp") for one in life.resources if one["type"] == "aws:ec2/eip:Eip"}
    assert life.published == life.outputs
    assert {node.address for node in life.outputs.nodes} <= machines
    assert {node.carrier for node in life.outputs.nodes if node.carrier} == carried - {None}


def test_no_secret_is_printed_or_kept_in_the_open(lives: Lives, stack: str) -> None:
    from tests.infra.account import PASSPHRASE, SECRET

    life = lives[stack]
    secrets = {SECRET, PASSPHRASE, *(node.observe_token for node in life.outputs.nodes)}
    printed = "".join(ran.out + ran.err for ran in life.commands.values())

    assert [secret for secret in secrets if secret in printed + life.state] == []
    assert all(len(secret) > 10 for secret in secrets)
    assert "ciphertext" in life.state and json.loads(life.state)


def test_a_zone_that_is_taken_out_of_prod_is_refused_because_its_volumes_are_protected(
    lives: Lives, stack: str
) -> None:
    shrunk = lives[stack].shrunk

    assert (shrunk is None) == (stack != "prod")
    if shrunk is not None:
        assert shrunk.code == 4, shrunk.err
        kept = {f"dfw-{letter}-{what}" for letter in "abc" for what in ("data", "carrier")}
        assert {name for name in kept if f"--unprotect {name}" in shrunk.err} == kept
        assert "are protected: what is in there is lost with it. Nothing was changed." in shrunk.err


def test_destroy_leaves_nothing_and_what_is_protected_is_let_go_first(lives: Lives, stack: str) -> None:
    life = lives[stack]

    assert (life.refused is None) == (stack != "prod")
    if life.refused is not None:
        assert life.refused.code != 0
        assert "cannot be deleted" in life.refused.out + life.refused.err
    assert life.destroyed.code == 0, life.destroyed.out
    assert (life.left, life.after) == ((), 0)
