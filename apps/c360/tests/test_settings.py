"""What the platform writes is read, what it forgets is named, and what it adds is ignored."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.c360.settings import BadSettings, Settings, read_settings
from apps.c360.tests.servers import run

TOLD: dict[str, Any] = {
    "release": "sha256:1",
    "bind": "127.0.0.1",
    "ports": {"http": 8080},
    "secrets": {"mongo_uri": "mongodb://user:hush@127.0.0.1/"},
    "later": {},
}


def written(directory: Path, told: Any) -> Path:
    path = directory / "config.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    return path


def test_the_settings_are_read_and_unknown_keys_are_ignored(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, TOLD))
    assert (settings.release, settings.http_port, settings.database) == ("sha256:1", 8080, "c360")
    assert "hush" not in repr(settings)


def test_the_database_is_named_by_its_setting(tmp_path: Path) -> None:
    settings: Settings = read_settings(written(tmp_path, {**TOLD, "settings": {"database": "c360_stage"}}))
    assert settings.database == "c360_stage"


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("{", "is not JSON"),
        ([], "the key ports.http is missing"),
        ({**TOLD, "release": None}, "the key release is missing"),
        ({**TOLD, "release": 5}, "release is not a non-empty text"),
        ({**TOLD, "ports": {"http": "8080"}}, "ports.http is '8080'"),
        ({**TOLD, "ports": {"http": 70000}}, "ports.http is 70000"),
        ({**TOLD, "secrets": {}}, "the key secrets.mongo_uri is missing"),
        ({**TOLD, "settings": {"database": "a.b"}}, "settings.database is 'a.b'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, told: Any, named: str) -> None:
    with pytest.raises(BadSettings, match=named.replace(".", r"\.")):
        read_settings(written(tmp_path, told))


@pytest.mark.parametrize("module", ["apps.c360", "apps.c360.seed"])
def test_the_process_ends_with_2_and_one_sentence(tmp_path: Path, module: str) -> None:
    for told in ({**TOLD, "secrets": {}}, {**TOLD, "secrets": {"mongo_uri": "http://hush"}}):
        ended = run(module, "--config", str(written(tmp_path, told)))
        assert ended.returncode == 2
        said = ended.stderr.splitlines()[-1]
        assert "secrets.mongo_uri" in said
        assert "hush" not in said
        assert "Traceback" not in ended.stderr
    assert run(module, "--config", str(tmp_path / "none")).returncode == 2
