"""What somebody changes in a project of Atlas, by calls of its Admin API over HTTP.

Bodies are spelled as that API documents them; what the program or who looks call anything is not known here.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from tests.infra.provider.admin_api import AtlasClient

Json = dict[str, Any]


def in_atlas(name: str, project: str, one: str = "", other: str = "") -> None:
    """``project`` is its name; ``one`` and ``other`` are roles of its database or of AWS, or who an address is of."""
    client = AtlasClient(*(os.environ[f"MONGODB_ATLAS_{key}"] for key in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET")))
    under = f"/groups/{client.call('GET', f'/groups/byName/{project}')['id']}"
    access, users, roles = (f"{under}/{each}" for each in ("accessList", "databaseUsers", "customDBRoles/roles"))
    match name:
        case "let everybody in":
            client.call("POST", access, [{"cidrBlock": "0.0.0.0/0"}])
        case "let a network in as if it were a node":
            client.call("POST", access, [{"cidrBlock": "203.0.113.0/24", "comment": one}])
        case "shut a node out":
            (entry,) = (each for each in client.call("GET", access)["results"] if each.get("comment") == one)
            client.call("DELETE", f"{access}/{quote(entry['ipAddress'], safe='')}")
        case "add a user":
            may = [{"roleName": "readWriteAnyDatabase", "databaseName": "admin"}]
            client.call("POST", users, {"username": "eve", "databaseName": "admin", "roles": may, "scopes": []})
        case "make a user mighty" | "give a user another's role" | "let a user into every cluster":
            user_of(client, users, name, one, other)
        case "let a database role do more":
            actions = client.call("GET", f"{roles}/{one}")["actions"]
            more = {"action": "REMOVE", "resources": [{"db": "zone_dfw", "collection": "readings"}]}
            client.call("PATCH", f"{roles}/{one}", {"actions": [more, *actions]})
        case "add a database role":
            anything = {"action": "FIND", "resources": [{"db": "c360", "collection": ""}]}
            client.call("POST", roles, {"roleName": "by_hand", "actions": [anything]})
        case "maintain at noon":
            client.call("PATCH", f"{under}/maintenanceWindow", {"hourOfDay": 12})
        case _:
            of_cluster(client, f"{under}/clusters/{project}", name)


def user_of(client: AtlasClient, users: str, name: str, one: str, other: str) -> None:
    """Changed is the user who is the role ``one`` of AWS."""
    every = client.call("GET", users)["results"]
    (user,) = (each for each in every if f"/{one}-" in each["username"])
    changed: Json = {
        "make a user mighty": {"roles": [*user["roles"], {"roleName": "atlasAdmin", "databaseName": "admin"}]},
        "give a user another's role": {"roles": [{"roleName": other, "databaseName": "admin"}]},
        "let a user into every cluster": {"scopes": []},
    }[name]
    place = "/".join(quote(user[key], safe="") for key in ("databaseName", "username"))
    client.call("PATCH", f"{users}/{place}", changed)


def of_cluster(client: AtlasClient, cluster: str, name: str) -> None:
    match name:
        case "let the cluster be terminated":
            client.call("PATCH", cluster, {"terminationProtectionEnabled": False})
        case "stop continuous backups":
            client.call("PATCH", cluster, {"pitEnabled": False})
        case "let the cluster grow larger":
            specs = client.call("GET", cluster)["replicationSpecs"]
            specs[0]["regionConfigs"][0]["autoScaling"]["compute"]["maxInstanceSize"] = "M200"
            client.call("PATCH", cluster, {"replicationSpecs": specs})
        case "keep backups for a day":
            client.call("PATCH", f"{cluster}/backup/schedule", {"restoreWindowDays": 1})
        case _:
            raise LookupError(name)
