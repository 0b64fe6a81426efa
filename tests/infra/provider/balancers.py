"""Load balancers, their listeners and targets, by ELBv2's calls."""

from __future__ import annotations

from tests.infra.provider.kinds import Json, Kind, as_asked, pairs, tags_of

HEALTH = {
    "path": "HealthCheckPath",
    "interval": "HealthCheckIntervalSeconds",
    "timeout": "HealthCheckTimeoutSeconds",
    "unhealthyThreshold": "UnhealthyThresholdCount",
}
SWITCHES = {
    "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
    "enableDeletionProtection": "deletion_protection.enabled",
}


class Elb(Kind):
    """What ELBv2 tags by its ARN, which is also its id."""

    def tags(self, id: str) -> dict[str, str]:
        (found,) = self.cloud.elbv2.describe_tags(ResourceArns=[id])["TagDescriptions"]
        return tags_of(found)

    def retag(self, id: str, old: Json, asked: Json) -> None:
        if gone := sorted(old["tags"].keys() - asked["tags"].keys()):
            self.cloud.elbv2.remove_tags(ResourceArns=[id], TagKeys=gone)
        self.cloud.elbv2.add_tags(ResourceArns=[id], Tags=pairs(asked["tags"]))


class LoadBalancer(
    Elb, token="aws:lb/loadBalancer:LoadBalancer", replaces="name internal loadBalancerType", named="name"
):
    def create(self, asked: Json) -> str:
        made = self.cloud.elbv2.create_load_balancer(
            Name=asked["name"],
            Subnets=asked["subnets"],
            SecurityGroups=asked["securityGroups"],
            Scheme="internal" if asked["internal"] else "internet-facing",
            Type=asked["loadBalancerType"],
            Tags=pairs(asked["tags"]),
        )
        id = str(made["LoadBalancers"][0]["LoadBalancerArn"])
        self._switch(id, asked)
        return id

    def _switch(self, id: str, asked: Json) -> None:
        self.cloud.elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=id,
            Attributes=[{"Key": name, "Value": str(asked[key]).lower()} for key, name in SWITCHES.items()],
        )

    def read(self, id: str, asked: Json) -> Json | None:
        (found,) = self.cloud.elbv2.describe_load_balancers(LoadBalancerArns=[id])["LoadBalancers"]
        answer = self.cloud.elbv2.describe_load_balancer_attributes(LoadBalancerArn=id)["Attributes"]
        on = {one["Key"]: one["Value"] == "true" for one in answer}
        return {
            "arn": id,
            "name": found["LoadBalancerName"],
            "dnsName": found["DNSName"],
            "internal": found["Scheme"] == "internal",
            "loadBalancerType": found["Type"],
            "subnets": as_asked(asked.get("subnets", ()), (one["SubnetId"] for one in found["AvailabilityZones"])),
            "securityGroups": as_asked(asked.get("securityGroups", ()), found["SecurityGroups"]),
            "tags": self.tags(id),
            **{key: on.get(name, False) for key, name in SWITCHES.items()},
        }

    def update(self, id: str, old: Json, asked: Json) -> None:
        self._switch(id, asked)
        self.cloud.elbv2.set_security_groups(LoadBalancerArn=id, SecurityGroups=asked["securityGroups"])
        self.cloud.elbv2.set_subnets(LoadBalancerArn=id, Subnets=asked["subnets"])
        self.retag(id, old, asked)

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.elbv2.delete_load_balancer(LoadBalancerArn=id)


