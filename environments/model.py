"""The shape of an environment file: its keys, their types and bounds, checked strictly by pydantic.

Here every key is described once; sentences about wrong shapes, the schema for editors and the test of
``reference.toml`` all come from these descriptions. What keys mean together is in ``rules.py``, which file may hold
which key is in ``overlay.py``, and the values that the rest of the platform receives are in ``schema.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from environments.infra_shapes import InfraShape
from environments.problems import Complaint, KeyPath, kind_of, near, nearest, shown
from environments.shape import Shape, Text, Zone

ENVIRONMENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
APP_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
BRANCH_NAME = re.compile(r"(?!.*(?:\.\.|//|\.lock$|[/.]$))[A-Za-z0-9_][A-Za-z0-9._/-]*")

SERVER = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?")


def _branch(text: str) -> str:
    if not BRANCH_NAME.fullmatch(text):
        raise ValueError(f"{shown(text)} cannot name a branch; write a name that git accepts, such as prod")
    return text


def _server(text: str) -> str:
    if not SERVER.fullmatch(text):
        reason = "is not a server's address; write http:// or https://, a name, perhaps a port and a path, no password"
        raise ValueError(f"{shown(text)} {reason}")
    return text.rstrip("/")


Branch = Annotated[str, AfterValidator(_branch)]
Server = Annotated[str, AfterValidator(_server)]
Third = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class BudgetShape(Shape):
    """The 180 rule of this environment."""

    deploy_seconds: Third = Field(description="seconds from T0 in which all waves take the candidate")
    watch_seconds: Third = Field(description="seconds in which the candidate is judged beside the control nodes")
    revert_seconds: Third = Field(description="seconds in which a candidate that failed is gone from every node")
    margin_seconds: Third = Field(description="the part of revert_seconds that a node waits before it acts alone")
    wave_seconds: Seconds = Field(description="seconds that one wave needs on the slowest node", default=2.0)


class JudgeShape(Shape):
    """How sure the judge must be, and how long it may see nothing."""

    alpha: float = Field(
        gt=0, le=0.2, allow_inf_nan=False, description="the chance that a harmless release is reverted, at any look"
    )
    silence_seconds: Seconds = Field(description="seconds a node may be silent before the rollout is blind")
    smallest_harm: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="a PASS need not see a smaller rise than this here, whatever a check asks; 0: as each check says",
    )
    prometheus: Server | None = Field(
        default=None, description="the address of the metrics server that checks of kind prometheus ask"
    )


class FreezeShape(Shape):
    """A window in which nothing new goes forward."""

    name: Text = Field(description="what people call this window")
    cron: Text = Field(description="when it begins: minute, hour, day of month, month, day of week")
    hours: float = Field(gt=0, le=24 * 366, allow_inf_nan=False, description="hours that it lasts")
    timezone: Text = Field(description="the IANA time zone that cron is read in")


class FleetShape(Shape):
    """The nodes that run one application, and the order in which they take a candidate."""

    zones: list[Zone] = Field(min_length=1, description="the zones that this application runs in")
    nodes_per_zone: int = Field(ge=1, le=26, description="nodes in each zone, lettered a to z")
    waves: list[dict[str, Annotated[int, Field(ge=0)]]] = Field(
        min_length=1, description="nodes of each zone that have left last good, counted up wave by wave"
    )
    synthetic_per_second: float = Field(
        ge=0,
        le=1000,
        allow_inf_nan=False,
        default=0.0,
        description="requests a second that the controller makes itself, for a fleet that too few use",
    )
    synthetic_at_most_per_second: float = Field(
        ge=0,
        le=1000,
        allow_inf_nan=False,
        default=0.0,
        description="how far it raises them while a candidate is watched that too few use to judge it; 0: not at all",
    )


class HeadShape(Shape):
    """The keys that stand above every table."""

    branch: Branch = Field(description="the branch whose head this environment runs")
    promotes_from: Text | None = Field(default=None, description="the environment from which promotions come")
    signers: Text | None = Field(default=None, description="the file of keys that may sign a commit for this branch")
    poll_seconds: Seconds = Field(default=1.5, description="seconds between two readings of the branch's head")
    drift_every_seconds: float = Field(
        default=3600.0,
        ge=0,
        le=7 * 86400,
        allow_inf_nan=False,
        description="seconds between two looks at drift that the controller makes by itself; 0: none",
    )
    require_approval: bool = Field(default=False, description="whether a person must approve each rollout")


class FileShape(HeadShape):
    """A whole environment: what base.toml and an overlay say together."""

    budget: BudgetShape = Field(description="the 180 rule of this environment")
    judge: JudgeShape = Field(description="how sure the judge must be")
    freeze: list[FreezeShape] = Field(default=[], description="windows in which nothing new goes forward")
    fleet: dict[str, FleetShape] = Field(min_length=1, description="one table for each application that runs here")
    app: dict[str, dict[str, Any]] = Field(default={}, description="one table of settings for each application")
    infra: InfraShape | None = Field(default=None, description="what runs where in the cloud")


Part = TypeVar("Part", bound=Shape)


def parse(shape: type[Part], value: object, at: KeyPath, complaints: list[Complaint]) -> Part | None:
    """``value`` as a ``shape``, or None. Keys that are not known are complained of and then left out, so that the
    rules that follow still see the rest."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        complaints += _sentences(shape, error, at)
    if not isinstance(value, dict) or value.keys() <= shape.model_fields.keys():
        return None
    known = {key: item for key, item in value.items() if key in shape.model_fields}
    try:
        return shape.model_validate(known)
    except ValidationError:
        return None


