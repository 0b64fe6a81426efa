"""How Atlas gets at the environment's own encryption key: a role that Atlas may take, and that may use the one key."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_mongodbatlas as atlas

from infra.labels import Labels


@dataclass(frozen=True, slots=True)
class KeyAccessArgs:
    labels: Labels
    project: pulumi.Input[str]
    key: str


class KeyAccess(pulumi.ComponentResource):
    """``role_id`` is Atlas's name for the role, once Atlas has tried it."""

    def __init__(self, name: str, args: KeyAccessArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:KeyAccess", name, None, opts)
        under = pulumi.ResourceOptions(parent=self)
        setup = atlas.CloudProviderAccessSetup(name, project_id=args.project, provider_name="AWS", opts=under)
        atlas_itself = setup.aws_configs[0]
        trust = {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": atlas_itself.atlas_aws_account_arn},
            "Condition": {"StringEquals": {"sts:ExternalId": atlas_itself.atlas_assumed_role_external_id}},
        }
        role = aws.iam.Role(
            name,
            assume_role_policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [trust]}),
            tags=args.labels.of(name),
            opts=under,
        )
        use = {
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"],
            "Resource": [args.key],
        }
        policy = aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [use]}),
            opts=under,
        )
        tried = atlas.CloudProviderAccessAuthorization(
            name,
            project_id=args.project,
            role_id=setup.role_id,
            aws={"iam_assumed_role_arn": role.arn},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.role_id: pulumi.Output[str] = tried.role_id
        self.register_outputs({"role_id": self.role_id})
