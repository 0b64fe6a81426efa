"""What a program asks of AWS without making anything, answered by the emulated cloud."""

from __future__ import annotations

from tests.infra.provider.kinds import Cloud, Json


class NoAnswer(Exception):
    """The message is what Pulumi's own provider says."""


def answer(cloud: Cloud, token: str, asked: Json) -> Json:
    if token == "aws:index/getAvailabilityZone:getAvailabilityZone":
        return zone(cloud, asked)
    if token == "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings":
        at = [{"Name": one["name"], "Values": one["values"]} for one in asked["filters"]]
        found = cloud.ec2.describe_instance_type_offerings(LocationType=asked["locationType"], Filters=at)
        return {"instanceTypes": [one["InstanceType"] for one in found["InstanceTypeOfferings"]]}
    if token == "aws:ssm/getParameter:getParameter":
        return {"value": cloud.ssm.get_parameter(Name=asked["name"])["Parameter"]["Value"]}
    raise NoAnswer(f"nobody here can answer {token}")


def zone(cloud: Cloud, asked: Json) -> Json:
    every = cloud.ec2.describe_availability_zones(AllAvailabilityZones=asked["allAvailabilityZones"])
    for one in every["AvailabilityZones"]:
        if one["ZoneName"] == asked["name"]:
            return {
                "name": one["ZoneName"],
                "groupName": one.get("GroupName", cloud.region),
                "networkBorderGroup": one.get("NetworkBorderGroup", cloud.region),
                "optInStatus": one.get("OptInStatus", "opt-in-not-required"),
            }
    raise NoAnswer("no matching EC2 Availability Zone found")
