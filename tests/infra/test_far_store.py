"""The far store: who may do what in it, from which addresses, and what each size of cluster is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

    Plans = Callable[[str], Plan]
    Run = Callable[..., Plan]


def rights(plan: Plan, role: str) -> dict[str, list[str]]:
    """database.collection to actions."""
    found: dict[str, list[str]] = {}
    for action in plan.one(":CustomDbRole", f"store-{role}").inputs["actions"]:
        for resource in action["resources"]:
            found.setdefault(f"{resource['databaseName']}.{resource['collectionName']}", []).append(action["action"])
    return found


def test_a_zone_s_nodes_may_add_readings_to_their_own_database_hear_what_is_for_them_and_no_more(plan: Plans) -> None:
    for zone in ("bos", "dfw"):
        assert rights(plan("prod"), f"mqtt_{zone}") == {
            f"zone_{zone}.readings": ["INSERT"],
            f"zone_{zone}.commands": ["FIND", "CHANGE_STREAM"],
            f"zone_{zone}.config": ["FIND", "CHANGE_STREAM"],
        }
    assert set(rights(plan("prod"), "c360_region")) == {"c360."}
    assert set(rights(plan("dev"), "c360_region")) == {"c360_dev."}


def test_a_user_is_the_role_of_its_zone_s_machines_and_has_no_password(plan: Plans) -> None:
    users = {one.name: one.inputs for one in plan("prod").of(":DatabaseUser")}

    assert {user["username"] for user in users.values()} == {
        f"arn:aws:role:nodes-{zone}" for zone in ("BOS", "DFW", "region")
    }
    assert not any("password" in user for user in users.values())
    assert [role["roleName"] for role in users["store-mqtt_bos"]["roles"]] == ["mqtt_bos"]


@pytest.mark.parametrize(("stack", "nodes"), [("dev", ["bos-a", "bos-b"]), ("stage", ["bos-a", "bos-b"])])
def test_only_the_platform_s_own_addresses_may_connect(plan: Plans, stack: str, nodes: list[str]) -> None:
    allowed = {one.inputs["comment"]: one.inputs for one in plan(stack).of(":ProjectIpAccessList")}
    carriers = {one.name.removesuffix("-carrier"): one.id for one in plan(stack).of(":Eip", "bos-")}

    assert sorted(allowed) == [*nodes, "region"]
    assert len({one["ipAddress"] for one in allowed.values()}) == len(allowed)
    assert not any("cidrBlock" in one for one in allowed.values())
    assert sorted(carriers) == nodes


def cluster(plan: Plan) -> dict[str, Any]:
    inputs: dict[str, Any] = dict(plan.one(":AdvancedCluster").inputs)
    return inputs


def test_a_dedicated_cluster_has_backups_and_grows_as_the_environment_says(plan: Plans) -> None:
    (spec,) = cluster(plan("prod"))["replicationSpecs"]
    (where,) = spec["regionConfigs"]

    assert (where["providerName"], where["regionName"]) == ("AWS", "US_EAST_1")
    assert where["electableSpecs"] == {"instanceSize": "M30", "nodeCount": 3}
    assert (where["autoScaling"]["computeMinInstanceSize"], where["autoScaling"]["computeMaxInstanceSize"]) == (
        "M30",
        "M50",
    )
    assert (cluster(plan("prod"))["backupEnabled"], cluster(plan("prod"))["pitEnabled"]) == (True, True)
    assert plan("prod").one(":CloudBackupSchedule").inputs["restoreWindowDays"] == 2
    assert plan("dev").of(":CloudBackupSchedule") == []


def test_a_free_cluster_is_asked_for_nothing_that_it_does_not_have(run: Run) -> None:
    made = run("dev", {'tier = "M10"': 'tier = "M0"'})
    (spec,) = cluster(made)["replicationSpecs"]

    assert spec["regionConfigs"] == [
        {
            "providerName": "TENANT",
            "backingProviderName": "AWS",
            "regionName": "US_EAST_1",
            "priority": 7,
            "electableSpecs": {"instanceSize": "M0"},
        }
    ]
    assert {"backupEnabled", "mongoDbMajorVersion", "encryptionAtRestProvider"} & cluster(made).keys() == set()
    assert made.of(":MaintenanceWindow") == []


def test_a_flex_cluster_is_a_resource_of_its_own(run: Run) -> None:
    made = run("dev", {'tier = "M10"': 'tier = "FLEX"'})

    assert made.of(":AdvancedCluster") == []
    assert made.one(":FlexCluster").inputs["providerSettings"] == {
        "backingProviderName": "AWS",
        "regionName": "US_EAST_1",
    }


def test_a_key_of_one_s_own_is_used_by_a_role_that_atlas_alone_may_take(run: Run) -> None:
    key = "arn:aws:kms:us-east-1:1:key/x"
    made = run("prod", {'tier = "M30"': f'tier = "M30"\nencryption_key = "{key}"'})

    encryption = made.one(":EncryptionAtRest").inputs["awsKmsConfig"]
    assert (encryption["customerMasterKeyId"], encryption["roleId"]) == (key, "atlas-role")
    assert cluster(made)["encryptionAtRestProvider"] == "AWS"
    assert "sts:ExternalId" in made.one(":Role", "store-key").inputs["assumeRolePolicy"]
    assert key in made.one(":RolePolicy", "store-key").inputs["policy"]
