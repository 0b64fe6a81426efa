"""What goes wrong on the way up: each time a sentence with what to do, and a state that the next run goes on from."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.account import Account

pytestmark = pytest.mark.timeout(600)
LIMIT_SECONDS = 120
QUOTA = "An error occurred (VcpuLimitExceeded) when calling the RunInstances operation: You have requested more vCPU"


class Halt:
    """Lets a deed wait at one resource until the test goes on."""

    def __init__(self, account: Account, name: str) -> None:
        self.reached, self.on = threading.Event(), threading.Event()
        self._name = name
        account.provider.before = self._at

    def _at(self, deed: str, name: str) -> None:
        if (deed, name) == ("create", self._name):
            self.reached.set()
            self.on.wait(LIMIT_SECONDS)


@pytest.fixture
def empty(account: Account) -> Iterator[Account]:
    """The account with a stack demo that has nothing."""
    account.make_environment("demo")
    assert account.pulumi("destroy", "--yes", "--stack", "demo").code == 0
    yield account
    account.provider.before = lambda deed, name: None


def whole(account: Account) -> None:
    """Another run goes on to the end; the state and the cloud then have the same, and nothing twice."""
    account.provider.before = lambda deed, name: None
    up = account.turnabout("up", "demo")
    assert up.code == 0, up.err
    assert account.turnabout("refresh", "demo").said == "demo: nothing to do"
    at = [{"Name": "tag:turnabout:environment", "Values": ["demo"]}]
    for call, many in (("describe_vpcs", "Vpcs"), ("describe_subnets", "Subnets"), ("describe_volumes", "Volumes")):
        there = getattr(account.aws.client("ec2"), call)(Filters=at)[many]
        kind = {"Vpcs": ":Vpc", "Subnets": ":Subnet", "Volumes": ":Volume"}[many]
        declared = [one for one in account.state("demo") if one["type"].endswith(kind)]
        disks = 2 if many == "Volumes" else 0  # each machine's own disk
        assert len(there) == len(declared) + disks, many


def secrets(account: Account) -> set[str]:
    """Everything that no line and no state may show; what the stack itself made of its secret is asked of it."""
    from infra.outputs import from_json
    from tests.infra.account import PASSPHRASE, SECRET

    told = account.pulumi("stack", "output", "outputs", "--show-secrets", "--stack", "demo")
    return {SECRET, PASSPHRASE, account.atlas.secret, *(node.observe_token for node in from_json(told.out).nodes)}


def test_a_quota_in_the_middle_is_told_and_the_next_run_goes_on(empty: Account) -> None:
    def refuse(deed: str, name: str) -> None:
        if (deed, name) == ("create", "mia-b"):
            raise RuntimeError(QUOTA)

    empty.provider.before = refuse
    failed = empty.turnabout("up", "demo")

    assert failed.code == 1
    assert failed.err.splitlines()[-1] == (
        "demo: mia-b: The account has no more of what was asked for (VcpuLimitExceeded). Ask for a larger quota, or "
        "use less, and run it again. What was made until then is recorded; the same command goes on from there."
    )
    made, kept = empty.state("demo"), empty.kept("demo")
    assert len(made) > 20 and len(empty.there(made)) == len(made)
    whole(empty)
    assert [secret for secret in secrets(empty) if secret in failed.out + failed.err + kept] == []


def test_a_service_account_that_expires_in_the_middle_is_told(empty: Account) -> None:
    def expire(deed: str, name: str) -> None:
        if (deed, name) == ("create", "store"):
            empty.atlas.tokens.clear()

    empty.provider.before = expire
    failed = empty.turnabout("up", "demo")
    empty.provider.cloud.atlas.renew()

    assert failed.code == 1
    assert "Atlas does not take the service account: it is unknown, or its secret has expired." in failed.err
    assert empty.atlas.secret not in failed.err + failed.out
    whole(empty)


def test_ctrl_c_lets_the_engine_end_what_it_has_begun(empty: Account) -> None:
    halt = Halt(empty, "mia-a")
    process = empty.start("up", "demo")
    assert halt.reached.wait(LIMIT_SECONDS)
    os.killpg(process.pid, signal.SIGINT)
    halt.on.set()
    _, err = process.communicate(timeout=LIMIT_SECONDS)

    assert process.returncode == 130, err
    assert err.splitlines()[-1] == (
        "demo: interrupted. What was made until then is recorded; the same command goes on from there."
    )
    made = empty.state("demo")
    assert len(empty.there(made)) == len(made) > 0
    whole(empty)


def test_a_run_that_was_killed_is_told_with_what_it_may_have_made(account: Account) -> None:
    account.make_environment("lost")
    halt = Halt(account, "mia-a")
    process = account.start("up", "lost")
    assert halt.reached.wait(LIMIT_SECONDS)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=LIMIT_SECONDS)
    halt.on.set()

    unknown = account.turnabout("up", "lost")
    assert unknown.code == 1
    assert unknown.err.startswith("lost: a run is making ")
    assert "mia-a (ec2 Instance)" in unknown.err
    assert "or was killed while it did. If it was killed: `pulumi cancel --yes --stack lost`;" in unknown.err

    locked = account.turnabout("refresh", "lost", "--adopt")
    assert (locked.code, locked.err) == (
        1,
        "lost: Somebody else is working on lost, or a run of it was killed. When nobody is: `pulumi cancel --yes "
        "--stack lost`, and then again.\n",
    )
    assert account.pulumi("cancel", "--yes", "--stack", "lost").code == 0
    assert account.turnabout("refresh", "lost", "--adopt").code == 0
    made = account.state("lost")
    assert len(account.there(made)) == len(made) > 0


def test_a_machine_that_the_zone_does_not_offer_is_told_before_anything_is_made(empty: Account) -> None:
    with empty.edited("demo", {"[infra]": '[infra]\nnode_type = "m7i.metal"'}):
        refused = empty.turnabout("up", "demo")

    assert refused.code == 1
    assert "m7i.metal is not offered in us-east-1-wl1-mia-wlz-1" in refused.err
    assert empty.state("demo") == []


def test_a_zone_that_is_nowhere_is_told_before_anything_is_made(empty: Account) -> None:
    with empty.edited("demo", {"us-east-1-wl1-mia-wlz-1": "us-east-1-wl1-xyz-wlz-1"}):
        refused = empty.turnabout("up", "demo")

    assert (refused.code, refused.err) == (
        1,
        "demo: AWS does not have what demo asks for: 1 problem\n  - there is no zone us-east-1-wl1-xyz-wlz-1 in "
        "us-east-1; name one that `aws ec2 describe-availability-zones --all-availability-zones` lists\n",
    )
    assert empty.state("demo") == []


def test_a_zone_that_is_not_open_to_the_account_is_told_and_after_the_opt_in_the_same_command_goes_on(
    empty: Account,
) -> None:
    """On nothing, and on a stack that is up: its state stays as it is to the byte, and so does the cloud."""
    opt_in = "aws ec2 modify-availability-zone-group --group-name us-east-1-wl1 --opt-in-status opted-in"
    told = (
        "demo: AWS does not have what demo asks for: 1 problem\n  - us-east-1-wl1-mia-wlz-1 is not open to this "
        f"account; open it with `{opt_in}`\n"
    )

    def refused() -> None:
        before, done = empty.kept("demo"), len(empty.provider.done)
        empty.aws.shut("us-east-1-wl1")
        said = [empty.turnabout(verb, "demo") for verb in ("preview", "up")]
        assert [(ran.code, ran.err) for ran in said] == [(1, told)] * 2
        assert (empty.kept("demo"), len(empty.provider.done)) == (before, done)
        obey(empty, opt_in)

    refused()
    whole(empty)
    with empty.edited("demo", {"nodes_per_zone = 2": "nodes_per_zone = 3"}):
        refused()
        up = empty.turnabout("up", "demo")
        assert up.code == 0 and "+ mia-c (ec2 Instance)" in up.err
    assert len(empty.there(empty.state("demo"))) == len(empty.state("demo"))


def obey(account: Account, command: str) -> None:
    """Do what a sentence says to do by AWS's command line."""
    service, call, *words = command.split()[1:]
    flags = (re.sub(r"-?(\w+)", lambda part: part[1].capitalize(), flag[2:]) for flag in words[::2])
    asked = dict(zip(flags, words[1::2], strict=True))
    getattr(account.aws.client(service), call.replace("-", "_"))(**asked)


