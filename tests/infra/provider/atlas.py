"""What Atlas has, by the calls of its Admin API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar
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
