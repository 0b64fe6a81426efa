"""A drift report with something of everything, made by the product's own code from values written down here.

What environments declare, what nodes answer and what was promoted are made up; what follows from it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from controller.drift import machines, roads, running, stores, traffic
from controller.drift.finding import (
    Cause,
    Coverage,
    Difference,
    Finding,
    Kind,
    Moment,
    Remedy,
    Report,
    Severity,
    State,
    Stop,
    Waiver,
    ordered,
    unseen,
)
from controller.drift.machines import Machine
from controller.drift.remembering import Known, Record, remember
from controller.drift.running import Fleet, Running
from controller.drift.stores import Collection, Database
from controller.drift.traffic import Load
from controller.drift.waiving import laid_on
from controller.rollout.standing import Standing
from infra.outputs import NodeOutput
from tests.tales import release

AT = 1795442534.0
"""2026-11-23 14:02:14 UTC."""
TODAY = date(2026, 11, 23)
NAMES = ("dev", "stage", "prod")
HOUR, DAY = 3600.0, 86400.0
PAIRS = (("dev", "stage"), ("stage", "prod"))
PROMOTED = {"dev": AT - HOUR, "stage": AT - HOUR, "prod": AT - 2 * DAY}
"""What stage's own program is known to do was not known yet when prod was promoted last."""
OPENED = (3, 3, 4, 4, 3, 3, 2, 2, 2, 3, 4, 5, 6)


def explained(setting: str, left: str, right: str, a: str, b: str, many: int, line: int) -> Finding:
    values = {left: a, right: b}
    places = {left: f"environments/{left}.toml:{line - 2}", right: f"environments/{right}.toml:{line}"}
    return Finding(
        Kind.ALIGNMENT, f"{left}:{right} {setting}", setting, (right,), Severity.LOW, State.EXPLAINED,
        f"{many} differences, and no more, when it is put into {left}.",
        tuple(Difference(f"aws.ec2.Subnet bos-{n} cidrBlock", values, "infra/edge.py:64") for n in range(many)),
        values, (Cause(setting, places, values),),
    )  # fmt: skip


def open_to_the_world() -> Finding:
    what = "aws.vpc.SecurityGroupIngressRule BOS-nodes-in-ssh"
    return Finding(
        Kind.LIVE, f"prod {what}", "SSH is open to the world", ("prod",), Severity.HIGH, State.UNEXPLAINED,
        "The cloud has a rule that no program declares: tcp 22 from 0.0.0.0/0.",
        (Difference(what, {"declared": "absent", "prod": "tcp 22 from 0.0.0.0/0"}),),
        {"dev": "closed", "stage": "closed", "prod": "tcp 22 from 0.0.0.0/0"}, (),
        (Remedy("make live follow code", "turnabout infra up prod"),
         Remedy("make code follow live", "infra/edge.py:52: add the opening")),
    )  # fmt: skip


