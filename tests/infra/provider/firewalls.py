"""Security groups, and each of their rules, by EC2's calls."""

from __future__ import annotations

from tests.infra.provider.kinds import Ec2, Json, pairs, tags_of


class SecurityGroup(Ec2, token="aws:ec2/securityGroup:SecurityGroup", replaces="vpcId description name", named="name"):
    describe, tagged = ("describe_security_groups", "GroupIds", "SecurityGroups"), "security-group"

    def create(self, asked: Json) -> str:
        group = self.ec2.create_security_group(
            GroupName=asked["name"],
            Description=asked["description"],
            VpcId=asked["vpcId"],
            TagSpecifications=self.labels(asked),
        )["GroupId"]
        everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])  # as Pulumi's own does
        return str(group)

    def told(self, found: Json, asked: Json) -> Json:
        return {"name": found["GroupName"], "description": found["Description"], "vpcId": found["VpcId"]}

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.delete_security_group(GroupId=id)


class IngressRule(
    Ec2,
    token="aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    replaces="securityGroupId",
    keeps="description",
):
    describe, tagged = ("describe_security_group_rules", "SecurityGroupRuleIds", "SecurityGroupRules"), ""
    way = "ingress"

    def create(self, asked: Json) -> str:
        ports = {"IpProtocol": asked["ipProtocol"], "FromPort": asked["fromPort"], "ToPort": asked["toPort"]}
        about = {"Description": asked["description"]}
        whom: Json = {"IpRanges": [{"CidrIp": asked["cidrIpv4"], **about}]} if asked.get("cidrIpv4") else {}
        if group := asked.get("referencedSecurityGroupId"):
            whom = {"UserIdGroupPairs": [{"GroupId": group, **about}]}
        made = getattr(self.ec2, f"authorize_security_group_{self.way}")(
            GroupId=asked["securityGroupId"],
            IpPermissions=[ports | whom],
            TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": pairs(asked["tags"])}],
        )
        return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def told(self, found: Json, asked: Json) -> Json:
        said = {"securityGroupId": found["GroupId"], "ipProtocol": found["IpProtocol"], "tags": tags_of(found)}
        said |= {"fromPort": found["FromPort"], "toPort": found["ToPort"]}
        if found.get("Description"):
            said["description"] = found["Description"]
        if found.get("CidrIpv4"):
            said["cidrIpv4"] = found["CidrIpv4"]
        if found.get("ReferencedGroupInfo"):
            said["referencedSecurityGroupId"] = found["ReferencedGroupInfo"]["GroupId"]
        return said

    def delete(self, id: str, asked: Json) -> None:
        getattr(self.ec2, f"revoke_security_group_{self.way}")(
            GroupId=asked["securityGroupId"], SecurityGroupRuleIds=[id]
        )


class EgressRule(
    IngressRule,
    token="aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    replaces="securityGroupId",
    keeps="description",
):
    way = "egress"
