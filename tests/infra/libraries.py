"""Importing this loads the libraries that ``turnabout infra`` and its program use, whole. Nothing else lives here."""

from importlib import import_module

AWS = ("budgets", "cloudwatch", "ebs", "ec2", "iam", "lb", "s3", "ssm", "vpc")
LIBRARIES = ("pydantic", "pulumi.automation", *(f"pulumi_aws.{name}" for name in AWS), "pulumi_mongodbatlas")

for name in LIBRARIES:
    hasattr(import_module(name), "loaded")  # parts of Pulumi's libraries are loaded when they are first asked something
