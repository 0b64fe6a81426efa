"""``turnabout check`` on checkouts, good and bad; and the example that people are told to copy, tried for real."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller import cli
from tests.integration.small import wait

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "docs" / "example"
Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """The command in a copy of the example; its exit code and all that it printed."""
    shutil.copytree(EXAMPLE, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")

    def run(*argv: str) -> tuple[int, str]:
        code = cli.main(("check", *argv))
        out = capsys.readouterr()
        return code, out.out + out.err

    return run


def change(file: str, before: str, after: str) -> None:
    text = Path(file).read_text()
    assert text.count(before) == 1
    Path(file).write_text(text.replace(before, after))


def another(name: str) -> None:
    """A second environment beside dev, as like it as can be."""
    text = Path("environments/dev.toml").read_text().replace('branch = "dev"', f'branch = "{name}"')
    Path("environments", f"{name}.toml").write_text(text)


def test_the_product_and_its_example_are_good(check: Check) -> None:
    assert check() == (0, "dev: no complaints.\n")
    assert check("--folder", str(CHECKOUT)) == (0, "dev, stage, prod: no complaints.\n")
    assert check("prod", "--folder", str(CHECKOUT)) == (0, "prod: no complaints.\n")
    code, printed = check("prdo", "--folder", str(CHECKOUT))
    assert code == 2
    assert 'there is no such environment (did you mean "prod"?)' in printed


def test_what_is_wrong_in_the_base_is_said_once_and_every_wrong_key_is_named(check: Check) -> None:
    another("stage")
    another("prod")
    change("environments/base.toml", "alpha = 0.01", 'alpha = 0.01\nalpah = 1\ncolour = "red"')
    change("environments/prod.toml", "nodes_per_zone = 2", "nodes_per_zone = 0")
    code, printed = check()
    assert (code, printed) == (
        2,
        "environments/base.toml: 2 problems\n"
        '  - judge.alpah: this is not a known key (did you mean "alpha"?)\n'
        "  - judge.colour: this is not a known key (known: alpha, prometheus, silence_seconds, smallest_harm)\n"
        "environments/prod.toml: 1 problem\n"
        "  - fleet.hello.nodes_per_zone: 0 is too small; write at least 1 (nodes in each zone, lettered a to z)\n",
    )
    code, printed = check("--json")
    found = json.loads(printed)
    assert (code, found["good"], len(found["problems"])) == (2, False, 3)
    assert found["problems"][0].startswith("environments/base.toml: judge.alpah: ")


def test_a_base_that_is_no_toml_is_told_once_with_its_line(check: Check) -> None:
    another("prod")
    change("environments/base.toml", "alpha = 0.01", "alpha = ")
    assert check() == (
        2,
        "environments/base.toml: 1 problem\n"
        "  - line 9, column 9: this is not TOML: invalid value; the line is `alpha =`\n",
    )


def test_an_application_that_runs_nowhere_is_no_good_answer(check: Check) -> None:
    shutil.copytree("apps/hello", "apps/other")
    change("apps/other/release.toml", 'app = "hello"', 'app = "other"')
    assert check() == (
        2,
        "apps/other/release.toml: 1 problem\n"
        "  - no environment has it run anywhere; write a table [fleet.other] in each that shall\n",
    )
    assert check("dev") == (0, "dev: no complaints.\n"), "of one environment alone nobody can say that"


def test_the_files_that_a_release_toml_counts_on_must_be_there(check: Check) -> None:
    for file in ("__main__.py", "probe.py", "requirements.lock"):
        Path("apps/hello", file).unlink()
    assert check() == (
        2,
        "apps/hello/release.toml: 2 problems\n"
        "  - start: there is no apps/hello.py and no apps/hello/__main__.py; write it, or correct start\n"
        "  - probe: there is no apps/hello/probe.py and no apps/hello/probe/__main__.py; write it, or correct probe\n"
        "apps/hello/requirements.lock: 1 problem\n"
        "  - there is no such file; pin what it depends on with pip-compile --generate-hashes, or leave it empty\n",
    )
    change("apps/hello/release.toml", '"python", "-m", "apps.hello", "{config}"', '"python", "apps/hello/run.py"')
    assert "  - start: there is no apps/hello/run.py; write it, or correct start\n" in check()[1]


def test_an_environment_without_the_metrics_server_that_an_application_asks_is_named(check: Check) -> None:
    with Path("apps/hello/release.toml").open("a") as file:
        file.write('\n[[checks]]\nname = "lag"\nkind = "prometheus"\nquery = "max by (node) (lag)"\nat_most = 5\n')
    code, said = check()
    assert code == 2
    assert "environments/dev.toml" in said
    assert "judge.prometheus: this key is missing; lag of apps/hello/release.toml asks that server" in said
    with Path("environments/dev.toml").open("a") as file:
        file.write('\n[judge]\nprometheus = "http://p:9090"\n')
    assert check() == (0, "dev: no complaints.\n")


def test_a_folder_without_environments_is_answered_with_what_to_do(check: Check, tmp_path: Path) -> None:
    (tmp_path / "empty" / "environments").mkdir(parents=True)
    remedy = "so there is nothing to check; run this in a checkout or name one with --folder; docs/example is a small"
    code, printed = check("--folder", str(tmp_path))
    assert code == 2
    assert f"{tmp_path}/environments: 1 problem\n  - there is no such folder, {remedy}" in printed
    code, printed = check("--folder", str(tmp_path / "empty"))
    assert code == 2
    assert f"  - no file here is an environment's, {remedy}" in printed


# ---- the example runs -----------------------------------------------------------------------------------------------


@pytest.fixture
def hello(tmp_path: Path) -> Iterator[int]:
    """The example's application as a node starts it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    config = {"bind": "127.0.0.1", "ports": {"hello_http": port}, "release": "sha256:1", "settings": {"greeting": "Hi"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    argv = [sys.executable, "-m", "apps.hello", str(tmp_path / "config.json")]
    with subprocess.Popen(argv, cwd=EXAMPLE, env=alone(), stdout=subprocess.DEVNULL) as process:
        try:
            wait("it is ready", lambda: asked(port, "/ready"), 20)
            yield port
        finally:
            process.kill()


def alone() -> dict[str, str]:
    """As on a node: the example's tree is all there is to import, and nothing is written into it."""
    return {**os.environ, "PYTHONPATH": str(EXAMPLE), "PYTHONDONTWRITEBYTECODE": "1"}


def asked(port: int, path: str) -> tuple[str, str] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=4) as answer:
            return answer.read().decode(), answer.headers["X-Release"]
    except OSError:
        return None


def test_the_example_serves_counts_and_passes_its_own_probe(hello: int) -> None:
    assert asked(hello, "/hello/you") == ("Hi, you!\n", "sha256:1")
    argv = [sys.executable, "-m", "apps.hello.probe", "127.0.0.1", str(hello)]
    assert subprocess.run(argv, cwd=EXAMPLE, env=alone(), timeout=20, check=False).returncode == 0
    assert asked(hello, "/metrics") == ("asked 2\nanswered 2\nfailed 0\n", "sha256:1")
