"""Where nodes find the certificates by which devices and a zone prove to each other who they are.

The authority is one's own, and its key is never in the cloud: whoever runs the platform signs with it where it is kept,
and writes what comes of it into these parameters. ``tls/devices`` holds the certificates that devices' own are signed
by, more than one while they change; ``tls/ZONE`` a zone's certificate and its key, for all nodes of that zone and for
nobody else. The program makes them once, empty, and never sets them back; how to fill them is in ``docs/cloud.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.artifacts import NONE_YET
from infra.labels import Labels


@dataclass(frozen=True, slots=True)
class CertificatesArgs:
    labels: Labels
    zones: Sequence[str]


def paths(labels: Labels, zone: str) -> tuple[str, str]:
    """The parameters that a zone's nodes read: of devices' authorities, and the zone's own."""
    return labels.path("tls", "devices"), labels.path("tls", zone)


class Certificates(pulumi.ComponentResource):
    def __init__(self, name: str, args: CertificatesArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:Certificates", name, None, opts)
        self._args = args
        self._parameter(f"{name}-devices", args.labels.path("tls", "devices"), "String", {})
        for zone in args.zones:
            self._parameter(f"{name}-{zone}", args.labels.path("tls", zone), "SecureString", {"zone": zone})
        self.register_outputs({})

    def _parameter(self, name: str, path: str, kind: str, more: dict[str, str]) -> None:
        aws.ssm.Parameter(
            name,
            name=path,
            type=kind,
            tier="Intelligent-Tiering",  # two authorities at once may be more than 4 KB
            value=NONE_YET,
            tags=self._args.labels.of(name, **more),
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["value"]),
        )
