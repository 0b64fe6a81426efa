"""``python -m infra.local up | down | status``: the platform on one machine, from the command line.

``up`` stays in the foreground and takes everything down when it ends, however it ends; ``up --detach`` leaves such a
process in the background, and ``down`` ends that. One root holds one platform at a time: the running one has a lock.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from environments import BadEnvironment, from_folder, names
from infra.application import BadApp
from infra.local.command import DONE, ERROR, Parser
from infra.local.platform import Platform, up
from infra.local.ports import NoPortsLeft
from infra.local.servers import ServerFailed, ServerMissing

UP_SECONDS = 120.0
DOWN_SECONDS = 40.0


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.act(arguments))
    except (BadApp, BadEnvironment, NoPortsLeft, ServerFailed, ServerMissing) as error:
        print(error, file=sys.stderr)
        return ERROR


def _up(arguments: argparse.Namespace) -> int:
    if arguments.detach:
        return _up_in_background(arguments)
    root: Path = arguments.root
    root.mkdir(parents=True, exist_ok=True)
    lock = _lock(root)
    if lock is None:
        already = f"A platform is already up under {root}; run `python -m infra.local down --root {root}` first."
        print(already, file=sys.stderr)
        return ERROR
    began = time.monotonic()
    wanted = arguments.only or list(names(arguments.environments))
    if not wanted:
        print(
            f"{arguments.environments} defines no environment; name the right folder with --environments.",
            file=sys.stderr,
        )
        return ERROR
    environments = [from_folder(arguments.environments, name) for name in wanted]
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with up(root, environments, arguments.program, arguments.apps) as platform:
            _tell(lock, "up")
            print(f"up in {time.monotonic() - began:.1f} s; Ctrl-C takes it down")
            _show(platform)
            _watch(platform)
    except KeyboardInterrupt:
        print("down")
    return DONE


def _watch(platform: Platform) -> None:
    """Say so when a server ends; it is not started again, because a person or a test may have meant it."""
    told: set[int] = set()
    while True:
        time.sleep(1)
        platform.replace_where_asked()
        for server in list(platform.servers.values()):
            ended = server.process.poll()
            if ended is not None and server.process.pid not in told:
                told.add(server.process.pid)
                print(f"{server.name} ended with {ended}; its log is {server.log}", file=sys.stderr, flush=True)


def _show(platform: Platform) -> None:
    for name, outputs in platform.outputs.items():
        print(f"\n{name}: {platform.root / name / 'outputs.json'}")
        for node in outputs.nodes:
            fronts = "  ".join(f"{port} {address}" for port, address in sorted(node.fronts.items()))
            print(f"  {node.app:5} {node.name:10} {fronts}")
    print(flush=True)


def _up_in_background(arguments: argparse.Namespace) -> int:
    root: Path = arguments.root
    root.mkdir(parents=True, exist_ok=True)
    told = [argument for argument in sys.argv[1:] if argument != "--detach"]
    log = root / "platform.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local", *told],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    until = time.monotonic() + UP_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if _running(root) == (process.pid, "up"):
            break
        time.sleep(0.05)
    else:
        process.terminate()
        process.wait(DOWN_SECONDS)
        print(log.read_text(), end="", file=sys.stderr)
        return ERROR
    time.sleep(0.05)
    print(log.read_text(), end="")
    return DONE


def _down(arguments: argparse.Namespace) -> int:
    running = _running(arguments.root)
    if running is None:
        print(f"No platform is up under {arguments.root}.")
        return DONE
    os.kill(running[0], signal.SIGTERM)
    until = time.monotonic() + DOWN_SECONDS
    while time.monotonic() < until:
        if _running(arguments.root) is None:
            return DONE
        time.sleep(0.05)
    print(f"Process {running[0]} does not end; see {arguments.root / 'platform.log'}.", file=sys.stderr)
    return ERROR


def _status(arguments: argparse.Namespace) -> int:
    running = _running(arguments.root)
    print(f"No platform is up under {arguments.root}." if running is None else f"process {running[0]}: {running[1]}")
    return DONE


def _lock(root: Path) -> TextIO | None:
    """The lock of the platform under ``root``, with this process named in it; None if another one holds it."""
    lock = (root / "platform.lock").open("a+")
    until = time.monotonic() + 0.5  # somebody who only looks holds it for a moment
    while not _try(lock, fcntl.LOCK_EX):
        if time.monotonic() > until:
            lock.close()
            return None
        time.sleep(0.02)
    _tell(lock, "starting")
    return lock


def _tell(lock: TextIO, state: str) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()} {state}\n")
    lock.flush()


def _try(lock: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _running(root: Path) -> tuple[int, str] | None:
    """Process id and state of the platform under ``root``: believed only while somebody holds the lock."""
    try:
        lock = (root / "platform.lock").open()
    except FileNotFoundError:
        return None
    with lock:
        if _try(lock, fcntl.LOCK_SH):
            return None
        words = lock.read().split()
        return (int(words[0]), words[1]) if len(words) == 2 else None


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m infra.local", description="The platform on one machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    bring_up = commands.add_parser("up", help="start mongod, a git server and the nodes of the environments")
    bring_up.add_argument("--environments", type=Path, default=Path("environments"), help="folder of the environments")
    bring_up.add_argument("--apps", type=Path, default=Path("apps"), help="folder of the applications")
    bring_up.add_argument("--program", type=Path, default=Path("build/node.pyz"), help="the node program, packed")
    bring_up.add_argument("--only", action="append", metavar="ENVIRONMENT", help="this environment; may be repeated")
    bring_up.add_argument("--detach", action="store_true", help="leave the platform in the background")
    bring_up.set_defaults(act=_up)
    take_down = commands.add_parser("down", help="stop everything; what is kept stays in the root")
    take_down.set_defaults(act=_down)
    tell = commands.add_parser("status", help="whether a platform is up")
    tell.set_defaults(act=_status)
    for command in (bring_up, take_down, tell):
        command.add_argument("--root", type=Path, default=Path("build/local"), help="folder of the platform")
    return parser


if __name__ == "__main__":
    sys.exit(main())
