"""``python -m infra.declared``: what the program declares for environments that it is given, one JSON line for each.

A question is a line ``{"name": …, "table": …}``: the environment's name and its settings, as TOML has them. The answer
is ``{"resources": […]}``, or ``{"error": …}`` when nothing can be declared from them. Nothing is asked of a cloud, and
what belongs to an account (its organisation, its secret, its node program) is the same made-up value for every
environment: it is compared elsewhere. Run as a process of its own, because Pulumi's SDK can hold one program only, and
so that a checkout's program is asked by that checkout's own code.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import pulumi

from environments import BadEnvironment, Environment
from environments.settings import imagined
from infra.application import App, BadApp, read_app
from infra.monitor import Made, Willing, run
from infra.program import Account, NotInCloud, Platform
from infra.slots import NoFront

HOUSE = Path(__file__).resolve().parents[1]
ACCOUNT = Account(
    organisation="000000000000000000000000",
    repository="https://git.example/platform.git",
    trusted=("00" * 32,),
    observe_key=pulumi.Output.from_input("a key that stands for the stack's own"),
    node_program=Path(__file__),
    ssh_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA",
)


SWEEP = 20
"""After so many runs what they left behind is cleared away, which takes as long as four of them."""


LIBRARIES = (
    *(f"pulumi_aws.{name}" for name in ("budgets", "cloudwatch", "ebs", "ec2", "iam", "lb", "s3", "ssm", "vpc")),
    "pulumi_mongodbatlas",
)
"""What nearly every program asks of its libraries, which else is loaded in the first run: before a twin is made."""


def main() -> None:
    """Answer on stdin and stdout; a socket that is given by number is answered by a twin, made when all is loaded."""
    gc.disable()  # looking for what a run leaves behind takes longer than the run
    for fd in map(int, sys.argv[1:]):
        for name in LIBRARIES:
            hasattr(import_module(name), "loaded")  # they are loaded when they are first asked something
        if os.fork() == 0:
            with socket.socket(fileno=fd) as mine, Path(os.devnull).open("r+b", buffering=0) as nowhere:
                for standard in (sys.stdin, sys.stdout):
                    os.dup2(nowhere.fileno(), standard.fileno())
                serve(mine.makefile("r"), mine.makefile("w"))
            os._exit(0)
        os.close(fd)
    serve(sys.stdin, sys.stdout)


def serve(asked: TextIO, said: TextIO) -> None:
    for number, line in enumerate(asked, 1):
        print(json.dumps(answer(json.loads(line)), separators=(",", ":")), file=said, flush=True)
        if number % SWEEP == 0:
            gc.collect()


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        environment = imagined(asked["name"], asked["table"])
        apps = {app: application(app) for app in environment.fleets}
        return {"resources": [*resources(environment, apps)]}
    except (BadApp, BadEnvironment, NoFront, NotInCloud) as error:
        return {"error": str(error)}
    except Exception as error:  # half of another environment can break the program anywhere
        return {"error": f"{type(error).__name__}: {error}"}


@cache
def application(name: str) -> App:
    return read_app(HOUSE / "apps", name)


def resources(environment: Environment, apps: Mapping[str, App]) -> Iterator[dict[str, Any]]:
    """What would be made in a cloud: each resource's kind, logical name, inputs, and the line that declares it."""
    machine = environment.infra.node_type if environment.infra else ""
    plan = run(lambda: export(environment, apps), environment.name, answers=Willing(machine))
    for one in plan.clouds():
        yield {
            "kind": one.kind,
            "name": one.name,
            "inputs": {key: plain(value) for key, value in one.inputs.items()},
            "options": options(one),
            "secret": sorted(one.secret),
            "place": one.place.removeprefix(f"file://{HOUSE}/"),
        }


def export(environment: Environment, apps: Mapping[str, App]) -> None:
    pulumi.export("outputs", Platform(environment, ACCOUNT, apps).document)


def options(one: Made) -> dict[str, Any]:
    return {"protect": one.protect, "ignoreChanges": list(one.ignores), "deleteBeforeReplace": one.deletes_first}


def plain(value: Any) -> Any:
    """A value as JSON has it. A file is named by its last part: whose checkout it lies in makes no difference."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, pulumi.Asset | pulumi.Archive):
        return f"the file {Path(str(getattr(value, 'path', 'given'))).name}"
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


if __name__ == "__main__":
    main()
