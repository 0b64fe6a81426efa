"""Buckets and their objects, by S3's calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.infra.provider.kinds import Json, Kind, pairs, same_json, tags_of, unless_gone

SHUT = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


class Bucket(Kind, token="aws:s3/bucket:Bucket", replaces="bucket", keeps="forceDestroy", named="bucket"):
    def create(self, asked: Json) -> str:
        self.cloud.s3.create_bucket(Bucket=asked["bucket"])
        self.update(asked["bucket"], {}, asked)
        return str(asked["bucket"])

    def read(self, id: str, asked: Json) -> Json | None:
        self.cloud.s3.head_bucket(Bucket=id)
        tags = unless_gone(lambda: tags_of(self.cloud.s3.get_bucket_tagging(Bucket=id), "TagSet")) or {}
        return {"bucket": id, "arn": f"arn:aws:s3:::{id}", "tags": tags}

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.s3.put_bucket_tagging(Bucket=id, Tagging={"TagSet": pairs(asked["tags"])})

    def delete(self, id: str, asked: Json) -> None:
        """Without ``forceDestroy`` a bucket that holds something says no."""
        if asked.get("forceDestroy"):
            there = self.cloud.s3.list_object_versions(Bucket=id)
            for one in [*there.get("Versions", []), *there.get("DeleteMarkers", [])]:
                self.cloud.s3.delete_object(Bucket=id, Key=one["Key"], VersionId=one["VersionId"])
        self.cloud.s3.delete_bucket(Bucket=id)


class OfBucket(Kind):
    """What a bucket has one of; its id is the bucket's name."""

    def create(self, asked: Json) -> str:
        self.update(asked["bucket"], {}, asked)
        return str(asked["bucket"])


class Versioning(OfBucket, token="aws:s3/bucketVersioning:BucketVersioning", replaces="bucket"):
    def read(self, id: str, asked: Json) -> Json | None:
        status = self.cloud.s3.get_bucket_versioning(Bucket=id).get("Status", "Disabled")
        return {"bucket": id, "versioningConfiguration": {"status": status}}

    def update(self, id: str, old: Json, asked: Json) -> None:
        status = {"Status": asked["versioningConfiguration"]["status"]}
        self.cloud.s3.put_bucket_versioning(Bucket=id, VersioningConfiguration=status)

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.s3.put_bucket_versioning(Bucket=id, VersioningConfiguration={"Status": "Suspended"})


class PublicAccessBlock(OfBucket, token="aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", replaces="bucket"):
    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.s3.get_public_access_block(Bucket=id)["PublicAccessBlockConfiguration"]
        return {"bucket": id, **{key: found[key[0].upper() + key[1:]] for key in SHUT}}

    def update(self, id: str, old: Json, asked: Json) -> None:
        shut = {key[0].upper() + key[1:]: asked[key] for key in SHUT}
        self.cloud.s3.put_public_access_block(Bucket=id, PublicAccessBlockConfiguration=shut)

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.s3.delete_public_access_block(Bucket=id)


class Lifecycle(OfBucket, token="aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", replaces="bucket"):
    def read(self, id: str, asked: Json) -> Json | None:
        rules = self.cloud.s3.get_bucket_lifecycle_configuration(Bucket=id)["Rules"]
        return {"bucket": id, "rules": [_rule(rule) for rule in rules]}

    def update(self, id: str, old: Json, asked: Json) -> None:
        rules = [
            {
                "ID": rule["id"],
                "Status": rule["status"],
                "Filter": {"Prefix": rule["filter"]["prefix"]},
                "NoncurrentVersionExpiration": {
                    "NoncurrentDays": rule["noncurrentVersionExpiration"]["noncurrentDays"]
                },
                "AbortIncompleteMultipartUpload": {
                    "DaysAfterInitiation": rule["abortIncompleteMultipartUpload"]["daysAfterInitiation"]
                },
            }
            for rule in asked["rules"]
        ]
        self.cloud.s3.put_bucket_lifecycle_configuration(Bucket=id, LifecycleConfiguration={"Rules": rules})

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.s3.delete_bucket_lifecycle(Bucket=id)


def _rule(found: Json) -> Json:
    return {
        "id": found["ID"],
        "status": found["Status"],
        "filter": {"prefix": found["Filter"]["Prefix"]},
        "noncurrentVersionExpiration": {"noncurrentDays": found["NoncurrentVersionExpiration"]["NoncurrentDays"]},
        "abortIncompleteMultipartUpload": {
            "daysAfterInitiation": found["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        },
    }


class BucketPolicy(OfBucket, token="aws:s3/bucketPolicy:BucketPolicy", replaces="bucket"):
    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.s3.get_bucket_policy(Bucket=id)["Policy"]
        return {"bucket": id, "policy": same_json(asked.get("policy", ""), found)}

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.s3.put_bucket_policy(Bucket=id, Policy=asked["policy"])

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.s3.delete_bucket_policy(Bucket=id)


class BucketObject(Kind, token="aws:s3/bucketObjectv2:BucketObjectv2", replaces="bucket key", keeps="source"):
    """``source`` is a file, of which the engine keeps the hash."""

    def create(self, asked: Json) -> str:
        self.update("", {}, asked)
        return f"{asked['bucket']}/{asked['key']}"

    def read(self, id: str, asked: Json) -> Json | None:
        at: dict[str, Any] = {"Bucket": asked["bucket"], "Key": asked["key"]}
        found = self.cloud.s3.get_object(**at)
        tags = tags_of(self.cloud.s3.get_object_tagging(**at), "TagSet")
        said = {"bucket": asked["bucket"], "key": asked["key"], "tags": tags, "etag": found["ETag"].strip('"')}
        return said | ({"content": found["Body"].read().decode()} if "content" in asked else {})

    def update(self, id: str, old: Json, asked: Json) -> None:
        source = asked.get("source")
        body = Path(source["path"]).read_bytes() if source else asked["content"].encode()
        at = {"Bucket": asked["bucket"], "Key": asked["key"]}
        self.cloud.s3.put_object(**at, Body=body)
        self.cloud.s3.put_object_tagging(**at, Tagging={"TagSet": pairs(asked["tags"])})

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.s3.delete_object(Bucket=asked["bucket"], Key=asked["key"])
