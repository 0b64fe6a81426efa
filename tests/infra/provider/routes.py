"""Route tables, routes and addresses, by EC2's calls."""

from __future__ import annotations

from tests.infra.provider.kinds import Ec2, Json, Kind

WAYS = {"gatewayId": "GatewayId", "carrierGatewayId": "CarrierGatewayId", "natGatewayId": "NatGatewayId"}


class RouteTable(Ec2, token="aws:ec2/routeTable:RouteTable", replaces="vpcId"):
    describe, tagged = ("describe_route_tables", "RouteTableIds", "RouteTables"), "route-table"

    def create(self, asked: Json) -> str:
        made = self.ec2.create_route_table(VpcId=asked["vpcId"], TagSpecifications=self.labels(asked))
        return str(made["RouteTable"]["RouteTableId"])

    def told(self, found: Json, asked: Json) -> Json:
        return {"vpcId": found["VpcId"]}

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.delete_route_table(RouteTableId=id)


class Route(Kind, token="aws:ec2/route:Route", replaces="routeTableId destinationCidrBlock"):
    def _ways(self, asked: Json) -> Json:
        where = {"RouteTableId": asked["routeTableId"], "DestinationCidrBlock": asked["destinationCidrBlock"]}
        return where | {name: asked[key] for key, name in WAYS.items() if asked.get(key)}

    def create(self, asked: Json) -> str:
        self.cloud.ec2.create_route(**self._ways(asked))
        return f"r-{asked['routeTableId']}-{asked['destinationCidrBlock']}"

    def read(self, id: str, asked: Json) -> Json | None:
        (table,) = self.cloud.ec2.describe_route_tables(RouteTableIds=[asked["routeTableId"]])["RouteTables"]
        for route in table["Routes"]:
            if route.get("DestinationCidrBlock") == asked["destinationCidrBlock"]:
                said = {key: route[name] for key, name in WAYS.items() if route.get(name)}
                return said | {key: asked[key] for key in ("routeTableId", "destinationCidrBlock")}
        return None

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.ec2.replace_route(**self._ways(asked))

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.ec2.delete_route(
            RouteTableId=asked["routeTableId"], DestinationCidrBlock=asked["destinationCidrBlock"]
        )


class RouteTableAssociation(
    Kind, token="aws:ec2/routeTableAssociation:RouteTableAssociation", replaces="routeTableId subnetId"
):
    def create(self, asked: Json) -> str:
        made = self.cloud.ec2.associate_route_table(RouteTableId=asked["routeTableId"], SubnetId=asked["subnetId"])
        return str(made["AssociationId"])

    def read(self, id: str, asked: Json) -> Json | None:
        (table,) = self.cloud.ec2.describe_route_tables(RouteTableIds=[asked["routeTableId"]])["RouteTables"]
        for one in table["Associations"]:
            if one["RouteTableAssociationId"] == id:
                return {"routeTableId": asked["routeTableId"], "subnetId": one["SubnetId"]}
        return None

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.ec2.disassociate_route_table(AssociationId=id)


class Eip(Ec2, token="aws:ec2/eip:Eip", replaces="domain networkBorderGroup"):
    describe, tagged = ("describe_addresses", "AllocationIds", "Addresses"), "elastic-ip"

    def create(self, asked: Json) -> str:
        group = asked.get("networkBorderGroup")
        made = self.ec2.allocate_address(
            Domain=asked["domain"],
            TagSpecifications=self.labels(asked),
            **({"NetworkBorderGroup": group} if group else {}),
        )
        return str(made["AllocationId"])

    def told(self, found: Json, asked: Json) -> Json:
        said = {"domain": found["Domain"], "networkBorderGroup": found.get("NetworkBorderGroup", self.cloud.region)}
        said |= {"carrierIp": found["CarrierIp"]} if found.get("CarrierIp") else {}
        return said | ({"publicIp": found["PublicIp"]} if found.get("PublicIp") else {})

    def delete(self, id: str, asked: Json) -> None:
        group = asked.get("networkBorderGroup")
        self.ec2.release_address(AllocationId=id, **({"NetworkBorderGroup": group} if group else {}))


class EipAssociation(Kind, token="aws:ec2/eipAssociation:EipAssociation", replaces="allocationId instanceId"):
    def create(self, asked: Json) -> str:
        made = self.cloud.ec2.associate_address(AllocationId=asked["allocationId"], InstanceId=asked["instanceId"])
        return str(made["AssociationId"])

    def read(self, id: str, asked: Json) -> Json | None:
        for one in self.cloud.ec2.describe_addresses(AllocationIds=[asked["allocationId"]])["Addresses"]:
            if one.get("AssociationId") == id:
                return {"allocationId": one["AllocationId"], "instanceId": one["InstanceId"]}
        return None

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.ec2.disassociate_address(AssociationId=id)
