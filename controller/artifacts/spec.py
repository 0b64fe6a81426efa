"""``apps/<app>/release.toml``: what an application's developer says of it, parsed once, with every complaint.

The keys and their shapes are described here, and what keys mean together. What is made of them is the matter of
``manifest`` and of the judge.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from controller.errors import Refused
from controller.model import Check
from environments.problems import Problem, dotted, kind_of, nearest, no_toml, shown

PLACEHOLDERS = ("release", "data", "config", "bind", "python")
"""What the node fills in, besides ``{port.NAME}``."""
LAW = re.compile(r"\w+ *=( *\w+ *\+)* *\w+ *")
IN_QUERIES = ("environment", "app", "nodes")
"""What the controller fills in where a query says ``$environment``, ``$app`` or ``$nodes``."""
BELONGS = {
    "law": ("conservation",),
    "events": ("missing_events",),
    "per": ("missing_events",),
    "bad": ("share",),
    "once_per": ("share",),
    "paths": ("share", "slower_than_control_p95"),
    "limits": ("creep",),
    "within_seconds": ("creep",),
    "query": ("prometheus",),
    "query_bad": ("prometheus",),
    "query_total": ("prometheus",),
    "at_most": ("prometheus",),
    "at_least": ("prometheus",),
    "lasting_seconds": ("prometheus",),
    "node_label": ("prometheus",),
}
"""The keys that only some kinds of check have."""
NEEDED = {"conservation": ("law",), "missing_events": ("events", "per"), "share": ("bad",)}

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Text = Annotated[str, Field(min_length=1)]
Argv = Annotated[list[Text], Field(min_length=1)]


class BadSpec(Refused):
    """The application's developer must act. Carries every complaint, never only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("reading the application", "; ".join(map(str, self.problems)))

    def __str__(self) -> str:
        by_file: dict[str, list[Problem]] = {}
        for problem in self.problems:
            by_file.setdefault(problem.file, []).append(problem)
        lines = []
        for file, problems in by_file.items():
            lines.append(f"{file}: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
            lines += [f"  - {problem}" for problem in problems]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class AppSpec:
    """An application as its ``release.toml`` states it, whole and checked."""

    app: str
    start: tuple[str, ...]
    stop_seconds: float
    data: str
    ports: Mapping[str, str]
    """Name to ``tcp`` or ``http``."""
    ready: str
    probe: tuple[str, ...]
    on_deadline: str
    reads: tuple[int, ...]
    writes: int
    checks_as_written: tuple[Mapping[str, Any], ...]
    synthetic: tuple[str, ...] = ()
    """Paths that may be asked at any time and change nothing: what a fleet that too few use is judged by."""

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(check_of(written) for written in self.checks_as_written)


def check_of(written: Mapping[str, Any]) -> Check:
    """A check as the judge uses it; where it is counted and what counts as bad is the balancer's own rule."""
    known = {name: value for name, value in written.items() if name not in ("from", "bad", "paths")}
    return Check(**known, paths=tuple(written.get("paths", ())))


# ---- shapes -------------------------------------------------------------------------------------------------------


class Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=False)


class VersionsShape(Shape):
    """Versions of what the application keeps in its data directory."""

    reads: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    writes: int = Field(ge=0)


class BadShape(Shape):
    status: Literal["5xx"] | None = None
    or_: Literal["reset"] | None = Field(alias="or", default=None)


class LimitsShape(Shape):
    """What the processes of one node may hold."""

    memory_mb: float | None = Field(gt=0, default=None, allow_inf_nan=False)
    open_files: float | None = Field(gt=0, default=None, allow_inf_nan=False)
    threads: float | None = Field(gt=0, default=None, allow_inf_nan=False)
    connections: float | None = Field(gt=0, default=None, allow_inf_nan=False)