def test_a_region_that_aws_does_not_have_is_told_and_the_command_ends(empty: Account) -> None:
    elsewhere = {
        "[infra]": '[infra]\nregion = "us-north-1"',
        "us-east-1a": "us-north-1a",
        "us-east-1-wl1": "us-north-1-wl1",
    }
    with empty.edited("demo", elsewhere):
        refused = [empty.turnabout(verb, "demo") for verb in ("preview", "up")]

    told = "demo: AWS has no region us-north-1. Correct infra.region in environments/demo.toml or base.toml.\n"
    assert [(ran.code, ran.err) for ran in refused] == [(1, told)] * 2
    assert empty.state("demo") == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "operation error STS: GetCallerIdentity, https response error StatusCode: 403, api error ExpiredToken: The "
            "security token included in the request is expired",
            "demo: AWS's credentials have expired. Get new ones and run it again. What was made until then is "
            "recorded; the same command goes on from there.\n",
        ),
        (
            "No valid credential sources found. Please see the provider's documentation",
            "demo: There are no credentials for AWS here. Set AWS_PROFILE, or let the pipeline take its role, as "
            "docs/deploy.md says.\n",
        ),
    ],
    ids=["expired", "none"],
)
def test_credentials_that_aws_does_not_take_are_told_and_the_command_ends(empty: Account, said: str, told: str) -> None:
    def refuse(deed: str, name: str) -> None:
        if deed == "configure":
            raise RuntimeError(said)

    empty.provider.before = refuse
    refused = empty.turnabout("up", "demo")

    assert (refused.code, refused.err) == (1, told)
    assert empty.state("demo") == []


