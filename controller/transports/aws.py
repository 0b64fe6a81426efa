"""boto3's clients as the controller uses them: each call once, with an end. Credentials come from the surroundings."""

from __future__ import annotations

import threading
from typing import Any

from controller.errors import Refused

CONNECT_SECONDS, READ_SECONDS = 3, 5
LEAVING = threading.Event()
"""Set while this process ends: who waits for an answer of AWS's gives it up."""
AT_ONCE = 32
"""Connections: every node of a large environment may be asked after at the same time."""


def client(service: str, region: str) -> Any:
    """A client of ``ssm`` or ``s3``, for any number of threads. Raises Refused where its library is missing."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        attempt, remedy = f"asking AWS ({service})", "Install it: pip install 'turnabout[cloud]'."
        raise Refused(attempt, "boto3 is not installed", remedy) from None
    once = Config(
        retries={"total_max_attempts": 1}, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS,
        max_pool_connections=AT_ONCE,
    )  # fmt: skip
    return boto3.session.Session(region_name=region).client(service, config=once)
