"""What Atlas has, by the calls of its Admin API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import quote

from tests.infra.provider.kinds import Json, Kind


class Atlas(Kind):
    """A thing of the Admin API under ``folder``; ``key`` is the input that names it there, none if it is alone."""

    folder: ClassVar[str]
    key: ClassVar[str] = ""
    spelled: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Inputs that the API calls otherwise than Pulumi does."""

    def base(self, asked: Json) -> str:
        return self.folder.format(**{key: quote(str(value), safe="") for key, value in asked.items()})

    def place(self, asked: Json) -> str:
        return f"{self.base(asked)}/{quote(str(asked[self.key]), safe='')}" if self.key else self.base(asked)

    def said(self, asked: Json) -> Json:
        """As the API spells it: without what is in the path."""
        in_path = set(re.findall(r"{(\w+)}", self.folder))
        return {self.spelled.get(key, key): asked[key] for key in asked if key not in in_path}

    def create(self, asked: Json) -> str:
        self.cloud.atlas.call("POST", self.base(asked), self.said(asked))
        return self.place(asked)

    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.atlas.call("GET", id)
        if found is None:
            return None
        names = {key: self.spelled.get(key, key) for key in asked}
        return {key: found.get(name, asked[key]) for key, name in names.items()} | self.more(found)

    def more(self, found: Json) -> Json:
        """What only the answer says."""
        return {}

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.atlas.call("PATCH", id, self.said(asked))

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.atlas.call("DELETE", id)


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(key, key): renamed(inner, names) for key, inner in value.items()}
    return [renamed(inner, names) for inner in value] if isinstance(value, list) else value


def grown(value: Any, scaled: Callable[[Json], Json]) -> Any:
    """A cluster with how it grows spelled otherwise."""
    if isinstance(value, dict):
        return {key: scaled(inner) if key == "autoScaling" else grown(inner, scaled) for key, inner in value.items()}
    return [grown(inner, scaled) for inner in value] if isinstance(value, list) else value


def to_api(scaling: Json) -> Json:
    """``computeMaxInstanceSize`` is ``maxInstanceSize`` of ``compute``."""
    told: Json = {}
    for key, value in scaling.items():
        part = "diskGB" if key.startswith("diskGb") else "compute"
        own = key[len(part) :]
        told.setdefault(part, {})[own[0].lower() + own[1:]] = value
    return told


def from_api(told: Json) -> Json:
    parts = {"compute": "compute", "diskGB": "diskGb"}
    return {
        f"{parts[part]}{own[0].upper()}{own[1:]}": value for part, those in told.items() for own, value in those.items()
    }


class Project(Atlas, token="mongodbatlas:index/project:Project", replaces="orgId"):
    folder = "/groups"

    def create(self, asked: Json) -> str:
        return str(self.cloud.atlas.call("POST", "/groups", asked)["id"])

    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.atlas.call("GET", f"/groups/{id}")
        return None if found is None else {key: found[key] for key in ("name", "orgId", "tags")}

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.atlas.call("PATCH", f"/groups/{id}", asked)

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.atlas.call("DELETE", f"/groups/{id}")


class Cluster(Atlas, token="mongodbatlas:index/advancedCluster:AdvancedCluster", replaces="projectId name"):
    folder, key = "/groups/{projectId}/clusters", "name"
    spelled = MappingProxyType({"mongoDbMajorVersion": "mongoDBMajorVersion"})

    def said(self, asked: Json) -> Json:
        told: Json = grown(super().said(asked), to_api)
        return told

    def read(self, id: str, asked: Json) -> Json | None:
        found = super().read(id, asked)
        told: Json | None = None if found is None else grown(found, from_api)
        return told

    def more(self, found: Json) -> Json:
        return {key: found[key] for key in ("clusterId", "connectionStrings", "stateName")}

    def delete(self, id: str, asked: Json) -> None:
        if asked.get("terminationProtectionEnabled"):
            self.cloud.atlas.call("PATCH", id, {"terminationProtectionEnabled": False})
        self.cloud.atlas.call("DELETE", id)


class FlexCluster(Cluster, token="mongodbatlas:index/flexCluster:FlexCluster", replaces="projectId name"):
    folder = "/groups/{projectId}/flexClusters"


