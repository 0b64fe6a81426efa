"""What was promoted against what each node runs: the digest, and whether its files are still as they were staged.

Pure. While a rollout is open its own nodes are between two releases, which is no drift; the controller's loop has them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from types import MappingProxyType

from controller.drift.finding import ABSENT, Difference, Finding, Kind, Remedy, Severity, State, counted, unseen
from controller.drift.resources import listed
from controller.rollout.standing import Standing
from infra.outputs import NodeOutput


@dataclass(frozen=True, slots=True)
class Running:
    """What a node says of the release it runs."""

    running: str | None
    good: str | None
    frozen: bool = False
    changed: tuple[str, ...] = ()
    """Files of it, or of its libraries, that are not as they were staged."""
    changed_in_all: int = 0
    staged: frozenset[str] = frozenset()
    generation: int = 0
    ended: frozenset[str] = frozenset()
    """Tokens under which nothing can be asked of it any more."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A node that could not be asked, and why."""

    why: str


Seen = Mapping[str, Running | Silent]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The nodes of an environment, and the words that start the node program there."""

    environment: str
    nodes: tuple[NodeOutput, ...]
    program: tuple[str, ...] = field(default=())

    def command(self, node: NodeOutput, *words: str) -> str:
        return shlex.join([*self.program, node.root, *words])


def findings(
    fleet: Fleet, standing: Standing, seen: Seen, elsewhere: Mapping[str, Standing] = MappingProxyType({})
) -> Iterator[Finding]:
    """``elsewhere`` are the other environments: what is promoted there is shown beside what runs here."""
    open = standing.open_rollout
    rolling = {lane.app for lane in open.lanes} if open else set()
    for node in fleet.nodes:
        said = seen.get(node.name)
        if said is None or isinstance(said, Silent):
            why = said.why if said else "it was not asked."
            yield node_unseen(fleet, node, why)
            continue
        promoted = standing.promoted.get(node.app)
        if node.app not in rolling and promoted is not None and said.running != promoted.digest:
            found = stranger(fleet, node, said, promoted.digest, promoted.commit)
            yield replace(found, values={**promoted_in(elsewhere, node.app), **found.values})
        if said.changed_in_all:
            yield patched(fleet, node, said)


def promoted_in(elsewhere: Mapping[str, Standing], app: str) -> dict[str, str]:
    return {name: short(one.promoted[app].digest) for name, one in elsewhere.items() if app in one.promoted}


def node_unseen(fleet: Fleet, node: NodeOutput, why: str) -> Finding:
    finding = unseen(Kind.RELEASE, (fleet.environment,), why, f"turnabout doctor  # then look at {node.name}")
    return Finding(
        **{name: getattr(finding, name) for name in ("kind", "odd", "severity", "state", "why", "remedies")},
        about=f"{fleet.environment} {node.name} not looked at",
        what=f"{node.name} did not answer",
    )


def stranger(fleet: Fleet, node: NodeOutput, said: Running, promoted: str, commit: str) -> Finding:
    runs = short(said.running)
    what = f"{node.name} runs nothing" if said.running is None else f"{node.name} runs a release nobody promoted"
    back = ("return", "--from", str(said.running), "--to", promoted, "--token", once(said), "--generation")
    remedies = [Remedy("say what it should run again", f"turnabout status {fleet.environment}")]
    if said.running is not None and promoted in said.staged:
        does = fleet.command(node, *back, str(said.generation))
        remedies = [Remedy("back to the promoted release", does)]
    return Finding(
        kind=Kind.RELEASE,
        about=f"{fleet.environment} {node.name} {node.app} digest",
        what=what,
        odd=(fleet.environment,),
        severity=Severity.HIGH,
        state=State.UNEXPLAINED,
        why=f"Promoted is {short(promoted)} ({commit[:7]}); {node.name} runs {runs} and would go back to "
        f"{short(said.good)}{', and is frozen' if said.frozen else ''}.",
        differences=(Difference(f"{node.name} {node.app}", {"promoted": short(promoted), node.name: runs}),),
        values={fleet.environment: f"{runs} on {node.name}"},
        remedies=tuple(remedies),
        removed=said.running is None,
    )


def once(said: Running) -> str:
    """A token for one return: a node obeys each once, and this one is another as soon as any has ended on it."""
    return f"drift-{blake2b(' '.join(sorted(said.ended)).encode(), digest_size=4).hexdigest()}"


def patched(fleet: Fleet, node: NodeOutput, said: Running) -> Finding:
    files = counted(said.changed_in_all, "file")
    return Finding(
        kind=Kind.RELEASE,
        about=f"{fleet.environment} {node.name} {node.app} files",
        what=f"{files} of {node.name}'s release {'is' if said.changed_in_all == 1 else 'are'} not as staged",
        odd=(fleet.environment,),
        severity=Severity.HIGH,
        state=State.UNEXPLAINED,
        why=f"Somebody changed {listed(said.changed)} on the node: what runs there is not what its digest says.",
        differences=tuple(Difference(f"{node.name} {name}", {node.name: "not as staged"}) for name in said.changed),
        values={fleet.environment: f"{files} on {node.name}"},
        remedies=(Remedy("put the files back; restart what read them", mending(fleet.environment, node.name)),),
    )


def mending(environment: str, node: str) -> str:
    """What lays a node's release down again, with its libraries."""
    return f"turnabout node mend {environment}/{node}"


def short(digest: str | None) -> str:
    return ABSENT if digest is None else digest.removeprefix("sha256:")[:12]
