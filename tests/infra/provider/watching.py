"""Alarms, who is told of them, and budgets."""

from __future__ import annotations

from typing import Any

from tests.infra.provider.kinds import ACCOUNT, Json, Kind, pairs, tags_of

ALARM = (
    "namespace",
    "metricName",
    "statistic",
    "comparisonOperator",
    "threshold",
    "period",
    "evaluationPeriods",
    "alarmActions",
)


class MetricAlarm(Kind, token="aws:cloudwatch/metricAlarm:MetricAlarm", replaces="name", named="name"):
    def create(self, asked: Json) -> str:
        self._put(asked, Tags=pairs(asked["tags"]))
        return str(asked["name"])

    def _put(self, asked: Json, **more: Any) -> None:
        said = {key[0].upper() + key[1:]: asked[key] for key in ALARM}
        dimensions = [{"Name": key, "Value": value} for key, value in asked["dimensions"].items()]
        self.cloud.cloudwatch.put_metric_alarm(AlarmName=asked["name"], Dimensions=dimensions, **said, **more)

    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.cloudwatch.describe_alarms(AlarmNames=[id])["MetricAlarms"]
        if not found:
            return None
        arn = found[0]["AlarmArn"]
        return {
            "name": id,
            "arn": arn,
            "dimensions": {one["Name"]: one["Value"] for one in found[0]["Dimensions"]},
            "tags": tags_of(self.cloud.cloudwatch.list_tags_for_resource(ResourceARN=arn)),
            **{key: found[0][key[0].upper() + key[1:]] for key in ALARM},
        }

    def update(self, id: str, old: Json, asked: Json) -> None:
        self._put(asked)
        arn = f"arn:aws:cloudwatch:{self.cloud.region}:{ACCOUNT}:alarm:{id}"
        if gone := sorted(old["tags"].keys() - asked["tags"].keys()):
            self.cloud.cloudwatch.untag_resource(ResourceARN=arn, TagKeys=gone)
        self.cloud.cloudwatch.tag_resource(ResourceARN=arn, Tags=pairs(asked["tags"]))

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.cloudwatch.delete_alarms(AlarmNames=[id])


class Topic(Kind, token="aws:sns/topic:Topic", replaces="name", named="name"):
    def create(self, asked: Json) -> str:
        return str(self.cloud.sns.create_topic(Name=asked["name"], Tags=pairs(asked["tags"]))["TopicArn"])

    def read(self, id: str, asked: Json) -> Json | None:
        self.cloud.sns.get_topic_attributes(TopicArn=id)
        tags = tags_of(self.cloud.sns.list_tags_for_resource(ResourceArn=id))
        return {"arn": id, "name": id.rpartition(":")[2], "tags": tags}

    def update(self, id: str, old: Json, asked: Json) -> None:
        if gone := sorted(old["tags"].keys() - asked["tags"].keys()):
            self.cloud.sns.untag_resource(ResourceArn=id, TagKeys=gone)
        self.cloud.sns.tag_resource(ResourceArn=id, Tags=pairs(asked["tags"]))

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.sns.delete_topic(TopicArn=id)


class TopicSubscription(Kind, token="aws:sns/topicSubscription:TopicSubscription", replaces="topic protocol endpoint"):
    def create(self, asked: Json) -> str:
        made = self.cloud.sns.subscribe(
            TopicArn=asked["topic"], Protocol=asked["protocol"], Endpoint=asked["endpoint"], ReturnSubscriptionArn=True
        )
        return str(made["SubscriptionArn"])

    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.sns.get_subscription_attributes(SubscriptionArn=id)["Attributes"]
        return {"arn": id, "topic": found["TopicArn"], "protocol": found["Protocol"], "endpoint": found["Endpoint"]}

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.sns.unsubscribe(SubscriptionArn=id)


