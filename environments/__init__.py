"""Environments as data: what differs between dev, stage and prod, and by how much a release may be trusted in each.

The lowest package: it imports nothing else of this house, and everything else may import it.
"""

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
    "BadEnvironment",
    "Budget",
    "Environment",
    "Fleet",
    "Freeze",
    "Json",
    "Judge",
    "Problem",
    "from_folder",
    "is_environment",
    "load",
    "names",
]
