"""What the test equipment says of itself is true: what it keeps is documented, and the engine is pinned as a pair."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]


def test_what_the_provider_keeps_itself_is_listed_for_readers() -> None:
    pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
    pytest.importorskip("botocore")
    from tests.infra.provider.every import KINDS

    page = (HOUSE / "docs" / "emulation.md").read_text()
    kept = {token: ", ".join(f"`{key}`" for key in sorted(kind.keeps)) for token, kind in KINDS.items() if kind.keeps}
    rows = dict(re.findall(r"^\| `([\w/]+:[\w/:]+)` \| (.*) \|$", page, re.MULTILINE))
    assert rows == kept


def test_the_engine_and_its_sdk_are_pinned_to_one_version_of_which_the_tool_is_built() -> None:
    pinned = (HOUSE / "infra" / "engine" / "go.mod").read_text()

    versions = re.findall(r"github\.com/pulumi/pulumi/(pkg|sdk)/v3 (v[\d.]+)", pinned)
    assert len(versions) == 2 and len({version for _, version in versions}) == 1
    assert "tool github.com/pulumi/pulumi/pkg/v3/cmd/pulumi" in pinned
    assert "replace" not in pinned
