"""All kinds: importing this fills the table in ``kinds``."""

from tests.infra.provider import atlas, balancers, buckets, firewalls, machines, network, rights, routes, watching
from tests.infra.provider.kinds import KINDS, Kind

__all__ = [
    "KINDS",
    "Kind",
    "atlas",
    "balancers",
    "buckets",
    "firewalls",
    "machines",
    "network",
    "rights",
    "routes",
    "watching",
]
