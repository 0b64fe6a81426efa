"""A node of our own for tests: a directory, a small application that can misbehave, signed releases, the verbs.

Only what several tests need is here; what is expected of a node is written in the tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.node.__main__ import main
from controller.node.client import ask_serve
from controller.node.errors import Failed
from controller.node.journal import boottime
from controller.node.manifest import artifact_digest, canonical, config_digest, release_digest, sha256
from controller.node.pack import pack
from infra.local.ports import Ports

Json = dict[str, Any]
KEY = Ed25519PrivateKey.generate()
PROGRAM = str(pack(Path(__file__).parents[2] / "build" / "node.pyz"))

# The application: everything it does beyond serving is asked for by its settings.
APP = """
import http.server, json, os, signal, socketserver, sys, time
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
wants = config["settings"]
mark = os.path.join(config["data"], "running")
print("hello from", wants["name"], flush=True)
if wants.get("fork"):
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
            os._exit(0)
if wants.get("deaf"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
if wants.get("exit") is not None:
    print("cannot go on:", wants["name"], file=sys.stderr, flush=True)
    sys.exit(wants["exit"])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/ready":
            sick = os.path.exists(os.path.join(config["data"], "sick"))
            status, body = (503 if sick or wants.get("never_ready") else 200), b'{"ready": true}'
        elif self.path == "/metrics":
            status, body = 200, ("release_named{name=\\"%s\\"} 1\\n" % wants["name"]).encode()
        elif self.path.startswith("/v1/bad"):
            status, body = 500, b"no"
        else:
            status, body = 200, wants["name"].encode()
        self.send_response(status)
        self.send_header("X-Release", config["release"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    allow_reuse_address, daemon_threads = True, True

try:
    server = Server((config["bind"], config["ports"]["http"]), Handler)
except OSError as problem:
    print("port is taken:", problem, file=sys.stderr, flush=True)
    sys.exit(3)
if wants.get("leak") and os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server.serve_forever()
if os.path.exists(os.path.join(config["data"], "die")):
    os._exit(5)
if wants.get("hop") and os.fork() == 0:
    while True:
        if os.fork():
            os._exit(0)
if wants.get("dies"):
    import threading
    threading.Timer(wants["dies"], os._exit, (5,)).start()
server.serve_forever()
"""


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A deterministic tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def special(name: str, kind: bytes, leads_to: str = "") -> bytes:
    """A tar with one member that is no plain file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.mode = kind, leads_to, 0o6777
        tar.addfile(member)
    return out.getvalue()


class Made:
    """One release: its signed manifest and its blobs."""

    def __init__(
        self, name: str, tree: bytes | None = None, on_deadline: str = "revert", reads: tuple[int, ...] = (1,),
        writes: int = 1, stop_seconds: float = 1.0, lock: bytes = b"", key: Ed25519PrivateKey = KEY, **wants: object,
    ) -> None:  # fmt: skip
        self.name = name
        files = {"apps/toy/main.py": APP.encode(), "apps/toy/name": name.encode()}
        self.tree = tar_of(files) if tree is None else tree
        self.dependencies = tar_of({"leaning.py": b"VALUE = 1\n", "pad.bin": b"\0" * 4096})
        self.blobs = {hashlib.sha256(blob).hexdigest(): blob for blob in (self.tree, self.dependencies)}
        tree_hex, dependencies_hex = self.blobs
        config = {"name": name, **wants}
        artifact = artifact_digest("toy", tree_hex, sha256(lock))
        self.digest = release_digest(artifact, config_digest(config))
        self.manifest: Json = {
            "schema": "turnabout/manifest/1", "app": "toy", "release": self.digest, "artifact_digest": artifact,
            "config_digest": config_digest(config), "commit": "c" * 40, "lock": sha256(lock),
            "blobs": {"tree": {"sha256": tree_hex, "bytes": len(self.tree)},
                      "dependencies": {"sha256": dependencies_hex, "bytes": len(self.dependencies)}},
            "start": ["python", "apps/toy/main.py", "--config", "{config}"], "stop_seconds": stop_seconds,
            "data": "toy", "ports": {"http": "http"}, "ready": "http://{bind}:{port.http}/ready", "probe": [],
            "data_versions": {"reads": list(reads), "writes": writes}, "on_deadline": on_deadline, "config": config,
            "built_by": "tests",
            "checks": [{"name": "errors", "kind": "share", "paths": ["/v1/*/latest", "/v1/bad"]}],
        }  # fmt: skip
        self.sign(key)

    def sign(self, key: Ed25519PrivateKey = KEY) -> None:
        signed = {name: value for name, value in self.manifest.items() if name != "signature"}
        self.manifest["signature"] = "ed25519:" + key.sign(canonical(signed)).hex()

    def tar(self, blobs: bool = True) -> bytes:
        out = io.BytesIO()
        files = [("manifest.json", canonical(self.manifest))]
        files += [(f"blobs/{name}", blob) for name, blob in self.blobs.items()] if blobs else []
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, content in files:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return out.getvalue()


free_port = Ports().take


def eventually(what: Callable[[], object], seconds: float = 15.0) -> Any:
    """Wait until ``what()`` is true and return it; the bound is only there so that a failing test ends."""
    end = time.monotonic() + seconds
    while True:
        seen = what()
        if seen:
            return seen
        assert time.monotonic() < end, f"not within {seconds} s: {what.__doc__ or what}"
        time.sleep(0.03)


class Site:
    """One node's directory and its running node program."""

    def __init__(self, root: Path, **facts: object) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.run = Path(tempfile.mkdtemp(prefix="tn"))  # sockets need short paths
        self.http = free_port()
        self.boot_file = root / "boot_id"
        self.boot_file.write_text(str(uuid.uuid4()))
        self.facts: Json = {
            "node": "bos-a", "zone": "BOS", "environment": "test", "bind": "127.0.0.1", "run": str(self.run),
            "app": "toy", "ports": {"http": self.http}, "observe": {"port": free_port(), "token": "open sesame"},
            "trusted": [KEY.public_key().public_bytes_raw().hex()], "secrets": {"mongo_uri": "mongodb://x"},
            "python": sys.executable, "reserve_bytes": 1 << 20, "watchdog_seconds": 2,
            "boot_id_file": str(self.boot_file),
        } | facts  # fmt: skip
        self.write_facts()
        self.keeper: subprocess.Popen[bytes] | None = None
        self.generation = 1

    def write_facts(self) -> None:
        (self.root / "node.json").write_text(json.dumps(self.facts))

    # ---- the node program

    def start(self) -> Site:
        argv = [sys.executable, "-I", "-S", PROGRAM, str(self.root), "supervise"]
        with (self.root / "supervise.log").open("ab") as log:
            self.keeper = subprocess.Popen(argv, stdout=log, stderr=log)
        eventually(self.answers)
        return self

    def answers(self) -> bool:
        """The node program answers."""
        try:
            return bool(self.status())
        except Failed:
            return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.keeper and self.keeper.poll() is None:
            self.keeper.send_signal(number)
            self.keeper.wait(20)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.run)

    # ---- the verbs

    def verb(self, *argv: object, stdin: bytes = b"") -> tuple[int, Json]:
        """The command as a process of its own; what only asks the running node program needs none."""
        arguments = [str(self.root), *map(str, argv)]
        if argv[0] not in ("stage", "serve", "supervise"):
            with contextlib.redirect_stdout(io.StringIO()) as said:
                code = main(arguments)
            return code, json.loads(said.getvalue())
        command = [sys.executable, "-I", "-S", PROGRAM, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
        return done.returncode, json.loads(done.stdout)

    def stage(self, made: Made, blobs: bool = True) -> tuple[int, Json]:
        return self.verb("stage", made.digest, stdin=made.tar(blobs))

    def activate(
        self,
        made: Made,
        token: str,
        base: Made | None,
        seconds: float = 60,
        boot: str | None = None,
        expires: float = 30,
    ) -> tuple[int, Json]:
        now = boottime()
        return self.verb(
            "activate", made.digest, "--token", token, "--base", base.digest if base else "none", "--boot",
            boot or self.boot_file.read_text(), "--until", now + seconds, "--expires", now + expires,
            "--generation", self.generation,
        )  # fmt: skip

    def confirm(self, token: str) -> tuple[int, Json]:
        return self.verb("confirm", token, "--generation", self.generation)

    def revert(self, token: str, *more: str) -> tuple[int, Json]:
        return self.verb("revert", token, "--generation", self.generation, "--reason", "asked", *more)

    def traffic(self, token: str, seconds: float, *weights: str) -> tuple[int, Json]:
        until = boottime() + seconds
        boot = self.boot_file.read_text()
        return self.verb(
            "traffic", *weights, "--token", token, "--boot", boot, "--until", until, "--expires", until,
            "--generation", self.generation,
        )  # fmt: skip

    def promote(self, made: Made, token: str, base: Made | None = None) -> None:
        """Stage, activate, wait until it serves, confirm."""
        assert self.stage(made)[0] == 0
        assert self.activate(made, token, base)[0] == 0
        self.serves(made)
        assert self.confirm(token)[0] == 0

    # ---- what is seen

    def status(self) -> Json:
        status: Json = ask_serve(str(self.root), {"verb": "status"})["status"]
        return status

    def app(self) -> Json:
        app: Json = self.status()["apps"]["toy"]
        return app

    def serves(self, made: Made) -> Json:
        """Wait until this release is the one that answers, and say what the node tells of it."""

        def ready() -> Json | None:
            app = self.app()
            return app if app["running"] == made.digest and app["ready"] else None

        ready.__doc__ = f"{made.name} serves"
        app: Json = eventually(ready)
        return app

    def processes(self) -> set[int]:
        """Every living process of this node's application, however it was forked."""
        mark, found = f"TURNABOUT_NODE={self.root}".encode(), set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.add(int(process.name))
            except OSError:
                continue
        return found

    def serve_pid(self) -> int:
        assert self.keeper is not None
        children = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children").read_text().split()
        for child in map(int, children):
            if b"serve" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return child
        raise AssertionError("serve does not run")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
