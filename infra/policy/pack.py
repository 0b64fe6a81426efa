"""The guard rails as Pulumi asks for them: resources become plain values, sentences become violations.

In a preview much is not known yet. A value that is not known is left out, and whose it will be is kept. Rights that
name what does not exist yet can be judged only by the update that makes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from infra.policy.rules import RULES, Declared, Rule


def declared(resources: Sequence[PolicyResource]) -> list[Declared]:
    """What a stack declares, as the rules read it."""
    return [
        Declared(
            kind=one.resource_type.rpartition(":")[2],
            name=one.name,
            inputs=dict(_known(one.props)),
            refs={key: of[0].name for key, of in one.property_dependencies.items() if of},
            protected=one.opts.protect,
        )
        for one in resources
    ]


def policies() -> list[Policy]:
    """One for each rule; each must hold, in preview and in update."""
    return [
        StackValidationPolicy(
            name=rule.__name__.replace("_", "-"),
            description=f"What nobody may build here: {rule.__name__.replace('_', ' ')}.",
            validate=_asks(rule),
            enforcement_level=EnforcementLevel.MANDATORY,
        )
        for rule in RULES
    ]


def _asks(rule: Rule) -> Any:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for sentence in rule(declared(args.resources)):
            report(sentence, None)

    return validate


def _known(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in value:
        try:
            yield key, _plain(value[key])
        except UnknownValueError:
            continue


def _plain(value: Any) -> Any:
    """Without the proxies that stand before unknown values; a list that holds one is not known."""
    if isinstance(value, Mapping):
        return dict(_known(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
