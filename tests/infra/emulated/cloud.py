"""The emulated cloud as tests use it: an address that speaks AWS's API, and clients that speak to it.

    with EmulatedCloud(opted_in=("us-east-1-wl1",)) as cloud:
        cloud.client("ec2").describe_availability_zones()
        subprocess.run(command, env={**os.environ, **cloud.environment})

One can be open in a process at a time: moto keeps its state in its modules. It forgets everything when it closes.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config
from moto.core.base_backend import BackendDict
from moto.server import ThreadedMotoServer

from tests.infra.emulated import addresses, buckets, gateways, hosted_zones, systems, zones
from tests.infra.emulated.commands import RunCommand
from tests.infra.emulated.direct import Direct
from tests.infra.emulated.patches import Patches

LOOPBACK = "127.0.0.1"
KEYS = {"AWS_ACCESS_KEY_ID": "emulated", "AWS_SECRET_ACCESS_KEY": "emulated", "AWS_SESSION_TOKEN": "emulated"}
MANAGED_POLICIES = "MOTO_IAM_LOAD_MANAGED_POLICIES"


class EmulatedCloud:
    """AWS on loopback. ``opted_in`` are the zone groups that are open to the account from the start."""

    def __init__(self, opted_in: tuple[str, ...] = (), region: str = "us-east-1") -> None:
        self.region, self._opted_in = region, opted_in
        self._patches = Patches()
        self.run_command = RunCommand()
        self.endpoint = ""

    def __enter__(self) -> EmulatedCloud:
        if os.environ.get(MANAGED_POLICIES):
            raise RuntimeError("An emulated cloud is open already in this process; close it first.")
        os.environ[MANAGED_POLICIES] = "true"
        zones.install(self._patches, self._opted_in)
        addresses.install(self._patches)
        gateways.install(self._patches)
        buckets.install(self._patches)
        hosted_zones.install(self._patches)
        systems.install(self._patches, self.run_command)
        BackendDict.reset()
        self._server = ThreadedMotoServer(LOOPBACK, 0, verbose=False)
        self._server.start()
        self.endpoint = f"http://{LOOPBACK}:{self._server.get_host_and_port()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self.run_command.close()
        self._patches.undo()
        BackendDict.reset()
        del os.environ[MANAGED_POLICIES]

    def shut(self, group: str) -> None:
        """A zone group is no longer open to the account."""
        zones.shut(self.region, group)

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs to take this for AWS."""
        where = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": self.region, "AWS_REGION": self.region}
        return {**KEYS, **where, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client of a service, such as ``ec2``. It tries nothing twice, and gives up after a minute."""
        session = boto3.session.Session(*KEYS.values(), region_name=region or self.region)
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
        return session.client(service, endpoint_url=self.endpoint, config=once)

    def direct(self, service: str) -> Any:
        """The same client without a socket between: for who asks thousands of things in this very process."""
        client, served = self.client(service), self._server._server
        assert served is not None
        client.meta.events.register("before-send", Direct(served.app))
        return client
