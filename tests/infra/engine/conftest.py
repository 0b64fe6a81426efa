"""One emulated account for all of these tests. Without the engine, or its libraries, every one of them is skipped."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.account import Account
    from tests.infra.life import Life

STACKS = ("dev", "stage", "prod")


@pytest.fixture(scope="package")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    for library in ("pulumi", "pulumi_aws", "pulumi_mongodbatlas", "moto", "boto3"):
        pytest.importorskip(library, reason="its libraries are not here: `make infra` installs them")
    from infra.engine.binary import NoEngine
    from tests.infra.account import open_account

    try:
        with open_account(tmp_path_factory.mktemp("account")) as account:
            yield account
    except NoEngine as error:
        pytest.skip(str(error))


@pytest.fixture(scope="package")
def lives(account: Account) -> dict[str, Life]:
    """The whole lives of dev, stage and prod, two at a time; their figures go to build/infra.json."""
    from tests.infra.figures import write
    from tests.infra.life import live

    with ThreadPoolExecutor(2) as pool:
        lived = dict(zip(STACKS, pool.map(lambda stack: live(account, stack), STACKS), strict=True))
    write(lived)
    return lived


@pytest.fixture(scope="module")
def demo(account: Account) -> Account:
    """The account with an environment demo, which is one file and one stack file, up and as its file says."""
    account.make_environment("demo")
    up = account.turnabout("up", "demo")
    assert up.code == 0, up.err
    return account


@pytest.fixture
def empty(account: Account) -> Iterator[Account]:
    """The account with a stack demo that has nothing."""
    account.make_environment("demo")
    if account.state("demo"):
        assert account.pulumi("destroy", "--yes", "--stack", "demo").code == 0
    yield account
    account.provider.before = lambda deed, name: None
