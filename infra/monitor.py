"""A cloud that only answers: the SDK's own in-process monitor, which keeps what a program declared, and how.

It is no engine. It plans nothing, updates nothing and knows no state; it says what would be declared, resource by
resource, as Pulumi would hear it. What AWS is asked is answered as a cloud would that has everything that is asked for.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import pulumi
from pulumi.runtime import mocks, resource, rpc, settings, stack
from pulumi.runtime.proto import source_pb2
from pulumi.runtime.sync_await import _sync_await

from environments.infra_shapes import is_wavelength, region_of

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """One resource as the program declared it."""

    kind: str
    name: str
    inputs: Json
    id: str
    parents: tuple[str, ...]
    """The kinds of the components that it is in, outermost first."""
    custom: bool
    protect: bool
    ignores: tuple[str, ...]
    deletes_first: bool
    provider: str
    secret: frozenset[str]
    """The inputs that are secret."""
    place: str = ""
    """The line of the program that declares it, as a file and its number."""


@dataclass(slots=True)
class Plan:
    """Everything that one run of a program declared, and what it exported."""

    made: list[Made] = field(default_factory=list)
    exports: dict[str, Any] = field(default_factory=dict)
    secret_exports: set[str] = field(default_factory=set)

    def of(self, kind: str, name: str = "") -> list[Made]:
        """The resources of a kind such as ``ec2/instance:Instance``, or those of them whose name begins so."""
        return [one for one in self.made if one.kind.endswith(kind) and one.name.startswith(name)]

    def one(self, kind: str, name: str = "") -> Made:
        (found,) = self.of(kind, name)
        return found

    def named(self, id: str) -> Made:
        return next(one for one in self.made if one.id == id)

    def clouds(self) -> Iterator[Made]:
        """What really exists in a cloud: no components, no providers."""
        return (one for one in self.made if one.custom and not one.kind.startswith("pulumi:"))


class Willing(mocks.Mocks):
    """What AWS and Atlas say where every place is there and open, and offers whatever machine is asked for."""

    def __init__(self, machine: str = "") -> None:
        self.machine = machine
        self.private: list[dict[str, str]] = []
        """The private addresses that Atlas gives a cluster."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        if args.token.endswith("getAvailabilityZone:getAvailabilityZone"):
            return self.place(args.args["name"])
        if args.token.endswith("getInstanceTypeOfferings:getInstanceTypeOfferings"):
            (place,) = args.args["filters"][0]["values"]
            return {"instanceTypes": self.machines(place)}
        if args.token.endswith("getParameter:getParameter"):
            return {"value": "ami-0newest"}
        raise AssertionError(f"the program asked {args.token}, which nobody here can answer")

    def place(self, name: str) -> Any:
        if is_wavelength(name):
            group = name.rsplit("-", 3)[0]
            return {"networkBorderGroup": name, "optInStatus": "opted-in", "groupName": group}
        region = region_of(name)
        return {"networkBorderGroup": region, "optInStatus": "opt-in-not-required", "groupName": region}

    def machines(self, place: str) -> list[str]:
        return [self.machine]

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        kind = args.typ.rpartition(":")[2]
        state: dict[str, Any] = {**args.inputs, "arn": f"arn:aws:{kind.lower()}:{args.name}"}
        state.setdefault("name", args.name)
        if kind == "Eip":
            address = "carrierIp" if args.inputs.get("networkBorderGroup") else "publicIp"
            state[address] = _address("198.18" if address == "carrierIp" else "198.19", args.name)
        elif kind == "Instance":
            state.setdefault("privateIp", _address("10.255", args.name))
        elif kind == "Bucket":
            state["bucket"] = f"{args.name}-0f1e2d"
        elif kind in ("AdvancedCluster", "FlexCluster"):
            state["connectionStrings"] = {
                "standardSrv": f"mongodb+srv://{state['name']}.mongodb.example",
                "privateEndpoints": self.private,
            }
        elif kind == "PrivateLinkEndpoint":
            state |= {"endpointServiceName": "com.amazonaws.vpce.atlas", "privateLinkId": "link"}
        elif kind == "LoadBalancer":
            state["dnsName"] = f"{args.name}.elb.example"
        elif kind == "CloudProviderAccessSetup":
            state["roleId"] = "atlas-role"
            state["awsConfigs"] = [{"atlasAwsAccountArn": "arn:aws:iam::1:root", "atlasAssumedRoleExternalId": "ext"}]
        return f"{kind.lower()}-{args.name}", state


