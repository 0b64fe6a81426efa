"""What a new node finds in the cloud: two releases as files in the bucket, and a parameter that names them.

The files come first, so that no parameter names what is not there; one that is there stays, if it is that release and a
key has signed it that nodes trust. The parameter also says which generation wrote it: a controller that was succeeded
while it was away does not put an older release back. How a node reads both stands in ``infra.boot``.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from controller.artifacts import manifest as manifests
from controller.artifacts.bucket import AWAY, Bucket
from controller.artifacts.store import ArtifactStore
from controller.errors import Refused, Trouble, Unreachable
from controller.model import AppRelease
from infra.outputs import Outputs

NONE = "none"
BUSY = (*AWAY, "ThrottlingException", "TooManyUpdates", "InternalServerError")


class Parameters(Protocol):
    """boto3's client of ``ssm``, as far as it is used here."""

    def get_parameter(self, *, Name: str) -> Mapping[str, Any]: ...  # noqa: N803

    def put_parameter(self, *, Name: str, Value: str, Type: str, Overwrite: bool) -> object: ...  # noqa: N803


@dataclass(frozen=True, slots=True)
class Named:
    """What a parameter says: two digests or ``none``, and who wrote it."""

    good: str = NONE
    previous: str = NONE
    generation: int = 0

    def __str__(self) -> str:
        return f"{self.good} {self.previous} {self.generation}"


class CloudShelf:
    """The shelf of one environment. Raises Unreachable and Refused, as a Shelf does."""

    def __init__(self, outputs: Outputs, parameters: Parameters, bucket: Bucket, artifacts: ArtifactStore) -> None:
        self._names, self._trusted = outputs.releases, outputs.trusted
        self._parameters, self._bucket, self._artifacts = parameters, bucket, artifacts
        self.apps = tuple(sorted(outputs.releases))

    def hold(self, app: str, good: AppRelease | None, previous: AppRelease | None, generation: int) -> bool:
        name = self._names[app]
        wanted = Named(digest_of(good), digest_of(previous), generation)
        there = self._read(name)
        if there == wanted:
            return False
        if there.generation > generation:
            said = f"generation {there.generation} has written {name}, and this controller's is {generation}"
            raise Refused(f"publishing {app}", said, "Nothing was changed; another controller leads.")
        for release in filter(None, (previous, good)):
            self._place(release)
        self._write(name, wanted)
        return (there.good, there.previous) != (wanted.good, wanted.previous)

    def _place(self, release: AppRelease) -> None:
        key = f"releases/{release.digest.removeprefix('sha256:')}.tar"
        there = self._bucket.find(key)
        if there is None:
            manifest = self._artifacts.ensure(release)
            blobs = {blob.sha256 for blob in manifests.blobs(manifest).values()}
            self._bucket.put(key, self._artifacts.bundle(release.digest, blobs))
        elif not is_signed(there, release.digest, self._trusted):
            said = f"{key} is in the bucket {self._bucket.name}, and no node would take it for that release"
            raise Refused(f"publishing {release.app}", said, "Find out who wrote it and delete it; then it is written.")

    def _read(self, name: str) -> Named:
        attempt = f"reading the parameter {name}"
        try:
            return named(str(self._parameters.get_parameter(Name=name)["Parameter"]["Value"]))
        except (ClientError, BotoCoreError) as error:
            raise _trouble(attempt, error) from error
        except ValueError:
            said = "it says neither `none` nor two digests and a generation"
            raise Refused(attempt, said, f"Write `{NONE}` into it; then it is written.") from None

    def _write(self, name: str, wanted: Named) -> None:
        try:
            self._parameters.put_parameter(Name=name, Value=str(wanted), Type="String", Overwrite=True)
        except (ClientError, BotoCoreError) as error:
            raise _trouble(f"writing the parameter {name}", error) from error


def digest_of(release: AppRelease | None) -> str:
    return release.digest if release else NONE


def named(text: str) -> Named:
    """What a parameter's text says. Raises ValueError; a text without a generation is nobody's."""
    words = text.split()
    if words == [NONE]:
        return Named()
    good, previous, generation = words if len(words) == 3 else (*words, "0")
    return Named(good, previous, int(generation))


def is_signed(bundle: bytes, digest: str, trusted: tuple[str, ...]) -> bool:
    """Whether a bundle is of this release, and one of the trusted keys has signed its manifest."""
    with suppress(tarfile.TarError, ValueError, KeyError), tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        member = archive.extractfile("manifest.json")
        manifest = json.loads(member.read()) if member else {}
        return manifest["release"] == digest and any(manifests.verify(manifest, key) for key in trusted)
    return False


def _trouble(attempt: str, error: ClientError | BotoCoreError) -> Trouble:
    if isinstance(error, BotoCoreError):
        return Unreachable(attempt, str(error), "It is tried again.")
    code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "").strip(". ")
    if code in BUSY:
        return Unreachable(attempt, f"Systems Manager says {code}: {said}", "It is tried again.")
    if code == "ParameterNotFound":
        return Refused(attempt, "there is none", "Bring the platform up again, which makes it.")
    remedy = "Let the controller's role read and write the parameters of its releases."
    return Refused(attempt, f"Systems Manager says {code}: {said}", remedy)
