"""What went wrong in the engine, as one sentence with what to do. Pure.

The engine's own words are kept where they say more than we know; what is known to need a person is told as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from infra.engine.steps import Step


class Failed(Exception):
    """The engine did not do what it was asked; the message says why, what stands, and what to do."""


class Interrupted(Failed):
    """Somebody pressed Ctrl-C; the engine ended what it had begun and wrote down where it stands."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the engine said of one resource; of none, if ``name`` is empty."""

    name: str
    text: str


SAFE = "What was made until then is recorded; the same command goes on from there."

KNOWN: tuple[tuple[str, str], ...] = (
    (
        r"no stack named|Stack '.*' not found|StackNotFound",
        "There is no stack {environment} in this backend. Make it with `pulumi stack init {environment}` and write its "
        "configuration, as docs/deploy.md says.",
    ),
    (
        r"currently locked",
        "Somebody else is working on {environment}, or a run of it was killed. When nobody is: `pulumi cancel --yes "
        "--stack {environment}`, and then again.",
    ),
    (
        r"incorrect passphrase",
        "The passphrase is not the one that {environment}'s secrets were written with; correct "
        "PULUMI_CONFIG_PASSPHRASE.",
    ),
    (
        r"passphrase must be set|get(?:ting)? passphrase",
        "{environment}'s secrets are behind a passphrase, and none is set; set PULUMI_CONFIG_PASSPHRASE, or "
        "PULUMI_CONFIG_PASSPHRASE_FILE.",
    ),
    (
        r"PULUMI_ACCESS_TOKEN must be set|no credentials.*backend|log(?: |-)?in",
        "Pulumi does not know where states are kept; set PULUMI_BACKEND_URL, such as s3://BUCKET, or run "
        "`pulumi login`.",
    ),
    (
        r"ExpiredToken|RequestExpired|token included in the request is expired",
        "AWS's credentials have expired. Get new ones and run it again. " + SAFE,
    ),
    (
        r"No valid credential sources|no EC2 IMDS role|refresh cached credentials|Unable to locate credentials",
        "There are no credentials for AWS here. Set AWS_PROFILE, or let the pipeline take its role, as docs/deploy.md "
        "says.",
    ),
    (
        r"invalid AWS Region: ([\w-]+)",
        "AWS has no region {0}. Correct infra.region in environments/{environment}.toml or base.toml.",
    ),
    (
        r"401 Unauthorized|HTTP 401|UNAUTHORIZED|invalid_client",
        "Atlas does not take the service account: it is unknown, or its secret has expired. Correct "
        "MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET and run it again. " + SAFE,
    ),
    (
        r"(\w*(?:LimitExceeded|InsufficientInstanceCapacity|LIMIT_EXCEEDED|QUOTA\w*))",
        "The account has no more of what was asked for ({0}). Ask for a larger quota, or use less, and run it again. "
        + SAFE,
    ),
)


EMPTY = ("update failed", "preview failed", "refresh failed", "")
"""What the engine adds when it has said everything."""


def only_protected(complaints: Iterable[Complaint]) -> bool:
    """Whether all that the engine has against a plan is that it deletes what is protected: our guard says that."""
    said = [complaint.text for complaint in complaints if complaint.text.strip() not in EMPTY]
    return bool(said) and all("protected" in text for text in said)


def missing_atlas(surroundings: Iterable[str]) -> str | None:
    """The sentence for an Atlas service account that is not set at all, which the engine would find out only midway."""
    wanted = ("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET")
    absent = [name for name in wanted if name not in set(surroundings)]
    if not absent:
        return None
    are = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {are} not set: the service account of Atlas's organisation. Nothing was changed."


def unfinished(environment: str, left: Iterable[Step]) -> str:
    """The sentence for what another run has begun to make and not ended."""
    what = ", ".join(f"{step.name} ({step.kind})" for step in left)
    return (
        f"{environment}: a run is making {what}, or was killed while it did. If it was killed: `pulumi cancel --yes "
        f"--stack {environment}`; look in the cloud and delete what is there of it, because that was not written down "
        f"and would be made twice; then `pulumi refresh --clear-pending-creates --yes --stack {environment}`, and this "
        "again. Nothing was changed."
    )


def sentence(environment: str, complaints: Iterable[Complaint]) -> str:
    """Why it failed: every complaint once, those that we know in our words."""
    said: dict[str, list[str]] = {}
    for complaint in complaints:
        text = complaint.text.strip().removeprefix("an unhandled error occurred: ").strip()
        if text not in EMPTY:
            said.setdefault(_known(environment, text) or text, []).append(complaint.name)
    lines = []
    for text, names in said.items():
        where = ", ".join(sorted({name for name in names if name}))
        lines.append(f"{where}: {text}" if where else text)
    return f"{environment}: " + "\n".join(lines or ["the engine failed and did not say why."])


def _known(environment: str, text: str) -> str | None:
    for form, told in KNOWN:
        if found := re.search(form, text):
            return told.format(*found.groups(), environment=environment)
    return None