class CustomDbRole(Atlas, token="mongodbatlas:index/customDbRole:CustomDbRole", replaces="projectId roleName"):
    folder, key = "/groups/{projectId}/customDBRoles/roles", "roleName"

    def said(self, asked: Json) -> Json:
        told: Json = renamed(super().said(asked), {"databaseName": "db", "collectionName": "collection"})
        return told

    def read(self, id: str, asked: Json) -> Json | None:
        found: Json | None = renamed(super().read(id, asked), {"db": "databaseName", "collection": "collectionName"})
        return found


class DatabaseUser(
    Atlas, token="mongodbatlas:index/databaseUser:DatabaseUser", replaces="projectId username authDatabaseName"
):
    folder, key = "/groups/{projectId}/databaseUsers", "username"
    spelled = MappingProxyType({"authDatabaseName": "databaseName", "awsIamType": "awsIAMType"})

    def place(self, asked: Json) -> str:
        user, database = (quote(asked[key], safe="") for key in ("username", "authDatabaseName"))
        return f"{self.base(asked)}/{database}/{user}"


class AccessList(
    Atlas, token="mongodbatlas:index/projectIpAccessList:ProjectIpAccessList", replaces="projectId ipAddress comment"
):
    folder, key = "/groups/{projectId}/accessList", "ipAddress"


class MaintenanceWindow(Atlas, token="mongodbatlas:index/maintenanceWindow:MaintenanceWindow", replaces="projectId"):
    folder = "/groups/{projectId}/maintenanceWindow"

    def create(self, asked: Json) -> str:
        self.cloud.atlas.call("PATCH", self.place(asked), self.said(asked))
        return self.place(asked)


class BackupSchedule(
    MaintenanceWindow,
    token="mongodbatlas:index/cloudBackupSchedule:CloudBackupSchedule",
    replaces="projectId clusterName",
):
    folder = "/groups/{projectId}/clusters/{clusterName}/backup/schedule"


class EncryptionAtRest(
    MaintenanceWindow, token="mongodbatlas:index/encryptionAtRest:EncryptionAtRest", replaces="projectId"
):
    folder = "/groups/{projectId}/encryptionAtRest"


class AccessSetup(
    Atlas,
    token="mongodbatlas:index/cloudProviderAccessSetup:CloudProviderAccessSetup",
    replaces="projectId providerName",
):
    folder = "/groups/{projectId}/cloudProviderAccess"

    def create(self, asked: Json) -> str:
        made = self.cloud.atlas.call("POST", self.base(asked), self.said(asked))
        return f"{self.base(asked)}/{made['roleId']}"

    def more(self, found: Json) -> Json:
        return {"roleId": found["roleId"], "awsConfigs": [found["awsConfig"]]}


class AccessAuthorization(
    Atlas,
    token="mongodbatlas:index/cloudProviderAccessAuthorization:CloudProviderAccessAuthorization",
    replaces="projectId roleId",
):
    folder, key = "/groups/{projectId}/cloudProviderAccess", "roleId"

    def create(self, asked: Json) -> str:
        self.cloud.atlas.call("PATCH", self.place(asked), {"aws": asked["aws"]})
        return self.place(asked)

    def delete(self, id: str, asked: Json) -> None:
        """The role goes with its setup."""


class PrivateLink(
    Atlas,
    token="mongodbatlas:index/privateLinkEndpoint:PrivateLinkEndpoint",
    replaces="projectId providerName region",
):
    folder = "/groups/{projectId}/privateEndpoint/AWS/endpointService"

    def create(self, asked: Json) -> str:
        made = self.cloud.atlas.call("POST", self.base(asked), self.said(asked))
        return f"{self.base(asked)}/{made['id']}"

    def more(self, found: Json) -> Json:
        return {"privateLinkId": found["id"], "endpointServiceName": found["endpointServiceName"]}


class PrivateLinkService(
    Atlas,
    token="mongodbatlas:index/privateLinkEndpointService:PrivateLinkEndpointService",
    replaces="projectId privateLinkId endpointServiceId providerName",
):
    folder, key = (
        "/groups/{projectId}/privateEndpoint/AWS/endpointService/{privateLinkId}/endpoint",
        "endpointServiceId",
    )

    def create(self, asked: Json) -> str:
        self.cloud.atlas.call("POST", self.base(asked), {"id": asked["endpointServiceId"]})
        return self.place(asked)
