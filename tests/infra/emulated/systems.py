"""Systems Manager's answers about Run Command, as AWS words them. What runs, and where, is in ``commands.py``.

``AWS-RunShellScript`` is the one document there is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models import ec2_backends
from moto.ssm.exceptions import InvalidDocument, SSMException, ValidationException
from moto.ssm.responses import SimpleSystemManagerResponse

from tests.infra.emulated.commands import OVER, Command, Invocation, RunCommand
from tests.infra.emulated.patches import Patches

DOCUMENT, STEP = "AWS-RunShellScript", "aws:runShellScript"
PARAMETERS = ("commands", "workingDirectory", "executionTimeout")


def install(patches: Patches, cloud: RunCommand) -> None:
    """Let Systems Manager's answers come from ``cloud``."""

    def send_command(self: Any) -> ActionResult:
        parameters = self._get_param("Parameters", {})
        instances, targets = self._get_param("InstanceIds", []), self._get_param("Targets", [])
        if self._get_param("DocumentName") != DOCUMENT:
            raise InvalidDocument(f"The specified SSM document doesn't exist; there is {DOCUMENT} alone.")
        if not parameters.get("commands") or set(parameters) - set(PARAMETERS):
            raise SSMException("InvalidParameters", f"{DOCUMENT} takes {', '.join(PARAMETERS)}, and needs commands.")
        if not instances and not targets:
            raise ValidationException("Specify instance IDs or targets.")
        tagged = _of_targets(ec2_backends[self.current_account][self.region], targets, cloud)
        seconds = self._get_int_param("TimeoutSeconds", 3600)
        command = cloud.send(instances, targets, tagged, parameters, seconds, self._get_param("Comment", ""))
        return ActionResult({"Command": {**_shown(command), "Status": "Pending", "StatusDetails": "Pending"}})

    def list_commands(self: Any) -> ActionResult:
        id, instance = self._get_param("CommandId"), self._get_param("InstanceId")
        found = [cloud.command(id)] if id else cloud.commands()
        return ActionResult({"Commands": [_shown(one) for one in found if not instance or instance in one.invocations]})

    def get_command_invocation(self: Any) -> ActionResult:
        command, instance = cloud.command(self._get_param("CommandId")), self._get_param("InstanceId")
        if self._get_param("PluginName", STEP) not in (STEP, DOCUMENT):
            raise SSMException("InvalidPluginName", "The plugin name isn't valid.")
        if instance not in command.invocations:
            raise SSMException(
                "InvocationDoesNotExist", "The command ID and managed node ID you specified didn't match."
            )
        return ActionResult(_told(command, command.invocations[instance]))

    def list_command_invocations(self: Any) -> ActionResult:
        id, instance = self._get_param("CommandId"), self._get_param("InstanceId")
        found = [cloud.command(id)] if id else cloud.commands()
        told = [
            _told(command, one)
            for command in found
            for one in command.invocations.values()
            if instance in (None, one.instance)
        ]
        return ActionResult({"CommandInvocations": told})

    def cancel_command(self: Any) -> EmptyResult:
        cloud.cancel(self._get_param("CommandId"), self._get_param("InstanceIds", []))
        return EmptyResult()

    def describe_instance_information(self: Any) -> ActionResult:
        nodes = [
            {"InstanceId": id, "PingStatus": "Online" if stand.reachable.is_set() else "ConnectionLost",
             "PlatformType": "Linux", "ResourceType": "EC2Instance"}
            for id, stand in cloud.managed.items()
        ]  # fmt: skip
        return ActionResult({"InstanceInformationList": nodes})

    for answer in (
        send_command, list_commands, get_command_invocation, list_command_invocations, cancel_command,
        describe_instance_information,
    ):  # fmt: skip
        patches.put(SimpleSystemManagerResponse, answer.__name__, answer)


def _of_targets(backend: Any, targets: list[dict[str, Any]], cloud: RunCommand) -> list[str]:
    """The managed instances that fit every target: by tag, or by id."""
    found = list(cloud.managed) if targets else []
    for target in targets:
        key, values = target["Key"], target["Values"]
        if key.startswith("tag:"):
            tags = {
                id: {tag["key"]: tag["value"] for tag in backend.describe_tags({"resource-id": [id]})} for id in found
            }
            found = [id for id in found if tags[id].get(key[4:]) in values]
        elif key == "InstanceIds":
            found = [id for id in found if id in values]
        else:
            raise SSMException("InvalidTarget", f"{key} is no key of a target; write InstanceIds or tag:NAME.")
    return found


def _shown(command: Command) -> dict[str, Any]:
    over = [one for one in command.invocations.values() if one.status in OVER]
    return {
        "CommandId": command.id,
        "DocumentName": DOCUMENT,
        "Comment": command.comment,
        "Parameters": command.parameters,
        "InstanceIds": command.instances,
        "Targets": command.targets,
        "RequestedDateTime": command.asked,
        "ExpiresAfter": command.expires,
        "Status": command.status,
        "StatusDetails": command.status,
        "TargetCount": len(command.invocations),
        "CompletedCount": len(over),
        "ErrorCount": sum(one.status in ("Failed", "TimedOut") for one in over),
    }


def _told(command: Command, one: Invocation) -> dict[str, Any]:
    def moment(at: float) -> str:
        return datetime.fromtimestamp(at, UTC).isoformat() if at else ""

    status = one.status
    over = status in OVER
    return {
        "CommandId": command.id,
        "InstanceId": one.instance,
        "Comment": command.comment,
        "DocumentName": DOCUMENT,
        "PluginName": STEP,
        "RequestedDateTime": command.asked,
        "Status": status,
        "StatusDetails": one.details,
        "ResponseCode": one.code if over else -1,
        "ExecutionStartDateTime": moment(one.began),
        "ExecutionEndDateTime": moment(one.ended),
        "StandardOutputContent": one.out if over else "",
        "StandardErrorContent": one.err if over else "",
    }
