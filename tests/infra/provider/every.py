"""All kinds: importing this fills the table in ``kinds``."""

from tests.infra.provider import (
    atlas,
    balancers,
    buckets,
    firewalls,
    machines,
    network,
    registries,
    rights,
    routes,
    watching,
)
from tests.infra.provider.kinds import KINDS, Kind

SUBJECTS = (atlas, balancers, buckets, firewalls, machines, network, registries, rights, routes, watching)

__all__ = ["KINDS", "SUBJECTS", "Kind"]