class Budget(Kind, token="aws:budgets/budget:Budget", replaces="name", keeps="tags", named="name"):
    def create(self, asked: Json) -> str:
        told = [
            {
                "Notification": {
                    "NotificationType": one["notificationType"],
                    "Threshold": one["threshold"],
                    "ThresholdType": one["thresholdType"],
                    "ComparisonOperator": one["comparisonOperator"],
                },
                "Subscribers": [
                    {"SubscriptionType": "EMAIL", "Address": mail} for mail in one["subscriberEmailAddresses"]
                ],
            }
            for one in asked["notifications"]
        ]
        budget = {
            "BudgetName": asked["name"],
            "BudgetType": asked["budgetType"],
            "TimeUnit": asked["timeUnit"],
            "BudgetLimit": {"Amount": asked["limitAmount"], "Unit": asked["limitUnit"]},
            "CostFilters": {one["name"]: one["values"] for one in asked["costFilters"]},
        }
        self.cloud.budgets.create_budget(AccountId=ACCOUNT, Budget=budget, NotificationsWithSubscribers=told)
        return f"{ACCOUNT}:{asked['name']}"

    def read(self, id: str, asked: Json) -> Json | None:
        at = {"AccountId": ACCOUNT, "BudgetName": id.partition(":")[2]}
        found = self.cloud.budgets.describe_budget(**at)["Budget"]
        told = self.cloud.budgets.describe_notifications_for_budget(**at)["Notifications"]
        asked_of = asked.get("notifications", [])
        return {
            "name": found["BudgetName"],
            "budgetType": found["BudgetType"],
            "timeUnit": found["TimeUnit"],
            "limitAmount": str(found["BudgetLimit"]["Amount"]),
            "limitUnit": found["BudgetLimit"]["Unit"],
            "costFilters": [{"name": key, "values": values} for key, values in found["CostFilters"].items()],
            "notifications": asked_of if len(told) == len(asked_of) else [],
        }

    def update(self, id: str, old: Json, asked: Json) -> None:
        """The emulated cloud has no call that changes a budget, so it is made anew under its name."""
        self.delete(id, old)
        self.create(asked)

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.budgets.delete_budget(AccountId=ACCOUNT, BudgetName=id.partition(":")[2])


class Parameter(Kind, token="aws:ssm/parameter:Parameter", replaces="name"):
    """A parameter of the intelligent tier says which tier it was given, so what was asked for is kept."""

    def create(self, asked: Json) -> str:
        tier = {"Tier": asked["tier"]} if "tier" in asked else {}
        self.cloud.ssm.put_parameter(**self._asked(asked), **tier, Tags=pairs(asked["tags"]))
        return str(asked["name"])

    def _asked(self, asked: Json) -> Json:
        said = {"Name": asked["name"], "Type": asked["type"], "Value": asked["value"]}
        return said | ({"Description": asked["description"]} if "description" in asked else {})

    def read(self, id: str, asked: Json) -> Json | None:
        found = self.cloud.ssm.get_parameter(Name=id, WithDecryption=True)["Parameter"]
        by_name = [{"Key": "Name", "Option": "Equals", "Values": [id]}]
        (about,) = self.cloud.ssm.describe_parameters(ParameterFilters=by_name)["Parameters"]
        tags = self.cloud.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=id)
        said = {"name": id, "type": found["Type"], "value": found["Value"], "version": found["Version"]}
        said |= {"arn": found["ARN"], "tags": tags_of(tags, "TagList"), "tier": asked.get("tier", about["Tier"])}
        return said | ({"description": about["Description"]} if about.get("Description") else {})

    def update(self, id: str, old: Json, asked: Json) -> None:
        self.cloud.ssm.put_parameter(**self._asked(asked), Overwrite=True)
        at = {"ResourceType": "Parameter", "ResourceId": id}
        if gone := sorted(old["tags"].keys() - asked["tags"].keys()):
            self.cloud.ssm.remove_tags_from_resource(**at, TagKeys=gone)
        self.cloud.ssm.add_tags_to_resource(**at, Tags=pairs(asked["tags"]))

    def delete(self, id: str, asked: Json) -> None:
        self.cloud.ssm.delete_parameter(Name=id)
