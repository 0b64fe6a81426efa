"""Where images of applications are kept, for releases that are images: one repository for each application.

A tag that was pushed names the same image for ever, and every image is scanned when it comes. Images without a tag are
left over from pushes that did not end, and go; one with a tag never goes by itself, because the promoted release may be
the oldest of all. Only nodes that run an application may pull it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.labels import Labels
from infra.roles import Right

FORGET_AFTER_DAYS = 14
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


@dataclass(frozen=True, slots=True)
class RegistryArgs:
    labels: Labels
    apps: Sequence[str]
    protect: bool


class Registry(pulumi.ComponentResource):
    """``pull`` has what nodes need to be allowed, by application."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Registry", name, None, opts)
        under = pulumi.ResourceOptions(parent=self)
        self.pull: dict[str, list[Right]] = {}
        for app in args.apps:
            repository = aws.ecr.Repository(
                f"{name}-{app}",
                name=f"turnabout/{args.labels.environment}/{app}",
                image_tag_mutability="IMMUTABLE",
                image_scanning_configuration={"scan_on_push": True},
                encryption_configurations=[{"encryption_type": "AES256"}],
                force_delete=not args.protect,
                tags=args.labels.of(f"{name}-{app}", app=app),
                opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
            )
            aws.ecr.LifecyclePolicy(
                f"{name}-{app}", repository=repository.name, policy=json.dumps({"rules": [_LEFT_OVER]}), opts=under
            )
            self.pull[app] = [Right(["ecr:GetAuthorizationToken"], ["*"]), Right(PULL, [repository.arn])]
        self.register_outputs({})


_LEFT_OVER = {
    "rulePriority": 1,
    "description": "left over from pushes that did not end",
    "selection": {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": FORGET_AFTER_DAYS,
    },
    "action": {"type": "expire"},
}
