"""The provider as Pulumi's engine speaks with it, by gRPC. Knows no kind; what the engine may ask is here, and no more.

The engine is told where it listens by ``PULUMI_DEBUG_PROVIDERS``. One stands for all providers: a resource's kind says
which cloud it is in. It is asked one thing at a time, because the emulated cloud is not made for more.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import boto3
import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import rpc
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as proto

from tests.infra.provider.every import KINDS, Kind
from tests.infra.provider.kinds import Cloud, Json, unless_gone
from tests.infra.provider.questions import NoAnswer, answer

VERSION = "999.0.0-emulated"
SIGNATURE = "4dabf18193072939515e22adb298388d"
REGIONS = frozenset(boto3.session.Session().get_available_regions("ec2"))
Hook = Callable[[str, str], None]


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """``before`` is called with what is about to be done and to which resource; it may wait, or raise what is wrong."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.one_at_a_time = threading.Lock()
        self.before: Hook = lambda deed, name: None
        self.done: list[tuple[str, str]] = []
        """What was really done: create, update or delete, and the resource's name."""
        self.made: dict[str, tuple[str, Json]] = {}
        """URN to the id of what was made, and what was asked for: the cloud has it though the engine may not know."""
        self.under_way: set[str] = set()

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - these are gRPC's names
        return proto.ProviderHandshakeResponse()

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Where the published providers refuse regions and credentials, before anything else is asked of them."""
        wrong = []
        region = plain(request.news).get("region", self.cloud.region)
        if region not in REGIONS:
            wrong = [f"invalid AWS Region: {region}"]
        try:
            self.before("configure", name_of(request.urn))
        except Exception as error:
            wrong = [str(error)]
        return proto.CheckResponse(inputs=request.news, failures=[proto.CheckFailure(reason=why) for why in wrong])

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return proto.DiffResponse(changes=proto.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        return proto.ConfigureResponse(supportsPreview=True)

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            with refusals(context):
                return proto.InvokeResponse(**{"return": packed(answer(self.cloud, request.tok, plain(request.args)))})
        except NoAnswer as error:
            return proto.InvokeResponse(failures=[proto.CheckFailure(reason=str(error))])

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind, new, old = KINDS.get(kind_of(request.urn)), plain(request.news), plain(request.olds)
        if kind is None:
            why = f"the emulated cloud has no {kind_of(request.urn)}"
            return proto.CheckResponse(inputs=request.news, failures=[proto.CheckFailure(reason=why)])
        if kind.named and kind.named not in new:
            seed = hashlib.sha256(request.randomSeed + request.urn.encode()).hexdigest()[:7]
            invented = f"{name_of(request.urn)[:24]}-{seed}"
            new[kind.named] = old.get(kind.named) or (invented.lower() if kind.named == "bucket" else invented)
        return proto.CheckResponse(inputs=packed(new))

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind, old, new = KINDS[kind_of(request.urn)], plain(request.old_inputs), plain(request.news)
        paths = sorted(differing(old, new))
        changed = {path.partition(".")[0].partition("[")[0] for path in paths}
        replaces = sorted(changed & kind.replaces)
        kinds = {True: proto.PropertyDiff.UPDATE_REPLACE, False: proto.PropertyDiff.UPDATE}
        return proto.DiffResponse(
            changes=proto.DiffResponse.DIFF_SOME if changed else proto.DiffResponse.DIFF_NONE,
            diffs=sorted(changed),
            replaces=replaces,
            hasDetailedDiff=True,
            detailedDiff={path: proto.PropertyDiff(kind=kinds[path in replaces], inputDiff=True) for path in paths},
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = plain(request.properties)
        if request.preview:
            return proto.CreateResponse(properties=request.properties)
        with self._doing("create", request.urn, context) as kind:
            id = kind.create(asked)
            self.made[request.urn] = id, asked
            made = kind.read(id, asked) or {}
            if forgotten := sorted(asked.keys() - made.keys() - kind.keeps):
                raise NotImplementedError(f"the emulated cloud forgot {', '.join(forgotten)} of {kind.token}")
        return proto.CreateResponse(id=id, properties=packed(asked | made))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        kind, asked = KINDS[kind_of(request.urn)](self.cloud), plain(request.inputs) or plain(request.properties)
        with refusals(context), self.one_at_a_time:
            live = unless_gone(lambda: kind.read(request.id, asked))
        if live is None:
            return proto.ReadResponse()
        inputs = {key: live.get(key, value) for key, value in asked.items() if key in live or key in kind.keeps}
        return proto.ReadResponse(id=request.id, properties=packed(asked | live), inputs=packed(inputs))

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        old, asked = plain(request.old_inputs), plain(request.news)
        if request.preview:
            return proto.UpdateResponse(properties=request.news)
        with self._doing("update", request.urn, context) as kind:
            kind.update(request.id, old, asked)
            made = kind.read(request.id, asked) or {}
        return proto.UpdateResponse(properties=packed(asked | made))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        asked = plain(request.old_inputs) or plain(request.properties)
        with self._doing("delete", request.urn, context) as kind:
            unless_gone(partial(kind.delete, request.id, asked))
        return empty_pb2.Empty()

    @contextmanager
    def _doing(self, deed: str, urn: str, context: Any) -> Iterator[Kind]:
        self.under_way.add(urn)
        try:
            with refusals(context):
                self.before(deed, name_of(urn))
                with self.one_at_a_time:
                    yield KINDS[kind_of(urn)](self.cloud)
                    self.done.append((deed, name_of(urn)))
        finally:
            self.under_way.discard(urn)


@contextmanager
def refusals(context: Any) -> Iterator[None]:
    """What goes wrong is said as the cloud said it."""
    try:
        yield
    except NoAnswer:
        raise
    except Exception as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error) or repr(error))


def kind_of(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def name_of(urn: str) -> str:
    return urn.split("::")[3]


def plain(struct: Any) -> Json:
    """A message as values: whole numbers are whole, and nothing is wrapped as a secret."""

    def read(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, list):
            return [read(one) for one in value]
        if isinstance(value, dict):
            secret = value.get(SIGNATURE) == rpc._special_secret_sig
            return read(value["value"]) if secret else {key: read(one) for key, one in value.items()}
        return value

    values: Json = read(MessageToDict(struct))
    return values


def packed(values: Json) -> Any:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def differing(old: Any, new: Any, path: str = "") -> Iterable[str]:
    """The paths at which two values are not the same, as deep as both have the same keys."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and SIGNATURE not in old:
        for key in old.keys() | new.keys():
            inner = f'["{key}"]' if not key.isidentifier() else f".{key}" if path else key
            yield from differing(old.get(key), new.get(key), path + inner)
    else:
        yield path


@contextmanager
def attached(provider: Provider) -> Iterator[str]:
    """While it is open, the value of ``PULUMI_DEBUG_PROVIDERS`` with which an engine finds the provider."""
    server = grpc.server(ThreadPoolExecutor(16))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"aws:{port},mongodbatlas:{port}"
    finally:
        server.stop(0).wait(5)
