"""``[infra]``: what the infrastructure program receives, and the exact sentence for each thing that cannot be built."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import AtlasSettings, BadEnvironment, Subnet, load

FILES = {
    "base.toml": """
[budget]
deploy_seconds = 60
watch_seconds = 60
revert_seconds = 60
margin_seconds = 5
[judge]
alpha = 0.01
silence_seconds = 5
[infra]
region = "us-east-1"
fronts = { mqtt = 1883, http = 80 }
node_type = "t3.medium"
image = "/aws/service/image"
root_gb = 16
data_gb = 20
tags = { owner = "platform" }
""",
    "dev.toml": """
branch = "dev"
[fleet.mqtt]
zones = ["BOS"]
nodes_per_zone = 2
waves = [{ BOS = 1 }]
""",
    "stage.toml": """
branch = "stage"
promotes_from = "dev"
[fleet.mqtt]
zones = ["BOS"]
nodes_per_zone = 2
waves = [{ BOS = 1 }]
[infra]
vpc = "10.21.0.0/16"
""",
    "prod.toml": """
branch = "prod"
promotes_from = "stage"
[fleet.mqtt]
zones = ["BOS", "DFW"]
nodes_per_zone = 12
waves = [{ BOS = 1 }]
[fleet.c360]
zones = ["region"]
nodes_per_zone = 2
waves = [{ region = 1 }]
[infra]
vpc = "10.22.0.0/16"
public = { us-east-1a = "10.22.0.0/24", us-east-1b = "10.22.1.0/24" }
budget_dollars = 900
[infra.zones]
BOS = { us-east-1-wl1-bos-wlz-1 = "10.22.16.0/24" }
DFW = { us-east-1-wl1-dfw-wlz-1 = "10.22.17.0/24" }
region = { us-east-1a = "10.22.32.0/24", us-east-1b = "10.22.33.0/24" }
[infra.atlas]
tier = "M30"
backup = true
grants.mqtt = { "zone_{zone}.readings" = ["INSERT"] }
""",
}


def files(old: str = "", new: str = "", file: str = "prod.toml") -> dict[str, bytes]:
    """The good files, with one change in one of them."""
    assert old in FILES[file]
    return {name: (text.replace(old, new, 1) if name == file else text).encode() for name, text in FILES.items()}


def complaints(found: dict[str, bytes], name: str = "prod") -> list[str]:
    with pytest.raises(BadEnvironment) as bad:
        load(found.get, name)
    return [f"{problem.file.removeprefix('environments/')}: {problem}" for problem in bad.value.problems]


def test_an_environment_in_the_cloud_knows_where_everything_is() -> None:
    infra = load(files().get, "prod").infra

    assert infra is not None
    assert infra.public == (Subnet("us-east-1a", "10.22.0.0/24"), Subnet("us-east-1b", "10.22.1.0/24"))
    assert infra.zones["BOS"] == (Subnet("us-east-1-wl1-bos-wlz-1", "10.22.16.0/24"),)
    assert infra.wavelength_zones == ("us-east-1-wl1-bos-wlz-1", "us-east-1-wl1-dfw-wlz-1")
    assert [subnet.wavelength for subnet in infra.zones["region"]] == [False, False]
    assert infra.fronts == {"mqtt": 1883, "http": 80}
    assert (infra.region, infra.transport, infra.ssh_from, infra.protect) == ("us-east-1", "ssm", (), True)
    assert infra.atlas == AtlasSettings(
        tier="M30",
        autoscale_to="",
        version="8.0",
        backup=True,
        encryption_key="",
        private_link=False,
        grants={"mqtt": {"zone_{zone}.readings": ("INSERT",)}},
        maintenance_day=3,
        maintenance_hour=4,
    )
    assert infra.tags == {"owner": "platform"}


def test_an_environment_whose_own_file_has_no_infra_is_on_one_machine() -> None:
    assert load(files().get, "dev").infra is None


CHANGES = [
    block.splitlines() for block in Path(__file__).with_name("bad_infra.txt").read_text().rstrip().split("\n\n")[1:]
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: " ".join(line for line in change if line[0] in "+-"))
def test_what_cannot_be_built_is_said_in_one_sentence(change: list[str]) -> None:
    removed, added, said = ("\n".join(line[2:] for line in change if line[0] == sign) for sign in "-+!")

    assert complaints(files(f"{removed}\n", f"{added}\n")) == [f"prod.toml: {said}"]


def test_two_environments_on_the_way_of_a_release_have_networks_apart() -> None:
    assert complaints(files('vpc = "10.21.0.0/16"', 'vpc = "10.22.128.0/17"', "stage.toml")) == [
        "prod.toml: infra.vpc: 10.22.0.0/16 overlaps 10.22.128.0/17, which is the network of stage; "
        "give each environment its own"
    ]


def test_the_network_stands_in_no_file_that_environments_share() -> None:
    said = complaints(files('region = "us-east-1"', 'region = "us-east-1"\nvpc = "10.22.0.0/16"', "base.toml"))

    assert said == [
        "base.toml: infra.vpc: this key says which environment it is; move it to environments/<environment>.toml"
    ]
