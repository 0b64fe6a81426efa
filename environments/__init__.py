"""Environments as data: what differs between dev, stage and prod, and by how much a release may be trusted in each.

The lowest package: it imports nothing else of this house, and everything else may import it.
"""

from environments.infra_values import AtlasSettings, Infra, Subnet
from environments.problems import BadEnvironment, Problem
from environments.schema import (
    Budget,
    Environment,
    Fleet,
    Freeze,
    Json,
    Judge,
    from_folder,
    is_environment,
    load,
    names,
)

__all__ = [
    "AtlasSettings",
    "BadEnvironment",
    "Budget",
    "Environment",
    "Fleet",
    "Freeze",
    "Infra",
    "Json",
    "Judge",
    "Problem",
    "Subnet",
    "from_folder",
    "is_environment",
    "load",
    "names",
]
