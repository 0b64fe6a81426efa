"""Atlas's Admin API as far as the program uses it: a server that stores what it is told and answers as documented.

A service account gets a token for an hour; every other call needs one. No database stands behind it.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs

from tests.infra.provider.kinds import Json

VERSION = "application/vnd.atlas.2025-03-12+json"
CLUSTER = re.compile(r"/groups/\w+/(?:clusters|flexClusters)/[\w-]+")
LISTS, BY_NAME = re.compile(r"/groups/\w+/(?:clusters|databaseUsers|customDBRoles/roles|accessList)"), "/groups/byName/"


class AtlasRefused(Exception):
    """What the API answered, as Atlas writes it: the code, and the sentence."""


class AdminApi:
    """The server, open while in use. Who has ``client`` and ``secret`` may do everything, until ``expire``."""

    def __init__(self) -> None:
        self.client, self.secret = "mdb_sa_id_emulated", f"mdb_sa_sk_{secrets.token_hex(16)}"
        self.things: dict[str, Json] = {}
        self.tokens: set[str] = set()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def expire(self) -> None:
        """The tokens that were given out are no longer good, and no new one is to be had."""
        self.tokens.clear()
        self.secret = secrets.token_hex(16)

    def token(self, basic: str) -> str | None:
        if basic != "Basic " + base64.b64encode(f"{self.client}:{self.secret}".encode()).decode():
            return None
        self.tokens.add(token := secrets.token_urlsafe(24))
        return token

    def obey(self, verb: str, path: str, said: Any) -> tuple[int, Json]:
        with self._lock:
            return getattr(self, f"_{verb.lower()}")(path, said)  # type: ignore[no-any-return]  # a verb's own method

    def _get(self, path: str, _: Any) -> tuple[int, Json]:
        path, _, query = path.partition("?")
        if path.startswith(BY_NAME):
            projects = [one for key, one in self.things.items() if key.count("/") == 2]
            return next(((200, one) for one in projects if one["name"] == path.removeprefix(BY_NAME)), missing(path))
        if LISTS.fullmatch(path):
            return 200, page([one for key, one in self.things.items() if self.is_in(key, path)], parse_qs(query))
        return (200, self.things[path]) if path in self.things else missing(path)

    def is_in(self, key: str, folder: str) -> bool:
        """Whether a thing is one of a folder's own, and not something of one of them."""
        depth = 2 if folder.endswith("/databaseUsers") else 1
        return key.startswith(f"{folder}/") and key.removeprefix(folder).count("/") == depth

    def _post(self, path: str, said: Any) -> tuple[int, Json]:
        thing: Json = dict(said[0] if isinstance(said, list) else said)
        if path == "/groups":
            if any(one.get("name") == thing["name"] for key, one in self.things.items() if key.count("/") == 2):
                return 409, refusal("GROUP_ALREADY_EXISTS", f"A project named {thing['name']} exists already.")
            thing["id"] = secrets.token_hex(12)
            place = f"/groups/{thing['id']}"
        elif path.endswith("/cloudProviderAccess"):
            arns = {"atlasAwsAccountArn": "arn:aws:iam::536727724300:root", "atlasAssumedRoleExternalId": "external"}
            thing |= {"roleId": secrets.token_hex(12), "awsConfig": arns}
            place = f"{path}/{thing['roleId']}"
        elif path.endswith("/endpointService"):
            thing["id"] = secrets.token_hex(12)
            thing["endpointServiceName"] = f"com.amazonaws.vpce.us-east-1.vpce-svc-{thing['id']}"
            place = f"{path}/{thing['id']}"
        else:
            thing |= addresses(thing) if path.endswith("/accessList") else {}
            place = f"{path}/{named(thing)}"
        if place in self.things:
            return 409, refusal("DUPLICATE", f"{place} exists already.")
        if CLUSTER.fullmatch(place):
            project = place.partition("/clusters")[0]
            thing |= connected(thing, [key for key in self.things if re.match(f"{project}/.*/endpoint/", key)])
        self.things[place] = thing
        return 201, self.things[place]

    def _patch(self, path: str, said: Any) -> tuple[int, Json]:
        alone = path.endswith(("/maintenanceWindow", "/backup/schedule", "/encryptionAtRest"))
        if path not in self.things and not alone:
            return missing(path)
        named = {"clusterName": path.split("/")[-3]} if path.endswith("/backup/schedule") else {}
        self.things[path] = self.things.get(path, {}) | named | said
        return 200, self.things[path]

    def _delete(self, path: str, _: Any) -> tuple[int, Json]:
        if path not in self.things:
            return missing(path)
        if self.things[path].get("terminationProtectionEnabled"):
            code = "CANNOT_TERMINATE_CLUSTER_WHEN_TERMINATION_PROTECTION_ENABLED"
            return 400, refusal(code, "Termination protection is on for this cluster.")
        if any(CLUSTER.fullmatch(key) for key in self.things if key.startswith(f"{path}/")) and path.count("/") == 2:
            return 409, refusal("CANNOT_CLOSE_GROUP_ACTIVE_ATLAS_CLUSTERS", "The project has clusters.")
        for key in [key for key in self.things if key == path or key.startswith(f"{path}/")]:
            del self.things[key]
        return 204, {}


