"""Hosted zones: their ids begin with Z, as all of Route 53's do."""

from __future__ import annotations

from moto.route53 import models

from tests.infra.emulated.patches import Patches


def install(patches: Patches) -> None:
    patches.around(models, "create_route53_zone_id", lambda old: lambda *args, **more: f"Z{old(*args, **more)}"[:21])
