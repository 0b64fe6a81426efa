"""The whole life of a stack in an emulated cloud: previewed, brought up, up again, looked at, and taken down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.outputs import Outputs, from_json
from tests.infra.account import BY_KMS, Account, Ran

KEPT = "protect = true"
SECRETS = {"dev": "passphrase"}
"""Elsewhere they are behind KMS: docs/deploy.md names both ways."""


@dataclass(frozen=True, slots=True)
class Life:
    """What each command answered and what was there after it; ``refused`` is a take-down of what is protected."""

    environment: str
    preview: Ran
    after_preview: int
    up: Ran
    again: Ran
    refresh: Ran
    resources: tuple[Mapping[str, Any], ...]
    """Of the state, after the second ``up``."""
    there: int
    """How many of them the cloud says that it has."""
    state: str
    """The state as it is kept on disk."""
    outputs: Outputs
    published: Outputs
    """What the parameter says that controllers read."""
    shrunk: Ran | None
    """A preview of prod with a zone less, while it is protected."""
    refused: Ran | None
    destroyed: Ran
    left: tuple[str, ...]
    after: int
    """Resources in the state at the end."""

    @property
    def commands(self) -> dict[str, Ran]:
        """Those that ``turnabout`` and ``pulumi`` were asked, by what they are called."""
        named = {"preview": self.preview, "up": self.up, "again": self.again, "refresh": self.refresh}
        return {**named, "destroy": self.destroyed}

    @property
    def kinds(self) -> Counter[str]:
        return Counter(one["type"] for one in self.resources)


def live(account: Account, environment: str) -> Life:
    account.make_stack(environment, SECRETS.get(environment, BY_KMS))
    preview = account.turnabout("preview", environment)
    after_preview = len(account.state(environment))
    up = account.turnabout("up", environment)
    again = account.turnabout("up", environment)
    refresh = account.turnabout("refresh", environment)
    resources = account.state(environment)
    there = account.there(resources)
    told = account.pulumi("stack", "output", "outputs", "--show-secrets", "--stack", environment)
    assert told.code == 0, told.err
    name = f"/turnabout/{environment}/outputs"
    published = account.aws.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    state = account.kept(environment)
    shrunk = shrink(account, environment)
    refused, destroyed = end(account, environment)
    return Life(
        environment=environment,
        preview=preview,
        after_preview=after_preview,
        up=up,
        again=again,
        refresh=refresh,
        resources=tuple(resources),
        there=len(there),
        state=state,
        outputs=from_json(told.out),
        published=from_json(published, name),
        shrunk=shrunk,
        refused=refused,
        destroyed=destroyed,
        left=tuple(account.there(resources)),
        after=len(account.state(environment)),
    )


def shrink(account: Account, environment: str) -> Ran | None:
    """What would happen if DFW were taken out of an environment that has it."""
    smaller = {
        'zones = ["BOS", "DFW"]': 'zones = ["BOS"]',
        "waves = [{ BOS = 1 }, { BOS = 1, DFW = 1 }]": "waves = [{ BOS = 1 }]",
        'DFW = { us-east-1-wl1-dfw-wlz-1 = "10.22.17.0/24" }\n': "",
    }
    if "DFW" not in (account.house / "environments" / f"{environment}.toml").read_text():
        return None
    with account.edited(environment, smaller):
        return account.turnabout("up", environment)


def end(account: Account, environment: str) -> tuple[Ran | None, Ran]:
    """Take it down as docs/deploy.md says: where it is protected, that is taken back first, by its file."""
    destroy = ("destroy", "--yes", "--stack", environment)
    if KEPT not in (account.house / "environments" / f"{environment}.toml").read_text():
        return None, account.pulumi(*destroy)
    refused = account.pulumi(*destroy)
    with account.edited(environment, {KEPT: "protect = false"}):
        let_go = account.turnabout("up", environment)
        assert let_go.code == 0, let_go.err
        return refused, account.pulumi(*destroy)