def page(every: list[Json], asked: dict[str, list[str]]) -> Json:
    number, size = (int(asked.get(key, [one])[0]) for key, one in (("pageNum", "1"), ("itemsPerPage", "100")))
    return {"results": every[(number - 1) * size : number * size], "totalCount": len(every)}


def addresses(entry: Json) -> Json:
    """What the API adds to an entry of the access list: a single address is a network too, and the other way."""
    if "ipAddress" in entry:
        return {"cidrBlock": f"{entry['ipAddress']}/32"}
    return {"ipAddress": one.removesuffix("/32")} if (one := entry.get("cidrBlock", "")).endswith("/32") else {}


def named(thing: Json) -> str:
    if "username" in thing:
        return "/".join(urllib.parse.quote(thing[key], safe="") for key in ("databaseName", "username"))
    return urllib.parse.quote(
        next(str(thing[key]) for key in ("name", "roleName", "ipAddress", "cidrBlock", "id") if key in thing), safe=""
    )


def connected(cluster: Json, links: list[str]) -> Json:
    """Where a new cluster is reached; by each private link that is there already, too."""
    name = cluster["name"]
    inside = [
        {"srvConnectionString": f"mongodb+srv://{name}-pl-{at}.emulated.mongodb.example"} for at in range(len(links))
    ]
    where = {"standardSrv": f"mongodb+srv://{name}.emulated.mongodb.example", "privateEndpoints": inside}
    return {"clusterId": secrets.token_hex(12), "stateName": "IDLE", "connectionStrings": where}


def refusal(code: str, detail: str) -> Json:
    return {"errorCode": code, "detail": detail}


def missing(path: str) -> tuple[int, Json]:
    return 404, refusal("RESOURCE_NOT_FOUND", f"Cannot find {path}.")


class _Handler(BaseHTTPRequestHandler):
    api: ClassVar[AdminApi]

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body, path = self.rfile.read(length), self.path
        if path == "/api/oauth/token":
            token = self.api.token(self.headers.get("Authorization", ""))
            code, said = (200, {"access_token": token, "expires_in": 3600}) if token else unauthorised()
        elif self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.api.tokens:
            code, said = unauthorised()
        else:
            code, said = self.api.obey(self.command, path.removeprefix("/api/atlas/v2"), json.loads(body or b"null"))
        text = json.dumps(said).encode() if code != 204 else b""
        self.send_response(code)
        self.send_header("Content-Type", VERSION)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def unauthorised() -> tuple[int, Json]:
    return 401, refusal("UNAUTHORIZED", "You are not authorized for this resource.")


class AtlasClient:
    """Calls of the Admin API by a service account. The account is what the engine's surroundings say."""

    def __init__(self, url: str, client: str, secret: str) -> None:
        self.url, self.client, self.secret, self._token = url, client, secret, ""

    def call(self, verb: str, path: str, said: object = None) -> Any:
        """The answer; None where there is no such thing. Raises AtlasRefused."""
        if not self._token:
            basic = base64.b64encode(f"{self.client}:{self.secret}".encode()).decode()
            self._token = self._ask("POST", "/api/oauth/token", {}, f"Basic {basic}")["access_token"]
        return self._ask(verb, f"/api/atlas/v2{path}", said, f"Bearer {self._token}")

    def renew(self) -> None:
        """Get a token anew at the next call, as somebody does who was told that it expired."""
        self._token = ""

    def _ask(self, verb: str, path: str, said: object, who: str) -> Any:
        body = None if said is None else json.dumps(said).encode()
        headers = {"Authorization": who, "Accept": VERSION, "Content-Type": VERSION}
        request = urllib.request.Request(self.url + path, body, headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code == 404 and verb in ("GET", "DELETE"):
                return None
            answer = json.loads(error.read())
            why = f"HTTP {error.code} {error.reason} (Error code: {answer['errorCode']!r}) {answer['detail']}"
            raise AtlasRefused(f"{self.url}{path} {verb}: {why}") from None
