"""The contract between the platform and the controller: what is written is read back; what is wrong is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.site import load_site
from infra.outputs import BadOutputs, NodeOutput, Outputs, from_json, to_json


def node(name: str = "bos-a", **changes: Any) -> NodeOutput:
    values: dict[str, Any] = {
        "name": name,
        "zone": "BOS",
        "app": "mqtt",
        "root": f"/srv/turnabout/{name}",
        "transport": "local",
        "address": "",
        "observe_url": "http://127.0.0.1:21009/observe",
        "observe_token": "token",
        "fronts": {"mqtt": "127.0.0.1:22001", "http": "127.0.0.1:22002"},
        "listens": {"mqtt": "127.0.0.1:21001", "http": "127.0.0.1:21002"},
        "backends": ("http", "mqtt"),
    }
    return NodeOutput(**{**values, **changes})


PLATFORM = Outputs(
    environment="prod",
    nodes=(node("bos-a"), node("bos-b", transport="ssh", address="198.51.100.5", host_key="ssh-ed25519 AAAA")),
    program=("/usr/bin/python3", "-I", "-S", "/opt/turnabout/node.pyz"),
    mongo_uri="mongodb://127.0.0.1:27117/?replicaSet=rs0",
    repository="git://127.0.0.1:9418/repository.git",
    trusted=("ab" * 32,),
    bastion="192.0.2.74",
    bastion_host_key="ssh-ed25519 BBBB",
    ssh_user="ec2-user",
)

CLOUD = Outputs(
    environment="prod",
    nodes=(node("bos-a", transport="ssm", address="i-0abc", carrier="155.146.0.7"), node("region-a")),
    program=("/usr/bin/python3.11", "-I", "-S", "/srv/turnabout/node.pyz"),
    mongo_uri="mongodb+srv://cluster.example/?authMechanism=MONGODB-AWS",
    repository="https://git.example/factory.git",
    trusted=("ab" * 32,),
    bastion="",
    region="us-east-1",
    artifacts="artifacts-prod",
    releases={"mqtt": "/turnabout/prod/releases/mqtt"},
)


@pytest.mark.parametrize("platform", [PLATFORM, CLOUD], ids=["one machine", "cloud"])
def test_what_is_written_is_read_back(platform: Outputs) -> None:
    assert from_json(to_json(platform)) == platform


def test_equal_platforms_give_equal_text() -> None:
    assert to_json(PLATFORM) == to_json(from_json(to_json(PLATFORM)))


Change = Callable[[dict[str, Any]], object]

BAD: list[tuple[str, Change, str]] = [
    (
        "another schema",
        lambda d: d.update(schema="turnabout/outputs/4"),
        'schema: "turnabout/outputs/4" is not one this version reads (it reads "turnabout/outputs/3"); use the '
        "controller that belongs to the platform, or bring the platform up with this one.",
    ),
    ("no schema", lambda d: d.pop("schema"), 'schema: is missing; this version reads "turnabout/outputs/3".'),
    ("a missing key", lambda d: d.pop("mongo_uri"), "mongo_uri: is missing; bring the platform up again to write it."),
    ("an unknown key", lambda d: d.update(color=1), "color: is not a key of turnabout/outputs/3; remove it."),
    ("a wrong type", lambda d: d.update(environment=7), "environment: must be text, found 7."),
    (
        "a program that is text",
        lambda d: d.update(program="python"),
        'program: must be a list of texts only, found "python".',
    ),
    ("no nodes", lambda d: d.update(nodes=[]), "nodes: must be a list of at least one node, found an empty list."),
    ("nodes missing", lambda d: d.pop("nodes"), "nodes: is missing; bring the platform up again to write it."),
    ("a node that is text", lambda d: d["nodes"].append("x"), 'nodes[2]: must be an object, found "x".'),
    (
        "an unknown transport",
        lambda d: d["nodes"][0].update(transport="telnet"),
        'nodes[0].transport: "telnet" is none of local, ssh, ssm.',
    ),
    (
        "ssh without an address",
        lambda d: d["nodes"][1].update(address=""),
        "nodes[1].address: is empty, but ssh needs one to reach the node.",
    ),
    (
        "a front that is a number",
        lambda d: d["nodes"][0]["fronts"].update(mqtt=22001),
        "nodes[0].fronts: must be an object whose values are texts only, found an object.",
    ),
    (
        "the same name twice",
        lambda d: d["nodes"][1].update(name="bos-a"),
        'nodes: the name "bos-a" is used twice; each node needs its own.',
    ),
]


@pytest.mark.parametrize(("change", "sentence"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_document_is_refused_with_one_sentence(change: Change, sentence: str) -> None:
    document = json.loads(to_json(PLATFORM))
    change(document)
    with pytest.raises(BadOutputs) as refused:
        from_json(json.dumps(document))
    assert refused.value.problems == (sentence,)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(BadOutputs, match=r"outputs\.json: 1 problem\n  - is not JSON"):
        from_json("{", source="outputs.json")


def test_every_problem_is_told_at_once() -> None:
    document = json.loads(to_json(PLATFORM))
    document["environment"] = None
    del document["nodes"][0]["zone"]
    document["nodes"][1]["observe_url"] = []
    with pytest.raises(BadOutputs) as refused:
        from_json(json.dumps(document), source="build/prod/outputs.json")
    assert str(refused.value) == (
        "build/prod/outputs.json: 3 problems\n"
        "  - environment: must be text, found nothing.\n"
        "  - nodes[0].zone: is missing; bring the platform up again to write it.\n"
        "  - nodes[1].observe_url: must be text, found an empty list."
    )


def test_a_site_names_the_file_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "prod").mkdir()
    outputs = tmp_path / "prod" / "outputs.json"
    outputs.write_text(to_json(PLATFORM).replace("turnabout/outputs/3", "turnabout/outputs/4"))
    (tmp_path / "turnabout.toml").write_text('environments = ["prod"]\n')

    with pytest.raises(BadOutputs) as refused:
        load_site(tmp_path / "turnabout.toml").outputs("prod")

    assert str(refused.value).startswith(f'{outputs}: 1 problem\n  - schema: "turnabout/outputs/4" is not one this')
