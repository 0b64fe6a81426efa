"""What a developer writes in ``release.toml``, and every complaint about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.artifacts.spec import BadSpec, parse
from controller.model import Check

GOOD = """\
app = "mqtt"
start = ["python", "-m", "apps.mqtt", "--config", "{config}"]
stop_seconds = 5
data = "mqtt"
ports = { mqtt = "tcp", http = "http" }
ready = "http://127.0.0.1:{port.http}/ready"
probe = ["python", "-m", "apps.mqtt.probe", "--port", "{port.mqtt}"]
on_deadline = "revert"

[data_versions]
reads = [1, 2]
writes = 2

[[checks]]
name = "errors"
kind = "share"
from = "balancer"
bad = { status = "5xx", or = "reset" }
paths = ["/v1/devices/*/latest"]
about = "existing"
once_per = "client"
smallest_harm = 0.02

[[checks]]
name = "slow"
kind = "slower_than_control_p95"
smallest_harm = 0.10

[[checks]]
name = "stored"
kind = "conservation"
law = "received = committed + refused"

[[checks]]
name = "silence"
kind = "missing_events"
events = "committed"
per = "connected"
about = "new"

[[checks]]
name = "creep"
kind = "creep"
limits = { memory_mb = 512, open_files = 4096 }
within_seconds = 1800

[[checks]]
name = "lag"
kind = "prometheus"
query = 'max by (node) (lag_seconds{environment="$environment", node=~"$nodes"})'
at_most = 5

[[checks]]
name = "orders"
kind = "prometheus"
query_bad = "sum by (node) (orders_failed_total)"
query_total = "sum by (node) (orders_total)"
node_label = "instance"
"""


def complaints(text: str, app: str = "mqtt") -> list[str]:
    with pytest.raises(BadSpec) as caught:
        parse(text.encode(), app)
    assert {problem.file for problem in caught.value.problems} == {f"apps/{app}/release.toml"}
    return [str(problem) for problem in caught.value.problems]


def test_a_good_file_becomes_a_spec_and_its_checks() -> None:
    spec = parse(GOOD.encode(), "mqtt")
    assert spec.start == ("python", "-m", "apps.mqtt", "--config", "{config}")
    assert spec.ports == {"mqtt": "tcp", "http": "http"}
    assert (spec.reads, spec.writes, spec.on_deadline, spec.stop_seconds) == ((1, 2), 2, "revert", 5.0)
    assert spec.checks == (
        Check("errors", "share", "existing", ("/v1/devices/*/latest",), "client", 0.02),
        Check("slow", "slower_than_control_p95", smallest_harm=0.1),
        Check("stored", "conservation", law="received = committed + refused"),
        Check("silence", "missing_events", "new", events="committed", per="connected"),
        Check("creep", "creep", limits={"memory_mb": 512, "open_files": 4096}, within_seconds=1800.0),
        Check(
            "lag", "prometheus", query='max by (node) (lag_seconds{environment="$environment", node=~"$nodes"})',
            at_most=5.0,
        ),
        Check(
            "orders", "prometheus", query_bad="sum by (node) (orders_failed_total)",
            query_total="sum by (node) (orders_total)", node_label="instance",
        ),
    )  # fmt: skip


def test_checks_are_kept_as_they_were_written() -> None:
    written = parse(GOOD.encode(), "mqtt").checks_as_written
    assert written[0]["bad"] == {"status": "5xx", "or": "reset"}
    assert written[0]["from"] == "balancer"


def cases() -> Iterator[tuple[str, str, str]]:
    """The piece taken out, what is put in, and the complaint, of each case in ``bad_release_toml.txt``."""
    text = Path(__file__).with_name("bad_release_toml.txt").read_text()
    for case in text.split("\n\n")[1:]:
        marked = [(line[0], line[2:]) for line in case.splitlines()]
        old, new, complaint = ("\n".join(text for mark, text in marked if mark == wanted) for wanted in "-+!")
        yield old, new, complaint


@pytest.mark.parametrize(("old", "new", "complaint"), list(cases()))
def test_each_mistake_has_its_sentence(old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    found = complaints(GOOD.replace(old, new, 1))
    assert complaint in found
    assert all("this key is missing" in other for other in found if other != complaint)


def test_every_complaint_is_told_at_once() -> None:
    text = GOOD.replace("stop_seconds = 5", "stop_seconds = 0").replace('data = "mqtt"', "data = 3")
    assert complaints(text) == [
        "stop_seconds: 0 is out of bounds; write more than 0",
        "data: 3 is a whole number; write text",
    ]


def test_the_complaints_read_as_a_list_under_their_file() -> None:
    with pytest.raises(BadSpec) as caught:
        parse(GOOD.replace("stop_seconds = 5", "stop_seconds = 0").encode(), "mqtt")
    assert str(caught.value) == (
        "apps/mqtt/release.toml: 1 problem\n  - stop_seconds: 0 is out of bounds; write more than 0"
    )


def test_an_application_without_the_file_gets_one_sentence() -> None:
    with pytest.raises(BadSpec, match=r"there is no such file; write one that says how mqtt starts") as caught:
        parse(None, "mqtt")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'data = "x"\napp = \n', "line 2, column 7: this is not TOML: invalid value; the line is `app =`"),
        (b'app = """\n', 'line 1, column 10: this is not TOML: unterminated string; the line is `app = """`'),
        (b"a = 1\nb = \xff\xfe", "line 2: this is not UTF-8; save the file as UTF-8"),
    ],
)
def test_what_is_no_toml_is_told_by_its_line(content: bytes, said: str) -> None:
    with pytest.raises(BadSpec) as caught:
        parse(content, "mqtt")
    assert str(caught.value.problems[0]) == said
