"""``python -m infra.local.load run | verify``: traffic on the platform of one machine, and what it saw.

``run`` plays devices, readers and customers of any number of environments in one process, and writes into a folder:

- ``load.jsonl``: a line each second with totals since the start, by environment, application, server and release;
- ``acked.jsonl``: every message that was acknowledged, so that its fate can be asked for afterwards.

``verify`` asks the far store, and the nodes for what is not there yet, for every acknowledged message: how many are
lost. What one client does is in ``devices.py`` and ``customers.py``; how the fate is found out, in ``fate.py``.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TextIO

from infra.local.command import DONE, ERROR, NO, Parser
from infra.local.customers import Callers, boottime, pick
from infra.local.devices import Device
from infra.local.fate import FarStoreAway, fates
from infra.local.tally import Messages, Requests
from infra.outputs import BadOutputs, Outputs, from_json

SETTLE_SECONDS = 10.0
"""At the end, how long devices wait for what is not acknowledged yet."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Rates:
    """The traffic of one environment: devices, messages a second of each, and requests a second of all callers."""

    devices: int = 40
    messages: float = 0.5
    reads: float = 10.0
    customers: float = 10.0

    @classmethod
    def parse(cls, text: str) -> "Rates":
        devices, messages, reads, customers = text.split(":")
        return cls(int(devices), float(messages), float(reads), float(customers))


class Traffic:
    """Everybody who uses one environment."""

    def __init__(self, outputs: Outputs, rates: Rates, customers: Sequence[str], epoch: int, random: Random) -> None:
        self.environment = outputs.environment
        self.epoch = epoch
        self.messages = Messages()
        self.requests: dict[str, Requests] = {}
        self._random = random
        self.devices = self._make_devices(outputs, rates)
        pages = [path for customer in customers for path in (f"/v1/customers/{customer}", f"/customers/{customer}")]
        region = [address for addresses in _fronts(outputs, "c360", "http").values() for address in addresses]
        self.callers = [
            self._callers("mqtt", self._a_reading(_fronts(outputs, "mqtt", "http")), rates.reads),
            self._callers("c360", partial(pick, random, region, pages), rates.customers),
        ]

    def _make_devices(self, outputs: Outputs, rates: Rates) -> list[Device]:
        zones = sorted(_fronts(outputs, "mqtt", "mqtt").items())
        if not zones or not rates.messages:
            return []
        return [
            Device(
                name=f"{outputs.environment}-{zone.lower()}-{number:04d}",
                zone=zone,
                epoch=self.epoch,
                fronts=addresses,
                period=1 / rates.messages,
                tally=self.messages,
                random=self._random,
            )
            for number in range(rates.devices)
            for zone, addresses in [zones[number % len(zones)]]
        ]

    def _callers(self, app: str, ask: Callable[[], tuple[Address, str] | None], rate: float) -> Callers:
        self.requests[app] = Requests()
        return Callers(ask, rate, self.requests[app], self._random)

    def _a_reading(self, fronts: dict[str, list[Address]]) -> Callable[[], tuple[Address, str] | None]:
        """The newest reading of a device that has sent one, asked of its own zone."""

        def ask() -> tuple[Address, str] | None:
            if not self.devices:
                return None
            device = self._random.choice(self.devices)
            if not device.has_published:
                return None
            return self._random.choice(fronts[device.zone]), f"/v1/devices/{device.name}/latest"

        return ask

    def start(self) -> None:
        for device in self.devices:
            device.start()
        for callers in self.callers:
            callers.start()

    def as_json(self) -> dict[str, Any]:
        apps: dict[str, dict[str, Any]] = {app: requests.as_json() for app, requests in self.requests.items()}
        apps["mqtt"]["messages"] = self.messages.as_json()
        return apps


def _fronts(outputs: Outputs, app: str, port: str) -> dict[str, list[Address]]:
    """Zone to the fronts of its nodes, where clients reach them: by the carrier's address of those that have one."""
    found: dict[str, list[Address]] = {}
    for node in outputs.nodes:
        if node.app == app and port in node.fronts:
            host, _, number = node.fronts[port].rpartition(":")
            found.setdefault(node.zone, []).append((node.carrier or host, int(number)))
    return found