class Monitor(mocks.MockMonitor):
    """The SDK's monitor, which also keeps the options of each resource."""

    def __init__(self, answers: mocks.Mocks, plan: Plan) -> None:
        super().__init__(answers)
        self.plan = plan

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        register: Any = super().RegisterResource  # the SDK leaves its monitor without types
        answer = register(request)
        if request.type == "pulumi:pulumi:Stack":
            return answer
        inputs = rpc.deserialize_properties(request.object)
        self.plan.made.append(
            Made(
                kind=request.type,
                name=request.name,
                inputs={key: rpc.unwrap_rpc_secret(value) for key, value in inputs.items()},
                id=answer.id,
                parents=tuple(request.parent.split("::")[2].split("$")) if request.parent else (),
                custom=request.custom,
                protect=request.protect,
                ignores=tuple(request.ignoreChanges),
                deletes_first=request.deleteBeforeReplace,
                provider=request.provider,
                secret=frozenset(key for key, value in inputs.items() if rpc.is_rpc_secret(value)),
                place=_place(request.sourcePosition),
            )
        )
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        if "pulumi:pulumi:Stack" in request.urn:
            said = rpc.deserialize_properties(request.outputs)
            self.plan.secret_exports |= {key for key, value in said.items() if rpc.is_rpc_secret(value)}
            self.plan.exports |= {key: rpc.unwrap_rpc_secret(value) for key, value in said.items()}
        register: Any = super().RegisterResourceOutputs
        return register(request)


def _address(network: str, name: str) -> str:
    """An address that follows from whose it is, so that it is the same in every run; of a range that nobody has."""
    number = crc32(name.encode())
    return f"{network}.{number // 254 % 254 + 1}.{number % 254 + 1}"


def _place(position: Any) -> str:
    return f"{position.uri}:{position.line}" if position.line else ""


def _caller() -> source_pb2.StackTrace:
    """The SDK's own stack trace, of which only the first line is wanted: the whole is an eighth of a run."""
    frame, constructors = sys._getframe(1), 0
    while constructors < 3:
        if frame.f_back is None:
            return source_pb2.StackTrace()
        constructors += frame.f_code.co_name == "__init__"
        frame = frame.f_back  # when three are passed, it is who called the resource's own
    where = source_pb2.SourcePosition(uri=_uri(frame.f_code.co_filename), line=frame.f_lineno)
    return source_pb2.StackTrace(frames=[source_pb2.StackFrame(pc=where)])


@cache
def _uri(file: str) -> str:
    return Path(file).as_uri()


def run(
    program: Callable[[], None],
    name: str,
    config: Mapping[str, str] | None = None,
    answers: mocks.Mocks | None = None,
) -> Plan:
    """Run a program as the stack ``name``, and return what it declared. What it raises is raised here."""
    plan = Plan()
    asyncio.set_event_loop(asyncio.new_event_loop())
    settings.SETTINGS.rpc_manager.clear()
    settings.SETTINGS.outputs.clear()
    resource._get_stack_trace = _caller
    set_root: Any = settings.set_root_resource
    set_root(None)
    monitor = Monitor(answers or Willing(), plan)
    pulumi.runtime.set_all_config(dict(config or {}), [key for key in config or {} if key.endswith("Key")])
    mocks.set_mocks(monitor.mocks, project="turnabout", stack=name, preview=False, monitor=monitor)
    set_root(None)  # the one made by set_mocks is finished already
    _sync_await(stack.run_in_stack(program))
    return plan
