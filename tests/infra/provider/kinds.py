"""What a kind of resource is to the provider: how it is made, looked at, changed and taken away by calls of an API.

Each kind stands in the file of its subject; importing ``every`` fills the table. Names and values are spelled as
Pulumi's own providers spell them, because the engine compares them with what the program says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from botocore.exceptions import ClientError

Json = dict[str, Any]
ACCOUNT = "123456789012"
GONE = ("NotFound", "NoSuch", "NotExist", "ParameterNotFound", "404")


class Cloud:
    """The emulated cloud as kinds call it: AWS's services by boto3, as attributes, and Atlas's Admin API."""

    def __init__(self, client: Callable[[str], Any], atlas: Any, region: str = "us-east-1") -> None:
        self._client, self.atlas, self.region = client, atlas, region

    def __getattr__(self, service: str) -> Any:
        """A client is made when it is first asked for, and kept."""
        client = self._client(service)
        setattr(self, service, client)
        return client


class Kind:
    """One kind of resource. ``create`` gives its id; ``read`` what the cloud has, or None where it is gone."""

    token: ClassVar[str]
    replaces: ClassVar[frozenset[str]]
    """Inputs that no call changes: another value is another resource."""
    keeps: ClassVar[frozenset[str]]
    """Inputs that the emulated cloud has no place for; the provider remembers them itself."""
    named: ClassVar[str]
    """The input that is invented where the program leaves it out."""

    def __init_subclass__(cls, token: str = "", replaces: str = "", keeps: str = "", named: str = "") -> None:
        cls.token, cls.named = token, named
        cls.replaces, cls.keeps = frozenset(replaces.split()), frozenset(keeps.split())
        if token:
            KINDS[token] = cls

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def create(self, asked: Json) -> str:
        raise NotImplementedError

    def read(self, id: str, asked: Json) -> Json | None:
        raise NotImplementedError

    def update(self, id: str, old: Json, asked: Json) -> None:
        changed = sorted(key for key in asked.keys() | old.keys() if asked.get(key) != old.get(key))
        raise NotImplementedError(f"{self.token} cannot change {', '.join(changed)}")

    def delete(self, id: str, asked: Json) -> None:
        raise NotImplementedError


KINDS: dict[str, type[Kind]] = {}


class Ec2(Kind):
    """A kind that EC2 describes by its id, and tags like all the others."""

    describe: ClassVar[tuple[str, str, str]]
    """The call, the argument that takes ids, and where the answer has them."""
    tagged: ClassVar[str]
    """What EC2 calls the kind where it is given tags."""

    @cached_property
    def ec2(self) -> Any:
        return self.cloud.ec2

    def found(self, id: str) -> Json | None:
        call, ids, many = self.describe
        found = getattr(self.ec2, call)(**{ids: [id]})[many]
        return found[0] if found else None

    def read(self, id: str, asked: Json) -> Json | None:
        found = self.found(id)
        return None if found is None else {"tags": tags_of(found), **self.told(found, asked)}

    def told(self, found: Json, asked: Json) -> Json:
        raise NotImplementedError

    def labels(self, asked: Json) -> list[Json]:
        return [{"ResourceType": self.tagged, "Tags": pairs(asked["tags"])}]

    def update(self, id: str, old: Json, asked: Json) -> None:
        if gone := old["tags"].keys() - asked["tags"].keys():
            self.ec2.delete_tags(Resources=[id], Tags=[{"Key": key} for key in gone])
        self.ec2.create_tags(Resources=[id], Tags=pairs(asked["tags"]))
        rest = {key for key in asked.keys() | old.keys() if asked.get(key) != old.get(key)} - {"tags"}
        if rest:
            self.change(id, old, asked, rest)

    def change(self, id: str, old: Json, asked: Json, changed: set[str]) -> None:
        super().update(id, old, asked)


def pairs(tags: Mapping[str, str]) -> list[Json]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tags_of(found: Json, key: str = "Tags") -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found.get(key) or [] if not tag["Key"].startswith("aws:")}


def same_json(asked: str, live: object) -> str:
    """The text that was asked for if the cloud's means the same: AWS spells policies anew."""
    live = json.loads(live) if isinstance(live, str) else live
    return asked if asked and json.loads(asked) == live else json.dumps(live)


def as_asked(asked: Sequence[str], live: Iterable[str]) -> list[str]:
    """A set in the order in which it was asked for, so that the cloud's own order is no difference."""
    live = list(live)
    return list(asked) if sorted(asked) == sorted(live) else sorted(live)


def unless_gone(look: Callable[[], Json | None]) -> Json | None:
    """What ``look`` finds; None where the cloud says that there is no such thing."""
    try:
        return look()
    except ClientError as error:
        if any(word in error.response["Error"]["Code"] for word in GONE):
            return None
        raise