async def _run(everyone: list[Traffic], folder: Path, seconds: float | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    began = loop.time()
    with (folder / "load.jsonl").open("a") as load, (folder / "acked.jsonl").open("a") as acked:
        for traffic in everyone:
            traffic.start()
        while not stopped.is_set() and (seconds is None or loop.time() - began < seconds):
            try:
                async with asyncio.timeout(1.0):
                    await stopped.wait()
            except TimeoutError:
                _write(everyone, load, acked, loop.time() - began, False)
        await _settle(everyone)
        _write(everyone, load, acked, loop.time() - began, True)


async def _settle(everyone: list[Traffic]) -> None:
    """No new traffic; what is under way comes to its end, within bounds."""
    for traffic in everyone:
        for callers in traffic.callers:
            callers.stop()
        for device in traffic.devices:
            device.stop_publishing()
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLE_SECONDS
    while loop.time() < until and any(device.unacked for traffic in everyone for device in traffic.devices):
        await asyncio.sleep(0.05)
    for traffic in everyone:
        for device in traffic.devices:
            device.stop()
    await asyncio.sleep(0.1)


def _write(everyone: list[Traffic], load: TextIO, acked: TextIO, seconds: float, last: bool) -> None:
    line = {
        "at": round(time.time(), 3),
        "boottime": round(boottime(), 3),
        "seconds": round(seconds, 1),
        "last": last,
        "cpu_seconds": round(time.process_time(), 3),
        "environments": {traffic.environment: traffic.as_json() for traffic in everyone},
    }
    for traffic in everyone:
        for zone, devices in traffic.messages.take_acked().items():
            row = {"environment": traffic.environment, "zone": zone, "epoch": traffic.epoch, "acked": devices}
            acked.write(json.dumps(row, separators=(",", ":")) + "\n")
    acked.flush()
    load.write(json.dumps(line, separators=(",", ":")) + "\n")
    load.flush()


def _customers(told: str) -> list[str]:
    """``c-7-{:05}:200`` names 200 customers, from 1 on: those that the seed of Customer 360 makes."""
    pattern, _, count = told.rpartition(":")
    try:
        return [pattern.format(number) for number in range(1, int(count) + 1)]
    except (ValueError, IndexError, KeyError):
        raise argparse.ArgumentTypeError(f"{told!r} is not a pattern and a count, such as c-7-{{:05}}:200") from None


async def _prepare_and_run(arguments: argparse.Namespace, platforms: Sequence[Outputs]) -> None:
    epoch = int(time.time())
    random = Random(arguments.seed)
    rates: dict[str, Rates] = dict(arguments.traffic)
    everyone = [
        Traffic(outputs, rates.get(outputs.environment, Rates()), arguments.customers, epoch, random)
        for outputs in platforms
    ]
    await _run(everyone, arguments.out, arguments.seconds)


def _verify(arguments: argparse.Namespace, platforms: Sequence[Outputs]) -> int:
    try:
        found = fates(arguments.out / "acked.jsonl", platforms, arguments.patience)
    except FarStoreAway as error:
        print(error, file=sys.stderr)
        return ERROR
    except FileNotFoundError:
        print(f"{arguments.out} holds no acked.jsonl; `run` writes it.", file=sys.stderr)
        return ERROR
    print(json.dumps(found, indent=2, sort_keys=True))
    return NO if any(fate["acked_lost"] for fate in found.values()) else DONE


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        platforms = [from_json(path.read_bytes(), str(path)) for path in arguments.outputs]
    except (BadOutputs, OSError) as error:
        print(error, file=sys.stderr)
        return ERROR
    unknown = {name for name, _ in getattr(arguments, "traffic", ())} - {one.environment for one in platforms}
    if unknown:
        print(f"--traffic names {', '.join(sorted(unknown))}, of which no outputs are given.", file=sys.stderr)
        return ERROR
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.command == "run":
        _event_loop().run(_prepare_and_run(arguments, platforms))
        return _verify(arguments, platforms) if arguments.verify else DONE
    return _verify(arguments, platforms)


def _event_loop() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:  # not on every system; the same traffic then costs more
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _environment_rates(text: str) -> tuple[str, Rates]:
    environment, _, rates = text.partition("=")
    try:
        return environment, Rates.parse(rates)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an environment and four numbers: prod=240:0.5:50:50"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m infra.local.load", description="Traffic, and what it saw.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="send traffic until stopped")
    run.add_argument("--seconds", type=float, help="stop by itself after this long")
    run.add_argument("--verify", action="store_true", help="at the end, verify as well")
    run.add_argument("--seed", type=int, default=7)
    run.add_argument(
        "--customers",
        default="c-7-{:05}:200",
        type=_customers,
        metavar="PATTERN:COUNT",
        help="whom c360 is asked about (default: whom its seed makes)",
    )
    run.add_argument(
        "--traffic",
        action="append",
        default=[],
        type=_environment_rates,
        metavar="ENVIRONMENT=DEVICES:MESSAGES:READS:CUSTOMERS",
        help="devices, messages a second of each, requests a second (default 40:0.5:10:10)",
    )
    verify = commands.add_parser("verify", help="what became of every acknowledged message; 2 if one is lost")
    for command in (run, verify):
        command.add_argument("outputs", type=Path, nargs="+", help="outputs.json of each environment")
        command.add_argument("--out", type=Path, default=Path("build/load"), help="folder for what was seen")
        command.add_argument("--patience", type=float, default=30.0, help="seconds until the far store must have all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