class CheckShape(Shape):
    """One question that is asked of every candidate."""

    name: Name
    kind: Literal["share", "slower_than_control_p95", "missing_events", "conservation", "creep", "prometheus"]
    from_: Literal["balancer"] = Field(alias="from", default="balancer")
    bad: BadShape | None = None
    paths: list[Annotated[str, Field(pattern=r"^/[^\s?#]*$")]] = []
    about: Literal["existing", "new"] = "existing"
    once_per: Literal["client"] | None = None
    smallest_harm: float = Field(gt=0, le=1, default=0.02)
    law: Text | None = None
    events: Text | None = None
    per: Text | None = None
    limits: LimitsShape | None = None
    within_seconds: float = Field(ge=60, le=7 * 86400, default=3600.0)
    query: Text | None = None
    query_bad: Text | None = None
    query_total: Text | None = None
    at_most: float | None = Field(allow_inf_nan=False, default=None)
    at_least: float | None = Field(allow_inf_nan=False, default=None)
    lasting_seconds: float = Field(ge=0, le=45, default=10.0)
    node_label: Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")] = "node"


class SpecShape(Shape):
    app: Name
    start: Argv
    stop_seconds: float = Field(gt=0, le=20)
    data: Name
    ports: dict[Name, Literal["tcp", "http"]] = Field(min_length=1)
    ready: Annotated[str, Field(pattern=r"^http://")]
    probe: Argv
    on_deadline: Literal["revert", "freeze"]
    data_versions: VersionsShape
    checks: list[CheckShape] = Field(min_length=1)
    synthetic: list[Annotated[str, Field(pattern=r"^/[^\s#]*$")]] = []


# ---- parsing ------------------------------------------------------------------------------------------------------


def parse(content: bytes | None, app: str) -> AppSpec:
    """The spec in ``apps/<app>/release.toml``, whose bytes these are; None where there is no such file."""
    file = f"apps/{app}/release.toml"
    if content is None:
        reason = f"there is no such file; write one that says how {app} starts and what proves it healthy"
        raise BadSpec([Problem(file, "", reason)])
    try:
        table = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSpec([Problem(file, *no_toml(content, error))]) from None
    try:
        shape = SpecShape.model_validate(table)
    except ValidationError as error:
        raise BadSpec(Problem(file, key, reason) for key, reason in _sentences(error, table)) from None
    wrong = [*_together(shape, app)]
    if wrong:
        raise BadSpec(Problem(file, key, reason) for key, reason in wrong)
    return AppSpec(
        shape.app, tuple(shape.start), shape.stop_seconds, shape.data, dict(shape.ports), shape.ready,
        tuple(shape.probe), shape.on_deadline, tuple(shape.data_versions.reads), shape.data_versions.writes,
        tuple(table["checks"]), tuple(shape.synthetic),
    )  # fmt: skip


def _together(spec: SpecShape, app: str) -> Iterator[tuple[str, str]]:
    """What the keys may not say together."""
    if spec.app != app:
        yield "app", f"{shown(spec.app)} is not the name of its folder; write {shown(app)}"
    if spec.data_versions.writes not in spec.data_versions.reads:
        yield "data_versions.reads", f"this release writes {spec.data_versions.writes}; it must read that too"
    known = [*PLACEHOLDERS, *(f"port.{port}" for port in spec.ports)]
    words = [(f"start[{i}]", word) for i, word in enumerate(spec.start)] + [("ready", spec.ready)]
    words += [(f"probe[{i}]", word) for i, word in enumerate(spec.probe)]
    for key, word in words:
        for name in re.findall(r"{([^{}]*)}", word):
            if name not in known:
                yield key, f"{{{name}}} is nothing that the node fills in {nearest(name, known)}"
    names: set[str] = set()
    for i, check in enumerate(spec.checks):
        if check.name in names:
            yield f"checks[{i}].name", f"{shown(check.name)} names an earlier check too; name each differently"
        names.add(check.name)
        given = check.model_fields_set
        for key, kinds in BELONGS.items():
            if key in given and check.kind not in kinds:
                yield f"checks[{i}].{key}", f"a check of kind {check.kind} has no {key}; remove it"
        for key in NEEDED.get(check.kind, ()):
            if key not in given:
                yield f"checks[{i}].{key}", f"a check of kind {check.kind} needs this key"
        if check.law is not None and not LAW.fullmatch(check.law):
            yield f"checks[{i}].law", f"{shown(check.law)} is no law; write it as a = b + c, in names of metrics"
        if check.kind == "prometheus":
            for key, reason in _queries(check):
                yield f"checks[{i}].{key}", reason


