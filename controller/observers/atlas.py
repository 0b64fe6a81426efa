"""What MongoDB Atlas says it has of one environment, by its Admin API over HTTPS and a service account: read only.

Lists are read page by page; calls are counted and bounded; an answer of "too many" is waited out. What the program only
learns from AWS (addresses, the names of roles) is not compared: nobody knows it before it is there.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from controller.drift.resources import flat
from controller.drift.same import Account, Live
from controller.errors import Refused, Unreachable

URL, VERSION = "https://cloud.mongodb.com", "application/vnd.atlas.2025-03-12+json"
MOST_CALLS, TRIES, SECONDS, PAGE = 100, 5, 15.0, 500
LONGEST_WAIT = 30.0
Json = dict[str, Any]

PROJECT, CLUSTER, USER, ROLE, ADDRESS, WINDOW, BACKUP = KINDS = (
    "mongodbatlas.Project", "mongodbatlas.AdvancedCluster", "mongodbatlas.DatabaseUser", "mongodbatlas.CustomDbRole",
    "mongodbatlas.ProjectIpAccessList", "mongodbatlas.MaintenanceWindow", "mongodbatlas.CloudBackupSchedule",
)  # fmt: skip
LISTS = {
    CLUSTER: ("/clusters", "name"), USER: ("/databaseUsers", "username"), ROLE: ("/customDBRoles/roles", "roleName"),
    ADDRESS: ("/accessList", "ipAddress"),
}  # fmt: skip
"""Where each kind is listed, and what one of it is called."""
SAID = {
    CLUSTER: ("name", "clusterType", "backupEnabled", "pitEnabled", "terminationProtectionEnabled",
              "encryptionAtRestProvider", "replicationSpecs"),
    USER: ("username", "roles", "scopes"),
    ROLE: ("roleName", "actions"),
    ADDRESS: ("comment",),
    WINDOW: ("dayOfWeek", "hourOfDay"),
    BACKUP: ("clusterName", "restoreWindowDays"),
}  # fmt: skip
"""What is compared of each kind, by the names that the program and the API share."""
SPELLED = (
    (re.compile(r"(autoScaling\.compute)\.(\w)"), lambda found: f"{found[1]}{found[2].upper()}"),
    (re.compile(r"autoScaling\.diskGB\.enabled$"), lambda found: "autoScaling.diskGbEnabled"),
    (re.compile(r"(actions.*\.resources.*)\.db$"), lambda found: f"{found[1]}.databaseName"),
    (re.compile(r"(actions.*\.resources.*)\.collection$"), lambda found: f"{found[1]}.collectionName"),
)
"""Paths that the API calls otherwise than the program does."""


class AtlasProject:
    """The project of an environment. ``wait`` is how seconds pass between tries."""

    def __init__(
        self,
        client: str,
        secret: str,
        url: str = URL,
        wait: Callable[[float], None] = time.sleep,
        most: int = MOST_CALLS,
    ) -> None:
        self._who, self._url, self._wait, self._most = (client, secret), url, wait, most
        self._token, self.calls = "", 0

    def look(self, environment: str) -> Account:
        """Everything that Atlas has of it. Raises Unreachable, Refused."""
        try:
            return self._look(environment)
        except (LookupError, TypeError, AttributeError) as error:
            said = f"its answer makes no sense ({error!r:.80})"
            raise Unreachable("asking Atlas", said, f"Look whether it still speaks {VERSION}.") from error

    def _look(self, environment: str) -> Account:
        project = self._get(f"/groups/byName/turnabout-{quote(environment)}")
        if project is None:
            return Account((), frozenset(KINDS), {}, self.calls)
        under, blind = f"/groups/{project['id']}", dict[str, str]()
        found = [self._live(PROJECT, str(project["id"]), {"name": project["name"], "tags": project.get("tags") or {}})]
        clusters: list[Json] = []
        for kind, (path, named) in LISTS.items():
            try:
                listed = list(self._list(f"{under}{path}"))
            except Refused as no:
                blind[kind] = no.said
                continue
            clusters = listed if kind == CLUSTER else clusters
            found += [self._live(kind, called(kind, named, one), {**one, "projectId": project["id"]}) for one in listed]
        alone = [(WINDOW, "/maintenanceWindow")]
        backed = (one["name"] for one in clusters if one.get("backupEnabled"))
        alone += [(BACKUP, f"/clusters/{quote(name)}/backup/schedule") for name in backed]
        for kind, path in alone:
            try:
                if (one := self._get(f"{under}{path}")) is not None:
                    found.append(self._live(kind, f"{project['name']}{path}", one))
            except Refused as no:
                blind[kind] = no.said
        return Account(tuple(found), frozenset(KINDS) - blind.keys(), blind, self.calls)

    def _live(self, kind: str, id: str, said: Json) -> Live:
        values = {name: said.get(name) for name in SAID[kind]} if kind in SAID else said
        if kind in LISTS:
            values["projectId"] = said["projectId"]
        if kind == CLUSTER:
            values["mongoDbMajorVersion"] = said.get("mongoDBMajorVersion")
        if kind == USER:
            values["authDatabaseName"] = said.get("databaseName")
        if kind == ADDRESS and not said.get("ipAddress"):
            values["cidrBlock"] = said.get("cidrBlock")  # a network is no node's address, whatever is written beside it
        return Live(kind, id, {spelled(path): value for path, value in flat(values)})

    # ---- calls

    def _list(self, path: str) -> Iterator[Json]:
        number, seen = 1, 0
        while True:
            page = self._get(f"{path}?itemsPerPage={PAGE}&pageNum={number}&includeCount=true")
            if isinstance(page, list) or page is None:
                yield from page or ()
                return
            yield from page["results"]
            seen, number = seen + len(page["results"]), number + 1
            if seen >= (every := page.get("totalCount", seen)):
                return
            if not page["results"]:
                said = f"its list ended after {seen} of {every}"
                raise Unreachable(f"asking Atlas for {path}", said, "Look again.")

    def _get(self, path: str) -> Any:
        if not self._token:
            self._token = self._ask("POST", "/api/oauth/token")["access_token"]
        return self._ask("GET", f"/api/atlas/v2{path}")

    def _ask(self, verb: str, path: str) -> Any:
        """The answer; None where there is no such thing."""
        import httpx

        attempt = f"asking Atlas for {path.partition('?')[0]}"
        asked: Json = {"headers": {"Accept": VERSION, "Authorization": f"Bearer {self._token}"}}
        if verb == "POST":
            asked = {"auth": self._who, "data": {"grant_type": "client_credentials"}}
        for tries in range(TRIES):
            self.calls += 1
            if self.calls > self._most:
                raise Unreachable(attempt, f"that would be more than {self._most} calls", "Look at the project.")
            try:
                answer = httpx.request(verb, self._url + path, timeout=SECONDS, **asked)
            except httpx.HTTPError as error:
                raise Unreachable(attempt, str(error) or type(error).__name__, "Look at the way to Atlas.") from error
            if answer.status_code != 429 and answer.status_code < 500:
                break
            if tries + 1 < TRIES:
                self._wait(min(LONGEST_WAIT, float(answer.headers.get("Retry-After") or 0.5 * 2**tries)))
        return read(answer.status_code, answer.text, answer.json if answer.text else dict, attempt)


def called(kind: str, named: str, one: Json) -> str:
    """Who one of a list is: a user by where it proves itself too, since two may have one name."""
    name = str(one.get(named) or one.get("cidrBlock"))
    return f"{one.get('databaseName')}/{name}" if kind == USER else name


def spelled(path: str) -> str:
    """A path as the program has it."""
    for api, program in SPELLED:
        path = api.sub(program, path)
    return path


def read(status: int, text: str, said: Callable[[], Any], attempt: str) -> Any:
    """What an answer means. Raises Unreachable, Refused."""
    if status == 404:
        return None
    if status in (401, 403):
        raise Refused(attempt, f"it answered {status}: {text[:200]}", "Give the service account Project Read Only.")
    if status in (406, 410):
        old = f"it no longer speaks {VERSION}"
        raise Refused(attempt, old, "Bring the controller up to date.")
    if status >= 400:
        raise Unreachable(attempt, f"it answered {status}: {text[:200]}", "Try again later.")
    try:
        return said()
    except ValueError as error:
        raise Unreachable(attempt, f"its answer is no JSON ({error})", "Look at what answers there.") from error


def project() -> AtlasProject:
    """As the surroundings say who asks. Raises Refused where they say nothing."""
    names = "MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET"
    client, secret = (os.environ.get(name, "") for name in names)
    if not client or not secret:
        raise Refused("asking Atlas", "there is no service account", f"Set {' and '.join(names)}.")
    try:
        import httpx  # noqa: F401 - said here, before anything is asked
    except ImportError as missing:
        raise Refused("asking Atlas", "httpx is not installed", "Install it: make cloud") from missing
    return AtlasProject(client, secret, os.environ.get("MONGODB_ATLAS_BASE_URL", URL).rstrip("/"))
