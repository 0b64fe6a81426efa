"""A drift report as JSON, documented key by key in ``docs/json.md``, and only ever added to."""

from __future__ import annotations

from typing import Any

from controller.drift.blocking import stopped
from controller.drift.finding import Difference, Finding, Report
from controller.drift.saying import sentence
from controller.faces.records import utc

DRIFT = "turnabout/drift/1"


def report_json(report: Report) -> dict[str, Any]:
    return {
        "schema": DRIFT,
        "at": utc(report.at),
        "took_s": round(report.took, 3),
        "environments": [*report.environments],
        "kinds": [*report.kinds],
        "sentence": sentence(report),
        "since": report.since or None,
        "open": len(report.open),
        "blocked": [
            {"source": one.source, "target": one.target, "findings": [each.id for each in one.by]}
            for one in stopped(report)
        ],
        "looked": [{"kind": kind, "environment": name} for kind, name in sorted(report.looked)],
        "coverage": {
            name: {"declared": one.declared, "live": one.live, "managed": one.managed, "calls": one.calls}
            for name, one in report.coverage.items()
        },
        "settings_tried": report.settings,
        "trend": [{"at": utc(one.at), "open": one.open, "high": one.high} for one in report.trend],
        "findings": [finding_json(one) for one in report.findings],
    }


def finding_json(one: Finding) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "kind": one.kind,
        "what": one.what,
        "severity": one.severity,
        "state": one.state,
        "open": one.open,
        "environments": [*one.odd],
        "values": dict(one.values),
        "why": one.why,
        "differences": [difference_json(each) for each in one.differences],
        "causes": [
            {"setting": cause.setting, "places": dict(cause.places), "values": dict(cause.values)}
            for cause in one.causes
        ],
        "remedies": [{"says": remedy.says, "does": remedy.does} for remedy in one.remedies],
        "removed": one.removed,
        "waiver": None
        if one.waiver is None
        else {
            "match": one.waiver.match, "reason": one.waiver.reason, "owner": one.waiver.owner,
            "expires": one.waiver.expires.isoformat(), "place": one.waiver.place,
        },
        "first_seen": utc(one.first_seen),
        "new": one.new,
    }  # fmt: skip


def difference_json(each: Difference) -> dict[str, Any]:
    return {"where": each.where, "values": dict(each.values), "place": each.place}
