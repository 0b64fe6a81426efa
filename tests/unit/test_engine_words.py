"""What people read of Pulumi's engine: where it is looked for, what it would do, what is refused, what went wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.engine.binary import NoEngine, find
from infra.engine.steps import DRIFTED, NotAllowed, Step, counted, look
from infra.engine.trouble import Complaint, missing_atlas, only_protected, sentence, unfinished

SLOT = "urn:pulumi:prod::turnabout::turnabout:infra:Platform$turnabout:infra:EdgeZone$turnabout:infra:NodeSlot"
MACHINE = f"{SLOT}$aws:ec2/instance:Instance::bos-a"
VOLUME = f"{SLOT}$aws:ebs/volume:Volume::bos-a-data"
USER = "urn:pulumi:prod::turnabout::turnabout:infra:Platform$mongodbatlas:index/databaseUser:DatabaseUser::store-c360"


def program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "pulumi").write_text("#!/bin/sh\n")
    (folder / "pulumi").chmod(0o755)
    return folder


def test_an_installed_engine_is_used_before_a_built_one(tmp_path: Path) -> None:
    built, installed = program(tmp_path / "house" / "build" / "tools" / "bin"), program(tmp_path / "usr" / "bin")

    assert find(tmp_path / "house", path=str(installed)) == installed.parent
    assert find(tmp_path / "house", path=str(tmp_path)) == built.parent


def test_without_an_engine_both_ways_to_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(NoEngine) as none:
        find(tmp_path, path=str(tmp_path))

    assert str(none.value) == (
        "There is no pulumi on this machine. Install it (https://www.pulumi.com/docs/install/); where Go is, "
        "`make engine` builds the version that infra/engine/go.mod pins."
    )


def test_a_step_names_the_resource_and_its_properties() -> None:
    assert str(Step("update", MACHINE, ("instanceType",))) == "~ bos-a (ec2 Instance): instanceType"
    assert str(Step("delete", VOLUME, protected=True)) == "- bos-a-data (ebs Volume)  [protected]"
    assert str(Step("create", USER)) == "+ store-c360 (mongodbatlas DatabaseUser)"


def test_components_and_providers_are_nothing_that_exists_in_a_cloud() -> None:
    assert Step("create", MACHINE).in_cloud
    assert not Step("create", f"{SLOT}::bos-a").in_cloud
    assert not Step("create", "urn:pulumi:prod::turnabout::pulumi:providers:aws::aws").in_cloud


def test_steps_are_counted_in_the_words_of_what_was_asked() -> None:
    steps = [Step("create", MACHINE), Step("same", USER), Step("delete", VOLUME)]

    assert counted(steps) == "1 to create, 1 to delete, 1 as they are"
    assert counted(steps, DRIFTED) == "1 new, 1 gone, 1 as they are"
    assert counted([Step("same", USER)]) == "nothing to do"


def test_what_is_protected_is_not_deleted_unless_it_is_named() -> None:
    steps = [Step("delete", VOLUME, protected=True)]

    with pytest.raises(NotAllowed) as refused:
        look("prod", steps, allowed=5, unprotected=())
    assert str(refused.value) == (
        "prod: bos-a-data (ebs Volume) would be deleted, and is protected: what is in there is lost with it. Nothing "
        "was changed. If that is meant: `turnabout infra up prod --unprotect bos-a-data`."
    )
    look("prod", steps, allowed=5, unprotected=["bos-a-data"])


@pytest.mark.parametrize("deed", ["delete", "replace"])
def test_no_more_is_deleted_than_was_allowed(deed: str) -> None:
    steps = [Step(deed, MACHINE), Step(deed, USER), Step("update", VOLUME)]

    look("dev", steps, allowed=2, unprotected=())
    with pytest.raises(NotAllowed) as refused:
        look("dev", steps, allowed=1, unprotected=())
    assert str(refused.value) == (
        "dev: 2 resources would be deleted or replaced, and 1 may be: bos-a (ec2 Instance), store-c360 (mongodbatlas "
        "DatabaseUser). Nothing was changed. If that is meant: `turnabout infra up dev --deletions 2`."
    )


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        (
            "no stack named 'prod' found",
            "prod: There is no stack prod in this backend. Make it with `pulumi stack init",
        ),
        ("the stack is currently locked by 1 lock(s)", "prod: Somebody else is working on prod, or a run of it was"),
        ("error: incorrect passphrase", "prod: The passphrase is not the one that prod's secrets were written with"),
        ("passphrase must be set with PULUMI_CONFIG_PASSPHRASE", "prod: prod's secrets are behind a passphrase, and"),
        ("PULUMI_ACCESS_TOKEN must be set for login", "prod: Pulumi does not know where states are kept; set PULUMI"),
        (
            "ExpiredToken: The security token included in the request is expired",
            "prod: AWS's credentials have expired.",
        ),
        ("invalid AWS Region: us-nowhere-1", "prod: AWS has no region us-nowhere-1. Correct infra"),
        ("No valid credential sources found", "prod: There are no credentials for AWS here. Set AWS_PROFILE"),
        ("HTTP 401 Unauthorized (Error code: 'UNAUTHORIZED')", "prod: Atlas does not take the service account"),
        (
            "VcpuLimitExceeded: You have requested more",
            "prod: The account has no more of what was asked for (VcpuLimitE",
        ),
    ],
)
def test_what_a_person_has_to_mend_is_told_as_such(heard: str, told: str) -> None:
    assert sentence("prod", [Complaint("", heard)]).startswith(told)


def test_what_is_not_known_is_told_in_the_engine_s_words_with_the_resource() -> None:
    heard = [
        Complaint("bos-a", "error: something odd happened"),
        Complaint("bos-b", "error: something odd happened"),
        Complaint("", "update failed"),
        Complaint("", "environments/prod.toml: 1 problem"),
        Complaint("", "an unhandled error occurred: environments/prod.toml: 1 problem"),
    ]

    assert sentence("prod", heard) == (
        "prod: bos-a, bos-b: error: something odd happened\nenvironments/prod.toml: 1 problem"
    )
    assert sentence("prod", []) == "prod: the engine failed and did not say why."


def test_a_plan_that_only_deletes_what_is_protected_is_left_to_the_guard() -> None:
    kept = Complaint("bos-a-data", 'Preview failed: resource "urn:…" cannot be deleted\nbecause it is protected.')

    assert only_protected([kept, Complaint("", "preview failed")])
    assert not only_protected([kept, Complaint("", "environments/prod.toml: 1 problem")])
    assert not only_protected([Complaint("", "preview failed")])


def test_a_service_account_that_is_not_set_is_told_before_anything_is_asked() -> None:
    assert missing_atlas(["MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET"]) is None
    assert missing_atlas(["MONGODB_ATLAS_CLIENT_ID"]) == (
        "MONGODB_ATLAS_CLIENT_SECRET is not set: the service account of Atlas's organisation. Nothing was changed."
    )
    assert missing_atlas([]) == (
        "MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET are not set: the service account of Atlas's "
        "organisation. Nothing was changed."
    )


def test_what_another_run_has_begun_to_make_is_named_with_the_way_out() -> None:
    assert unfinished("prod", [Step("create", MACHINE), Step("create", USER)]) == (
        "prod: a run is making bos-a (ec2 Instance), store-c360 (mongodbatlas DatabaseUser), or was killed while it "
        "did. If it was killed: `pulumi cancel --yes --stack prod`; look in the cloud and delete what is there of it, "
        "because that was not written down and would be made twice; then `pulumi refresh --clear-pending-creates --yes "
        "--stack prod`, and this again. Nothing was changed."
    )
