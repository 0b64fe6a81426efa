"""What AWS says it has of one environment, by calls that only describe: counted, bounded, paged.

EC2 is asked kind by kind here, limited to the environment's network or tag; the other services are asked by
``aws_beside.py``. A call that the account may not make leaves its kinds blind; the others are still looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.drift.resources import flat
from controller.drift.same import Account, Live
from controller.errors import Refused
from controller.observers.aws_beside import SERVICES, Seen
from controller.observers.aws_calls import MOST_CALLS, Calls, Clients, Json, clients
from controller.observers.aws_network import KINDS, own_disks

__all__ = ["EVERY", "AwsAccount", "clients"]
PARAMETERS = "aws.ssm.Parameter"
EVERY = frozenset({kind.kind for kind in KINDS} | {PARAMETERS} | {kind for one in SERVICES for kind in one.kinds})
RIGHTS = "Give whoever looks the rights that docs/drift.md lists."


class AwsAccount:
    """One account in one region, asked about one environment at a time."""

    def __init__(self, clients: Clients, most_calls: int = MOST_CALLS) -> None:
        self._calls = Calls(clients, most_calls)
        self._answers: dict[tuple[str, str], list[Json] | str] = {}

    @property
    def calls(self) -> int:
        return self._calls.made

    def look(self, environment: str) -> Account:
        """Everything that AWS has of it. Raises Unreachable, Refused (no credentials, too many calls)."""
        networks = [net["VpcId"] for net in self._asked("describe_vpcs", "Vpcs", tag(environment))]
        found: list[Live] = []
        parts: set[str] = set()
        blind: dict[str, str] = {}
        for kind in KINDS:
            limit: list[Json] = tag(environment) if kind.by == "tag" else [{"Name": kind.by, "Values": networks}]
            if kind.by == "group-id":
                limit = [{"Name": "group-id", "Values": ids_of("aws.ec2.SecurityGroup", found)}]
            if not limit[0]["Values"]:
                continue
            try:
                answers = self._asked(kind.call, kind.many, limit)
            except Refused as no:
                blind[kind.kind] = no.said
                continue
            if kind.kind == "aws.ec2.Instance":
                parts = {id for each in answers for id in own_disks(each)}
            told = [Live(kind.kind, id, dict(flat(values))) for each in answers for id, values in kind.told(each)]
            found += [each for each in told if each.id.partition("|")[0] not in parts]
        account = str((self._calls.one("sts", "get_caller_identity") or {}).get("Account"))
        try:
            found += self._parameters(environment, account)
        except Refused as no:
            blind[PARAMETERS] = no.said
        seen = Seen(environment, account, frozenset(networks), frozenset(ids_of("aws.ec2.Instance", found)))
        for service in SERVICES:
            try:
                found += service.look(self._calls, seen)
            except Refused as no:
                blind |= dict.fromkeys(service.kinds, no.said)
        return Account(tuple(found), EVERY - blind.keys(), blind, self.calls)

    def _parameters(self, environment: str, account: str) -> list[Live]:
        under = [{"Key": "Path", "Option": "Recursive", "Values": [f"/turnabout/{environment}"]}]
        listed = self._calls.all("ssm", "describe_parameters", "Parameters", ParameterFilters=under)
        under_arn = f"arn:aws:ssm:{self._calls.region}:{account}:parameter"
        return [
            Live(PARAMETERS, one["Name"], {"name": one["Name"], "type": one["Type"]}, under_arn + one["Name"])
            for one in listed
        ]

    def _asked(self, call: str, many: str, limit: list[Json]) -> list[Json]:
        """One call's answers, asked once however many kinds need them. Raises what it raised, each time."""
        key = call, str(limit)
        if key not in self._answers:
            try:
                self._answers[key] = self._calls.all("ec2", call, many, Filters=limit)
            except Refused as no:
                self._answers[key] = no.said
        known = self._answers[key]
        if isinstance(known, str):
            raise Refused(f"asking AWS to {call}", known, RIGHTS)
        return known


def ids_of(kind: str, found: Iterable[Live]) -> list[str]:
    return [one.id for one in found if one.kind == kind]


def tag(environment: str) -> list[Json]:
    return [{"Name": "tag:turnabout:environment", "Values": [environment]}]
