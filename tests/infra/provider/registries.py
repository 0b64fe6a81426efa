"""Places for images, by ECR's calls, and names, by Route 53's."""

from __future__ import annotations

from tests.infra.provider.kinds import Json, Kind, pairs, same_json, tags_of


class Repository(
    Kind, token="aws:ecr/repository:Repository", replaces="name encryptionConfigurations", keeps="forceDelete"
):
    def create(self, asked: Json) -> str:
        (encrypted,) = asked["encryptionConfigurations"]
        self.cloud.ecr.create_repository(
            repositoryName=asked["name"],
            imageTagMutability=asked["imageTagMutability"],
            imageScanningConfiguration=asked["imageScanningConfiguration"],
            encryptionConfiguration=encrypted,
            tags=pairs(asked["tags"]),
        )
        return str(asked["name"])

    def read(self, id: str, asked: Json) -> Json | None:
        (found,) = self.cloud.ecr.describe_repositories(repositoryNames=[id])["repositories"]
        arn = found["repositoryArn"]
        return {
            "name": id,
            "arn": arn,
            "repositoryUrl": found["repositoryUri"],
            "imageTagMutability": found["imageTagMutability"],
            "imageScanningConfiguration": found["imageScanningConfiguration"],
            "encryptionConfigurations": [{"encryptionType": found["encryptionConfiguration"]["encryptionType"]}],
            "tags": tags_of(self.cloud.ecr.list_tags_for_resource(resourceArn=arn), "tags"),
        }

    def update(self, id: str, old: Json, asked: Json) -> None:
        scan = asked["imageScanningConfiguration"]
        self.cloud.ecr.put_image_tag_mutability(repositoryName=id, imageTagMutability=asked["imageTagMutability"])
        self.cloud.ecr.put_image_scanning_configuration(repositoryName=id, imageScanningConfiguration=scan)
        (found,) = self.cloud.ecr.describe_repositories(repositoryNames=[id])["repositories"]
        self.cloud.ecr.tag_resource(resourceArn=found["repositoryArn"], tags=pairs(asked["tags"]))

    def delete(self, id: str, asked: Json) -> None:
        """Without ``forceDelete`` a repository that holds images says no."""
        self.cloud.ecr.delete_repository(repositoryName=id, force=bool(asked.get("forceDelete")))


class LifecyclePolicy(Kind, token="aws:ecr/lifecyclePolicy:LifecyclePolicy", replaces="repository"):
    def create(self, asked: Json) -> str:
        self.update("", {}, asked)
        return str(asked["repository"])

    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.ecr.get_lifecycle_policy(repositoryName=id)["lifecyclePolicyText"]
        return {"repository": id, "policy": same_json(asked.get("policy", ""), found)}

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.ecr.put_lifecycle_policy(repositoryName=asked["repository"], lifecyclePolicyText=asked["policy"])

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.ecr.delete_lifecycle_policy(repositoryName=id)


class Record(Kind, token="aws:route53/record:Record", replaces="zoneId name type"):
    def _change(self, action: str, asked: Json) -> None:
        says = [{"Value": value} for value in asked["records"]]
        record = {"Name": asked["name"], "Type": asked["type"], "TTL": asked["ttl"], "ResourceRecords": says}
        change = {"Action": action, "ResourceRecordSet": record}
        self.cloud.route53.change_resource_record_sets(HostedZoneId=asked["zoneId"], ChangeBatch={"Changes": [change]})

    def create(self, asked: Json) -> str:
        self._change("CREATE", asked)
        return f"{asked['zoneId']}_{asked['name']}_{asked['type']}"

    def read(self, id: str, asked: Json) -> Json | None:
        sets = self.cloud.route53.list_resource_record_sets(HostedZoneId=asked["zoneId"])["ResourceRecordSets"]
        for one in sets:
            if (one["Name"].rstrip("."), one["Type"]) == (asked["name"], asked["type"]):
                says = [record["Value"] for record in one["ResourceRecords"]]
                return {key: asked[key] for key in ("zoneId", "name", "type")} | {"ttl": one["TTL"], "records": says}
        return None

    def update(self, id: str, old: Json, asked: Json) -> None:
        self._change("UPSERT", asked)

    def delete(self, id: str, asked: Json) -> None:
        self._change("DELETE", asked)
