"""Machines and their volumes, by EC2's calls."""

from __future__ import annotations

import base64

from tests.infra.provider.kinds import ACCOUNT, Ec2, Json, Kind, as_asked, pairs, tags_of

ROOT = "/dev/xvda"


class Instance(
    Ec2,
    token="aws:ec2/instance:Instance",
    replaces="ami subnetId privateIp associatePublicIpAddress rootBlockDevice",
    keeps="associatePublicIpAddress maintenanceOptions userDataReplaceOnChange",
):
    describe, tagged = ("describe_instances", "InstanceIds", "Reservations"), "instance"

    def create(self, asked: Json) -> str:
        root, disk = asked["rootBlockDevice"], {"DeviceName": ROOT}
        ebs = {"VolumeSize": root["volumeSize"], "VolumeType": root["volumeType"], "Encrypted": root["encrypted"]}
        made = self.ec2.run_instances(
            ImageId=asked["ami"],
            InstanceType=asked["instanceType"],
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": asked["iamInstanceProfile"]},
            MetadataOptions=_upper(asked["metadataOptions"]),
            BlockDeviceMappings=[disk | {"Ebs": ebs | {"DeleteOnTermination": root["deleteOnTermination"]}}],
            SubnetId=asked["subnetId"],
            SecurityGroupIds=asked["vpcSecurityGroupIds"],
            TagSpecifications=self.labels(asked),
            **({"PrivateIpAddress": asked["privateIp"]} if "privateIp" in asked else {}),
            **({"UserData": asked["userData"]} if "userData" in asked else {}),
        )
        id = str(made["Instances"][0]["InstanceId"])
        instance = self.found(id)
        assert instance is not None
        self.ec2.create_tags(Resources=[self._root(instance)["VolumeId"]], Tags=pairs(root["tags"]))
        self.change(id, {}, asked, {"disableApiTermination"})  # moto forgets it at the start
        return id

    def found(self, id: str) -> Json | None:
        """A machine that was terminated is described for an hour."""
        reservation = super().found(id)
        instance: Json | None = reservation["Instances"][0] if reservation else None
        return None if instance is None or instance["State"]["Name"] == "terminated" else instance

    def told(self, found: Json, asked: Json) -> Json:
        id, options, root = found["InstanceId"], found["MetadataOptions"], self._root(found)
        keys = ("httpTokens", "httpEndpoint", "httpPutResponseHopLimit")
        said = {
            "ami": found["ImageId"],
            "instanceType": found["InstanceType"],
            "subnetId": found["SubnetId"],
            "privateIp": found["PrivateIpAddress"],
            "vpcSecurityGroupIds": as_asked(
                asked.get("vpcSecurityGroupIds", ()), (group["GroupId"] for group in found["SecurityGroups"])
            ),
            "iamInstanceProfile": found["IamInstanceProfile"]["Arn"].rpartition("/")[2],
            "metadataOptions": {key: options[key[0].upper() + key[1:]] for key in keys},
            "disableApiTermination": self._attribute(id, "disableApiTermination", "DisableApiTermination"),
            "instanceState": found["State"]["Name"],
            "arn": f"arn:aws:ec2:{self.cloud.region}:{ACCOUNT}:instance/{id}",
            "rootBlockDevice": {
                "encrypted": root["Encrypted"],
                "volumeSize": root["Size"],
                "volumeType": root["VolumeType"],
                "deleteOnTermination": root["DeleteOnTermination"],
                "tags": tags_of(root),
            },
        }
        text = self._attribute(id, "userData", "UserData")
        return said | ({"userData": base64.b64decode(str(text)).decode()} if text else {})

    def _attribute(self, id: str, name: str, key: str) -> object:
        return self.ec2.describe_instance_attribute(InstanceId=id, Attribute=name)[key].get("Value")

    def _root(self, instance: Json) -> Json:
        """The disk that goes with the machine, and whether it really does."""
        (disk,) = (one["Ebs"] for one in instance["BlockDeviceMappings"] if one["DeviceName"] == ROOT)
        (volume,) = self.ec2.describe_volumes(VolumeIds=[disk["VolumeId"]])["Volumes"]
        return {**volume, "DeleteOnTermination": disk["DeleteOnTermination"]}

    def change(self, id: str, old: Json, asked: Json, changed: set[str]) -> None:
        if "instanceType" in changed:  # only a machine that stands takes another type
            self.ec2.stop_instances(InstanceIds=[id])
            self.ec2.modify_instance_attribute(InstanceId=id, InstanceType={"Value": asked["instanceType"]})
            self.ec2.start_instances(InstanceIds=[id])
        if "disableApiTermination" in changed:
            value = {"Value": asked["disableApiTermination"]}
            self.ec2.modify_instance_attribute(InstanceId=id, DisableApiTermination=value)
        if "metadataOptions" in changed:
            self.ec2.modify_instance_metadata_options(InstanceId=id, **_upper(asked["metadataOptions"]))
        if "vpcSecurityGroupIds" in changed:
            self.ec2.modify_instance_attribute(InstanceId=id, Groups=asked["vpcSecurityGroupIds"])
        known = {"instanceType", "disableApiTermination", "metadataOptions", "vpcSecurityGroupIds", *self.keeps}
        if rest := changed - known:
            super().change(id, old, asked, rest)

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.modify_instance_attribute(InstanceId=id, DisableApiTermination={"Value": False})
        self.ec2.terminate_instances(InstanceIds=[id])


