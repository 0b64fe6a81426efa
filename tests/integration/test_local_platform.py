"""The platform on one machine, small: one environment of two nodes, with every real server, a release and traffic."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from pymongo import MongoClient

from controller.node.manifest import artifact_digest, canonical, config_digest, release_digest
from controller.node.pack import pack
from environments import from_folder
from infra.application import BadApp
from infra.local import layout
from infra.local.platform import Platform, up
from infra.local.servers import (
    ServerFailed,
    ServerMissing,
    find_git_daemon,
    find_haproxy,
    find_mongod,
    start,
    wait_until,
)
from infra.outputs import NodeOutput, Outputs, from_json

HERE = Path(__file__).resolve().parents[2]
PROGRAM = pack(HERE / "build" / "node.pyz")
BASE = """
poll_seconds = 2
[budget]
deploy_seconds = 60
watch_seconds = 60
revert_seconds = 60
margin_seconds = 5
wave_seconds = 2
[judge]
alpha = 0.01
silence_seconds = 5
[app.mqtt]
retention_days = 3
"""
SMALL = """
branch = "small"
[fleet.mqtt]
zones = ["BOS"]
nodes_per_zone = 2
waves = [{ BOS = 1 }]
synthetic_per_second = 20
"""


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        find_mongod(), find_haproxy(), find_git_daemon()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("checkout") / "environments"
    folder.mkdir()
    (folder / "base.toml").write_text(BASE)
    (folder / "small.toml").write_text(SMALL)
    return folder


@pytest.fixture(scope="module")
def platform(environments: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    root = tmp_path_factory.mktemp("platform")
    with up(root, [from_folder(environments, "small")], PROGRAM, HERE / "apps") as platform:
        release(platform)
        yield platform


# ---------------------------------------------------------------- a release, as far as this test needs one


def release(platform: Platform) -> str:
    """The edge application of this checkout, confirmed on every node."""
    outputs = platform.outputs["small"]
    key = load_ssh_private_key((platform.root / "keys" / "build.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    digest, content = built(key)
    for node in outputs.nodes:
        run(outputs, node, "stage", digest, stdin=content)
        at = run(outputs, node, "status")["status"]
        now = at["boottime"]
        times = ["--boot", at["boot_id"], "--until", str(now + 120), "--expires", str(now + 60)]
        run(outputs, node, "activate", digest, "--token", "r1", "--base", "none", "--generation", "1", *times)
    for node in outputs.nodes:
        eventually(lambda node=node: run(outputs, node, "status")["status"]["apps"]["mqtt"]["ready"], 30)  # type: ignore[misc]
        run(outputs, node, "confirm", "r1", "--generation", "1")
    return digest


def built(key: Ed25519PrivateKey) -> tuple[str, bytes]:
    told = tomllib.loads((HERE / "apps/mqtt/release.toml").read_text())
    whole = sorted(path for path in (HERE / "apps/mqtt").rglob("*") if path.is_file() and path.suffix != ".pyc")
    files = [HERE / "apps/__init__.py", *whole]
    tree = tar((str(path.relative_to(HERE)), path.read_bytes()) for path in files)
    name = sha256(tree).hexdigest()
    lock = "sha256:" + sha256(b"").hexdigest()
    manifest: dict[str, Any] = {
        "schema": "turnabout/manifest/1",
        "commit": "0" * 40,
        "blobs": {"tree": {"sha256": name, "bytes": len(tree)}, "dependencies": None},
        "lock": lock,
        "config": {},
        "built_by": "test",
        "config_digest": config_digest({}),
        "artifact_digest": artifact_digest("mqtt", name, lock),
        **told,
    }
    manifest["release"] = release_digest(manifest["artifact_digest"], manifest["config_digest"])
    manifest["signature"] = "ed25519:" + key.sign(canonical(manifest)).hex()
    return manifest["release"], tar(iter([("manifest.json", canonical(manifest)), (f"blobs/{name}", tree)]))


def tar(files: Iterator[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def run(outputs: Outputs, node: NodeOutput, *arguments: str, stdin: bytes = b"") -> dict[str, Any]:
    done = subprocess.run([*outputs.program, node.root, *arguments], input=stdin, capture_output=True, timeout=30)
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["ok"], answer["error"]
    return answer


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "did not become true"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


# ---------------------------------------------------------------- what a platform is


def test_what_is_written_for_the_controller_is_what_runs(platform: Platform) -> None:
    outputs = from_json((platform.root / "small" / "outputs.json").read_bytes())
    assert outputs == platform.outputs["small"]
    assert [(node.zone, node.name, node.app) for node in outputs.nodes] == [
        ("BOS", "bos-a", "mqtt"),
        ("BOS", "bos-b", "mqtt"),
    ]
    facts = json.loads((platform.root / "small" / "bos-a" / "node.json").read_text())
    assert facts["trusted"] == list(outputs.trusted)
    assert facts["balancer"]["backends"]["mqtt"] == {"mode": "tcp", "servers": {"bos-a": 100, "bos-b": 100}}


def test_secrets_are_for_their_owner_alone(platform: Platform) -> None:
    for path in ("keys/build.key", "small/outputs.json", "small/bos-a/node.json"):
        assert (platform.root / path).stat().st_mode & 0o077 == 0, path


def test_branches_are_pushed_and_fetched_over_the_git_server(platform: Platform, tmp_path: Path) -> None:
    repository = platform.outputs["small"].repository
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    git = ["git", "-C", str(tmp_path), *who]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run([*git, "push", "-q", repository, "HEAD:refs/heads/small"], check=True, capture_output=True)
    heads = subprocess.run(["git", "ls-remote", repository], check=True, capture_output=True, text=True).stdout
    assert heads.split()[1] == "refs/heads/small"


def test_no_message_is_lost_and_all_is_counted_though_an_application_is_killed(
    platform: Platform, tmp_path: Path
) -> None:
    outputs = platform.outputs["small"]
    load = traffic(platform, tmp_path, "run", "--traffic", "small=30:4:40:0")
    try:
        eventually(lambda: latest(tmp_path)["messages"]["acked"] > 100, 20)
        at = run(outputs, outputs.nodes[0], "status")["status"]["apps"]["mqtt"]
        os.kill(at["pid"], signal.SIGKILL)
        eventually(lambda: latest(tmp_path)["messages"]["lost_sessions"] > 0)
        before = latest(tmp_path)["messages"]["acked"]
        eventually(lambda: latest(tmp_path)["messages"]["acked"] > before + 200, 20)
    finally:
        load.send_signal(signal.SIGTERM)
    assert load.wait(20) == 0
    seen = latest(tmp_path)
    assert seen["messages"]["unacked"] == 0
    assert seen["by_server"].keys() >= {"bos-a", "bos-b"}
    assert at["good"] in seen["by_release"]
    assert sum(count["requests"] for count in seen["by_release"].values()) == seen["requests"] > 100

    verify = traffic(platform, tmp_path, "verify")
    assert verify.wait(40) == 0
    acked = seen["messages"]["acked"]
    assert json.loads((tmp_path / "verify.out").read_text())["small"] == {
        "acked": acked,
        "in_far_store": acked,
        "on_nodes_only": 0,
        "acked_lost": 0,
        "doubled": 0,
        "lost": [],
    }


def test_a_message_that_is_nowhere_is_told(platform: Platform, tmp_path: Path) -> None:
    row = {"environment": "small", "zone": "BOS", "epoch": 1, "acked": {"small-bos-0000": [7, 8]}}
    (tmp_path / "acked.jsonl").write_text(json.dumps(row) + "\n")
    verify = traffic(platform, tmp_path, "verify", "--patience", "0")
    assert verify.wait(30) == 2
    found = json.loads((tmp_path / "verify.out").read_text())["small"]
    assert found["acked_lost"] == 2
    assert found["lost"] == ["small-bos-0000 1 7", "small-bos-0000 1 8"]


def traffic(platform: Platform, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    outputs = platform.root / "small" / "outputs.json"
    argv = [sys.executable, "-m", "infra.local.load", *arguments, "--out", str(folder), str(outputs)]
    with (folder / f"{arguments[0]}.out").open("wb") as out:
        return subprocess.Popen(argv, cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE)}, stdout=out)


def latest(folder: Path) -> dict[str, Any]:
    """The edge application in the newest whole line."""
    path = folder / "load.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    none: dict[str, Any] = {"messages": {"acked": 0, "lost_sessions": 0}}
    return json.loads(lines[-1])["environments"]["small"]["mqtt"] if lines else none


# ---------------------------------------------------------------- how it begins and ends


def command(environments: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = {"up": ["--environments", str(environments), "--apps", str(HERE / "apps"), "--program", str(PROGRAM)]}
    argv = [sys.executable, "-m", "infra.local", *arguments, "--root", str(root), *given.get(arguments[0], [])]
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.run(argv, cwd=HERE, env=env, capture_output=True, text=True, timeout=90)


def test_up_and_down_from_the_command_line_keep_what_was_stored(environments: Path, tmp_path: Path) -> None:
    root = tmp_path / "local"
    came = command(environments, root, "up", "--detach")
    assert came.returncode == 0, came.stderr
    pid = int((root / "platform.lock").read_text().split()[0])
    try:
        outputs = from_json((root / "small" / "outputs.json").read_bytes())
        with MongoClient[dict[str, Any]](outputs.mongo_uri) as client:
            client["kept"]["rows"].insert_one({"_id": 1})
        again = command(environments, root, "up")
        assert again.returncode == 1
        assert again.stderr.startswith(f"A platform is already up under {root}; run ")
        everything = descendants(pid)
        assert len(everything) >= 8  # mongod, the git server; of each node two programs and a balancer
    finally:
        went = command(environments, root, "down")
    assert went.returncode == 0, went.stderr
    assert not any(alive(process) for process in everything)
    eventually(lambda: not alive(pid))
    assert not layout.run_folder(root).exists()
    assert command(environments, root, "down").stdout == f"No platform is up under {root}.\n"
    with up(root, [from_folder(environments, "small")], PROGRAM, HERE / "apps") as platform:
        with MongoClient[dict[str, Any]](platform.outputs["small"].mongo_uri) as client:
            assert client["kept"]["rows"].find_one() == {"_id": 1}
        assert platform.outputs["small"].trusted == outputs.trusted


def test_nothing_outlives_a_platform_that_is_killed(environments: Path, tmp_path: Path) -> None:
    root = tmp_path / "local"
    assert command(environments, root, "up", "--detach").returncode == 0
    pid = int((root / "platform.lock").read_text().split()[0])
    everything = descendants(pid)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(alive(process) for process in everything), 10)
    assert command(environments, root, "status").stdout == f"No platform is up under {root}.\n"
    shutil.rmtree(layout.run_folder(root))


def test_bad_usage_is_an_error_and_not_an_answer(platform: Platform, tmp_path: Path) -> None:
    for arguments in (["--traffic", "small=many"], ["--traffic", "prod=1:1:1:1"], ["--customers", "c-7"]):
        assert traffic(platform, tmp_path, "run", *arguments).wait(20) == 1


def test_an_application_that_says_nothing_of_its_ports_is_refused(environments: Path, tmp_path: Path) -> None:
    (tmp_path / "apps" / "mqtt").mkdir(parents=True)
    with pytest.raises(BadApp, match=r"release\.toml is missing; every application of a fleet needs one"):
        up(tmp_path / "local", [from_folder(environments, "small")], PROGRAM, tmp_path / "apps")


def test_a_program_that_is_missing_is_named(environments: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerMissing, match=r"nowhere\.pyz is missing; make it with `python -m"):
        up(tmp_path / "local", [from_folder(environments, "small")], tmp_path / "nowhere.pyz", HERE / "apps")
    assert not layout.run_folder(tmp_path / "local").exists()


def test_a_server_that_ends_while_starting_is_quoted(tmp_path: Path) -> None:
    server = start("mongod", ["/bin/sh", "-c", "echo the disk is full; exit 3"], tmp_path / "log")
    with pytest.raises(ServerFailed, match=r"mongod ended with 3 while starting; it said:\nthe disk is full"):
        wait_until(server, lambda: False)
