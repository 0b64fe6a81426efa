"""What goes wrong in the middle of ``up``: a sentence with what to do, and a state that the next run goes on from."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.integration.small import wait

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
    empty.comes_up_whole("demo")
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
    empty.comes_up_whole("demo")


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
    empty.comes_up_whole("demo")


def test_a_run_that_was_killed_is_told_with_what_it_may_have_made_and_with_the_way_on(account: Account) -> None:
    account.make_environment("lost")
    halt = Halt(account, "mia-a")
    process = account.start("up", "lost")
    assert halt.reached.wait(LIMIT_SECONDS)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=LIMIT_SECONDS)
    halt.on.set()
    wait("what was begun is over", lambda: not account.provider.under_way)

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
    deleted = delete_what_is_there_of_it(account, unknown.err)
    assert "mia-a" in deleted
    cleared = account.pulumi("refresh", "--clear-pending-creates", "--yes", "--stack", "lost")
    assert cleared.code == 0, cleared.out + cleared.err
    account.comes_up_whole("lost")


def delete_what_is_there_of_it(account: Account, sentence: str) -> set[str]:
    """As somebody who looks in the cloud for what a sentence names; the names of what was there."""
    from tests.infra.provider.every import KINDS
    from tests.infra.provider.wire import kind_of, name_of

    told = set(re.findall(r"([\w-]+) \(", sentence))
    mine = {
        urn: made
        for urn, made in account.provider.made.items()
        if urn.startswith("urn:pulumi:lost::") and name_of(urn) in told
    }
    for urn, (id, asked) in reversed(mine.items()):
        KINDS[kind_of(urn)](account.provider.cloud).delete(id, asked)
    return {name_of(urn) for urn in mine}


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
    empty.comes_up_whole("demo")
