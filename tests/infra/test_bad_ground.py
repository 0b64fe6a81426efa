"""What cannot be built is refused before anything is declared, with every sentence at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.infra.cloud import Plan

    Run = Callable[..., Plan]


def test_zones_that_aws_does_not_have_or_not_for_us_are_told_together(run: Run) -> None:
    from infra.preflight import NotOffered
    from tests.infra.cloud import Answers

    answers = Answers(
        closed=("us-east-1-wl1-bos-wlz-1",), offered={"us-east-1a": ("t3.large", "m7i.large"), "us-east-1b": ()}
    )
    with pytest.raises(NotOffered) as refused:
        run("prod", {"us-east-1-wl1-dfw-wlz-1": "us-east-1-wl1-xyz-wlz-1"}, answers=answers)

    assert str(refused.value) == (
        "AWS does not have what prod asks for: 4 problems\n"
        "  - t3.medium is not offered in us-east-1a (offered: m7i.large, t3.large); write one that is into "
        "infra.node_type\n"
        "  - t3.medium is not offered in us-east-1b (offered: nothing); write one that is into infra.node_type\n"
        "  - us-east-1-wl1-bos-wlz-1 is not open to this account; open it with `aws ec2 modify-availability-zone-group "
        "--group-name us-east-1-wl1 --opt-in-status opted-in`\n"
        "  - there is no zone us-east-1-wl1-xyz-wlz-1 in us-east-1; name one that `aws ec2 describe-availability-zones "
        "--all-availability-zones` lists"
    )
    assert answers.made <= {"pulumi:providers:aws"}


def test_a_zone_that_aws_itself_calls_invalid_is_missing_too(run: Run) -> None:
    from infra.preflight import NotOffered
    from tests.infra.cloud import Answers

    answers = Answers()
    answers.no_zone = "InvalidParameterValue: Invalid availability zone: [us-east-1-wl1-xyz-wlz-1]"

    with pytest.raises(NotOffered, match="there is no zone us-east-1-wl1-xyz-wlz-1 in us-east-1"):
        run("prod", {"us-east-1-wl1-dfw-wlz-1": "us-east-1-wl1-xyz-wlz-1"}, answers=answers)


def test_an_error_of_aws_itself_is_not_taken_for_a_missing_zone(run: Run) -> None:
    from infra.preflight import NotOffered
    from tests.infra.cloud import Answers

    class Expired(Answers):
        def call(self, args: object) -> Any:
            return {}, [("", "ExpiredToken: The security token included in the request is expired")]

    with pytest.raises(Exception, match="ExpiredToken") as failed:
        run("dev", answers=Expired())

    assert not isinstance(failed.value, NotOffered)


def test_an_environment_without_infra_has_nothing_to_build(run: Run) -> None:
    from infra.program import NotInCloud

    text = (Path(__file__).parents[2] / "environments" / "dev.toml").read_text()
    with pytest.raises(NotInCloud, match=r"environments/dev\.toml has no \[infra\], so there is nothing to build"):
        run("dev", {text[text.index("[infra]") :]: ""})


def test_a_port_that_clients_cannot_find_is_named(run: Run) -> None:
    from infra.slots import NoFront

    with pytest.raises(NoFront) as refused:
        run("dev", in_base={"fronts = { mqtt = 1883, http = 80 }": "fronts = { http = 80 }"})

    assert str(refused.value) == (
        "apps/mqtt/release.toml names a port mqtt; write which port clients use for it into infra.fronts"
    )


def test_outputs_that_no_parameter_holds_are_refused_with_what_to_do(run: Run) -> None:
    from infra.published import TooLong

    with pytest.raises(TooLong, match=r"the outputs are \d+ bytes, and a parameter holds 8192; part the environment"):
        run("prod", {"nodes_per_zone = 3": "nodes_per_zone = 9"})
