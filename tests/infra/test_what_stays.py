"""What survives: machines on the release path, data, addresses, what the controller and Atlas set by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

    Plans = Callable[[str], Plan]

STACKS = ("dev", "stage", "prod")


@pytest.mark.parametrize("stack", STACKS)
def test_no_newer_image_and_no_other_boot_text_replaces_a_node(plan: Plans, stack: str) -> None:
    nodes = [one for one in plan(stack).of(":Instance") if "privateIp" in one.inputs]

    assert nodes
    for node in nodes:
        assert set(node.ignores) == {"ami", "userData"}, node.name
        assert node.inputs["userDataReplaceOnChange"] is False


@pytest.mark.parametrize("stack", STACKS)
def test_where_a_node_is_replaced_the_old_machine_goes_first(plan: Plans, stack: str) -> None:
    """Two machines cannot hold one private address, nor one volume."""
    once = [one for one in plan(stack).of(":Instance") if "privateIp" in one.inputs] + plan(stack).of(
        ":VolumeAttachment"
    )

    assert [one.name for one in once if not one.deletes_first] == []


def test_what_cannot_be_made_again_is_protected_where_the_environment_says_so(plan: Plans) -> None:
    kept = {one.kind.rpartition(":")[2] for one in plan("prod").made if one.protect}

    assert kept == {"Vpc", "Volume", "Eip", "Bucket", "Project", "AdvancedCluster"}
    for kind in ("Volume", "Bucket", "AdvancedCluster", "Vpc"):
        assert [one.name for one in plan("prod").of(f":{kind}") if not one.protect] == []
    assert [
        one.name for one in plan("prod").of(":Eip", "bos") + plan("prod").of(":Eip", "dfw") if not one.protect
    ] == []
    assert all(one.inputs["disableApiTermination"] for one in plan("prod").of(":Instance"))


def test_an_environment_that_is_not_protected_comes_down_whole(plan: Plans) -> None:
    assert [one.name for one in plan("dev").made if one.protect] == []
    assert plan("dev").one(":Bucket").inputs["forceDestroy"] is True
    assert plan("dev").one(":AdvancedCluster").inputs["terminationProtectionEnabled"] is False
    assert plan("prod").one(":Bucket").inputs["forceDestroy"] is False
    assert plan("prod").one(":AdvancedCluster").inputs["terminationProtectionEnabled"] is True


@pytest.mark.parametrize("stack", STACKS)
def test_which_release_is_promoted_is_never_set_back(plan: Plans, stack: str) -> None:
    releases = plan(stack).of(":Parameter", "release-")

    assert {one.inputs["name"] for one in releases} == {
        f"/turnabout/{stack}/releases/mqtt",
        f"/turnabout/{stack}/releases/c360",
    }
    assert {one.ignores for one in releases} == {("value",)}


def test_a_cluster_that_grows_by_itself_is_not_made_small_again(plan: Plans) -> None:
    size = "replicationSpecs[0].regionConfigs[0].electableSpecs.instanceSize"

    assert plan("prod").one(":AdvancedCluster").ignores == (size,)
    assert plan("dev").one(":AdvancedCluster").ignores == ()


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_secret_is_declared_in_the_open(plan: Plans, stack: str) -> None:
    facts = plan(stack).of(":Parameter", "facts-") + plan(stack).of(":Parameter", "outputs")

    assert plan(stack).secret_exports == {"outputs"}
    assert {(one.inputs["type"], one.secret) for one in facts} == {("SecureString", frozenset({"value"}))}
    told = [str(one.inputs["value"]) for one in facts]
    assert all("token" in text and "the stack's secret" not in text for text in told)
    open_text = [str(one.inputs.get("userData")) for one in plan(stack).of(":Instance")]
    assert not any("token" in text or "mongodb" in text for text in open_text)
