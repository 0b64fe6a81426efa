"""Atlas asked by its Admin API, as far as a server that stores what it is told can stand for it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
pytest.importorskip("boto3")

from controller.drift import live
from controller.drift.finding import Finding, Kind, Severity
from controller.drift.resources import Resources, read
from controller.errors import Refused, Unreachable
from controller.observers.atlas import AtlasProject
from tests.infra.provider.admin_api import AdminApi, missing, refusal
from tests.infra.provider.kinds import Json

GROUP = "5f" * 12
INSERT, FIND = (
    {"action": action, "resources": [{"databaseName": "zone_bos", "collectionName": "readings"}]}
    for action in ("INSERT", "FIND")
)
CLUSTER = {
    "name": "turnabout-prod",
    "clusterType": "REPLICASET",
    "backupEnabled": True,
    "terminationProtectionEnabled": True,
}
GROWTH = {"computeMaxInstanceSize": "M50", "diskGbEnabled": True}
DECLARED: dict[str, Json] = {
    "project:Project": {"name": "turnabout-prod", "orgId": "0", "tags": {}},
    "advancedCluster:AdvancedCluster": {
        **CLUSTER,
        "mongoDbMajorVersion": "8.0",
        "projectId": "project-store",
        "replicationSpecs": [{"autoScaling": GROWTH}],
    },
    "customDbRole:CustomDbRole": {"roleName": "mqtt_bos", "actions": [INSERT, FIND]},
    "databaseUser:DatabaseUser": {
        "username": "role-nodes-BOS",
        "roles": [{"roleName": "mqtt_bos", "databaseName": "admin"}],
    },
    "projectIpAccessList:ProjectIpAccessList": {"comment": "bos-a", "ipAddress": "made up"},
    "maintenanceWindow:MaintenanceWindow": {"dayOfWeek": 3, "hourOfDay": 4},
    "cloudBackupSchedule:CloudBackupSchedule": {"clusterName": "turnabout-prod", "restoreWindowDays": 2},
}


def told() -> list[Json]:
    """The declared actions as the API spells them."""
    where = [{"db": "zone_bos", "collection": "readings"}]
    return [{"action": action, "resources": [dict(one) for one in where]} for action in ("INSERT", "FIND")]


class Listing(AdminApi):
    """The server with lists, one thing a page; ``denied`` paths are forbidden, ``busy`` times it has too much to do."""

    def __init__(self) -> None:
        super().__init__()
        self.denied, self.busy, self.gone = "", 0, False
        self.cut, self.renamed = 0, "results"
        """How many things of each list it keeps to itself; what it calls the things of a page."""

    def _get(self, path: str, said: Any) -> tuple[int, Json]:
        path, _, query = path.partition("?")
        if self.gone:
            return 410, refusal("VERSION_GONE", "This version is no longer supported.")
        if self.busy:
            self.busy -= 1
            return 429, refusal("RATE_LIMITED", "Too many requests.")
        if self.denied and self.denied in path:
            return 403, refusal("USER_UNAUTHORIZED", "The account may not.")
        if path.startswith("/groups/byName/"):
            named = [one for one in self.things.values() if one.get("id") == GROUP and path.endswith(f"/{one['name']}")]
            return (200, named[0]) if named else missing(path)
        if path in self.things:
            return 200, self.things[path]
        every = [one for key, one in self.things.items() if key.startswith(f"{path}/") and "/backup/" not in key]
        number = int(parse_qs(query).get("pageNum", ["1"])[0])
        shown = every[: len(every) - self.cut]
        return 200, {self.renamed: shown[number - 1 : number], "totalCount": len(every)}


@pytest.fixture
def server() -> Iterator[Listing]:
    server = Listing()
    with server:
        under = f"/groups/{GROUP}"
        arn = "arn:aws:iam::1:role/nodes-BOS-0f1e2d"
        server.things = {
            under: {"id": GROUP, "name": "turnabout-prod", "tags": {}},
            f"{under}/clusters/turnabout-prod": {
                **CLUSTER,
                "mongoDBMajorVersion": "8.0",
                "replicationSpecs": [
                    {"autoScaling": {"compute": {"maxInstanceSize": "M50"}, "diskGB": {"enabled": True}}}
                ],
            },
            f"{under}/clusters/turnabout-prod/backup/schedule": {
                "clusterName": "turnabout-prod",
                "restoreWindowDays": 2,
            },
            f"{under}/customDBRoles/roles/mqtt_bos": {"roleName": "mqtt_bos", "actions": told()},
            f"{under}/databaseUsers/x/y": {**DECLARED["databaseUser:DatabaseUser"], "username": arn},
            f"{under}/accessList/a": {"comment": "bos-a", "ipAddress": "155.146.0.9", "cidrBlock": "155.146.0.9/32"},
            f"{under}/maintenanceWindow": {"dayOfWeek": 3, "hourOfDay": 4},
        }
        yield server


def declared() -> Resources:
    keys = ("kind", "name", "inputs", "options", "secret", "place")
    made: list[tuple[Any, ...]] = [
        (f"mongodbatlas:index/{kind}", "store", inputs, {}, [], "infra/atlas.py:9") for kind, inputs in DECLARED.items()
    ]
    return read(dict(zip(keys, one, strict=True)) for one in made)


def project(server: Listing, wait: Callable[[float], None] = lambda seconds: None, **how: Any) -> AtlasProject:
    return AtlasProject(server.client, server.secret, server.url, wait, **how)


def found(server: Listing) -> list[Finding]:
    return [*live.compare("prod", declared(), project(server).look("prod")).findings]


def test_what_nobody_touched_is_as_declared(server: Listing) -> None:
    assert [one.what for one in found(server)] == []


def test_an_address_that_somebody_let_in_is_declared_by_no_program(server: Listing) -> None:
    server.things[f"/groups/{GROUP}/accessList/b"] = {"comment": "", "cidrBlock": "0.0.0.0/0"}
    (one,) = found(server)
    assert (one.kind, one.severity) == (Kind.UNMANAGED, Severity.HIGH)
    assert one.what == "mongodbatlas.ProjectIpAccessList 0.0.0.0/0 is declared by no program"


def test_a_network_is_no_node_s_address_whatever_is_written_beside_it(server: Listing) -> None:
    wide = {"comment": "bos-a", "cidrBlock": "203.0.113.0/24"}
    server.things = {f"/groups/{GROUP}/accessList/0": wide, **server.things}
    (one,) = found(server)
    assert one.what == "mongodbatlas.ProjectIpAccessList 203.0.113.0/24 is declared by no program"
    assert one.remedies[0].does == f"atlas accessLists delete 203.0.113.0/24 --projectId {GROUP}"


def test_what_a_user_may_more_is_found_though_its_own_role_is_still_the_first(server: Listing) -> None:
    user = server.things[f"/groups/{GROUP}/databaseUsers/x/y"]
    user["roles"] = [*user["roles"], {"roleName": "atlasAdmin", "databaseName": "admin"}]
    assert [one.what for one in found(server)] == [
        "mongodbatlas.DatabaseUser store: roles[atlasAdmin].databaseName is not as declared",
        "mongodbatlas.DatabaseUser store: roles[atlasAdmin].roleName is not as declared",
    ]


def test_another_role_of_a_user_is_a_change_of_it_and_no_other_user(server: Listing) -> None:
    server.things[f"/groups/{GROUP}/databaseUsers/x/y"]["roles"] = [{"roleName": "dba", "databaseName": "admin"}]
    named = {one.about.rpartition(" ")[0] for one in found(server)}
    assert named == {"prod mongodbatlas.DatabaseUser store"}
    assert not any(one.removed for one in found(server))


def test_a_user_that_nobody_declares_is_printed_with_the_command_that_removes_it(server: Listing) -> None:
    roles = [{"roleName": "readWriteAnyDatabase", "databaseName": "admin"}]
    server.things[f"/groups/{GROUP}/databaseUsers/admin/eve"] = {
        "username": "eve", "databaseName": "$external", "roles": roles,
    }  # fmt: skip
    (one,) = found(server)
    assert one.what == "mongodbatlas.DatabaseUser $external/eve is declared by no program"
    assert one.why.startswith("It is in prod's project in Atlas")
    assert one.remedies[0].does == f"atlas dbusers delete eve --authDB '$external' --projectId {GROUP}"


def test_the_order_in_which_a_role_s_actions_are_told_is_no_difference(server: Listing) -> None:
    role = server.things[f"/groups/{GROUP}/customDBRoles/roles/mqtt_bos"]
    server.things[f"/groups/{GROUP}/customDBRoles/roles/mqtt_bos"] = {**role, "actions": [*reversed(role["actions"])]}
    assert found(server) == []


def test_a_role_and_how_a_cluster_grows_are_compared_though_the_api_calls_them_otherwise(server: Listing) -> None:
    server.things[f"/groups/{GROUP}/customDBRoles/roles/mqtt_bos"]["actions"][0]["resources"][0]["db"] = "admin"
    growth = server.things[f"/groups/{GROUP}/clusters/turnabout-prod"]["replicationSpecs"][0]["autoScaling"]
    growth["compute"]["maxInstanceSize"], growth["diskGB"]["enabled"] = "M200", False
    assert sorted(one.about.rpartition(" ")[2] for one in found(server)) == [
        "actions[INSERT].resources[0].databaseName",
        "replicationSpecs[0].autoScaling.computeMaxInstanceSize",
        "replicationSpecs[0].autoScaling.diskGbEnabled",
    ]


def test_a_backup_that_was_switched_off_and_a_role_that_grew_are_found_by_their_paths(server: Listing) -> None:
    server.things[f"/groups/{GROUP}/clusters/turnabout-prod"]["terminationProtectionEnabled"] = False
    server.things[f"/groups/{GROUP}/customDBRoles/roles/mqtt_bos"] = {
        "roleName": "mqtt_bos", "actions": [*told(), {"action": "REMOVE"}],
    }  # fmt: skip
    assert sorted((one.severity, one.what) for one in found(server)) == [
        (Severity.HIGH, "mongodbatlas.AdvancedCluster store: terminationProtectionEnabled is not as declared"),
        (Severity.HIGH, "mongodbatlas.CustomDbRole store: actions[REMOVE].action is not as declared"),
    ]


def test_a_user_that_is_gone_is_gone(server: Listing) -> None:
    del server.things[f"/groups/{GROUP}/databaseUsers/x/y"]
    assert [(one.what, one.removed) for one in found(server)] == [("mongodbatlas.DatabaseUser store is gone", True)]


def test_what_the_account_may_not_read_is_blind_and_the_rest_is_looked_at(server: Listing) -> None:
    server.denied = "/databaseUsers"
    account = project(server).look("prod")
    assert [*account.blind] == ["mongodbatlas.DatabaseUser"] and "403" in account.blind["mongodbatlas.DatabaseUser"]
    assert live.compare("prod", declared(), account).findings == ()


def test_a_server_with_too_much_to_do_is_waited_for_and_not_for_ever(server: Listing) -> None:
    waited: list[float] = []
    server.busy = 3
    assert project(server, waited.append).look("prod").found
    assert waited == [0.5, 1.0, 2.0]
    server.busy = 99
    with pytest.raises(Unreachable, match="it answered 429"):
        project(server).look("prod")


def test_calls_are_bounded(server: Listing) -> None:
    with pytest.raises(Unreachable, match="that would be more than 4 calls"):
        project(server, most=4).look("prod")


def test_an_api_that_no_longer_speaks_our_version_says_so(server: Listing) -> None:
    server.gone = True
    with pytest.raises(Refused, match=r"it no longer speaks application/vnd\.atlas\.2025-03-12\+json"):
        project(server).look("prod")


def test_a_list_that_ends_before_its_end_is_not_taken_for_whole(server: Listing) -> None:
    server.cut = 1
    with pytest.raises(Unreachable, match=r"/clusters: its list ended after 0 of 1\. Look again\."):
        project(server).look("prod")


def test_an_answer_that_is_spelled_otherwise_is_said_to_make_no_sense(server: Listing) -> None:
    server.renamed = "items"
    with pytest.raises(Unreachable, match=r"asking Atlas: its answer makes no sense \(KeyError\('results'\)\)"):
        project(server).look("prod")


def test_a_wrong_secret_is_said_without_it(server: Listing) -> None:
    wrong = secrets.token_hex(8)
    with pytest.raises(Refused, match="it answered 401") as no:
        AtlasProject(server.client, wrong, server.url).look("prod")
    assert wrong not in str(no.value)
