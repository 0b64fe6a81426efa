"""The node program as one file, and how little of it a call needs that only asks serve."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from controller.node import pack as packing
from controller.node import usage, verbs
from controller.node.errors import Refused
from controller.node.pack import pack

DIGEST = f"sha256:{'a' * 64}"
TIMES = ("--boot", "b1", "--until", "160.5", "--expires", "110")
SILENT = 4


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("packed") / "node.pyz")


def run(program: Path, *words: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", "-S", *flags, str(program), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


# ---- the file


def test_packed_twice_it_is_the_same_to_the_byte(program: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from controller.node.pack import pack; pack(Path(sys.argv[1]))"
    house = str(Path(packing.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "again.pyz")], check=True, cwd=house)
    assert (tmp_path / "again.pyz").read_bytes() == program.read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "again.pyz"]


def test_it_holds_every_module_but_the_packer_as_source_and_as_byte_code(program: Path) -> None:
    names = zipfile.ZipFile(program).namelist()
    modules = {path.stem for path in Path(packing.__file__).parent.glob("*.py")} - {"pack"}
    assert {name for name in names if name.startswith("node/")} == {
        f"node/{module}.{kind}" for module in modules for kind in ("py", "pyc")
    }


def test_no_start_compiles_anything(program: Path, tmp_path: Path) -> None:
    """With its sources spoiled it runs all the same, so it is the byte code that runs."""
    spoiled = tmp_path / "spoiled.pyz"
    with zipfile.ZipFile(program) as whole, zipfile.ZipFile(spoiled, "w") as file:
        for name in whole.namelist():
            file.writestr(name, b"this is no Python" if name.endswith(".py") else whole.read(name))
    assert run(spoiled, str(tmp_path), "status").returncode == 2


def test_another_python_reads_the_sources(program: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(program) as whole, zipfile.ZipFile(other, "w") as file:
        for name in whole.namelist():
            bits = whole.read(name)
            file.writestr(name, b"\0\0\r\n" + bits[4:] if name.endswith(".pyc") else bits)
    assert run(other, str(tmp_path), "status").returncode == 2


def test_it_imports_nothing_of_ours_but_itself() -> None:
    for path in Path(packing.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, path.name
                names = [node.module or ""] if node.level == 0 else []
            for name in names:
                assert name.partition(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"


# ---- a call that only asks


def test_asking_serve_imports_next_to_nothing(program: Path, tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(json.dumps({"app": "toy", "run": str(tmp_path)}))
    asked = run(program, str(tmp_path), "status", flags=("-X", "importtime"))
    assert asked.returncode == SILENT
    lines = [line for line in asked.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert {"json", "node.client", "node.errors", "node.facts", "node.verbs"} <= imported
    heavy = {"argparse", "ctypes", "dataclasses", "hashlib", "pathlib", "selectors", "socket", "subprocess", "tarfile"}
    assert imported & {*heavy, "typing", "inspect", "tempfile", "shutil"} == set()


PLAIN = [
    ("status",),
    ("observe",),
    ("gc",),
    ("supervise",),
    ("serve", "--heartbeat", "7"),
    ("logs",),
    ("logs", "--lines", "7"),
    ("logs", "--lines", "7", "--of", DIGEST),
    ("stage", DIGEST),
    ("activate", DIGEST, "--token", "t", "--base", "none", *TIMES, "--generation", "3"),
    ("activate", "--generation", "3", *TIMES, "--base", DIGEST, "--token", "t", DIGEST),
    ("confirm", "t", "--generation", "3"),
    ("revert", "t", "--generation", "3", "--reason", "two words", "--harm"),
    ("revert", "--harm", "--generation", "3", "--reason", "", "t"),
    ("return", "--from", DIGEST, "--to", "none", "--generation", "3", "--token", "t"),
    ("traffic", "http/bos-a=0", "mqtt/bos-a=100", "--token", "t", *TIMES, "--generation", "3"),
    ("traffic", "--token", "t", *TIMES, "--generation", "3", "http/bos-a=0"),
]
ODD = [
    (),
    ("status", "more"),
    ("restart",),
    ("stage",),
    ("stage", "sha256:abc"),
    ("logs", "--lines", "many"),
    ("logs", "--lines"),
    ("logs", "--lines", "-1"),
    ("logs", "--of", "sha256:abc"),
    ("logs", "--lines=7"),
    ("logs", "--li", "7"),
    ("confirm", "t", "u", "--generation", "3"),
    ("confirm", "t"),
    ("confirm", "--generation", "x", "t"),
    ("revert", "t", "--generation", "3", "--reason", "- this is a reason"),
    ("revert", "t", "--generation", "3", "--reason", "--harm"),
    ("activate", DIGEST, "--token", "t", "--base", "none", "--boot", "b", "--until", "nan", "--expires", "1",
     "--generation", "3"),
    ("traffic", "http/bos-a=257", "--token", "t", *TIMES, "--generation", "3"),
    ("traffic", "http/bos-a=1", "--token", "t", *TIMES, "--generation", "3", "mqtt/bos-a=1"),
    ("traffic", "--token", "t", *TIMES, "--generation", "3"),
]  # fmt: skip


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_a_plain_call_is_read_quickly_and_as_the_long_way_reads_it(words: tuple[str, ...]) -> None:
    assert verbs.quick(("/root", *words)) == usage.read(["/root", *words])


@pytest.mark.parametrize("words", ODD, ids=" ".join)
def test_any_other_call_is_left_to_the_long_way(words: tuple[str, ...]) -> None:
    assert verbs.quick(("/root", *words)) is None
    try:
        usage.read(["/root", *words])
    except Refused as refusal:
        assert refusal.kind == "usage"
        assert refusal.sentence.startswith("node")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("stage", "sha256:abc"), "node root stage: argument digest: 'sha256:abc' is not sha256:<64 hex digits>."),
        (("confirm", "t"), "node root confirm: the following arguments are required: --generation."),
        (("logs", "--lines", "many"), "node root logs: argument --lines: invalid int value: 'many'."),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(Refused) as caught:
        usage.read(["/root", *words])
    assert caught.value.sentence == sentence