class Volume(Ec2, token="aws:ebs/volume:Volume", replaces="availabilityZone encrypted"):
    describe, tagged = ("describe_volumes", "VolumeIds", "Volumes"), "volume"

    def create(self, asked: Json) -> str:
        made = self.ec2.create_volume(
            AvailabilityZone=asked["availabilityZone"],
            Size=asked["size"],
            VolumeType=asked["type"],
            Encrypted=asked["encrypted"],
            TagSpecifications=self.labels(asked),
        )
        return str(made["VolumeId"])

    def told(self, found: Json, asked: Json) -> Json:
        said = {"availabilityZone": found["AvailabilityZone"], "size": found["Size"], "type": found["VolumeType"]}
        return said | {"encrypted": found["Encrypted"]}

    def change(self, id: str, old: Json, asked: Json, changed: set[str]) -> None:
        self.ec2.modify_volume(VolumeId=id, Size=asked["size"], VolumeType=asked["type"])

    def delete(self, id: str, asked: Json) -> None:
        self.ec2.delete_volume(VolumeId=id)


class VolumeAttachment(
    Kind,
    token="aws:ec2/volumeAttachment:VolumeAttachment",
    replaces="deviceName instanceId volumeId",
    keeps="stopInstanceBeforeDetaching",
):
    def create(self, asked: Json) -> str:
        self.cloud.ec2.attach_volume(
            Device=asked["deviceName"], InstanceId=asked["instanceId"], VolumeId=asked["volumeId"]
        )
        return f"vai-{asked['volumeId']}-{asked['instanceId']}"

    def read(self, id: str, asked: Json) -> Json | None:
        (volume,) = self.cloud.ec2.describe_volumes(VolumeIds=[asked["volumeId"]])["Volumes"]
        for one in volume["Attachments"]:
            if one["InstanceId"] == asked["instanceId"]:
                return {"deviceName": one["Device"], "instanceId": one["InstanceId"], "volumeId": one["VolumeId"]}
        return None

    def delete(self, id: str, asked: Json) -> None:
        if asked.get("stopInstanceBeforeDetaching"):
            self.cloud.ec2.stop_instances(InstanceIds=[asked["instanceId"]])
        self.cloud.ec2.detach_volume(InstanceId=asked["instanceId"], VolumeId=asked["volumeId"])


def _upper(options: Json) -> Json:
    return {key[0].upper() + key[1:]: value for key, value in options.items()}