def _queries(check: CheckShape) -> Iterator[tuple[str, str]]:
    """A metrics server is asked for one value with a bound, or for two counters."""
    given = check.model_fields_set
    counters, bounds = given & {"query_bad", "query_total"}, sorted(given & {"at_most", "at_least"})
    if "query" in given and counters:
        yield "query", "a check asks for one value (query) or for two counters (query_bad, query_total); remove one"
    elif "query" in given and not bounds:
        yield "query", "nothing says which values are good; write at_most or at_least"
    elif "query" not in given and len(counters) < 2:
        yield "query", "a check of kind prometheus needs query with a bound, or query_bad and query_total"
    elif "query" not in given and bounds:
        yield bounds[0], "counters have no bound: both arms are compared; remove it"
    if check.at_most is not None and check.at_least is not None and check.at_least > check.at_most:
        yield "at_least", f"no value is at least {check.at_least:g} and at most {check.at_most:g}; turn them round"
    for key in ("query", "query_bad", "query_total"):
        for name in re.findall(r"\$(\w+)", getattr(check, key) or ""):
            if name not in IN_QUERIES:
                yield key, f"${name} is nothing that the controller fills in {nearest(name, IN_QUERIES)}"


_types = {
    "string_type": "text", "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "list_type": "an array", "dict_type": "a table", "model_type": "a table",
}  # fmt: skip
_bounds = {"greater_than": ("more than", "gt"), "greater_than_equal": ("at least", "ge"),
           "less_than_equal": ("at most", "le")}  # fmt: skip


def _sentences(error: ValidationError, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for detail in error.errors(include_url=False):
        key, kind, context = dotted(detail["loc"]), detail["type"], detail.get("ctx", {})
        value = detail["input"]
        if kind == "extra_forbidden":
            yield key, f"this is not a known key {nearest(str(detail['loc'][-1]), _keys(detail['loc']))}"
        elif kind == "missing":
            yield key, "this key is missing; the release.toml of apps/mqtt shows how to write it"
        elif kind in _types:
            yield key, f"{shown(value)} is {kind_of(value)}; write {_types[kind]}"
        elif kind in _bounds:
            words, bound = _bounds[kind]
            yield key, f"{shown(value)} is out of bounds; write {words} {context[bound]:g}"
        elif kind == "literal_error":
            yield key, f"{shown(value)} is not accepted here; write {context['expected']}"
        elif kind == "finite_number":
            yield key, f"{shown(value)} is not a finite number; write one"
        elif kind == "string_pattern_mismatch":
            yield key, f"{shown(value)} is not accepted here; it must match {context['pattern']}"
        elif kind in ("too_short", "string_too_short"):
            yield key, "this is empty; write at least one"
        else:
            yield key, f"{shown(value)} is not accepted here ({kind})"


def _keys(at: tuple[int | str, ...]) -> list[str]:
    """The keys that are known where ``at`` stands."""
    shapes: dict[str, type[Shape]] = {"checks": CheckShape, "data_versions": VersionsShape}
    inner: dict[str, type[Shape]] = {"bad": BadShape, "limits": LimitsShape}
    within = next((inner[str(name)] for name in at[:-1] if name in inner), None)
    shape = within if within is not None else shapes.get(str(at[0]), SpecShape) if len(at) > 1 else SpecShape
    return [field.alias or name for name, field in shape.model_fields.items()]
