"""Where the parts of a controller are put together, for the processes that need them: the run itself, and plans."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from controller.artifacts.store import ArtifactStore
from controller.checks.prometheus import Prometheus
from controller.clock import BootClock
from controller.errors import Refused
from controller.fleets.crowd import SyntheticCrowd
from controller.fleets.nodes import NodeFleet
from controller.keys import build_key, revert_key, ssh_key
from controller.ledgers.sqlite import Spool, SqliteLedger, leader
from controller.loop.branch import unreleasable
from controller.loop.loop import EnvironmentLoop, Parts
from controller.model import Release
from controller.ports import Clock, Notifier, Shelf, Transport
from controller.rollout.rows import Row
from controller.rollout.standing import Standing, fold
from controller.site import Site
from controller.sources.git import GitSource
from controller.sources.releases import FOLDER, Releases
from controller.transports import aws
from controller.transports.local import LocalTransport
from controller.transports.ssh import SshTransport
from environments import BadEnvironment, Environment
from infra.outputs import Outputs


@dataclass(frozen=True, slots=True)
class Shared:
    """What the loops of all environments use together."""

    git: GitSource
    artifacts: ArtifactStore
    releases: Releases
    clock: Clock


def shared(site: Site) -> Shared:
    git = repository(site)
    artifacts = ArtifactStore(site.state / "artifacts", build_key(site.keys))
    return Shared(git, artifacts, Releases(git, artifacts), BootClock())


def repository(site: Site) -> GitSource:
    url = site.repository or site.outputs(site.environments[0]).repository
    return GitSource(url, site.state / "mirror.git", revert_key(site.keys))


def open_ledger(site: Site, environment: str) -> SqliteLedger:
    clock = BootClock()
    return SqliteLedger(site.ledger(environment), clock.utc)


def history(site: Site, environment: str) -> list[Row]:
    """Every row there is; reading makes no ledger where nothing was ever led. Raises Unreachable."""
    return open_ledger(site, environment).rows() if site.ledger(environment).exists() else []


def is_led(site: Site, environment: str) -> bool:
    """Whether a controller leads the environment now. Raises Unreachable."""
    return leader(site.leader(environment)) is not None


def policy(parts: Shared, name: str, standing: Standing) -> Environment:
    """The environment's rules as the commit states them that is in force; before any promotion, as its branch does."""
    commit = standing.policy
    if commit is not None:
        parts.git.bring(commit, name)
    if commit is not None and parts.git.object_id(commit, FOLDER) is not None:
        return parts.releases.policy(name, commit)  # from the mirror: a controller starts without git
    if name not in parts.git.heads():
        raise Refused(f"reading {name}", f"the repository has no branch {name}", "Push one to begin.")
    head = parts.git.fetch(name)
    try:
        return parts.releases.policy(name, commit or head)
    except BadEnvironment as bad:
        raise Refused(f"reading {name}", unreleasable(name, commit or head, bad)) from bad


def wanted(parts: Shared, environment: Environment, commit: str) -> Release:
    """What the head of its branch wants. Raises Unreachable, and Refused, which names the commit."""
    try:
        return parts.releases.release(environment, commit)
    except (BadEnvironment, Refused) as no:
        raise Refused(f"reading {environment.name}", unreleasable(environment.branch, commit, no)) from no


def transport(site: Site, outputs: Outputs) -> Transport:
    """How commands reach the nodes of one environment: all of them alike. Raises Refused."""
    kinds = {node.transport for node in outputs.nodes}
    if kinds == {"local"}:
        return LocalTransport()
    if kinds == {"ssh"}:
        return SshTransport(outputs, ssh_key(site.keys))
    if kinds == {"ssm"}:
        return run_command(outputs)
    said = f"its nodes are reached by {', '.join(sorted(kinds))}"
    raise Refused(f"reaching the nodes of {outputs.environment}", said, "All of one environment need the same way.")


def run_command(outputs: Outputs) -> Transport:
    """Commands by AWS, whose library is asked for by those only who need it. Raises Refused."""
    systems, objects = aws.client("ssm", outputs.region), aws.client("s3", outputs.region)
    from controller.artifacts.bucket import Bucket
    from controller.transports.ssm import SsmTransport

    return SsmTransport(outputs, systems, Bucket(objects, outputs.artifacts))


def shelf(outputs: Outputs, artifacts: ArtifactStore) -> Shelf | None:
    """Where new nodes look for what is promoted; None where the platform has no such place. Raises Refused."""
    if not (outputs.releases and outputs.artifacts):
        return None
    systems, objects = aws.client("ssm", outputs.region), aws.client("s3", outputs.region)
    from controller.artifacts.bucket import Bucket
    from controller.artifacts.shelf import CloudShelf

    return CloudShelf(outputs, systems, Bucket(objects, outputs.artifacts), artifacts)


def fleet(site: Site, name: str) -> NodeFleet:
    """The nodes of one environment, for who acts on them beside its loop. Raises BadSite, BadOutputs, Refused."""
    outputs = site.outputs(name)
    artifacts = ArtifactStore(site.state / "artifacts", build_key(site.keys))
    return NodeFleet(outputs, transport(site, outputs), artifacts, BootClock())


def loop(site: Site, name: str, parts: Shared, notifier: Notifier, pool: Executor) -> EnvironmentLoop:
    """One environment's loop, ready to run. Raises BadSite, BadOutputs, BadEnvironment, Refused, Unreachable."""
    return EnvironmentLoop(*put_together(site, name, parts, notifier, pool))


def put_together(site: Site, name: str, parts: Shared, notifier: Notifier, pool: Executor) -> tuple[Environment, Parts]:
    """What one environment's loop is made of: its rules and its parts. Raises what ``loop`` does."""
    outputs = site.outputs(name)
    ledger = open_ledger(site, name)
    if (broken := ledger.broken_at()) is not None:
        said = f"row {broken} of {site.ledger(name)} does not follow from the one before it"
        raise Refused(f"leading {name}", said, "It was changed by hand or is damaged: restore it from a copy.")
    environment = policy(parts, name, fold(ledger.rows()))
    nodes = NodeFleet(outputs, transport(site, outputs), parts.artifacts, parts.clock)
    return environment, Parts(
        source=parts.releases,
        artifacts=parts.artifacts,
        fleet=nodes,
        ledger=ledger,
        spool=Spool(site.state / name / "spool.jsonl"),
        notifier=notifier,
        clock=parts.clock,
        crowd=SyntheticCrowd(outputs),
        metrics=Prometheus(),
        pool=pool,
        nodes=tuple(node.name for node in outputs.nodes),
        backends={node.app: node.backends for node in outputs.nodes},
        shelf=shelf(outputs, parts.artifacts),
    )
