"""The demo's world: the platform, the traffic on it, a forge and a controller, all real and all of this machine.

Everything is a child of this process and ends with it. The controller is a process of its own, so that it can be
killed like one.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.demo.forge import Forge
from controller.demo.wheels import fetch
from controller.keys import build_key
from controller.node.pack import pack
from controller.site import Site, load_site
from controller.sources.hook import install
from environments import from_folder
from infra.local.places import Places
from infra.local.platform import Platform, up
from infra.local.servers import start, start_git_daemon

HERE = Path(__file__).parent
ENVIRONMENTS = ("dev", "stage", "prod")
CUSTOMERS = 200
SEED = 7
TRAFFIC = {"dev": "20:0.5:5:5", "stage": "20:0.5:5:5", "prod": "120:0.5:70:70"}
"""Devices, messages a second of each, readers' and customers' requests a second."""
ENDS_WITHIN = 4.0
"""Seconds that the controller and the clients have to end; what they would still write, nobody reads."""


@dataclass(slots=True)
class World:
    """A running world under ``root``."""

    root: Path
    platform: Platform
    forge: Forge
    site: Site
    surroundings: Mapping[str, str] | None = None
    """Environment variables of the controller, where they are not this process's own."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def nodes(self) -> int:
        return sum(len(outputs.nodes) for outputs in self.platform.outputs.values())

    # ---- the controller -------------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        self._start("controller", "-m", "controller.cli", "--site", str(self.site.file), "run")

    def kill_controller(self) -> None:
        """SIGKILL, in whatever it is doing."""
        self.processes["controller"].kill()
        self.processes["controller"].wait()

    def controller_alive(self) -> bool:
        return self.processes["controller"].poll() is None

    # ---- the git server -------------------------------------------------------------------------------------------

    def kill_git(self) -> None:
        server = self.platform.servers["git daemon"]
        server.process.kill()
        server.process.wait()

    def start_git(self) -> None:
        url = self.platform.outputs["prod"].repository
        port = int(url.split(":")[2].split("/")[0])
        folder = self.root / "platform" / "git"
        self.platform.servers["git daemon"] = start_git_daemon(folder, port, folder / "daemon.log")

    # ---- the traffic ----------------------------------------------------------------------------------------------

    def seed(self) -> None:
        """Fill each environment's Customer 360 with generated customers."""
        for name, outputs in self.platform.outputs.items():
            settings = from_folder(self.forge.clone / "environments", name).settings["c360"]
            config = self.root / f"seed-{name}.json"
            stated = {
                "environment": name, "zone": "region", "node": "seed", "bind": "127.0.0.1", "release": "none",
                "ports": {"http": 1}, "data": str(self.root), "settings": settings,
                "secrets": {"mongo_uri": outputs.mongo_uri},
            }  # fmt: skip
            config.touch(mode=0o600)
            config.write_text(json.dumps(stated))
            argv = ["--config", str(config), "--customers", str(CUSTOMERS), "--seed", str(SEED)]
            subprocess.run([sys.executable, "-m", "apps.c360.seed", *argv], check=True, capture_output=True, timeout=60)

    def start_traffic(self) -> None:
        """From where clients are: in the carrier's network, where there is one."""
        traffic = [word for name, rates in TRAFFIC.items() for word in ("--traffic", f"{name}={rates}")]
        files = [str(self.site.outputs_folder / name / "outputs.json") for name in ENVIRONMENTS]
        pattern = f"c-{SEED}-{{:05}}:{CUSTOMERS}"
        load = ["-m", "infra.local.load", "run", "--out", str(self.root / "load"), "--customers", pattern]
        self._start("load", *load, *traffic, *files, within=self.platform.places.clients)

    def stop_traffic(self) -> None:
        process = self.processes.pop("load", None)
        if process is not None:
            process.terminate()
            process.wait(30)

    def fate(self) -> Mapping[str, Any]:
        """What became of every acknowledged message, by environment."""
        files = [str(self.site.outputs_folder / name / "outputs.json") for name in ENVIRONMENTS]
        argv = [sys.executable, "-m", "infra.local.load", "verify", "--out", str(self.root / "load"), *files]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode not in (0, 2):
            raise RuntimeError(f"the acknowledged messages could not be looked for: {done.stderr.strip()}")
        found: Mapping[str, Any] = json.loads(done.stdout)
        return found

    def counted(self) -> Mapping[str, Any]:
        """The newest line of what the clients counted; empty before there is one."""
        try:
            with (self.root / "load" / "load.jsonl").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 200_000))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return {}
        whole = [line for line in lines if line.startswith(b"{") and line.endswith(b"}")]
        found: Mapping[str, Any] = json.loads(whole[-1]) if whole else {}
        return found

    # ---- processes ------------------------------------------------------------------------------------------------

    def _start(self, name: str, *argv: str, within: tuple[str, ...] = ()) -> None:
        argv = (*within, sys.executable, *argv)
        env = dict(self.surroundings) if self.surroundings is not None else None
        self.processes[name] = start(name, argv, self.root / f"{name}.log", env).process

    def stop(self, say: Callable[[str], None] = lambda line: None) -> None:
        """Stop everything that was started, the controller first: nobody is left to be surprised."""
        say("stopping the controller and the clients")
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + ENDS_WITHIN
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        say(f"stopping {self.nodes} nodes, each with its HAProxy and its application; then mongod and the git server")
        self.platform.stop()
        say("everything is stopped")


def begin(
    root: Path, sources: Path, say: Callable[[str], None] = lambda line: None, places: Places | None = None
) -> World:
    """A fresh world under ``root``; what an earlier demo left there is removed. ``places``: where its nodes are."""
    root = root.resolve()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    environments = [from_folder(HERE / "environments", name) for name in ENVIRONMENTS]
    build_key(root / "platform" / "keys")
    locks = sorted(sources.glob("apps/*/requirements.lock"))
    surroundings = fetch(locks, root / "wheels") if places is not None and places.cut_off else None
    platform = up(root / "platform", environments, pack(root / "node.pyz"), sources / "apps", places=places)
    try:
        forge = Forge(root / "clone")
        files = {f"{name}.toml": HERE / "environments" / f"{name}.toml" for name in ("base", *ENVIRONMENTS)}
        forge.begin(sources, files, platform.outputs["dev"].repository, ENVIRONMENTS)
        site = root / "platform" / "turnabout.toml"
        port, secret = platform.ports.take(), secrets.token_hex(16)
        site.touch(mode=0o600)
        site.write_text(
            f'environments = {json.dumps(list(ENVIRONMENTS))}\n\n[webhook]\nport = {port}\nsecret = "{secret}"\n'
        )
        (root / "webhook.secret").touch(mode=0o600)
        (root / "webhook.secret").write_text(secret)
        bare = root / "platform" / "git" / "repository.git"
        install(bare, f"http://127.0.0.1:{port}/", root / "webhook.secret")
        return World(root, platform, forge, load_site(site), surroundings)
    except BaseException:
        say("stopping what was started until now")
        platform.stop()
        raise
