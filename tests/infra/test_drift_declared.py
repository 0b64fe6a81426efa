"""The alignment of environments by the real program, each checkout's own, in processes of their own."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from controller.drift.finding import Finding, Kind, Report, State
from controller.glass.drifting import look
from controller.glass.siting import Wanted

pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
HOUSE = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of one's own, as far as the program reads it."""
    for folder in ("environments", "infra", "apps"):
        shutil.copytree(HOUSE / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def aligned(checkout: Path, *names: str) -> Report:
    pairs = tuple(pairwise(names))
    return look(Wanted(checkout, names, pairs, (Kind.ALIGNMENT, Kind.WAIVER), None))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, old
    path.write_text(text.replace(old, new))


def unexplained(report: Report) -> list[Finding]:
    return [*report.having(State.UNEXPLAINED)]


def test_every_difference_between_the_shipped_environments_is_set_on_purpose() -> None:
    report = aligned(HOUSE, "dev", "stage", "prod")
    assert [(one.what, one.why) for one in (*report.open, *report.unseen)] == []
    found = {(one.what, one.values.get("prod")) for one in report.having(State.EXPLAINED)}
    assert ("infra.protect", "true") in found
    assert "infra.zones.DFW with fleet.mqtt.zones with fleet.mqtt.nodes_per_zone" in {what for what, _ in found}
    assert {name: one.declared for name, one in report.coverage.items()} == {"dev": 117, "stage": 118, "prod": 185}


def test_a_program_that_asks_for_an_environments_name_is_found_with_the_line_that_does(checkout: Path) -> None:
    asks = 'encrypted=args.labels.environment != "stage"'
    edit(
        checkout / "infra" / "slot.py",
        "            encrypted=True,\n            tags",
        f"            {asks},\n            tags",
    )
    report = aligned(checkout, "stage", "prod")
    found = unexplained(report)
    assert {one.what for one in found if one.odd == ("stage",)} == {
        f"aws.ebs.Volume {node}-data: encrypted is chosen by the environment's name"
        for node in ("bos-a", "bos-b", "region-a", "region-b")
    }
    place = found[0].differences[0].place
    line = (checkout / "infra" / "slot.py").read_text().splitlines()[int(place.partition(":")[2]) - 1]
    assert place.startswith("infra/slot.py:") and "aws.ebs.Volume" in line


def test_a_waiver_lets_a_difference_be_for_a_while_and_an_unreadable_one_lets_nothing(checkout: Path) -> None:
    asks = '2 if self._args.labels.environment == "prod" else 1'
    edit(checkout / "infra" / "alarms.py", "threshold=1,", f"threshold={asks},")
    whole = aligned(checkout, "prod")
    assert {one.state for one in whole.findings} == {State.UNEXPLAINED}

    waiver = 'match = "alignment prod aws.cloudwatch.*"\nreason = "loud"\nowner = "ops"\nexpires = 2020-01-01\n'
    (checkout / "environments" / "waivers.toml").write_text(f"[[waiver]]\n{waiver}")
    assert {one.state for one in aligned(checkout, "prod").findings} == {State.EXPIRED}

    (checkout / "environments" / "waivers.toml").write_text("[[waiver]]\nmatch = 7\n")
    report = aligned(checkout, "prod")
    assert len(report.having(State.UNEXPLAINED)) == len(whole.findings)
    (unread,) = report.unseen
    assert "waiver[0].owner, line 1: this key is missing" in unread.why


def test_an_environment_whose_program_fails_is_not_looked_at_and_not_aligned(checkout: Path) -> None:
    edit(checkout / "infra" / "network.py", "enable_dns_support=True", "enable_dns_support=1 / 0")
    report = aligned(checkout, "stage", "prod")
    assert not report.open and not report.looked & {(Kind.ALIGNMENT, "stage"), (Kind.ALIGNMENT, "prod")}
    assert "what stage declares cannot be seen: ZeroDivisionError" in report.unseen[0].why