def test_a_session_of_aws_that_expires_in_the_middle_is_told_and_the_next_run_goes_on(empty: Account) -> None:
    def expire(deed: str, name: str) -> None:
        if (deed, name) == ("create", "mia-b"):
            raise RuntimeError(
                "An error occurred (RequestExpired) when calling the RunInstances operation: Request has"
            )

    empty.provider.before = expire
    failed = empty.turnabout("up", "demo")

    assert failed.code == 1
    assert failed.err.splitlines()[-1] == (
        "demo: mia-b: AWS's credentials have expired. Get new ones and run it again. What was made until then is "
        "recorded; the same command goes on from there."
    )
    whole(empty)


@pytest.mark.parametrize(
    ("without", "more", "told"),
    [
        (("MONGODB_ATLAS_CLIENT_SECRET",), {}, "MONGODB_ATLAS_CLIENT_SECRET is not set: the service account of"),
        (("PULUMI_CONFIG_PASSPHRASE",), {}, "demo: demo's secrets are behind a passphrase, and none is set"),
        ((), {"PULUMI_CONFIG_PASSPHRASE": "another"}, "kept: The passphrase is not the one that demo's secrets were"),
        (("PULUMI_BACKEND_URL",), {}, "demo: Pulumi does not know where states are kept; set PULUMI_BACKEND_URL"),
        ((), {"PATH": "/nowhere"}, "There is no pulumi on this machine. Install it"),
    ],
    ids=["no service account", "no passphrase", "another passphrase", "no backend", "no pulumi"],
)
def test_what_is_missing_around_it_is_told(
    account: Account, without: tuple[str, ...], more: dict[str, str], told: str
) -> None:
    account.make_environment("demo")
    refused = account.turnabout("preview", "demo", without=without, **more)

    assert refused.code == 1
    assert refused.err.startswith(told), refused.err
    assert "Traceback" not in refused.err


def test_a_stack_that_was_never_made_is_told(account: Account) -> None:
    refused = account.turnabout("preview", "nowhere")

    assert (refused.code, refused.err) == (
        1,
        "nowhere: There is no stack nowhere in this backend. Make it with `pulumi stack init nowhere` and write its "
        "configuration, as docs/deploy.md says.\n",
    )
