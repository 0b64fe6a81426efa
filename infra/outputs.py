"""The one contract between the platform, which produces it, and the controller, which reads it.

An ``Outputs`` value names every node of one environment: where its state is, by which transport it is reached,
where it is observed and where clients reach it. The Pulumi program and the platform on one machine write the same
JSON, so that the controller never knows which of the two is underneath.

What an environment is *meant* to be is in ``environments``; what a node is doing now is asked of the node.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SCHEMA = "turnabout/outputs/3"
REPLACE = "replace"
"""A file of this name in a ``local`` node's root asks the platform for another machine; it goes when it has one."""
TRANSPORTS = ("local", "ssh", "ssm")


@dataclass(frozen=True, slots=True)
class NodeOutput:
    """One node: what runs on it, how commands reach it, and where it is observed and served."""

    name: str
    zone: str
    app: str
    root: str
    """Directory on the node that holds the state of the node program."""
    transport: str
    """``local``, ``ssh`` or ``ssm``."""
    address: str
    """Host (or ``host:port``) for ``ssh``, instance id for ``ssm``, empty for ``local``."""
    observe_url: str
    observe_token: str
    fronts: Mapping[str, str]
    """Port name to ``host:port`` where clients reach this node's balancer."""
    listens: Mapping[str, str]
    """Port name to ``host:port`` where the application itself listens, for probes of this node alone."""
    backends: tuple[str, ...]
    """Names of the balancer's backends whose weights may be set."""
    carrier: str = ""
    """Address of this node in the carrier's network, where devices reach its fronts; empty where there is none."""
    host_key: str = ""
    """The public key by which ``ssh`` knows this node, as ``ssh-ed25519 AAAA…``."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Everything the controller must know about the platform of one environment."""

    environment: str
    nodes: tuple[NodeOutput, ...]
    program: tuple[str, ...]
    """Arguments that start the node program on a node; its root and a verb follow."""
    mongo_uri: str
    repository: str
    """Where the environment branches are fetched from and revert commits are pushed to."""
    trusted: tuple[str, ...]
    """Ed25519 public keys, 64 hex digits each, whose signature on a manifest the nodes accept."""
    bastion: str
    """Host that ``ssh`` passes through; empty when nodes are reached directly."""
    bastion_host_key: str = ""
    """The public key by which ``ssh`` knows the bastion."""
    ssh_user: str = ""
    """Who logs in, on the bastion and on nodes."""
    region: str = ""
    """Region that ``ssm`` and the bucket are asked in; empty on one machine."""
    artifacts: str = ""
    """Bucket that built releases are kept in; empty: the controller's own folder."""
    releases: Mapping[str, str] = field(default_factory=dict)
    """Application to the parameter that names its promoted release; the controller writes it, new nodes read it."""
    schema: str = SCHEMA


class BadOutputs(Exception):
    """An outputs document that cannot be used; carries every problem, one sentence each."""

    def __init__(self, problems: tuple[str, ...], source: str) -> None:
        self.problems = problems
        self.source = source
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{source}: {count}", *(f"  - {problem}" for problem in problems)]))


def to_json(outputs: Outputs) -> str:
    """The document as it is stored and passed on: sorted, so that equal platforms give equal text."""
    return json.dumps(asdict(outputs), indent=2, sort_keys=True) + "\n"


def from_json(text: str | bytes, source: str = "outputs") -> Outputs:
    """Read ``to_json``'s document back; raises ``BadOutputs`` with every problem found.

    ``source`` is how messages call the document: a file's path, or a parameter's name.
    """
    document = _parse(text, source)
    found = document.get("schema")
    if found != SCHEMA:
        raise BadOutputs((_wrong_schema(found),), source)
    problems: list[str] = []
    nodes = document.get("nodes")
    values = _fields(Outputs, document, "", problems, skip=("nodes",))
    read: list[NodeOutput] = []
    if "nodes" not in document:
        problems.append("nodes: is missing; bring the platform up again to write it.")
    elif not isinstance(nodes, list) or not nodes:
        problems.append(f"nodes: must be a list of at least one node, found {_kind(nodes)}.")
    else:
        for index, node in enumerate(nodes):
            _read_node(node, f"nodes[{index}]", read, problems)
        problems.extend(_doubled(read))
    if problems:
        raise BadOutputs(tuple(problems), source)
    return Outputs(nodes=tuple(read), **values)


def _parse(text: str | bytes, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BadOutputs((f"is not JSON ({error}); bring the platform up again to write it.",), source) from None
    if not isinstance(document, dict):
        raise BadOutputs((f"must be a JSON object, found {_kind(document)}.",), source)
    return document


def _wrong_schema(found: object) -> str:
    if found is None:
        return f'schema: is missing; this version reads "{SCHEMA}".'
    return (
        f"schema: {json.dumps(found)} is not one this version reads (it reads "
        f'"{SCHEMA}"); use the controller that belongs to the platform, or bring the platform up with this one.'
    )


def _read_node(node: object, where: str, read: list[NodeOutput], problems: list[str]) -> None:
    if not isinstance(node, dict):
        problems.append(f"{where}: must be an object, found {_kind(node)}.")
        return
    before = len(problems)
    values = _fields(NodeOutput, node, f"{where}.", problems)
    transport = values.get("transport")
    if transport is not None and transport not in TRANSPORTS:
        problems.append(f"{where}.transport: {json.dumps(transport)} is none of {', '.join(TRANSPORTS)}.")
    elif transport in ("ssh", "ssm") and values.get("address") == "":
        problems.append(f"{where}.address: is empty, but {transport} needs one to reach the node.")
    if len(problems) == before:
        read.append(NodeOutput(**values))


def _doubled(nodes: list[NodeOutput]) -> list[str]:
    seen: set[str] = set()
    doubled: list[str] = []
    for node in nodes:
        if node.name in seen and node.name not in doubled:
            doubled.append(node.name)
        seen.add(node.name)
    return [f"nodes: the name {json.dumps(name)} is used twice; each node needs its own." for name in doubled]


def _fields(
    cls: type[Outputs] | type[NodeOutput],
    document: dict[str, Any],
    prefix: str,
    problems: list[str],
    skip: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The values of ``cls``'s own fields in ``document``; what is missing, unknown or of a wrong type is a problem."""
    known = {field.name: field.type for field in fields(cls)}
    for key in document:
        if key not in known:
            problems.append(f"{prefix}{key}: is not a key of {SCHEMA}; remove it.")
    values: dict[str, Any] = {}
    for name, kind in known.items():
        if name in skip:
            continue
        if name not in document:
            problems.append(f"{prefix}{name}: is missing; bring the platform up again to write it.")
            continue
        meant, reads = _READERS[kind]
        if not reads(document[name]):
            problems.append(f"{prefix}{name}: must be {meant}, found {_kind(document[name])}.")
            continue
        value = document[name]
        values[name] = tuple(value) if isinstance(value, list) else value
    return values


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_addresses(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


_READERS: Mapping[Any, tuple[str, Callable[[object], bool]]] = {
    str: ("text", _is_text),
    tuple[str, ...]: ("a list of texts only", _is_texts),
    Mapping[str, str]: ("an object whose values are texts only", _is_addresses),
}


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return json.dumps(value)
