"""What the application says about itself, held against what it does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from apps.mqtt.config import BadConfig, Settings, load
from apps.mqtt.disk import layout
from apps.mqtt.tests.running import LAWS, ROOT, Edge

APP = ROOT / "apps" / "mqtt"
RELEASE: dict[str, Any] = tomllib.loads((APP / "release.toml").read_text())


def test_the_data_versions_are_those_of_the_store() -> None:
    assert RELEASE["data_versions"] == {"reads": list(layout.READS), "writes": layout.WRITES}
    assert layout.WRITES in layout.READS


def test_the_laws_are_those_that_every_scrape_is_held_to() -> None:
    laws = [check["law"] for check in RELEASE["checks"] if check["kind"] == "conservation"]
    assert laws == [f"{total} = {' + '.join(parts)}" for total, parts in LAWS]


def test_every_metric_that_a_check_names_is_exported(edge: Edge) -> None:
    exported = edge.metrics()
    for check in RELEASE["checks"]:
        words = " ".join(str(check.get(key, "")) for key in ("law", "events", "per") if "from" not in check)
        for name in re.findall(r"[a-z_]+", words):
            assert name in exported


def test_the_lock_is_part_of_the_projects_and_names_what_is_imported() -> None:
    pins = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
    ours = dict(pins.findall((APP / "requirements.lock").read_text()))
    assert ours.items() <= dict(pins.findall((ROOT / "requirements.lock").read_text())).items()
    assert set(ours) == {"dnspython", "pymongo", "uvloop"}
    assert "://" not in (APP / "requirements.lock").read_text()


def test_the_serving_process_imports_no_driver() -> None:
    script = (
        "import sys, apps.mqtt.__main__; print([m for m in ('pymongo', 'bson', 'ctypes', 'ssl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['ssl']")  # asyncio brings ssl along


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"zone": None}, '"zone" is missing'),
        ({"ports": {"mqtt": 1}}, '"ports.http" is missing'),
        ({"ports": {"mqtt": "1", "http": 2}}, '"ports.mqtt" is not a number'),
        ({"secrets": {}}, '"secrets.mongo_uri" is missing'),
        ({"zone": "a/b"}, "\"zone\" is 'a/b'"),
        ({"settings": {"max_batch": 0}}, '"settings.max_batch" is 0'),
        ({"settings": {"max_batch": True}}, '"settings.max_batch" is True'),
        ({"settings": []}, '"settings" is not a table'),
    ],
)
def test_a_configuration_that_lacks_something_is_refused_with_one_sentence(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    edge = Edge(tmp_path)
    edge.document |= change
    edge.config.write_text(json.dumps(edge.document))
    with pytest.raises(BadConfig) as caught:
        load(edge.config)
    assert sentence in str(caught.value)
    assert str(edge.config) in str(caught.value)


def test_a_bad_configuration_ends_the_application_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.mqtt", "--config", str(tmp_path / "none.json")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot be read: No such file or directory." in done.stderr


def test_unknown_keys_and_settings_are_for_others(tmp_path: Path) -> None:
    edge = Edge(tmp_path, retention_days=30, max_batch=7)
    edge.config.write_text(json.dumps(edge.document))
    assert load(edge.config).settings == Settings(max_batch=7)
