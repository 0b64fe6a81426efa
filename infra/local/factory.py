"""``python -m infra.local.factory --at HOST:PORT``: the devices of a factory, against any MQTT server.

Thousands of them in one process, each with its own machine, schedule and mishaps, the same again for the same seed.
Shown live on a terminal, a line each second elsewhere, and a summary at the end: what was published, acknowledged and
refused, and how many of each fault were sent. What a device does is in ``behaviour.py`` and ``mishaps.py``, how it is
shown in ``factory_view.py``. It needs nothing but Python; with ``rich`` there is the live view.
"""

import argparse
import asyncio
import json
import resource
import signal
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from infra.local.behaviour import MIXED, SCHEDULES, BadFaults, Mishaps, machine, parse_faults, schedule
from infra.local.command import DONE, ERROR, NO, Parser
from infra.local.devices import Address
from infra.local.factory_view import Look, shown, summary, view
from infra.local.mishaps import FactoryDevice, FactoryTally

CONNECTS_A_SECOND = 1_000
SETTLE_SECONDS = 10.0
TICK_SECONDS = 0.25


class Factory:
    def __init__(self, asked: argparse.Namespace) -> None:
        self.tally = FactoryTally()
        self.began = time.monotonic()
        self._asked = asked
        epoch, mishaps = int(time.time() * 1000), Mishaps(asked.faults, asked.share)
        self.devices = [self._device(number, epoch, mishaps) for number in range(1, asked.devices + 1)]

    def _device(self, number: int, epoch: int, mishaps: Mishaps) -> FactoryDevice:
        asked, kind = self._asked, machine(number)
        name = f"{asked.prefix}{kind.name}-{number:04d}"
        return FactoryDevice(
            name, asked.zone, epoch, asked.at, 1 / asked.rate, self.tally, Random(f"{asked.seed}/{name}"),
            kind, schedule(asked.schedule, number), mishaps, _tls(asked.certificates, name),
        )  # fmt: skip

    async def run(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        for device in self.devices:
            device.start(max(0.5, len(self.devices) / CONNECTS_A_SECOND))
        with view(self._asked.plain, f"{len(self.devices)} devices, seed {self._asked.seed}") as show:
            while not stopped.is_set() and not self._is_over():
                await _wait(stopped)
                show(self.look("running"))
            for device in self.devices:
                device.stop_publishing()
            until = time.monotonic() + SETTLE_SECONDS
            while self.tally.waiting and self.tally.connected and time.monotonic() < until:
                await asyncio.sleep(0.05)
                show(self.look("waiting for the last acknowledgements"))
        for device in self.devices:
            device.stop()
        await asyncio.sleep(0.1)

    def _is_over(self) -> bool:
        seconds: float | None = self._asked.seconds
        return seconds is not None and time.monotonic() - self.began >= seconds

    def look(self, doing: str) -> Look:
        tally, waits = self.tally, sorted(self.tally.waits)
        return Look(
            doing, time.monotonic() - self.began, len(self.devices), tally.connected, tally.sent, tally.acked,
            tally.waiting, tally.forgotten, tally.refused, tally.closed, tally.resent, tally.lost_sessions,
            _at(waits, 0.5), _at(waits, 0.99), dict(tally.faults),
        )  # fmt: skip


async def _wait(stopped: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(TICK_SECONDS):
            await stopped.wait()
    except TimeoutError:
        pass


def _at(waits: Sequence[float], share: float) -> float | None:
    return round(waits[int(len(waits) * share)] * 1000, 2) if waits else None


def _tls(folder: Path | None, device: str) -> ssl.SSLContext | None:
    """Its own certificate, by an authority that it believes alone."""
    if folder is None:
        return None
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / f"{device}.crt", folder / f"{device}.key")
    return context


def main(argv: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(argv)
    _allow_connections(asked.devices)
    try:
        look = asyncio.run(_go(asked))
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        print(f"The certificates in {asked.certificates} cannot be used: {error.strerror}{named}.", file=sys.stderr)
        return ERROR
    print(json.dumps(shown(look)) if asked.json else summary(look))
    if not look.acked and look.published:
        where = ", ".join(f"{host}:{port}" for host, port in asked.at)
        print(f"Nothing was acknowledged by {where}; is an MQTT server there, and is the zone right?", file=sys.stderr)
        return ERROR
    return NO if look.waiting else DONE


async def _go(asked: argparse.Namespace) -> Look:
    factory = Factory(asked)
    await factory.run()
    return factory.look("done")


def _allow_connections(devices: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = devices + 64
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not (host and port.isdigit() and 0 < int(port) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _faults(text: str) -> tuple[str, ...]:
    try:
        return parse_faults(text)
    except BadFaults as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number(low: float, high: float, kind: type = float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not a number from {low:g} to {high:g}")
        return value

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m infra.local.factory", description="The devices of a factory, seeded, with mishaps.")
    add = parser.add_argument
    add("--at", type=_address, nargs="+", required=True, metavar="HOST:PORT", help="where MQTT is spoken")
    add("--zone", default="BOS", help="the zone in the topics f/ZONE/DEVICE/t (default BOS)")
    add("--devices", type=_number(1, 60_000, int), default=200, help="how many (default 200)")
    add("--rate", type=_number(0.001, 1_000), default=1.0, help="readings a second of each (default 1)")
    add("--schedule", choices=(*SCHEDULES, MIXED), default="steady", help="when they are made (default steady)")
    add("--faults", type=_faults, default=(), help="all, none, names, or all,-NAME (default none)")
    add("--share", type=_number(0, 1), default=0.01, help="of the readings that meet a fault (default 0.01)")
    add("--seed", type=int, default=7, help="the same seed does the same again (default 7)")
    add("--seconds", type=_number(0.1, 1e7), help="stop by itself after this long; otherwise Ctrl-C stops")
    add("--prefix", default="", help="before the devices' names, press-0001 and so on")
    add("--certificates", type=Path, metavar="FOLDER", help="TLS, with ca.pem, DEVICE.crt and DEVICE.key from here")
    add("--plain", action="store_true", help="a line each second, also on a terminal")
    add("--json", action="store_true", help="the summary as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
