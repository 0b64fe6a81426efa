"""Where built releases are kept, and the parameters that name the promoted one of each application.

The bucket is private and versioned, and takes nothing that is not sent over TLS. The parameters belong to the
controller: the program makes them once, and never sets them back. Each says two digests, the promoted release and the
one before, or ``none``, and the generation of the controller that wrote it; ``releases/<hex>.tar`` in the bucket is
such a release, as a node's ``stage`` takes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.labels import Labels

NONE_YET = "none"
FORGET_AFTER_DAYS = 90


@dataclass(frozen=True, slots=True)
class ArtifactsArgs:
    labels: Labels
    apps: Sequence[str]
    protect: bool


class Artifacts(pulumi.ComponentResource):
    """``releases`` has the parameter of each application."""

    def __init__(self, name: str, args: ArtifactsArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Artifacts", name, None, opts)
        under = pulumi.ResourceOptions(parent=self)
        self.bucket = aws.s3.Bucket(
            name,
            force_destroy=not args.protect,
            tags=args.labels.of(name),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        aws.s3.BucketVersioning(name, bucket=self.bucket.id, versioning_configuration={"status": "Enabled"}, opts=under)
        aws.s3.BucketPublicAccessBlock(
            name,
            bucket=self.bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=under,
        )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=self.bucket.id,
            rules=[
                {
                    "id": "old versions",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": FORGET_AFTER_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            opts=under,
        )
        aws.s3.BucketPolicy(
            name, bucket=self.bucket.id, policy=pulumi.Output.json_dumps(_by_tls(self.bucket.arn)), opts=under
        )
        self.releases = {
            app: aws.ssm.Parameter(
                f"release-{app}",
                name=args.labels.path("releases", app),
                type="String",
                value=NONE_YET,
                description=f"the promoted release of {app}; written by the controller",
                tags=args.labels.of(f"release-{app}", app=app),
                opts=pulumi.ResourceOptions(parent=self, ignore_changes=["value"]),
            )
            for app in args.apps
        }
        self.register_outputs({"bucket": self.bucket.bucket})


def _by_tls(bucket: pulumi.Output[str]) -> dict[str, object]:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, pulumi.Output.concat(bucket, "/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