def _sentences(shape: type[Shape], error: ValidationError, at: KeyPath) -> Iterator[Complaint]:
    details = error.errors(include_url=False)
    unknown = [str(detail["loc"][-1]) for detail in details if detail["type"] == "extra_forbidden"]
    misspelt = {near(key, shape.model_fields) for key in unknown}
    for detail in details:
        path, context = detail["loc"], detail.get("ctx", {})
        path = path[:-1] if path and path[-1] == "[key]" else path  # pydantic's word for a key that is itself wrong
        field = shape.model_fields.get(str(path[0])) if path else None
        meaning = f" ({field.description})" if field and len(path) == 1 else ""
        if detail["type"] == "extra_forbidden":
            reason = f"this is not a known key {nearest(str(path[-1]), shape.model_fields)}"
        elif detail["type"] == "missing":
            if path[0] in misspelt:
                continue  # one slip, one complaint
            reason = f"this key is missing{meaning}; environments/reference.toml shows how to write it"
        else:
            reason = _reason(detail["type"], detail["input"], context, meaning)
        yield Complaint((*at, *path), reason)


_wanted = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "an array",
    "model_type": "a table",
    "string_type": "text",
}

_bounds = {
    "greater_than": ("too small", "more than", "gt"),
    "greater_than_equal": ("too small", "at least", "ge"),
    "less_than_equal": ("too large", "at most", "le"),
}


def _reason(kind: str, value: object, context: Mapping[str, Any], meaning: str) -> str:
    if kind in _wanted:
        nested = isinstance(value, dict | list)
        what = f"this is {shown(value)}" if nested else f"{shown(value)} is {kind_of(value)}"
        return f"{what}; write {_wanted[kind]}{meaning}"
    if kind in _bounds:
        verdict, side, bound = _bounds[kind]
        return f"{shown(value)} is {verdict}; write {side} {context[bound]:g}{meaning}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "finite_number":
        return f"{shown(value)} is not a finite number; write one{meaning}"
    if kind in ("string_too_short", "too_short"):
        return f"this is empty; write at least one{meaning}"
    return f"{shown(value)} is not accepted here ({kind}); environments/reference.toml shows how to write it"
