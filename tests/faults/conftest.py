"""What the seeded runs of the edge application add up to: a table at the end, and with ``--long`` also
``build/faults-edge.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.bench.result import Line, Part, write


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [report for how in ("passed", "failed") for report in terminalreporter.getreports(how)]
    told = [dict(report.user_properties) for report in reports if report.when == "call"]
    runs = [each["edge run"] for each in told if "edge run" in each]
    if not runs:
        return
    part = summed(runs, [each["chain"] for each in told if "chain" in each])
    failed = sum("test_edge" in report.nodeid for report in terminalreporter.getreports("failed"))
    part.broken = f"{failed} tests failed; why stands above." if failed else None
    terminalreporter.write(f"\n{part.table()}")
    if config.getoption("--long"):
        write([part], Path("build", "faults-edge.json"), " ".join(["pytest", *sys.argv[1:]]))


def summed(runs: list[Mapping[str, int]], chains: list[Mapping[str, int]]) -> Part:
    total = {name: sum(run[name] for run in runs) for name in runs[0]}
    acknowledged = (("acknowledged", f"{total['acknowledged']:,}"),)
    part = Part("faults-edge", "one zone of two nodes, whatever dies in it")
    part.lines = [
        Line("runs", "seeded runs", len(runs), "", (("faults", f"{total['faults']}"),)),
        Line("lost", "acknowledged messages lost", total["lost"], "", acknowledged, at_most=0),
        Line("doubled", "messages twice in the far store", total["doubled"], "", at_most=0),
        Line("refused", "refused by the far store, and kept aside", total["refused"], ""),
    ]
    for chain in chains:
        beside = (("acknowledged", f"{chain['acknowledged']:,}"),)
        says = "lost by a broker with a subscriber that stores"
        part.lines.append(Line("chain_lost", says, chain["lost"], "", beside, at_least=1))
    return part
