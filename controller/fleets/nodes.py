"""A fleet of nodes that run the node program: commanded through a transport, observed by an authenticated pull."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from controller.errors import Refused, Unreachable
from controller.fleets import answers, pull
from controller.judge.samples import Telemetry
from controller.model import Action, Activate, Confirm, NodeView, Return, Revert, Stage, Traffic
from controller.ports import Clock, Transport
from infra.outputs import NodeOutput, Outputs

OBSERVE_SECONDS, COMMAND_SECONDS, STAGE_SECONDS, PROBE_SECONDS, INSPECT_SECONDS = 2.0, 5.0, 120.0, 8.0, 20.0
DONE, FAILED, BAD_USAGE, REFUSED, SILENT = 0, 1, 2, 3, 4
"""Exit codes of the node program."""


class Bundles(Protocol):
    """Where staged bits come from: a tar of the manifest and the named blobs."""

    def bundle(self, digest: str, blobs: tuple[str, ...]) -> bytes: ...


class NodeFleet:
    """The nodes that one outputs document names."""

    def __init__(self, outputs: Outputs, transport: Transport, bundles: Bundles, clock: Clock) -> None:
        self._nodes: Mapping[str, NodeOutput] = {node.name: node for node in outputs.nodes}
        self._program = outputs.program
        self._transport, self._bundles, self._clock = transport, bundles, clock

    def observe(self, node: str) -> Telemetry:
        place = self._nodes[node]
        body = pull.observe(node, place.observe_url, place.observe_token, OBSERVE_SECONDS)
        return answers.telemetry(answers.parsed(body, node), node, place.app, self._clock.now())

    def act(self, action: Action, generation: int) -> NodeView | None:
        if isinstance(action, Stage):
            self._stage(action.node, action.digest)
            return None
        return self._command(action.node, *ARGUMENTS[type(action)](action), "--generation", str(generation))

    def status(self, node: str) -> NodeView:
        """What ``node`` says of itself when it is commanded to: whether commands reach it. Raises Unreachable."""
        return self._command(node, "status")

    def probe(self, node: str, app: str) -> bool:
        answer = self._run(node, ("probe",), None, PROBE_SECONDS)
        with answers.reading("the probe", node):
            return bool(answer["probe"]["works"])

    def last_words(self, node: str, digest: str) -> tuple[str, ...]:
        answer = self._run(node, ("logs", "--lines", "50", "--of", digest), None, COMMAND_SECONDS)
        with answers.reading("the log", node):
            return tuple(str(line) for line in answer["lines"])

    def inspect(self, node: str) -> Mapping[str, Any]:
        """What the node stands on and what is on its disk. Raises Unreachable, Refused."""
        answer = self._run(node, ("inspect",), None, INSPECT_SECONDS)
        with answers.reading("the inspection", node):
            return dict(answer["inspected"])

    def mend(self, node: str, digest: str) -> tuple[str, ...]:
        """Have a release laid down again; which files lay otherwise. Raises Unreachable, Refused."""
        answer = self._stage(node, digest, "--anew")
        with answers.reading("what was mended", node):
            return tuple(str(name) for name in answer.get("mended", ()))

    def _stage(self, node: str, digest: str, *how: str) -> Mapping[str, Any]:
        """The manifest first; then only the blobs that the node lacks."""
        blobs: tuple[str, ...] = ()
        for _ in range(2):
            answer = self._run(node, ("stage", digest, *how), self._bundles.bundle(digest, blobs), STAGE_SECONDS)
            with answers.reading("what is staged", node):
                if answer["staged"]:
                    return answer
                blobs = tuple(str(blob) for blob in answer["missing"])
        raise Refused(f"staging on {node}", "it still misses blobs that it was given", "Look at its disk.")

    def _command(self, node: str, *argv: str) -> NodeView:
        answer = self._run(node, argv, None, COMMAND_SECONDS)
        with answers.reading("the status", node):
            return answers.view(answer["status"], node, self._clock.now())

    def _run(self, node: str, argv: tuple[str, ...], stdin: bytes | None, timeout: float) -> Mapping[str, Any]:
        place = self._nodes[node]
        ran = self._transport.run(node, (*self._program, place.root, *argv), stdin, timeout)
        answer = answers.parsed(ran.out, node)
        if ran.code == DONE:
            return answer
        with answers.reading("an error", node):
            said = str((answer.get("error") or {}).get("sentence") or f"exit code {ran.code}")
        kind = Refused if ran.code in (REFUSED, BAD_USAGE) else Unreachable
        raise kind(f"{argv[0]} on {node}", said, "")


def activate(a: Activate) -> tuple[str, ...]:
    return (
        "activate", a.digest, "--token", a.token, "--base", a.base or "none", "--boot", a.boot,
        "--until", f"{a.until:.3f}", "--expires", f"{a.expires:.3f}",
    )  # fmt: skip


def traffic(a: Traffic) -> tuple[str, ...]:
    weights = tuple(f"{server}={weight}" for server, weight in a.weights)
    return (
        "traffic", *weights, "--token", a.token, "--boot", a.boot,
        "--until", f"{a.until:.3f}", "--expires", f"{a.expires:.3f}",
    )  # fmt: skip


def confirm(a: Confirm) -> tuple[str, ...]:
    return "confirm", a.token


def revert(a: Revert) -> tuple[str, ...]:
    return "revert", a.token, "--reason", a.reason or "asked", *(("--harm",) if a.harm else ())


def return_(a: Return) -> tuple[str, ...]:
    return "return", "--from", a.from_digest, "--to", a.to_digest, "--token", a.token


ARGUMENTS: Mapping[type, Callable[[Any], tuple[str, ...]]] = {
    Activate: activate,
    Traffic: traffic,
    Confirm: confirm,
    Revert: revert,
    Return: return_,
}