class TargetGroup(
    Elb, token="aws:lb/targetGroup:TargetGroup", replaces="name port protocol vpcId targetType", named="name"
):
    delay = "deregistration_delay.timeout_seconds"

    def create(self, asked: Json) -> str:
        made = self.cloud.elbv2.create_target_group(
            Name=asked["name"],
            Port=asked["port"],
            Protocol=asked["protocol"],
            VpcId=asked["vpcId"],
            TargetType=asked["targetType"],
            Tags=pairs(asked["tags"]),
            **self._health(asked),
        )
        id = str(made["TargetGroups"][0]["TargetGroupArn"])
        self._wait(id, asked)
        return id

    def _health(self, asked: Json) -> Json:
        return {HEALTH[key]: value for key, value in asked["healthCheck"].items()}

    def _wait(self, id: str, asked: Json) -> None:
        seconds = [{"Key": self.delay, "Value": str(asked["deregistrationDelay"])}]
        self.cloud.elbv2.modify_target_group_attributes(TargetGroupArn=id, Attributes=seconds)

    def read(self, id: str, asked: Json) -> Json | None:
        (found,) = self.cloud.elbv2.describe_target_groups(TargetGroupArns=[id])["TargetGroups"]
        answer = self.cloud.elbv2.describe_target_group_attributes(TargetGroupArn=id)["Attributes"]
        keys = {"name": "TargetGroupName", "port": "Port", "protocol": "Protocol", "vpcId": "VpcId"}
        return {
            "arn": id,
            **{key: found[name] for key, name in keys.items()},
            "targetType": found["TargetType"],
            "healthCheck": {key: found[name] for key, name in HEALTH.items()},
            "deregistrationDelay": next(int(one["Value"]) for one in answer if one["Key"] == self.delay),
            "tags": self.tags(id),
        }

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.elbv2.modify_target_group(TargetGroupArn=id, **self._health(asked))
        self._wait(id, asked)
        self.retag(id, old, asked)

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.elbv2.delete_target_group(TargetGroupArn=id)


class Listener(Elb, token="aws:lb/listener:Listener", replaces="loadBalancerArn"):
    def _asked(self, asked: Json) -> Json:
        actions = [{"Type": one["type"], "TargetGroupArn": one["targetGroupArn"]} for one in asked["defaultActions"]]
        certificate = asked.get("certificateArn")
        said = {"Port": asked["port"], "Protocol": asked["protocol"], "DefaultActions": actions}
        said |= {"Certificates": [{"CertificateArn": certificate}]} if certificate else {}
        return said | ({"SslPolicy": asked["sslPolicy"]} if asked.get("sslPolicy") else {})

    def create(self, asked: Json) -> str:
        made = self.cloud.elbv2.create_listener(
            LoadBalancerArn=asked["loadBalancerArn"], Tags=pairs(asked["tags"]), **self._asked(asked)
        )
        return str(made["Listeners"][0]["ListenerArn"])

    def read(self, id: str, asked: Json) -> Json | None:
        (found,) = self.cloud.elbv2.describe_listeners(ListenerArns=[id])["Listeners"]
        actions = [{"type": one["Type"], "targetGroupArn": one["TargetGroupArn"]} for one in found["DefaultActions"]]
        certificates = [one["CertificateArn"] for one in found.get("Certificates", [])]
        return {
            "arn": id,
            "loadBalancerArn": found["LoadBalancerArn"],
            "port": found["Port"],
            "protocol": found["Protocol"],
            "defaultActions": actions,
            "tags": self.tags(id),
            **({"certificateArn": certificates[0], "sslPolicy": found.get("SslPolicy")} if certificates else {}),
        }

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.elbv2.modify_listener(ListenerArn=id, **self._asked(asked))
        self.retag(id, old, asked)

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.elbv2.delete_listener(ListenerArn=id)


class TargetGroupAttachment(
    Kind, token="aws:lb/targetGroupAttachment:TargetGroupAttachment", replaces="targetGroupArn targetId port"
):
    def _target(self, asked: Json) -> Json:
        target = {"Id": asked["targetId"], "Port": asked["port"]}
        return {"TargetGroupArn": asked["targetGroupArn"], "Targets": [target]}

    def create(self, asked: Json) -> str:
        self.cloud.elbv2.register_targets(**self._target(asked))
        return f"{asked['targetGroupArn']}-{asked['targetId']}"

    def read(self, id: str, asked: Json) -> Json | None:
        health = self.cloud.elbv2.describe_target_health(TargetGroupArn=asked["targetGroupArn"])
        for one in health["TargetHealthDescriptions"]:
            if one["Target"]["Id"] == asked["targetId"]:
                port = one["Target"]["Port"]
                return {"targetGroupArn": asked["targetGroupArn"], "targetId": one["Target"]["Id"], "port": port}
        return None

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.elbv2.deregister_targets(**self._target(asked))
