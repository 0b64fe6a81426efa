"""What all tests share: ``--long`` plays the fault runs whole, which takes minutes more."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="play every fault and walk far, not the short form")