def findings() -> Iterator[Finding]:
    yield open_to_the_world()
    by_name = open_to_the_world()
    yield replace(
        by_name, kind=Kind.ALIGNMENT, about="stage aws.ebs.Volume bos-a-data encrypted asks for the name",
        what="aws.ebs.Volume bos-a-data: encrypted is chosen by the environment's name", odd=("stage",),
        why="The program declares this for the name stage alone, and no setting says so.",
        values={"stage": "false"}, differences=(Difference("encrypted", {"stage": "false"}, "infra/slot.py:62"),),
        remedies=(Remedy("make it a named setting", "environments/base.toml: declare it, and read it"),),
    )  # fmt: skip
    node = NodeOutput("dfw-b", "DFW", "mqtt", "/srv/turnabout/dfw-b", "local", "", "", "", {}, {}, ())
    promoted, other = release("mqtt", "7c1e9f4"), release("mqtt", "41aa09c")
    fleet = Fleet("prod", (node,), ("python3", "node.pyz"))
    said = Running(other.digest, other.digest, staged=frozenset({promoted.digest}), generation=9)
    standing = Standing(promoted={"mqtt": promoted})
    yield from running.findings(fleet, standing, {"dfw-b": said}, dict.fromkeys(NAMES[:2], standing))
    alike = [
        Machine(f"bos-{n}", "mqtt", "3.11.9", "6.1.119", "x86_64", "Amazon Linux", "a" * 12, 0.0)
        for n in ("a", "b", "c")
    ]
    odd = [*alike[:2], replace(alike[2], kernel="6.1.115")]
    yield from machines.findings("prod", odd, dict.fromkeys(NAMES[:2], alike))
    orders = Collection({"_id_": "{}", "by_customer": '{"key":[["customer_id",1]]}'})
    stage = {"c360": Database("c360_stage", {"orders": orders})}
    prod = {"c360": Database("c360", {"orders": replace(orders, indexes={"_id_": "{}"})})}
    yield from stores.findings("stage", "prod", stage, prod, "mongodb://store.example/")
    cause = Cause("fleet.mqtt.synthetic_per_second", {"stage": "environments/stage.toml:10"}, {"stage": "20"})
    loads = Load(31, 60.0, {"GET /readings": 2460}), Load(42, 60.0, {"GET /readings": 115_800})
    yield from traffic.findings("stage", "prod", {"mqtt": loads[0]}, {"mqtt": loads[1]}, {"mqtt": cause})
    for left, right in (("dev", "stage"), ("stage", "prod")):
        ways = WAYS["mqtt"]
        yield from roads.findings(left, right, {"mqtt": ways[left]}, {"mqtt": ways[right]})
    yield unseen(
        Kind.DATA, ("dev",), "asking the far store at mongodb://dev.example/: it does not answer.", "turnabout doctor"
    )
    yield explained("infra.vpc", "dev", "stage", "10.20.0.0/16", "10.21.0.0/16", 7, 22)
    yield explained("infra.vpc", "stage", "prod", "10.21.0.0/16", "10.22.0.0/16", 7, 24)
    yield explained("infra.atlas.tier", "stage", "prod", "M10", "M30", 2, 36)
    yield explained("infra.protect", "stage", "prod", "false", "true", 17, 26)


def way(*stops: str) -> tuple[Stop, ...]:
    return tuple(
        Stop(name.rstrip("<"), f"{name.rstrip('<')}{'0' * 33}", "Read one sensor more", 30 + n, name.endswith("<"))
        for n, name in enumerate(stops)
    )


WAYS = {
    "mqtt": {
        "dev": way("8be1aaa", "77c0bbb", "a94dccc", "b02d5a1", "7c1e9f4"),
        "stage": way("8be1aaa", "77c0bbb", "b02d5a1", "7c1e9f4"),
        "prod": way("8be1aaa", "5d20c1e", "b02d5a1", "8be1aaa<", "7c1e9f4"),
    }
}
FILE = "environments/waivers.toml"
WAIVERS = (
    Waiver("runtime prod bos-c kernel", "replaced with the next image", "platform", date(2026, 11, 27), f"{FILE}:3"),
    Waiver("data stage:prod c360 orders *", "it will come back", "platform", date(2026, 12, 24), f"{FILE}:9"),
    Waiver("alignment stage aws.ebs.*", "until disks can be swapped", "platform", date(2026, 11, 21), f"{FILE}:15"),
)


def report() -> Report:
    """Remembered from earlier reports: all but one finding are older than this one."""
    found = ordered(laid_on(findings(), WAIVERS, TODAY))
    known = {one.name: Known(AT - n * 9 * HOUR, AT - HOUR, one.kind, one.odd) for n, one in enumerate(found) if n}
    trend = tuple(Moment(AT - (len(OPENED) - n) * DAY, open, 1) for n, open in enumerate(OPENED))
    looked = frozenset((kind, name) for kind in Kind for name in NAMES if (kind, name) != (Kind.DATA, "dev"))
    coverage = {
        "dev": Coverage(117, 117, 117, 61),
        "stage": Coverage(118, 118, 118, 62),
        "prod": Coverage(185, 186, 185, 90),
    }
    seen = Report(
        AT, 6.2, NAMES, tuple(Kind), found, looked, coverage, (), 29, WAYS, pairs=PAIRS, promoted=PROMOTED
    )  # fmt: skip
    return remember(Record(known, trend), seen)[1]


def nothing() -> Report:
    """Two environments of which every difference is set on purpose."""
    found = ordered([explained("infra.vpc", "stage", "prod", "10.21.0.0/16", "10.22.0.0/16", 7, 24)])
    looked = frozenset((kind, name) for kind in Kind for name in NAMES[1:])
    coverage = {"stage": Coverage(118), "prod": Coverage(185)}
    return Report(AT, 4.1, NAMES[1:], tuple(Kind), found, looked, coverage, pairs=PAIRS[1:])
