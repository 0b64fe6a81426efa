"""What AWS is asked before anything is made: that the zones are there and open to us, and have machines of our type.

Every complaint comes at once, and nothing is half-made. What the files alone can be wrong in is in ``environments``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from environments import Infra

NOT_THERE = ("no matching", "Invalid availability zone")  # the provider's words, and AWS's own
OPEN = ("opt-in-not-required", "opted-in")


class NotOffered(Exception):
    """AWS does not have what the environment asks for; carries every sentence."""

    def __init__(self, environment: str, problems: tuple[str, ...]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"AWS does not have what {environment} asks for: {count}", *(f"  - {problem}" for problem in problems)]
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class Ground:
    """What AWS says of the places: each one's network border group, and the newest machine image."""

    border_groups: Mapping[str, str]
    image: str


def ask(environment: str, infra: Infra, opts: pulumi.InvokeOptions) -> Ground:
    """Ask AWS; raises NotOffered with all that is missing. Other errors, such as no credentials, are AWS's own."""
    subnets = [*infra.public, *(subnet for zone in infra.zones.values() for subnet in zone)]
    places = dict.fromkeys(subnet.place for subnet in subnets)
    with_nodes = {subnet.place for zone in infra.zones.values() for subnet in zone}
    groups: dict[str, str] = {}
    problems: list[str] = []
    for place in places:
        found = _zone(place, opts)
        if found is None:
            problems.append(f"there is no zone {place} in {infra.region}; name one that `aws ec2 "
                            f"describe-availability-zones --all-availability-zones` lists")  # fmt: skip
            continue
        groups[place] = found.network_border_group
        if found.opt_in_status not in OPEN:
            how = f"aws ec2 modify-availability-zone-group --group-name {found.group_name} --opt-in-status opted-in"
            problems.append(f"{place} is not open to this account; open it with `{how}`")
        elif place in with_nodes:
            problems += _not_offered(place, infra.node_type, opts)
    if problems:
        raise NotOffered(environment, tuple(problems))
    return Ground(groups, aws.ssm.get_parameter(name=infra.image, opts=opts).value)


def _zone(place: str, opts: pulumi.InvokeOptions) -> aws.GetAvailabilityZoneResult | None:
    try:
        return aws.get_availability_zone(name=place, all_availability_zones=True, opts=opts)
    except Exception as error:  # the SDK has no kinds of errors
        if any(said in str(error) for said in NOT_THERE):
            return None
        raise


def _not_offered(place: str, machine: str, opts: pulumi.InvokeOptions) -> Iterator[str]:
    at = [aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="location", values=[place])]
    asked = aws.ec2.get_instance_type_offerings(location_type="availability-zone", filters=at, opts=opts)
    if machine not in asked.instance_types:
        offered = ", ".join(sorted(asked.instance_types)) or "nothing"
        yield f"{machine} is not offered in {place} (offered: {offered}); write one that is into infra.node_type"
