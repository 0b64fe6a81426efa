"""VPC, subnets, gateways and endpoints, by EC2's calls."""

from __future__ import annotations

from tests.infra.provider.kinds import ACCOUNT, Ec2, Json, as_asked

LISTS = {"routeTableIds": "RouteTableIds", "subnetIds": "SubnetIds", "securityGroupIds": "SecurityGroupIds"}


class Vpc(Ec2, token="aws:ec2/vpc:Vpc", replaces="cidrBlock"):
    describe, tagged = ("describe_vpcs", "VpcIds", "Vpcs"), "vpc"

    def create(self, asked: Json) -> str:
        made = self.ec2.create_vpc(CidrBlock=asked["cidrBlock"], TagSpecifications=self.labels(asked))["Vpc"]
        self.change(made["VpcId"], {}, asked, {"enableDnsSupport", "enableDnsHostnames"})
        return str(made["VpcId"])

    def change(self, id: str, old: Json, asked: Json, changed: set[str]) -> None:
        for key in sorted(changed):
            self.ec2.modify_vpc_attribute(VpcId=id, **{key[0].upper() + key[1:]: {"Value": asked[key]}})

    def told(self, found: Json, asked: Json) -> Json:
        id = found["VpcId"]
        said = {"cidrBlock": found["CidrBlock"], "arn": f"arn:aws:ec2:{self.cloud.region}:{ACCOUNT}:vpc/{id}"}
        for key in ("enableDnsSupport", "enableDnsHostnames"):
            name = key[0].upper() + key[1:]
            said[key] = self.ec2.describe_vpc_attribute(VpcId=id, Attribute=key)[name]["Value"]
        return said

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.delete_vpc(VpcId=id)


class InternetGateway(Ec2, token="aws:ec2/internetGateway:InternetGateway", replaces=""):
    describe, tagged = ("describe_internet_gateways", "InternetGatewayIds", "InternetGateways"), "internet-gateway"

    def create(self, asked: Json) -> str:
        made = self.ec2.create_internet_gateway(TagSpecifications=self.labels(asked))["InternetGateway"]
        self.ec2.attach_internet_gateway(InternetGatewayId=made["InternetGatewayId"], VpcId=asked["vpcId"])
        return str(made["InternetGatewayId"])

    def told(self, found: Json, asked: Json) -> Json:
        return {"vpcId": next((one["VpcId"] for one in found["Attachments"]), "")}

    def change(self, id: str, old: Json, asked: Json, changed: set[str]) -> None:
        if old.get("vpcId"):
            self.ec2.detach_internet_gateway(InternetGatewayId=id, VpcId=old["vpcId"])
        self.ec2.attach_internet_gateway(InternetGatewayId=id, VpcId=asked["vpcId"])

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.detach_internet_gateway(InternetGatewayId=id, VpcId=asked["vpcId"])
        self.ec2.delete_internet_gateway(InternetGatewayId=id)


class CarrierGateway(Ec2, token="aws:ec2/carrierGateway:CarrierGateway", replaces="vpcId"):
    describe, tagged = ("describe_carrier_gateways", "CarrierGatewayIds", "CarrierGateways"), "carrier-gateway"

    def create(self, asked: Json) -> str:
        made = self.ec2.create_carrier_gateway(VpcId=asked["vpcId"], TagSpecifications=self.labels(asked))
        return str(made["CarrierGateway"]["CarrierGatewayId"])

    def told(self, found: Json, asked: Json) -> Json:
        return {"vpcId": found["VpcId"]}

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.delete_carrier_gateway(CarrierGatewayId=id)


class NatGateway(Ec2, token="aws:ec2/natGateway:NatGateway", replaces="allocationId subnetId"):
    describe, tagged = ("describe_nat_gateways", "NatGatewayIds", "NatGateways"), "natgateway"

    def create(self, asked: Json) -> str:
        made = self.ec2.create_nat_gateway(
            AllocationId=asked["allocationId"], SubnetId=asked["subnetId"], TagSpecifications=self.labels(asked)
        )
        return str(made["NatGateway"]["NatGatewayId"])

    def found(self, id: str) -> Json | None:
        """A translator that was deleted is described for an hour."""
        found = super().found(id)
        return None if found is None or found["State"] == "deleted" else found

    def told(self, found: Json, asked: Json) -> Json:
        (address,) = found["NatGatewayAddresses"]
        return {"allocationId": address["AllocationId"], "subnetId": found["SubnetId"]}

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.delete_nat_gateway(NatGatewayId=id)


class Subnet(Ec2, token="aws:ec2/subnet:Subnet", replaces="vpcId cidrBlock availabilityZone"):
    describe, tagged = ("describe_subnets", "SubnetIds", "Subnets"), "subnet"

    def create(self, asked: Json) -> str:
        made = self.ec2.create_subnet(
            VpcId=asked["vpcId"],
            CidrBlock=asked["cidrBlock"],
            AvailabilityZone=asked["availabilityZone"],
            TagSpecifications=self.labels(asked),
        )["Subnet"]
        self.change(made["SubnetId"], {}, asked, set())
        return str(made["SubnetId"])

    def change(self, id: str, old: Json, asked: Json, changed: set[str]) -> None:
        self.ec2.modify_subnet_attribute(SubnetId=id, MapPublicIpOnLaunch={"Value": asked["mapPublicIpOnLaunch"]})

    def told(self, found: Json, asked: Json) -> Json:
        keys = ("VpcId", "CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch")
        return {key[0].lower() + key[1:]: found[key] for key in keys}

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.delete_subnet(SubnetId=id)


class VpcEndpoint(Ec2, token="aws:ec2/vpcEndpoint:VpcEndpoint", replaces="vpcId serviceName vpcEndpointType"):
    describe, tagged = ("describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints"), "vpc-endpoint"

    def create(self, asked: Json) -> str:
        made = self.ec2.create_vpc_endpoint(
            VpcId=asked["vpcId"],
            ServiceName=asked["serviceName"],
            VpcEndpointType=asked["vpcEndpointType"],
            TagSpecifications=self.labels(asked),
            **{name: asked[key] for key, name in LISTS.items() if key in asked},
            **({"PrivateDnsEnabled": asked["privateDnsEnabled"]} if "privateDnsEnabled" in asked else {}),
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def change(self, id: str, old: Json, asked: Json, changed: set[str]) -> None:
        for key in sorted(changed):
            name, was, now = LISTS[key], set(old.get(key, ())), set(asked.get(key, ()))
            self.ec2.modify_vpc_endpoint(
                VpcEndpointId=id, **{f"Add{name}": sorted(now - was), f"Remove{name}": sorted(was - now)}
            )

    def found(self, id: str) -> Json | None:
        """An endpoint that was deleted is described for a while."""
        found = super().found(id)
        return None if found is None or found["State"].lower() == "deleted" else found

    def told(self, found: Json, asked: Json) -> Json:
        groups = [group["GroupId"] for group in found.get("Groups", [])]
        live = {"routeTableIds": found["RouteTableIds"], "subnetIds": found.get("SubnetIds", [])}
        return {
            "vpcId": found["VpcId"],
            "serviceName": found["ServiceName"],
            "vpcEndpointType": found["VpcEndpointType"],
            "privateDnsEnabled": found.get("PrivateDnsEnabled", False),
            **{key: as_asked(asked.get(key, ()), ids) for key, ids in {**live, "securityGroupIds": groups}.items()},
        }

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
