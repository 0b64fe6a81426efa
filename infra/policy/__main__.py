"""``pulumi preview --policy-pack infra/policy``: starts the server that Pulumi asks. Nothing else may import this."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pulumi_policy import PolicyPack

from infra.policy.pack import policies

PolicyPack("turnabout", policies())
