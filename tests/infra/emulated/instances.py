"""What instances of the emulated cloud have besides a shell, and nodes of this machine that play such instances.

To whoever commands them they are reached by Run Command alone. Their addresses stay this machine's own, because the
emulated cloud carries no packets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from infra.local.places import OneMachine, Spot, Wanted
from infra.outputs import Outputs
from tests.infra.emulated.cloud import EmulatedCloud

AWS = """\
#!{python}
# As much of AWS's command line as a node's scripts use: s3 cp FROM TO|-, and ssm get-parameter --name NAME.
import sys
import boto3

if sys.argv[1] == "ssm":
    name = sys.argv[sys.argv.index("--name") + 1]
    print(boto3.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
else:
    place, to = sys.argv[-2:]
    bucket, _, key = place.removeprefix("s3://").partition("/")
    content = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with sys.stdout.buffer if to == "-" else open(to, "wb") as file:
        file.write(content)
"""
BUCKET = "built-releases"
APPS = ("toy", "side")


def on_instances(cloud: EmulatedCloud, folder: Path) -> dict[str, str]:
    """The environment variables of programs on instances: ``aws`` is on their path; ``folder`` is where it is put."""
    tools = folder / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    (tools / "aws").write_text(AWS.format(python=sys.executable))
    (tools / "aws").chmod(0o700)
    return {**os.environ, **cloud.environment, "PATH": f"{tools}:{os.environ['PATH']}"}


class Instances(OneMachine):
    """Places of a platform in an emulated cloud of its own, with a bucket and a parameter for each application.

    While it is open this process, and whatever it starts, takes the emulated cloud for AWS.
    """

    def __init__(self, apps: Sequence[str] = APPS) -> None:
        self.cloud = EmulatedCloud()
        self.surroundings: Mapping[str, str] = {}
        """Of programs on the instances."""
        self._apps = apps
        self._before: dict[str, str | None] = {}
        self._instances: dict[tuple[str, str], str] = {}

    def begin(self, root: Path, nodes: Sequence[Wanted]) -> None:
        self.cloud.__enter__()
        self.taken_for_aws(root)
        self.cloud.client("s3").create_bucket(Bucket=BUCKET)
        count = len(nodes)
        made = self.cloud.client("ec2").run_instances(
            ImageId="ami-12c6146b", InstanceType="t3.medium", MinCount=count, MaxCount=count
        )
        for node, instance in zip(nodes, made["Instances"], strict=True):
            self.plays(node.environment, node.name, instance["InstanceId"], root)
        for environment in {node.environment for node in nodes}:
            for name in self._releases(environment).values():
                self.cloud.client("ssm").put_parameter(Name=name, Value="none", Type="String")

    def taken_for_aws(self, root: Path) -> None:
        self._before = {name: os.environ.get(name) for name in self.cloud.environment}
        os.environ.update(self.cloud.environment)
        self.surroundings = on_instances(self.cloud, root)

    def plays(self, environment: str, node: str, instance: str, root: Path) -> None:
        """The node of this machine plays the instance from now on."""
        self.cloud.run_command.plays(instance, root, environment=self.surroundings)
        self._instances[environment, node] = instance

    def spot(self, environment: str, name: str) -> Spot:
        return Spot(transport="ssm", address=self._instances[environment, name])

    def described(self, outputs: Outputs) -> Outputs:
        releases = self._releases(outputs.environment)
        return replace(outputs, region=self.cloud.region, artifacts=BUCKET, releases=releases)

    def end(self) -> None:
        self.no_longer_taken_for_aws()
        if self.cloud.endpoint:
            self.cloud.__exit__(None, None, None)

    def no_longer_taken_for_aws(self) -> None:
        for name, value in self._before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        self._before = {}

    def _releases(self, environment: str) -> dict[str, str]:
        return {app: f"/turnabout/{environment}/releases/{app}" for app in self._apps}
