"""Who is told when a machine fails or money runs out; AWS recovers a machine whose host has failed.

Whether a release is good is not asked here: that is the controller's judgement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.labels import Labels

MINUTE = 60


@dataclass(frozen=True, slots=True)
class AlarmsArgs:
    labels: Labels
    region: str
    mail: str
    """Where to write; empty: nobody is told."""
    dollars: int
    instances: Mapping[str, pulumi.Input[str]]


class Alarms(pulumi.ComponentResource):
    def __init__(self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Alarms", name, None, opts)
        self._args, self._under = args, pulumi.ResourceOptions(parent=self)
        told = [self._topic(name).arn] if args.mail else []
        for node, instance in args.instances.items():
            recover = f"arn:aws:automate:{args.region}:ec2:recover"
            self._alarm(f"{name}-{node}-host", instance, "StatusCheckFailed_System", [recover, *told])
            self._alarm(f"{name}-{node}-machine", instance, "StatusCheckFailed_Instance", told)
        self._budget(name)
        self.register_outputs({})

    def _topic(self, name: str) -> aws.sns.Topic:
        topic = aws.sns.Topic(name, tags=self._args.labels.of(name), opts=self._under)
        aws.sns.TopicSubscription(name, topic=topic.arn, protocol="email", endpoint=self._args.mail, opts=self._under)
        return topic

    def _alarm(self, name: str, instance: pulumi.Input[str], metric: str, actions: Sequence[pulumi.Input[str]]) -> None:
        aws.cloudwatch.MetricAlarm(
            name,
            namespace="AWS/EC2",
            metric_name=metric,
            dimensions={"InstanceId": instance},
            statistic="Maximum",
            comparison_operator="GreaterThanOrEqualToThreshold",
            threshold=1,
            period=MINUTE,
            evaluation_periods=2,
            alarm_actions=actions,
            tags=self._args.labels.of(name),
            opts=self._under,
        )

    def _budget(self, name: str) -> None:
        args = self._args
        told = [
            aws.budgets.BudgetNotificationArgs(
                notification_type=kind,
                threshold=percent,
                threshold_type="PERCENTAGE",
                comparison_operator="GREATER_THAN",
                subscriber_email_addresses=[args.mail],
            )
            for kind, percent in (("ACTUAL", 90), ("FORECASTED", 100))
        ]
        aws.budgets.Budget(
            name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(args.dollars),
            limit_unit="USD",
            cost_filters=[{"name": "TagKeyValue", "values": [f"user:turnabout:environment${args.labels.environment}"]}],
            notifications=told if args.mail else [],
            tags=args.labels.of(name),
            opts=self._under,
        )
