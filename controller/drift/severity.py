"""How much a difference matters: a table by what kind of resource it is on and where in it, the first line that fits.

Pure. High is what lets somebody in, loses data, or makes a rehearsal prove nothing; low is what only people read.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from controller.drift.finding import Severity

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
WEIGHTS = list(Severity)

PROPERTIES: tuple[tuple[str, str, Severity], ...] = (
    ("*", "tags*", LOW),
    ("*", "description", LOW),
    ("*", "comment", LOW),
    # who may come in, and who may do what
    ("aws.*.SecurityGroup*", "*", HIGH),
    ("aws.iam.*", "*", HIGH),
    ("aws.s3.BucketPublicAccessBlock", "*", HIGH),
    ("aws.s3.BucketPolicy", "*", HIGH),
    ("aws.lb.Listener", "*", HIGH),
    ("aws.lb.TargetGroupAttachment", "*", HIGH),
    ("aws.lb.LoadBalancer", "", HIGH),
    ("aws.ec2.Route*", "*", HIGH),
    ("*", "metadataOptions*", HIGH),
    ("*", "vpcSecurityGroupIds*", HIGH),
    ("*", "iamInstanceProfile", HIGH),
    ("mongodbatlas.ProjectIpAccessList", "*", HIGH),
    ("mongodbatlas.DatabaseUser", "*", HIGH),
    ("mongodbatlas.CustomDbRole", "*", HIGH),
    # what must not be lost
    ("*", "*ncrypt*", HIGH),
    ("*", "*rotect*", HIGH),
    ("*", "disableApiTermination", HIGH),
    ("*", "*deleteOnTermination", HIGH),
    ("*ersioning*", "*", HIGH),
    ("mongodbatlas.*", "backupEnabled", HIGH),
    ("mongodbatlas.*", "pitEnabled", HIGH),
    ("mongodbatlas.CloudBackupSchedule", "*", HIGH),
    ("aws.ebs.*", "", HIGH),
    ("mongodbatlas.*", "", HIGH),
    # what a rehearsal stands on
    ("*", "instanceType", MEDIUM),
    ("mongodbatlas.*", "*instanceSize", MEDIUM),
    ("aws.ec2.Instance", "", HIGH),
    ("aws.ec2.Subnet", "", HIGH),
    ("aws.budgets.*", "*", LOW),
    ("aws.cloudwatch.*", "*", LOW),
    ("*", "(ignoreChanges)*", LOW),
    ("*", "(deleteBeforeReplace)", LOW),
)
"""Kind of resource, path in it (empty: all of it), severity. What no line fits is medium."""


def of(kind: str, path: str) -> Severity:
    fits = (said for kinds, paths, said in PROPERTIES if fnmatchcase(kind, kinds) and fnmatchcase(path, paths))
    return next(fits, MEDIUM)


def weightiest(severities: Iterable[Severity]) -> Severity:
    return min(severities, key=WEIGHTS.index, default=LOW)
