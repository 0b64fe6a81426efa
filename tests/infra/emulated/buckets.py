"""Buckets: a policy's conditions, and what is left of an object that was deleted.

moto takes no condition into account, so "deny what does not come by TLS" would deny everything: here a statement with a
condition says nothing. And of a deleted object it cannot take away the mark.
"""

from __future__ import annotations

import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, FakeDeleteMarker

from tests.infra.emulated.patches import Patches


def install(patches: Patches) -> None:
    patches.put(FakeBucket, "get_permission", _without_conditions)
    patches.put(FakeDeleteMarker, "dispose", lambda self, garbage=False: None)


def _without_conditions(self: Any, action: str, resource: str) -> Any:
    policy = json.loads(self.policy or b"{}")
    statements = [one for one in policy.get("Statement", []) if not one.get("Condition")]
    if not statements:
        return PermissionResult.NEUTRAL
    return IAMPolicy(json.dumps({**policy, "Statement": statements})).is_action_permitted(action, resource)
