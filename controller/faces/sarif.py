"""A drift report as SARIF 2.1.0, for whatever shows the results of analyses: a kind is a rule, a finding a result.

What is waived is a suppressed result with its justification; what could not be looked at is a notification, because
SARIF's results are what was found.
"""

from __future__ import annotations

import re
from typing import Any

from controller.drift.finding import SAYS, Finding, Kind, Report, Severity, State

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
PLACE = re.compile(r"^([\w./-]+\.\w+):(\d+)")
"""A file and its line, at the beginning of a place or a remedy."""


def sarif(report: Report, version: str) -> dict[str, Any]:
    rules = [
        {"id": k.value, "shortDescription": {"text": SAYS[k]}, "defaultConfiguration": {"level": "warning"}}
        for k in Kind
    ]
    results = [result(one) for one in report.findings if one.open or one.state is State.WAIVED]
    notes = [
        {"level": "warning", "message": {"text": f"{one.what}: {one.why}"}, "associatedRule": {"id": one.kind.value}}
        for one in report.unseen
    ]
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "turnabout drift", "semanticVersion": version, "rules": rules}},
        "invocations": [{"executionSuccessful": not notes, "toolExecutionNotifications": notes}],
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def result(one: Finding) -> dict[str, Any]:
    ends = "".join(f"\n{remedy.says}: {remedy.does}" for remedy in one.remedies)
    said: dict[str, Any] = {
        "ruleId": one.kind.value,
        "ruleIndex": list(Kind).index(one.kind),
        "level": LEVELS[one.severity],
        "message": {"text": f"{one.what}. {one.why}{ends}"},
        "partialFingerprints": {"turnaboutDrift/v1": one.id},
        "baselineState": "new" if one.new else "unchanged",
        "locations": [location(one)],
    }
    if one.waiver is not None and one.state is State.WAIVED:
        why = f"{one.waiver.reason} ({one.waiver.owner}, until {one.waiver.expires})"
        said["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return said


def location(one: Finding) -> dict[str, Any]:
    """The line that declares it or ends it, where there is one, and always what it is about."""
    places = [*(each.place for each in one.differences), *(remedy.does for remedy in one.remedies)]
    found = next((match for place in places if (match := PLACE.match(place))), None)
    where: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": one.name, "kind": "resource"}]}
    uri, line = (found[1], int(found[2])) if found else (f"environments/{(one.odd or ('base',))[0]}.toml", 1)
    where["physicalLocation"] = {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}
    return where
