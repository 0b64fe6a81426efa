"""Branches as releases: what a commit wants to run in one environment, and how a verdict gets back into git.

Joins the repository, the environments that a commit states and the artefacts built from it. Which git commands that
takes stands in ``git``, what is in an artefact in ``controller.artifacts``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from controller.artifacts.store import ArtifactStore
from controller.errors import Refused
from controller.model import AppRelease, Lane, Release, Rollout
from controller.sources.admission import refuse_hiding, refuse_mixing, unsigned
from controller.sources.commits import NotNeeded, Restored, Reversal, Suspect, restore_message
from controller.sources.git import GitSource
from controller.sources.signers import BadSigners, Signers
from environments import BadEnvironment, Environment, load

FOLDER = "environments"


def owned_by(environment: str) -> tuple[str, ...]:
    """The paths that belong to an environment and are never promoted."""
    return f"{FOLDER}/{environment}.toml", f"{FOLDER}/Pulumi.{environment}.yaml"


class Releases:
    """The releases that the environment branches of one repository ask for."""

    def __init__(self, git: GitSource, artifacts: ArtifactStore) -> None:
        self._git, self._artifacts = git, artifacts
        self._signers: dict[str, Signers] = {}
        """Environment to those who may sign for it, as the policy in force states them."""
        self._known: dict[str, str] = {}
        """Environment to the commit that states the policy in force: what led to it is not asked about again."""

    def heads(self) -> Mapping[str, str]:
        return self._git.heads()

    def environment(self, name: str, commit: str) -> Environment:
        """The environment as ``commit`` states it. Raises BadEnvironment."""
        return load(self._git.read(commit, FOLDER), name)

    def policy(self, name: str, commit: str) -> Environment:
        """Put in force what ``commit`` states: rules, and who may sign. Raises BadEnvironment, Refused."""
        stated = self.environment(name, commit)
        self._signers.pop(name, None)
        if stated.signers is not None:
            lines = self._git.read(commit)(stated.signers)
            if lines is None:
                said = f"its signers file {stated.signers} is not in commit {commit[:7]}"
                raise Refused(f"reading the policy of {name}", said, "Commit the file, or take `signers` out.")
            try:
                self._signers[name] = Signers.of(lines.decode("utf-8", "replace"))
            except BadSigners as bad:
                where = f"reading {stated.signers} of commit {commit[:7]}"
                raise Refused(where, bad.said, bad.remedy) from None
        self._known[name] = commit
        return stated

    def release(self, environment: Environment, commit: str) -> Release:
        """What ``commit`` wants; settings come from the commit itself, they are part of the release.

        Raises Refused for one that nobody who may has signed, since a candidate cannot authorise itself, and for one
        that mixes or hides what a promotion keeps apart and brings whole.
        """
        self._git.fetch(environment.branch, commit)
        self._refuse_strangers(environment, commit)
        self._refuse_what_is_no_promotion(environment, commit)
        said = self._git.describe(commit)
        stated = self.environment(environment.name, commit)
        if set(stated.fleets) != set(environment.fleets):
            both = f"{sorted(stated.fleets)} instead of {sorted(environment.fleets)}"
            remedy = "Apply the infrastructure first, then promote the applications in a commit of their own."
            raise Refused(f"reading commit {commit[:7]}", f"it changes the fleets: {both}", remedy)
        apps = {
            app: self._artifacts.release(app, commit, self._git, stated.settings[app])
            for app in stated.fleets
        }  # fmt: skip
        return Release(environment.name, commit, said.subject, said.committed_at, apps, said.changed_lines)

    def _refuse_strangers(self, environment: Environment, commit: str) -> None:
        signers = self._signers.get(environment.name)
        if signers is None:
            return
        own = self._git.signing.allowed_signers() if self._git.signing is not None else ""
        known = self._known[environment.name]
        stranger = unsigned(self._git.history, self._git.signed, signers, own, known, commit)
        if stranger is None:
            return
        named = "it" if stranger == commit else self._git.history.named(stranger)
        if signers.forge and self._git.signed(stranger, signers.forge):
            said = f"only the forge has signed {named}, and a forge vouches for nothing but merges"
        else:
            said = f"none of the keys in {environment.signers}, as it was last promoted, has signed {named}"
        said += "" if stranger == commit else ", on which it stands"
        remedy = "Sign it with one of them, or let somebody who may merge it."
        raise Refused(f"reading commit {commit[:7]}", said, remedy)

    def _refuse_what_is_no_promotion(self, environment: Environment, commit: str) -> None:
        """Where releases come from another environment, they come whole, and infrastructure comes apart from them."""
        name, source = environment.name, environment.promotes_from
        if source is None or name not in self._known:
            return
        history, owned = self._git.history, owned_by(name)
        steps = history.since(self._known[name], commit)
        if any(step.merged for step in steps):
            branch = self.environment(source, commit).branch
            if branch in self._git.heads():
                refuse_hiding(history, steps, source, self._git.fetch(branch), name, owned)
        refuse_mixing(history, steps, name, owned, partial(self._places, name))

    def _places(self, name: str, commit: str) -> object:
        """What a commit states of where an environment runs; None if nobody can read it."""
        try:
            stated = self.environment(name, commit)
        except BadEnvironment:
            return None
        stack = self._git.object_id(commit, f"{FOLDER}/Pulumi.{name}.yaml")
        return stack, stated.infra, {app: (fleet.zones, fleet.nodes_per_zone) for app, fleet in stated.fleets.items()}

    def revert(self, rollout: Rollout, branch: str) -> tuple[str | None, str]:
        """Push the revert commit of a rollout that did harm: (commit, message) or (None, why none is needed)."""
        guilty = [lane for lane in rollout.lanes if lane.app in rollout.guilty]
        candidates = {lane.app: lane.candidate.digest for lane in guilty}
        done = self._git.revert(
            Reversal(
                branch=branch,
                rollout=rollout.token,
                bad=rollout.commit,
                suspects=tuple(self._suspect(rollout, lane) for lane in guilty),
                subject=rollout.subject,
                why=rollout.why,
                verdict=f"FAIL {rollout.short}",
                carries=lambda commit, app: self._wants(rollout, commit, app, candidates[app]),
            )
        )
        return (None, done.why) if isinstance(done, NotNeeded) else (done.commit, done.message)

    def _wants(self, rollout: Rollout, commit: str, app: str, digest: str) -> bool:
        """Whether ``commit`` asks for this very release; one that cannot be released asks for nothing."""
        try:
            settings = self.environment(rollout.environment, commit).settings
            return self._artifacts.release(app, commit, self._git, settings[app]).digest == digest
        except (BadEnvironment, KeyError, Refused):
            return False

    def _suspect(self, rollout: Rollout, lane: Lane) -> Suspect:
        """What has to be restored for one application: its folder, and the settings where those changed.

        They are taken from the newest commit that still wanted last good, so that what was promoted for other
        applications in between stays.
        """
        bad, good = lane.candidate, lane.base
        if good is None:
            return Suspect(lane.app, bad.artifact_digest, bad.config_digest, (), None)
        paths = [f"apps/{lane.app}"] if good.artifact_digest != bad.artifact_digest else []
        if good.config_digest != bad.config_digest:
            paths.append(FOLDER)
        wanted_good = partial(self._wants, rollout, app=lane.app, digest=good.digest)
        newest = self._git.last_before(rollout.commit, good.commit, lambda commit: wanted_good(commit=commit))
        return Suspect(lane.app, bad.artifact_digest, bad.config_digest, tuple(paths), newest)

    def restore(self, name: str, branch: str, wanted: Sequence[AppRelease], why: str) -> Restored | NotNeeded:
        """Commit to an environment's branch what it takes to ask for ``wanted``, earlier releases of one commit, again.

        The applications' folders come back; the environment's files only where a release had other settings, and only
        if nothing but those settings changes by it. Raises Refused, with nothing pushed, where that cannot be.
        """
        first, tip = wanted[0], self._git.fetch(branch)
        paths = {f"apps/{release.app}": release.commit for release in wanted}
        for path, commit in paths.items():
            if self._git.object_id(commit, path) is None:
                said = f"the repository no longer has {path} at {commit[:7]}"
                raise Refused(f"reverting {name} to {commit[:7]}", said, "Name a release whose commit is still there.")
        spelled = tuple(f"{r.app} {r.artifact_digest} config {r.config_digest}" for r in wanted)
        text = restore_message(name, first.commit, first.subject, why, spelled)
        if any(self._settings_differ(name, release, tip) for release in wanted):
            paths[FOLDER] = first.commit
        return self._git.restore(branch, paths, text, lambda made, tip: self._unfit(name, wanted, made, tip))

    def _settings_differ(self, name: str, release: AppRelease, tip: str) -> bool:
        settings = self.environment(name, tip).settings.get(release.app, {})
        return self._artifacts.release(release.app, release.commit, self._git, settings).digest != release.digest

    def _unfit(self, name: str, wanted: Sequence[AppRelease], made: str, tip: str) -> str | None:
        """Why ``made`` is not ``tip`` with exactly ``wanted`` in it."""
        now, before = self.environment(name, made), self.environment(name, tip)
        apps = {release.app for release in wanted}
        others = [
            replace(stated, settings={app: kept for app, kept in stated.settings.items() if app not in apps})
            for stated in (now, before)
        ]
        if others[0] != others[1]:
            return f"with the settings of {', '.join(sorted(apps))} other things in {FOLDER}/ would change too"
        for release in wanted:
            found = self._artifacts.release(release.app, made, self._git, now.settings[release.app])
            if found.digest != release.digest:
                return f"{release.app} would not be the release {release.digest[7:13]} again"
        return None

    def note(self, commit: str, text: str) -> None:
        self._git.note(commit, text)
