"""A node that answers nonsense did not answer: nothing of it gets further, and the sentence names the node."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controller.errors import Unreachable
from controller.fleets import answers
from controller.loop.looking import Looking

Json = dict[str, Any]
APP: Json = {
    "running": "sha256:a", "good": "sha256:a", "previous": None, "frozen": False, "ready": True, "ready_since": 5.0,
    "switching": False, "restarts": 0, "generation": 3, "ended": ["t1"], "harmful": [], "staged": ["sha256:a"],
    "went_back": None,
    "pending": {"token": "t2", "digest": "sha256:b", "base": "sha256:a", "until": 99.0, "generation": 3},
}  # fmt: skip
ROW: Json = {
    "backend": "toy", "server": "bos-a", "class": "other", "total": 3, "bad": 1, "clients": 2, "bad_clients": 1,
    "buckets": [1, 2, 0],
}  # fmt: skip
SANE: Json = {
    "node": "bos-a", "boot_id": "b", "boottime": 10.0, "since": 1.0, "apps": {"toy": APP},
    "balancer": {"up": True, "weights": {"toy": {"bos-a": 100}}},
    "events": {"edges_ms": [1, 5], "rows": [ROW]}, "samples": [{"server": "bos-a", "status": 500}],
}  # fmt: skip


def spoilt(path: tuple[str | int, ...], said: object) -> Json:
    """The sane answer with one word of it changed."""
    answer = copy.deepcopy(SANE)
    inner: Any = answer
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = said
    return answer


def test_a_sane_answer_is_read() -> None:
    seen = answers.telemetry(SANE, "bos-a", "toy", 100.0)
    assert seen.view.apps["toy"].running == "sha256:a"
    assert seen.events["bos-a", "other"].total == 3


def test_what_a_balancer_last_said_is_kept_with_its_age_while_the_balancer_is_silent() -> None:
    looking = Looking()
    looking.observed(answers.telemetry(SANE, "bos-a", "toy", 100.0))
    looking.observed(answers.telemetry(spoilt(("balancer", "up"), False), "bos-a", "toy", 104.0))
    view = looking.views["bos-a"]
    assert (view.received_at, view.weights, view.weights_at) == (104.0, {"toy/bos-a": 100}, 100.0)
    looking.observed(answers.telemetry(SANE, "bos-a", "toy", 105.0))
    assert looking.views["bos-a"].weights_at == 105.0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("node",), "bos-b"),
        (("boottime",), float("nan")),
        (("boottime",), float("inf")),
        (("apps",), "all well"),
        (("apps", "toy", "running"), ["sha256:a"]),
        (("apps", "toy", "ended"), "t1"),
        (("apps", "toy", "harmful"), [{"sha256:a": True}]),
        (("apps", "toy", "generation"), -1),
        (("apps", "toy", "generation"), 10**30),
        (("apps", "toy", "generation"), float("inf")),
        (("apps", "toy", "pending", "until"), float("nan")),
        (("apps", "toy", "pending"), []),
        (("balancer",), None),
        (("balancer", "weights"), {"toy": 100}),
        (("events", "rows"), "none"),
        (("events", "rows", 0, "total"), 10**400),
        (("events", "rows", 0, "bad"), -1),
        (("events", "rows", 0, "buckets"), [1]),
        (("events", "edges_ms"), [1, float("nan")]),
        (("samples",), ["it failed"]),
    ],
    ids=str,
)
def test_one_word_of_nonsense_makes_it_no_answer(path: tuple[str | int, ...], said: object) -> None:
    with pytest.raises(
        Unreachable, match=r"^reading the (status|counters) of bos-a: it makes no sense \(.+\)\. Look at"
    ):
        answers.telemetry(spoilt(path, said), "bos-a", "toy", 100.0)


@pytest.mark.parametrize("text", [b"", b"it works", b"\xff\xfe", b"[1]", b"[" * 100_000, b'{"node": "bos'])
def test_what_is_no_json_object_is_no_answer(text: bytes) -> None:
    with pytest.raises(Unreachable, match=r"^reading what bos-a answered: it is no JSON"):
        answers.parsed(text, "bos-a")
