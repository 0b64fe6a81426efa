"""Prod's project in an emulated Atlas, beside its AWS: what somebody changes by the Admin API, and what ends it.

The whole cloud is looked at, as the product does. A command ``atlas …`` is run by a small reading of it, because
Atlas's own command line is not here; what it takes away is taken away by the Admin API.
"""

from __future__ import annotations

import json
import shlex
import time
from contextlib import ExitStack
from urllib.parse import quote

from controller.drift import live
from controller.drift.finding import Finding
from controller.drift.same import Account
from controller.glass.drifting import both
from controller.observers.atlas import AtlasProject
from controller.observers.aws import AwsAccount
from tests.drift_suite.changes import Change
from tests.drift_suite.clouds import Cloud
from tests.drift_suite.rooms import planted
from tests.infra.provider.admin_api import AdminApi, AtlasClient

FOLDERS = {"accessLists": "accessList", "dbusers": "databaseUsers", "customDbRoles": "customDBRoles/roles"}
"""What Atlas's command line calls a list, and where the Admin API has it."""


class Atlas(Cloud):
    """Changes stay, so that each is found among those before it."""

    def __init__(self, stack: ExitStack) -> None:
        self.api = stack.enter_context(AdminApi())
        super().__init__(stack)
        self.api = self.account.atlas if self.account is not None else self.api

    def stored(self) -> AtlasClient:
        return AtlasClient(self.api.url, self.api.client, self.api.secret)

    def plant(self, change: Change) -> None:
        names = ("CLIENT_ID", self.api.client), ("CLIENT_SECRET", self.api.secret), ("BASE_URL", self.api.url)
        planted(change, "turnabout-prod", {f"MONGODB_ATLAS_{name}": value for name, value in names})

    def project(self) -> Account:
        return AtlasProject(self.api.client, self.api.secret, self.api.url).look("prod")

    def look(self) -> list[Finding]:
        began = time.perf_counter()
        account = both(AwsAccount(self.client).look("prod"), self.project())
        found = [*live.compare("prod", self.declared, account).findings]
        self.calls, self.seconds = account.calls, max(self.seconds, time.perf_counter() - began)
        return found

    def run(self, command: str) -> bool:
        words = shlex.split(command)
        if words[0] != "atlas":
            return False
        _, kind, _, name, *options = words
        given = dict(zip(options[::2], options[1::2], strict=True))
        parts = [f"/groups/{given['--projectId']}/{FOLDERS[kind]}", given.get("--authDB"), name]
        path = "/".join([parts[0] or "", *(quote(part, safe="") for part in parts[1:] if part)])
        self.stored().call("DELETE", path)
        return True

    def naive(self) -> str:
        return json.dumps(
            sorted([one.kind, one.id, sorted(map(str, one.values.items()))] for one in self.project().found)
        )
