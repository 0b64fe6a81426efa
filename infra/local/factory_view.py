"""How a running factory is shown: live on a terminal, a line each second elsewhere, and a summary. Counts nothing."""

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from infra.local.behaviour import FAULTS

Show = Callable[["Look"], None]
LINE_SECONDS = 1.0
BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 40


@dataclass(frozen=True, slots=True)
class Look:
    """A factory at one moment; ``published = acked + waiting + forgotten``."""

    doing: str
    seconds: float
    devices: int
    connected: int
    published: int
    acked: int
    waiting: int
    forgotten: int
    refused: int
    closed: int
    resent: int
    lost_sessions: int
    p50_ms: float | None
    p99_ms: float | None
    faults: dict[str, int]


def shown(look: Look) -> dict[str, Any]:
    """The summary as JSON."""
    return asdict(look) | {"seconds": round(look.seconds, 2)}


def summary(look: Look) -> str:
    lines = [
        f"{look.devices} devices, {look.seconds:.1f} s",
        f"  published     {look.published:>9,}   readings and bad payloads that want an acknowledgement",
        f"  acknowledged  {look.acked:>9,}   {_waited(look)}",
        f"  waiting       {look.waiting:>9,}   never acknowledged",
        f"  forgotten     {look.forgotten:>9,}   lost with a device's memory before they were acknowledged",
        f"  refused       {look.refused:>9,}   attempts to connect that gave no session",
        f"  closed        {look.closed:>9,}   connections ended on what nobody takes",
        f"  sent again    {look.resent:>9,}   after {look.lost_sessions:,} lost sessions",
    ]
    lines += [f"  fault {name:<12} {count:>5,}   {FAULTS[name]}" for name, count in _sorted(look)]
    return "\n".join(lines)


def line(look: Look, published: float, acked: float) -> str:
    faults = sum(look.faults.values())
    return (
        f"{look.seconds:6.1f} s  {look.connected:,}/{look.devices:,} connected  {published:,.0f}/s published  "
        f"{acked:,.0f}/s acknowledged  {look.waiting:,} waiting  {_waited(look)}  {faults:,} faults"
    )


@contextlib.contextmanager
def view(plain: bool, title: str) -> Iterator[Show]:
    """Call what it gives as often as you like."""
    pace = _Pace()
    if not plain and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            from rich.console import Console
            from rich.live import Live

            with Live(console=Console(stderr=True), refresh_per_second=4) as live:
                yield lambda look: live.update(_panel(title, look, pace))
            return
    yield lambda look: _say(look, pace)


class _Pace:
    """Rates of the last seconds, from totals."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, int, int]] = deque(maxlen=WIDTH + 1)

    def take(self, look: Look) -> bool:
        """Whether a second has gone by."""
        if self._past and look.seconds - self._past[-1][0] < LINE_SECONDS:
            return False
        self._past.append((look.seconds, look.published, look.acked))
        return True

    def rates(self) -> list[tuple[float, float]]:
        return [((p2 - p1) / (t2 - t1), (a2 - a1) / (t2 - t1)) for (t1, p1, a1), (t2, p2, a2) in pairwise(self._past)]


def _say(look: Look, pace: _Pace) -> None:
    if pace.take(look):
        rates = pace.rates()
        print(line(look, *(rates[-1] if rates else (0, 0))), file=sys.stderr, flush=True)


def _panel(title: str, look: Look, pace: _Pace) -> Any:
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    pace.take(look)
    rates = pace.rates() or [(0.0, 0.0)]
    table = Table.grid(padding=(0, 2))
    for style in ("dim", "bold", "cyan"):
        table.add_column(style=style, justify="right" if style == "bold" else "left")
    table.add_row("connected", f"{look.connected:,}", f"of {look.devices:,}")
    table.add_row("published", f"{look.published:,}", f"{spark([rate for rate, _ in rates])} {rates[-1][0]:,.0f}/s")
    table.add_row("acknowledged", f"{look.acked:,}", f"{spark([rate for _, rate in rates])} {rates[-1][1]:,.0f}/s")
    table.add_row("waiting", f"{look.waiting:,}", _waited(look))
    table.add_row("refused", f"{look.refused:,}", f"{look.lost_sessions:,} lost sessions, {look.resent:,} sent again")
    table.add_row("closed", f"{look.closed:,}", "on what nobody takes")
    faults = Table.grid(padding=(0, 2))
    for name, count in _sorted(look):
        faults.add_row(Text(name, "yellow"), Text(f"{count:,}", "bold"), Text(FAULTS[name], "dim"))
    body = Group(table, Text(), faults) if look.faults else table
    return Panel(body, title=f"{title} · {time.strftime('%H:%M:%S')}", subtitle=f"{look.doing} · {look.seconds:.0f} s")


def spark(values: list[float]) -> str:
    most = max(values, default=0) or 1
    return "".join(BARS[round(value / most * (len(BARS) - 1))] for value in values[-WIDTH:])


def _waited(look: Look) -> str:
    return "" if look.p50_ms is None else f"p50 {look.p50_ms:.1f} ms, p99 {look.p99_ms:.1f} ms"


def _sorted(look: Look) -> list[tuple[str, int]]:
    return sorted(look.faults.items(), key=lambda item: list(FAULTS).index(item[0]))
