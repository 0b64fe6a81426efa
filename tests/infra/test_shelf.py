"""The shelf in the cloud: files before the parameter that names them, and nothing of an older controller's."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("moto", reason="its libraries are not here: `make infra` installs them")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.artifacts import manifest as manifests
from controller.artifacts.bucket import Bucket
from controller.artifacts.shelf import CloudShelf, named
from controller.artifacts.store import ArtifactStore
from controller.errors import Refused, Unreachable
from controller.keys import BuildKey
from controller.model import AppRelease
from controller.sources.commits import Description
from controller.sources.trees import File
from infra.outputs import Outputs
from tests.infra.emulated.cloud import EmulatedCloud
from tests.infra.test_ssm_transport import Client, aws_says
from tests.integration import toy

NAME = "/turnabout/one/releases/toy"
COMMIT = "c" * 40


class Commits:
    """One commit with the toy in it."""

    def object_id(self, commit: str, path: str) -> str | None:
        return hashlib.sha1(path.encode()).hexdigest()

    def files(self, commit: str, prefix: str) -> tuple[File, ...]:
        return tuple(File(path, "100644", content.encode()) for path, content in toy.files("toy").items())

    def describe(self, commit: str) -> Description:
        return Description(commit, "Begin", "ann", 0.0, (), 1)


class Way:
    """A shelf, what it writes to, and releases of one application to put on it."""

    def __init__(self, cloud: EmulatedCloud, folder: Path) -> None:
        self.systems, self.objects = Client(cloud.client("ssm")), Client(cloud.client("s3"))
        self.key = BuildKey(Ed25519PrivateKey.generate())
        self.bucket = Bucket(self.objects, f"bits-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}")
        cloud.client("s3").create_bucket(Bucket=self.bucket.name)
        self.systems.put_parameter(Name=NAME, Value="none", Type="String", Overwrite=True)
        self.store = ArtifactStore(folder / "store", self.key)
        self.outputs = Outputs(
            "one", (), (), "", "", (self.key.public,), "", artifacts=self.bucket.name, releases={"toy": NAME}
        )
        self.shelf = CloudShelf(self.outputs, self.systems, self.bucket, self.store)

    def release(self, greeting: str) -> AppRelease:
        return self.store.release("toy", COMMIT, Commits(), {"greeting": greeting})

    def says(self) -> str:
        return str(self.systems.get_parameter(Name=NAME)["Parameter"]["Value"])

    def has(self) -> list[str]:
        found = self.objects.real.list_objects_v2(Bucket=self.bucket.name).get("Contents", ())
        return sorted(one["Key"] for one in found)

    def refuses(self, *releases: AppRelease | None, generation: int = 3) -> str:
        with pytest.raises(Refused) as no:
            self.shelf.hold("toy", releases[0], releases[1] if len(releases) > 1 else None, generation)
        return str(no.value)


def file_of(release: AppRelease) -> str:
    return f"releases/{release.digest.removeprefix('sha256:')}.tar"


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmulatedCloud]:
    with EmulatedCloud() as cloud:
        yield cloud


@pytest.fixture
def way(cloud: EmulatedCloud, tmp_path: Path) -> Way:
    return Way(cloud, tmp_path)


def test_two_releases_lie_in_the_bucket_as_stage_takes_them_and_the_parameter_names_them(way: Way) -> None:
    good, previous = way.release("hello"), way.release("good day")

    assert way.shelf.hold("toy", good, previous, 3)

    assert way.says() == f"{good.digest} {previous.digest} 3"
    assert way.has() == sorted([file_of(good), file_of(previous)])
    with tarfile.open(fileobj=io.BytesIO(way.bucket.get(file_of(good)))) as bundle:
        assert bundle.getnames()[0] == "manifest.json"
        assert len(bundle.getnames()) == 2


def test_holding_the_same_again_writes_nothing_and_a_successor_leaves_only_its_generation(way: Way) -> None:
    good = way.release("hello")
    assert way.shelf.hold("toy", good, None, 3)
    way.systems.asked.clear()
    way.objects.asked.clear()

    assert not way.shelf.hold("toy", good, None, 3)
    assert (way.systems.asked, way.objects.asked) == (["get_parameter"], [])
    assert not way.shelf.hold("toy", good, None, 4)
    assert way.says() == f"{good.digest} none 4"


def test_the_parameter_names_nothing_that_is_not_in_the_bucket_yet(way: Way) -> None:
    way.objects.says["put_object"] = [aws_says("SlowDown")]

    with pytest.raises(Unreachable, match=r"S3 says SlowDown: no\. It is tried again\."):
        way.shelf.hold("toy", way.release("hello"), None, 3)

    assert way.says() == "none"


def test_a_controller_that_was_succeeded_puts_nothing_older_back(way: Way) -> None:
    old, new = way.release("hello"), way.release("good day")
    way.shelf.hold("toy", new, old, 5)

    assert way.refuses(old, generation=4) == (
        f"publishing toy: generation 5 has written {NAME}, and this controller's is 4. "
        "Nothing was changed; another controller leads."
    )
    assert way.says() == f"{new.digest} {old.digest} 5"


def test_a_file_that_another_trusted_key_has_signed_stays(way: Way) -> None:
    good, other = way.release("hello"), BuildKey(Ed25519PrivateKey.generate())
    theirs = bundle(way, good, other)
    way.bucket.put(file_of(good), theirs)

    assert way.refuses(good) == (
        f"publishing toy: {file_of(good)} is in the bucket {way.bucket.name}, and no node would take it for that "
        "release. Find out who wrote it and delete it; then it is written."
    )
    assert way.says() == "none"
    trusting = Outputs(
        "one", (), (), "", "", (way.key.public, other.public), "", artifacts="", releases=way.outputs.releases
    )
    assert CloudShelf(trusting, way.systems, way.bucket, way.store).hold("toy", good, None, 3)
    assert way.bucket.get(file_of(good)) == theirs


@pytest.mark.parametrize("spoil", [b"", b"no tar at all", b"other"])
def test_a_file_that_is_no_such_release_is_not_named(way: Way, spoil: bytes) -> None:
    good = way.release("hello")
    content = bundle(way, way.release("good day"), way.key) if spoil == b"other" else spoil
    way.bucket.put(file_of(good), content)

    assert "no node would take it for that release" in way.refuses(good)
    assert way.says() == "none"


def bundle(way: Way, release: AppRelease, key: BuildKey) -> bytes:
    """A release as ``stage`` takes it, signed by ``key``."""
    manifest = manifests.sign(way.store.ensure(release), key)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(manifests.canonical(manifest))
        archive.addfile(info, io.BytesIO(manifests.canonical(manifest)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AccessDeniedException", "Systems Manager says AccessDeniedException: no. Let the controller's role read and"),
        ("ParameterNotFound", "there is none. Bring the platform up again, which makes it."),
    ],
)
def test_what_systems_manager_refuses_says_what_to_do(way: Way, code: str, said: str) -> None:
    way.systems.says["get_parameter"] = [aws_says(code)]
    assert way.refuses(way.release("hello")).startswith(f"reading the parameter {NAME}: {said}")


def test_what_systems_manager_cannot_do_now_is_no_refusal(way: Way) -> None:
    way.systems.says["put_parameter"] = [aws_says("TooManyUpdates")]
    with pytest.raises(Unreachable, match=rf"writing the parameter {NAME}: Systems Manager says TooManyUpdates"):
        way.shelf.hold("toy", way.release("hello"), None, 3)


@pytest.mark.parametrize("text", ["", "sha256:1", "sha256:1 none x", "a b c d"])
def test_a_parameter_that_somebody_wrote_by_hand_is_not_guessed_at(way: Way, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        named(text)
    way.systems.says.clear()
    way.systems.put_parameter(Name=NAME, Value=text or " ", Type="String", Overwrite=True)
    assert "it says neither `none` nor two digests and a generation" in way.refuses(way.release("hello"))
