"""What is heard of nodes, and what of it counts at the next look."""

from __future__ import annotations

from controller.judge.samples import Telemetry
from controller.loop.looking import Looking
from controller.model import NodeView, Phase
from tests.unit.scene import NOW, on_base, on_candidate, rollout


def answered(node: str, at: float) -> Telemetry:
    view = NodeView(node, at, "boot", at, {"mqtt": on_base() if node == "bos-b" else on_candidate()})
    return Telemetry(view, 0.0, (1.0,), {})


def test_a_probe_that_failed_on_a_node_that_is_gone_is_no_failed_probe() -> None:
    looking, watching = Looking(), rollout(Phase.WATCHING)
    looking.observed(answered("bos-a", NOW))
    looking.observed(answered("bos-b", NOW))
    looking.begin(watching)

    looking.probed("bos-a", False, NOW + 1)
    assert looking.look(watching, NOW + 2)[0].probes == {}
    assert looking.probe_rank("bos-a", 0.0) < looking.probe_rank("bos-b", 0.0), "to be sure of it"

    looking.observed(answered("bos-a", NOW + 3))
    assert looking.look(watching, NOW + 3)[0].probes == {"bos-a": False}, "it was there, and its round trip fails"
    assert looking.look(watching, NOW + 4)[0].probes == {}, "once"


def test_a_probe_that_works_counts_at_once() -> None:
    looking, watching = Looking(), rollout(Phase.WATCHING)
    looking.begin(watching)
    looking.probed("bos-a", False, NOW)
    looking.probed("bos-a", True, NOW + 2)

    assert looking.look(watching, NOW + 2)[0].probes == {"bos-a": True}
