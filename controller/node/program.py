"""The node program: it holds a release's promise on the node itself, so that a bad release ends without anybody's help.

One file, standard library only, copied to every node and run as ``python -I -S program.py ROOT VERB ...``. It lives in
sections: promises (pure: values in, values out), digests and signatures, store, processes, wires (sockets that never
block), balancer, observing, serving, supervising, command line. The rules it keeps:

* The promise is on disk *before* the application is touched. What runs follows from the state, not the other way round.
* Whatever goes wrong (deadline, crash, restart, reboot, silence, a full disk) ends at last good, from local disk, with
  no network; only behind a one-way door (``on_deadline = freeze``) does it mean "stay".
* Going back never waits: it happens in memory even if the disk refuses the record, which is then written until it is.

What does not live here: any judgement whether a release is good (the controller's), and how bits reach the node.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import hmac
import json
import math
import os
import re
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

VERSION = "1.0.0"
REMEMBERED = 256  # ended tokens and harmful digests; older ones are covered by boot id and expiry
EDGES_MS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000, 5000)

Json = dict[str, Any]


class Refused(Exception):
    """The contract forbids it. ``state`` is what the refusal still taught (a generation, noted harm), if anything."""

    def __init__(self, kind: str, sentence: str, state: AppState | None = None) -> None:
        super().__init__(sentence)
        self.kind, self.sentence, self.state = kind, sentence, state


class Failed(Exception):
    """It could not be done now (disk full, input cut off); the same request may succeed later."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind, self.sentence = kind, sentence


# ==== Promises: pure. ``now`` is boottime in seconds; nothing here reads or writes anything =======================


@dataclass(frozen=True, slots=True)
class Promise:
    """``digest`` may run until ``until``; unless confirmed by then, the node is back on ``base``."""

    token: str
    digest: str
    base: str | None
    until: float
    generation: int
    freeze: bool = False  # the manifest's on_deadline: behind a one-way door "back" means "stay"


@dataclass(frozen=True, slots=True)
class Lease:
    """Weights that differ from the node's own until ``until``, or until their token ends."""

    token: str
    until: float
    generation: int
    weights: tuple[tuple[str, int], ...]  # ("backend/server", weight)


@dataclass(frozen=True, slots=True)
class WentBack:
    """The last time this node left a candidate, and why."""

    token: str
    digest: str
    reason: str
    harm: bool
    at: float


@dataclass(frozen=True, slots=True)
class AppState:
    """All that one application's node remembers; this and nothing else is on disk."""

    good: str | None = None
    previous: str | None = None
    pending: Promise | None = None
    frozen: bool = False
    generation: int = 0
    ended: tuple[str, ...] = ()
    harmful: tuple[str, ...] = ()
    leases: tuple[Lease, ...] = ()
    went_back: WentBack | None = None
    boot: str = ""  # the boot that the times above belong to


@dataclass(frozen=True, slots=True)
class Release:
    """What a promise must know of a staged and verified release."""

    reads: frozenset[int]
    writes: int
    freeze: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of this node besides its state: the staged releases, and the servers its balancer knows."""

    staged: Mapping[str, Release]
    servers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Command:
    """One order of the controller. ``return`` goes from ``digest`` to ``base``."""

    verb: str
    generation: int
    token: str
    digest: str = ""
    base: str | None = None
    boot: str = ""
    until: float = 0.0
    expires: float = 0.0
    reason: str = ""
    harm: bool = False
    weights: tuple[tuple[str, int], ...] = ()


def wanted(state: AppState) -> str | None:
    """The digest that should run now; None means stopped."""
    return state.pending.digest if state.pending else state.good


def weights_in_force(base: Mapping[str, int], leases: Iterable[Lease]) -> dict[str, int]:
    """The node's own weights, overlaid by the leases in their order of arrival."""
    weights = dict(base)
    for lease in leases:
        weights.update((server, weight) for server, weight in lease.weights if server in base)
    return weights


def receive(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
    """The state after ``command``; raises Refused, whose ``state`` must be kept as well."""
    state = timers(state, now)  # a deadline that has passed has passed, whoever comes first
    if command.generation < state.generation:
        seen = f"generation {state.generation} has been here; generation {command.generation} is stale and does nothing"
        raise Refused("stale generation", f"{seen}.", state)
    state = replace(state, generation=command.generation)
    return _RECEIVERS[command.verb](state, command, now, boot, facts)


def timers(state: AppState, now: float) -> AppState:
    """What passing time alone does: a promise past its end goes back (or freezes), a lease past its end is gone."""
    if state.pending and not state.frozen and now >= state.pending.until:
        state = _back(state, now, "deadline: nobody confirmed it in time")
    if any(now >= lease.until for lease in state.leases):
        state = replace(state, leases=tuple(lease for lease in state.leases if now < lease.until))
    return state


def restart(state: AppState, now: float, boot: str) -> AppState:
    """The node program starts: a promise it finds is broken towards last good; times of another boot mean nothing."""
    rebooted = state.boot != boot
    if rebooted:
        state = replace(state, boot=boot, leases=())
    if state.pending and not state.frozen:
        state = _back(state, now, "the machine restarted" if rebooted else "the node program restarted")
    return timers(state, now)


def candidate_failed(state: AppState, now: float, reason: str, harm: bool = True) -> AppState:
    """The candidate died or went deaf on this node: back at once, and remembered as harmful."""
    return _back(state, now, reason, harm)


def _back(state: AppState, now: float, reason: str, harm: bool = False) -> AppState:
    """End the pending promise towards last good, or stay where the one-way door was passed."""
    promise = state.pending
    if promise is None:
        return state
    state = _end(state, promise.token)
    if harm:
        state = replace(state, harmful=_remember(state.harmful, promise.digest))
    if promise.freeze:
        return replace(state, frozen=True)
    left = WentBack(promise.token, promise.digest, reason, harm, now)
    return replace(state, pending=None, frozen=False, went_back=left)


def _end(state: AppState, token: str) -> AppState:
    """A token ends once: nothing can be activated or leased under it any more, and its leases are gone."""
    leases = tuple(lease for lease in state.leases if lease.token != token)
    return replace(state, ended=_remember(state.ended, token), leases=leases)


def _remember(known: tuple[str, ...], one: str) -> tuple[str, ...]:
    return known if one in known else (*known, one)[-REMEMBERED:]


def _short(digest: str | None) -> str:
    return digest[:19] if digest else "none"


def _belongs(state: AppState, command: Command, boot: str) -> None:
    if command.boot != boot:
        raise Refused("other boot", f"The times are of boot {command.boot}; this is boot {boot}: read status.", state)
    if command.token in state.ended:
        raise Refused("ended token", f"Token {command.token} has ended here; last good is {_short(state.good)}.", state)


def _in_time(state: AppState, command: Command, now: float) -> None:
    if now > command.expires:
        late = f"The order expired {now - command.expires:.1f} s ago"
        raise Refused("expired", f"{late}: it came too late and does nothing.", state)
    if now >= command.until:
        raise Refused("past", f"Its end lies {now - command.until:.1f} s in the past; nothing was begun.", state)


def _activate(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
    _belongs(state, command, boot)
    pending, digest = state.pending, command.digest
    if pending and (pending.token, pending.digest) == (command.token, digest):
        return state  # said twice, meant once; its end stays where it was
    _in_time(state, command, now)
    if pending:
        why = f"{_short(pending.digest)} is pending under {pending.token}: end that one first."
        raise Refused("pending", why, state)
    if digest not in facts.staged:
        raise Refused("not staged", f"{_short(digest)} is not staged and verified here: stage it first.", state)
    if state.good != command.base:
        raise Refused("wrong base", f"Last good is {_short(state.good)}, not {_short(command.base)}.", state)
    if state.good == digest:
        raise Refused("already good", f"{_short(digest)} is last good already; there is nothing to try.", state)
    candidate = facts.staged[digest]
    if command.base is not None and not candidate.freeze:
        base = facts.staged.get(command.base)
        if base is None:
            why = (
                f"Last good {_short(command.base)} is damaged in the store: there would be no way back. Stage it again."
            )
            raise Refused("no way back", why, state)
        if candidate.writes not in base.reads:
            why = f"{_short(digest)} writes data version {candidate.writes}, which {_short(command.base)} cannot read:"
            raise Refused(
                "one-way door", f"{why} a base that cannot read what the candidate writes is no way back.", state
            )
    promise = Promise(command.token, digest, command.base, command.until, command.generation, candidate.freeze)
    return replace(state, pending=promise, frozen=False, boot=boot)


def _confirm(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
    promise = state.pending
    if promise is None or promise.token != command.token:
        why = f"Nothing is pending under {command.token}; last good is {_short(state.good)}."
        raise Refused("not pending", why, state)
    state = _end(state, command.token)
    return replace(state, good=promise.digest, previous=state.good, pending=None, frozen=False)


def _revert(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
    promise = state.pending
    if promise is None or promise.token != command.token:
        left = state.went_back
        if command.harm and left and left.token == command.token:  # it had gone back by itself; now we know why
            state = replace(state, harmful=_remember(state.harmful, left.digest), went_back=replace(left, harm=True))
        return _end(state, command.token)
    state = _back(state, now, command.reason, command.harm)
    if promise.freeze:
        raise _behind_the_door(promise.digest, state)
    return state


def _return(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
    leaving, to, pending = command.digest, command.base, state.pending
    if pending and pending.token == command.token and pending.digest != leaving:
        what = f"{command.token} is the promise of {_short(pending.digest)}, not of {_short(leaving)}"
        raise Refused("wrong token", f"{what}: nothing was changed.", state)
    state = _end(state, command.token)
    if pending and pending.digest == leaving:
        state = _back(state, now, f"return to {_short(to)}")
        if pending.freeze:
            raise _behind_the_door(leaving, state)
        return state
    if state.good == to:
        return state
    if state.good != leaving or state.previous != to:
        was = f"Last good is {_short(state.good)} and the one before {_short(state.previous)}"
        raise Refused("wrong base", f"{was}, not {_short(leaving)} and {_short(to)}: nothing to return from.", state)
    left = facts.staged.get(leaving)
    if left and left.freeze:
        raise _behind_the_door(leaving, state)
    if to is not None and to not in facts.staged:
        raise Refused("not staged", f"{_short(to)} is not in the store: stage it, then return.", state)
    if pending:
        state = _back(state, now, f"return to {_short(to)}")
    return replace(state, good=to, previous=leaving, pending=None, frozen=False)


def _behind_the_door(digest: str, state: AppState) -> Refused:
    why = f"{_short(digest)} has on_deadline = freeze: behind its one-way door no node goes back. It stays and serves;"
    return Refused("one-way door", f"{why} confirm it, or release a fix.", state)


def _traffic(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
    _belongs(state, command, boot)
    _in_time(state, command, now)
    unknown = sorted(server for server, _ in command.weights if server not in facts.servers)
    if unknown:
        known = ", ".join(sorted(facts.servers)) or "none"
        raise Refused("unknown server", f"The balancer has no {', '.join(unknown)} (known: {known}).", state)
    held = next((lease for lease in state.leases if lease.token == command.token), None)
    merged = tuple((dict(held.weights if held else ()) | dict(command.weights)).items())
    lease = Lease(command.token, command.until, command.generation, merged)
    others = tuple(lease for lease in state.leases if lease is not held)
    return replace(state, leases=(*others, lease), boot=boot)


_RECEIVERS: dict[str, Callable[[AppState, Command, float, str, Facts], AppState]] = {
    "activate": _activate,
    "confirm": _confirm,
    "revert": _revert,
    "return": _return,
    "traffic": _traffic,
}


# ==== Digests and signatures ======================================================================================


def canonical(value: object) -> bytes:
    """The one spelling of a JSON value that is hashed and signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def config_digest(config: object) -> str:
    return sha256(canonical(config))


def artifact_digest(app: str, tree: str, lock: str) -> str:
    return sha256(canonical({"app": app, "tree": tree, "lock": lock}))


def release_digest(artifact_digest: str, config_digest: str) -> str:
    return sha256(canonical({"artifact_digest": artifact_digest, "config_digest": config_digest}))


# Ed25519 (RFC 8032) in extended coordinates; verification only, so nothing here needs to be constant-time.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, p: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _add(total, p)
        p, scalar = _add(p, p), scalar >> 1
    return total


def _point(encoded: bytes) -> _Point | None:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    xx = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(xx, (_P + 3) // 8, _P)
    if (x * x - xx) % _P:
        x = x * _ROOT % _P
    if (x * x - xx) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the key's Ed25519 signature of ``message``."""
    if len(public_key) != 32 or len(signature) != 64 or _BASE is None:
        return False
    key, r, s = _point(public_key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % _L
    left, right = _times(s, _BASE), _add(r, _times(h, key))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


# ==== Store: the node's facts, its state, and the releases on its disk ============================================

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_MANIFEST: dict[str, type | tuple[type, ...]] = {
    "app": str, "release": str, "artifact_digest": str, "config_digest": str, "commit": str, "blobs": dict, "lock": str,
    "start": list, "stop_seconds": (int, float), "data": str, "ports": dict, "ready": str, "data_versions": dict,
    "on_deadline": str, "checks": list, "config": dict, "signature": str,
}  # fmt: skip


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file so that a reader, or a crash at any moment, sees the old content or the new one."""
    partial = path.with_name(f".{path.name}.tmp")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


@contextlib.contextmanager
def lock(path: Path, otherwise: str, wait: bool = False) -> Iterator[None]:
    """Hold ``path`` alone; the kernel lets go when this process dies, however it dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            raise Failed("busy", otherwise) from None
        yield


class Node:
    """One node's directory and its ``node.json``: where everything lies, and how it is read and written."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        try:
            self.facts: Json = json.loads((self.root / "node.json").read_text())
            self.app: str = self.facts["app"]
            self.run = Path(self.facts["run"])
        except (OSError, ValueError, KeyError) as problem:
            where = self.root / "node.json"
            raise Refused("usage", f"{where} cannot be used ({problem!r}): the platform must write it first.") from None
        self.store = self.root / "store"
        self.log = self.root / "logs" / f"{self.app}.log"
        self._read: dict[tuple[str, int], Json] = {}  # manifests by digest and inode: what is staged never changes
        self._verified: set[tuple[str, int]] = set()

    def boot_id(self) -> str:
        return Path(self.facts.get("boot_id_file", "/proc/sys/kernel/random/boot_id")).read_text().strip()

    def release(self, digest: str) -> Path:
        return self.store / "releases" / digest.removeprefix("sha256:")

    # ---- state.json

    def load_states(self) -> dict[str, AppState]:
        path = self.root / "state.json"
        if not path.exists():
            return {}
        try:
            return {app: state_from_json(known) for app, known in json.loads(path.read_text())["apps"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            why = f"{path} is damaged ({problem!r}): restore it, or remove it to begin with no release."
            raise Refused("damaged state", why) from None

    def save_states(self, states: Mapping[str, AppState]) -> None:
        known = {"schema": "turnabout/node-state/1", "apps": {app: asdict(state) for app, state in states.items()}}
        write_whole(self.root / "state.json", canonical(known), 0o600)

    # ---- what is staged

    def manifest(self, digest: str, verified: bool = False) -> Json:
        """The manifest as staged; ``verified``: only if its signature and digests still hold."""
        path = self.release(digest) / "manifest.json"
        key = (digest, path.stat().st_ino)
        manifest = self._read.get(key) or json.loads(path.read_bytes())
        if verified and key not in self._verified:
            check_manifest(manifest, digest, self)
            self._verified.add(key)
        self._read[key] = manifest
        return manifest

    def staged(self) -> list[str]:
        """The digests in the store, the newest first."""
        found: list[tuple[int, str]] = []
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.store / "releases"):
                with contextlib.suppress(FileNotFoundError):
                    if _HEX.fullmatch(entry.name):
                        stamp = Path(entry.path, "manifest.json").stat().st_mtime_ns
                        found.append((stamp, f"sha256:{entry.name}"))
        return [digest for _, digest in sorted(found, reverse=True)]

    def promise_facts(self, proven: Iterable[str | None] = ()) -> Facts:
        """The staged releases as promises see them. One that no longer verifies is not among them, except those that
        were good here: a key that is trusted no more must not take away the way back."""
        releases: dict[str, Release] = {}
        for digest in self.staged():
            with contextlib.suppress(Refused, OSError, ValueError):
                manifest = self.manifest(digest, verified=digest not in set(proven))
                versions = manifest["data_versions"]
                frozen = manifest["on_deadline"] == "freeze"
                releases[digest] = Release(frozenset(versions["reads"]), versions["writes"], frozen)
        return Facts(releases, frozenset(self.base_weights()))

    def base_weights(self) -> dict[str, int]:
        backends = (self.facts.get("balancer") or {}).get("backends", {})
        return {
            f"{name}/{server}": int(weight) for name, b in backends.items() for server, weight in b["servers"].items()
        }

    # ---- how a release is started

    def fill(self, text: str, manifest: Json) -> str:
        """Replace the placeholders of a manifest; an unknown one is refused (already at stage time)."""
        place = self.release(manifest["release"])
        known = {
            "release": str(place / "tree"),
            "data": str(self.root / "data" / manifest["data"]),
            "config": str(place / "config.json"),
            "bind": self.facts["bind"],
            "python": self.facts["python"],
        } | {f"port.{name}": str(port) for name, port in self.facts["ports"].items()}

        def value(match: re.Match[str]) -> str:
            if match[1] not in known:
                names = ", ".join(sorted(known))
                raise Refused(
                    "placeholder", f"The manifest uses {match[0]}, which this node does not have (has: {names})."
                )
            return str(known[match[1]])

        return re.sub(r"\{([a-z][a-z0-9_.]*)\}", value, text)

    def argv(self, words: Iterable[Any], manifest: Json) -> list[str]:
        argv = [self.fill(str(word), manifest) for word in words]
        return [self.facts["python"], *argv[1:]] if argv[0] == "python" else argv

    def surroundings(self, manifest: Json) -> dict[str, str]:
        """The environment of a release's processes: its own modules and none of ours."""
        modules = [self.release(manifest["release"]) / "tree"]
        if "dependencies" in (blobs := blobs_of(manifest)):
            modules.append(self.store / "dependencies" / blobs["dependencies"][0])
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        env |= {"PYTHONPATH": ":".join(map(str, modules)), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        return env | {"TURNABOUT_NODE": str(self.root)}

    def app_config(self, manifest: Json) -> bytes:
        """The file an application is started with; its secrets are this node's, readable offline."""
        facts = self.facts
        return canonical(
            {key: facts[key] for key in ("environment", "zone", "node", "bind", "ports")}
            | {"release": manifest["release"], "data": str(self.root / "data" / manifest["data"])}
            | {"settings": manifest["config"], "secrets": facts.get("secrets", {})}
        )


def state_from_json(known: Json) -> AppState:
    """An AppState from its JSON; raises on anything that does not fit exactly."""
    pending, left = known["pending"], known["went_back"]
    leases = (
        lease | {"weights": tuple((server, weight) for server, weight in lease["weights"])} for lease in known["leases"]
    )
    return AppState(
        **known
        | {"pending": Promise(**pending) if pending else None, "went_back": WentBack(**left) if left else None}
        | {"ended": tuple(known["ended"]), "harmful": tuple(known["harmful"])}
        | {"leases": tuple(Lease(**lease) for lease in leases)}
    )


def check_manifest(manifest: Json, digest: str, node: Node) -> None:
    """Raise Refused unless this is the signed, consistent manifest of ``digest`` for this node's application."""
    signed = {key: value for key, value in manifest.items() if key != "signature"}
    name, _, signature = str(manifest.get("signature", "")).partition(":")
    if name != "ed25519" or not re.fullmatch(r"[0-9a-f]{128}", signature):
        raise Refused("unsigned", "The manifest carries no ed25519 signature: only signed releases run here.")
    keys = [bytes.fromhex(key) for key in node.facts.get("trusted", [])]
    if not any(verify(key, canonical(signed), bytes.fromhex(signature)) for key in keys):
        raise Refused(
            "bad signature", "No key this node trusts has signed this manifest: it was altered, or is not ours."
        )
    wrong = sorted(key for key, kind in _MANIFEST.items() if not isinstance(manifest.get(key), kind))
    if wrong or manifest.get("schema") != "turnabout/manifest/1":
        raise Refused("bad manifest", f"This node program cannot use the manifest: {', '.join(wrong) or 'its schema'}.")
    versions = manifest["data_versions"]
    sound = {
        "start": bool(manifest["start"]) and all(isinstance(part, str) for part in manifest["start"]),
        "data_versions": isinstance(versions.get("reads"), list) and isinstance(versions.get("writes"), int),
        "on_deadline": manifest["on_deadline"] in ("revert", "freeze"),
        "stop_seconds": 0 <= manifest["stop_seconds"] <= 60,
        "checks": all(isinstance(check, dict) for check in manifest["checks"]),
    }
    if not all(sound.values()):
        unsound = ", ".join(key for key, fine in sound.items() if not fine)
        raise Refused("bad manifest", f"This node program cannot use the manifest's {unsound}.")
    if manifest["app"] != node.app or not _NAME.fullmatch(manifest["data"]):
        why = f"The manifest is of app {manifest['app']} with data {manifest['data']}; this node serves {node.app}."
        raise Refused("other app", why)
    tree = blobs_of(manifest)["tree"][0]
    expected = {
        "config_digest": config_digest(manifest["config"]),
        "artifact_digest": artifact_digest(manifest["app"], tree, manifest["lock"]),
        "release": release_digest(manifest["artifact_digest"], manifest["config_digest"]),
    }
    for key, value in expected.items():
        if manifest[key] != value:
            raise Refused("wrong digest", f"The manifest says {key} = {manifest[key]}, but its content gives {value}.")
    if manifest["release"] != digest:
        raise Refused("wrong digest", f"The manifest is of {_short(manifest['release'])}, not of {_short(digest)}.")
    words = [*node.argv([*manifest["start"], *manifest["probe"]], manifest), node.fill(manifest["ready"], manifest)]
    if "\0" in "".join(words):
        raise Refused("bad manifest", "The manifest's start, probe or ready holds a NUL byte.")


def blobs_of(manifest: Json) -> dict[str, tuple[str, int]]:
    """name → (hex digest, bytes) of the blobs that a manifest names."""
    found: dict[str, tuple[str, int]] = {}
    for name in ("tree", "dependencies"):
        blob = manifest["blobs"].get(name)
        if blob is None and name == "dependencies":
            continue
        fits = isinstance(blob, dict) and isinstance(blob.get("bytes"), int)
        if not fits or not _HEX.fullmatch(str(blob.get("sha256"))):
            raise Refused("bad manifest", f"The manifest's blob {name} needs sha256 (64 hex digits) and bytes.")
        found[name] = (blob["sha256"], blob["bytes"])
    return found


# ---- stage


def stage(node: Node, digest: str, stream: IO[bytes]) -> Json:
    """Take a release from a tar; leave it whole and verified in the store, or leave the store as it was."""
    brought: list[Path] = []
    with lock(node.store / ".lock", "Another stage or gc is at work.", wait=True):
        try:
            for part in ("blobs", "releases", "dependencies"):
                (node.store / part).mkdir(parents=True, exist_ok=True)
                for leftover in (node.store / part).glob(".*.tmp"):  # of a stage that was killed
                    remove(leftover)
            return _stage(node, digest, stream, brought)
        except BaseException as problem:
            for path in brought:
                remove(path)
            if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
                why = f"The disk of {node.root} is full: nothing was staged. Run gc, then stage again."
                raise Failed("disk", why) from None
            if isinstance(problem, (OSError, tarfile.TarError, EOFError)):
                why = f"The release did not arrive whole ({problem}): nothing was staged. Stage again."
                raise Failed("cut off", why) from None
            raise


def _stage(node: Node, digest: str, stream: IO[bytes], brought: list[Path]) -> Json:
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        first = tar.next()
        content = tar.extractfile(first) if first and first.name == "manifest.json" and first.isreg() else None
        if first is None or content is None or first.size > 4 << 20:
            raise Refused("bad tar", "The tar must begin with manifest.json (at most 4 MB); the blobs follow it.")
        manifest = _parsed(content.read())
        check_manifest(manifest, digest, node)
        place, blobs = node.release(digest), blobs_of(manifest)
        if (place / "manifest.json").exists():
            os.utime(place / "manifest.json")  # asked for again: gc counts it among the newest
            _swallow(stream)
            return {"staged": True}
        _check_space(node, blobs)
        named = dict(blobs.values())
        for member in iter(tar.next, None):
            name = member.name.removeprefix("blobs/")
            if name not in named or not member.isreg() or not member.name.startswith("blobs/"):
                raise Refused("bad tar", f"The tar holds {member.name}, which the manifest does not name.")
            content = tar.extractfile(member)
            if content is not None and not (node.store / "blobs" / name).exists():
                _take_blob(node.store / "blobs" / name, named[name], content, brought)
    missing = [hex_digest for name, (hex_digest, _) in blobs.items() if not _have(node, name, hex_digest)]
    if missing:
        return {"staged": False, "missing": missing}
    if "dependencies" in blobs:
        _unpack_dependencies(node, blobs["dependencies"][0], brought)
    _unpack_release(node, manifest, blobs["tree"][0])
    return {"staged": True}


def _parsed(content: bytes) -> Json:
    try:
        manifest = json.loads(content)
    except ValueError as problem:
        raise Refused("bad manifest", f"manifest.json is not JSON: {problem}.") from None
    if not isinstance(manifest, dict):
        raise Refused("bad manifest", "manifest.json is not a JSON object.")
    return manifest


def _swallow(stream: IO[bytes]) -> None:
    while stream.read(1 << 20):
        pass


def _have(node: Node, name: str, hex_digest: str) -> bool:
    unpacked = name == "dependencies" and (node.store / "dependencies" / hex_digest).exists()
    return unpacked or (node.store / "blobs" / hex_digest).exists()


def _check_space(node: Node, blobs: dict[str, tuple[str, int]]) -> None:
    """Room for what is not here yet: the blob, and as much again for its files; and the reserve stays free."""
    need = sum(
        2 * size for hex_digest, size in blobs.values() if not (node.store / "dependencies" / hex_digest).exists()
    )
    reserve = int(node.facts.get("reserve_bytes", 0))
    disk = os.statvfs(node.store)
    free = disk.f_bavail * disk.f_frsize
    if free < need + reserve:
        why = f"Staging needs {need} bytes beside the reserve of {reserve}, and {node.store} has {free} free"
        raise Failed("disk", f"{why}: nothing was staged. Run gc, then stage again.")


def _take_blob(place: Path, size: int, content: IO[bytes], brought: list[Path]) -> None:
    partial, seen, total = place.with_name(f".{place.name}.tmp"), hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            while chunk := content.read(1 << 20):
                total += len(chunk)
                seen.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if (seen.hexdigest(), total) != (place.name, size):
            got = f"{total} bytes with sha256 {seen.hexdigest()[:12]}"
            raise Refused("wrong digest", f"Blob {place.name[:12]} should have {size} bytes; what came is {got}.")
        brought.append(place)
        partial.rename(place)
        sync_directory(place.parent)
    finally:
        partial.unlink(missing_ok=True)


def _unpack_dependencies(node: Node, hex_digest: str, brought: list[Path]) -> None:
    place, blob = node.store / "dependencies" / hex_digest, node.store / "blobs" / hex_digest
    if not place.exists():
        partial = place.with_name(f".{hex_digest}.tmp")
        try:
            unpack(blob, partial)
            compile_to_bytes(node, partial)
            brought.append(place)
            _settle(partial, place)
        finally:
            remove(partial)
    blob.unlink(
        missing_ok=True
    )  # its directory is what is kept; a tree's blob stays, for releases that differ in config


def _unpack_release(node: Node, manifest: Json, tree: str) -> None:
    place = node.release(manifest["release"])
    partial = place.with_name(f".{place.name}.tmp")
    try:
        partial.mkdir()
        unpack(node.store / "blobs" / tree, partial / "tree")
        if not (partial / "tree" / "apps" / node.app).is_dir():
            raise Refused("bad tree", f"The tree holds no apps/{node.app}.")
        compile_to_bytes(node, partial / "tree")
        write_whole(partial / "manifest.json", canonical(manifest))
        write_whole(partial / "config.json", node.app_config(manifest), 0o600)
        _settle(partial, place)
    finally:
        remove(partial)


def unpack(blob: Path, place: Path) -> None:
    """Unpack a tar of plain files, directories and inner links; anything that could reach outside is refused."""
    if not hasattr(tarfile, "data_filter"):
        raise Refused("old python", "This Python's tarfile cannot refuse unsafe members: update it to 3.11.4 or later.")
    place.mkdir()
    with tarfile.open(blob, mode="r:") as tar:
        members = tar.getmembers()
        links = {member.name.rstrip("/") for member in members if member.issym()}
        for member in members:
            parts = Path(member.name).parts
            through = any("/".join(parts[:depth]) in links for depth in range(1, len(parts)))
            up = ".." in parts or ((member.islnk() or member.issym()) and ".." in Path(member.linkname).parts)
            if up or through or member.issparse() or member.name.startswith("/"):
                raise Refused("unsafe tar", f"The blob's member {member.name} is sparse or leads out of the release.")
        try:
            tar.extractall(place, filter="data")
        except tarfile.FilterError as problem:
            raise Refused("unsafe tar", f"The blob would write outside of its release: {problem}.") from None


def compile_to_bytes(node: Node, place: Path) -> None:
    """Byte-compile at stage time, so that no start pays for it; what does not compile is the application's matter.

    A blob that was built with this Python's byte code in it is left as it is.
    """
    if any(place.rglob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc")):
        return
    argv = [node.facts["python"], "-I", "-S", "-m", "compileall", "-q", "-q", str(place)]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        quiet = subprocess.DEVNULL
        subprocess.run(argv, stdin=quiet, stdout=quiet, stderr=quiet, timeout=300, check=False)


def _settle(partial: Path, place: Path) -> None:
    """Everything under ``partial`` is on disk before it gets its name."""
    handle = os.open(partial, os.O_RDONLY)
    try:
        if _libc().syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")
    finally:
        os.close(handle)
    partial.rename(place)
    sync_directory(place.parent)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def gc(node: Node) -> Json:
    """Remove releases nobody can need: never good, previous, pending or its base, nor the three newest staged."""
    with lock(node.store / ".lock", "A stage is at work; run gc when it is done."):
        with lock(node.store / ".choice", "The node program is choosing a release; run gc again."):
            keep = set(node.staged()[:3])
            for state in node.load_states().values():
                keep |= {digest for digest in (state.good, state.previous) if digest}
                keep |= {digest for p in (state.pending,) if p for digest in (p.digest, p.base) if digest}
            gone = [digest for digest in node.staged() if digest not in keep]
            for digest in gone:  # a rename is quick: nothing can be activated half-removed
                place = node.release(digest)
                place.rename(place.with_name(f".{place.name}.tmp"))
        used = {hex_digest for digest in node.staged() for hex_digest, _ in blobs_of(node.manifest(digest)).values()}
        for part in ("blobs", "dependencies", "releases"):
            for path in (node.store / part).glob("*"):
                if (part != "releases" and path.name not in used) or path.name.startswith("."):
                    remove(path)
        return {"removed": gone}


# ==== Processes: every descendant is known, and none outlives its keeper ==========================================
#
# supervise and serve are both child subreapers, so whatever an application forks stays below serve, and below supervise
# when serve dies. One of the two is always left to kill it: supervise when serve dies or falls silent, serve (which is
# told by a signal) when supervise dies. The kernel itself kills the application's first process with serve.

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    if _libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this kernel has no PR_SET_CHILD_SUBREAPER")


def spawn(
    argv: list[str], out: int, death: int = signal.SIGKILL, env: Mapping[str, str] | None = None, cwd: Path = Path("/"),
    keep: tuple[int, ...] = (),
) -> int:  # fmt: skip
    """Start ``argv`` in a session of its own; the kernel sends it ``death`` when this process dies."""
    parent, libc = os.getpid(), _libc()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        libc.prctl(_PR_SET_PDEATHSIG, int(death), 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(127)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        for handle in keep:
            os.set_inheritable(handle, True)
        os.chdir(cwd)
        os.execvpe(argv[0], argv, dict(os.environ if env is None else env))
    except BaseException as problem:  # the child must end here, whatever happened
        os.write(2, f"{argv[0]} could not be started: {problem}\n".encode())
    finally:
        os._exit(127)


def descendants(ancestor: int, spared: Iterable[int] = ()) -> list[int]:
    """Every process below ``ancestor``, except the ``spared`` and what is below them.

    Zombies count: the first thread of a process may be one while others still hold its ports. Reaping ends them.
    """
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(process.name))
    found, below = [], [ancestor]
    while below:
        young = [pid for pid in children.get(below.pop(), ()) if pid not in spared]
        found += young
        below += young
    return found


def kill_descendants(ancestor: int, spared: Iterable[int] = ()) -> bool:
    """One pass of stopping (so that nothing forks meanwhile) and killing; True when nobody was left."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in descendants(ancestor, spared):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    return not descendants(ancestor, spared)


def reaped() -> Iterator[tuple[int, int]]:
    """The children that have exited, as (pid, exit code; negative: the signal)."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def kill_strangers(root: Path) -> None:
    """End application processes of this node that an earlier double death left behind, before anything is started."""
    mark = f"TURNABOUT_NODE={root}".encode()
    for _ in range(20):
        left = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    left.append(int(process.name))
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    raise Failed("busy", f"Processes {left} of an earlier application of {root} do not end.")


def say(event: str, **fields: object) -> None:
    """One line per transition, on stderr."""
    with contextlib.suppress(OSError):
        print(json.dumps({"event": event, "boottime": round(boottime(), 3)} | fields), file=sys.stderr, flush=True)


# ==== Wires: questions and answers over sockets, none of which can hold up the loop ===============================


class Loop:
    """One selector, one thread: everything waits here, nothing waits anywhere else."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.wires: set[Wire] = set()

    def watch(self, source: Any, events: int, ready: Callable[[], None]) -> None:
        self.selector.register(source, events, ready)

    def turn(self, seconds: float) -> None:
        for key, _ in self.selector.select(max(0.0, seconds)):
            self._call(key.data)
        now = time.monotonic()
        for wire in [wire for wire in self.wires if now >= wire.deadline]:
            self._call(partial(wire.finish, None))

    @staticmethod
    def _call(ready: Callable[[], None]) -> None:
        """What somebody said must not end the node program, for the application would end with it."""
        try:
            ready()
        except Exception as problem:
            say("unexpected", why=repr(problem), where=str(ready))

    def ask(
        self, address: Path | tuple[str, int], words: bytes, seconds: float, done: Callable[[bytes | None], None]
    ) -> None:
        """Send ``words``, read the whole answer, then ``done(answer)``; None when it took too long or failed."""
        family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            code = sock.connect_ex(str(address) if isinstance(address, Path) else address)
        except OSError:
            done(None)
            return
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            done(None)
            return
        Wire(self, sock, seconds, done).send(words)

    def serve(self, listener: socket.socket, whole: bytes, answer: Callable[[Wire, bytes], None]) -> None:
        """Answer each caller whose words end with ``whole``."""

        def accept() -> None:
            with contextlib.suppress(OSError):
                sock, _ = listener.accept()
                sock.setblocking(False)
                wire = Wire(self, sock, 10.0, lambda _: None, whole)
                wire.done = lambda words: answer(wire, words) if words is not None else None

        listener.listen(64)
        listener.setblocking(False)
        self.watch(listener, selectors.EVENT_READ, accept)


class Wire:
    """One connection: it sends, and reads until the end of what the other side says (or until ``whole`` was said)."""

    LIMIT = 8 << 20

    def __init__(
        self, loop: Loop, sock: socket.socket, seconds: float, done: Callable[[bytes | None], None], whole: bytes = b""
    ) -> None:
        self.loop, self.sock, self.done, self.whole = loop, sock, done, whole
        self.deadline = time.monotonic() + seconds
        self.heard, self.unsent, self.last_words, self.open = b"", b"", False, True
        loop.wires.add(self)
        loop.watch(sock, selectors.EVENT_READ, self.ready)

    def send(self, words: bytes, last: bool = False) -> None:
        if self.open:
            self.unsent, self.last_words = self.unsent + words, last
            if last:
                self.loop.watch(self.sock, selectors.EVENT_WRITE, self.ready)
            else:
                self.loop.selector.modify(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, self.ready)

    def ready(self) -> None:
        if not self.open:
            return
        try:
            if self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent) :]
                if not self.unsent:
                    self.loop.selector.modify(self.sock, selectors.EVENT_READ, self.ready)
            if self.last_words:
                if not self.unsent:
                    self.finish(b"")
                return
            more = self.sock.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.finish(None)
            return
        self.heard += more
        if self.whole and self.heard.endswith(self.whole):
            words, self.heard, self.whole = self.heard, b"", b""
            self.loop.selector.unregister(self.sock)  # until the answer: a caller that half-closes still gets it
            self.done(words)
        elif not more or len(self.heard) > self.LIMIT:
            self.finish(self.heard if not self.whole and not self.unsent else None)

    def finish(self, words: bytes | None) -> None:
        if self.open:
            self.open = False
            with contextlib.suppress(KeyError):
                self.loop.selector.unregister(self.sock)
            self.loop.wires.discard(self)
            self.sock.close()
            if not self.last_words:
                self.done(words)


def http_get(path: str, host: str) -> bytes:
    return f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def http_answer(answer: bytes | None) -> tuple[int, dict[str, str], bytes]:
    """(status, headers in lower case, body); status 0 when there was no answer."""
    head, _, body = (answer or b"").partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[1].isdigit():
        return 0, {}, b""
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(words[1]), headers, body


# ==== Balancer: weights are compared with what HAProxy says each second, and put right ============================


class Balancer:
    """The node's HAProxy through its runtime socket. It never remembers a weight: it reads, compares and corrects."""

    SURE = 2.0  # seconds in which HAProxy's own checks have seen that a server went, and that it is back

    def __init__(self, loop: Loop, facts: Json, events: Events) -> None:
        self.loop, self.events = loop, events
        self.socket = Path(facts["socket"])
        self.tcp = {name for name, backend in facts["backends"].items() if backend["mode"] == "tcp"}
        self.up, self.since, self.pid, self.dropped = False, 0.0, "", 0
        self.weights: dict[str, int] = {}  # read back
        self.sessions: dict[str, int] = {}
        self.servers_up: dict[str, bool] = {}
        self.wanted: dict[str, int] = {}
        self.drained: frozenset[str] = frozenset()  # servers that a lease holds at 0
        self.away_since: dict[str, float] = {}  # tcp server → since when its clients may have gone elsewhere
        self.not_before: dict[str, float] = {}  # one that lost its clients undrained → when it may be sure to be up
        self.read_at = 0.0
        self.waiters: list[Callable[[], None]] = []
        self.busy, self.rounds = False, 0

    def command(self, words: str, done: Callable[[str | None], None]) -> None:
        line = (words + "\n").encode()
        self.loop.ask(self.socket, line, 2.0, lambda a: done(None if a is None else a.decode("utf-8", "replace")))

    def look(self, waiter: Callable[[], None] | None = None) -> None:
        """Read the balancer; correct what differs from what is wanted, read again, then tell the waiters."""
        if waiter:
            self.waiters.append(waiter)
        self.rounds = 3
        if not self.busy:
            self.busy = True
            self._look()

    def _look(self) -> None:
        self.command("show info;show stat -1 4 -1", self._seen)

    def _seen(self, answer: str | None) -> None:
        try:
            self._read(answer or "")
        except (ValueError, KeyError):
            self.up = False
        commands = self._corrections() if self.up else []
        if commands and self.rounds:
            self.rounds -= 1
            self.command(";".join(commands), lambda _: self._look())
            return
        self._bring_home()
        self.busy, waiters, self.waiters = False, self.waiters, []
        for waiter in waiters:
            waiter()

    def _read(self, answer: str) -> None:
        info, _, table = answer.partition("# pxname")
        known = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
        self.up = "Pid" in known and bool(table)
        before, self.weights, self.sessions, self.servers_up = self.sessions, {}, {}, {}
        if not self.up:
            return
        self.dropped = int(known.get("DroppedLogs", 0))
        if known["Pid"] != self.pid:
            self.pid, self.since = known["Pid"], boottime() - float(known.get("Uptime_sec", 0))
            self.away_since, self.not_before = {}, {}
            say("balancer seen", pid=self.pid)
        names, *rows = (line.split(",") for line in ("pxname" + table).splitlines() if line)
        for row in rows:
            values = dict(zip(names, row, strict=False))
            server = f"{values['pxname']}/{values['svname']}"
            if server in self.wanted:
                self.weights[server] = int(values["weight"] or 0)
                self.sessions[server] = int(values["scur"] or 0)
                self.servers_up[server] = not values["status"].startswith(("DOWN", "MAINT"))
        self._notice_loss(before)

    def _notice_loss(self, before: Mapping[str, int]) -> None:
        """A server that lost half of its sessions since the last look was restarted, or died and came back."""
        now = boottime()
        for server in self.sessions:
            ended = self.events.ended.pop(server, 0)
            undrained = self.wanted.get(server) and server not in self.away_since
            if ended and 2 * ended > before.get(server, 0) and undrained and server.partition("/")[0] in self.tcp:
                self.away_since[server] = self.read_at
                self.not_before[server] = now + self.SURE
        self.read_at = now

    def _corrections(self) -> list[str]:
        """What to say so that the balancer is as wanted."""
        commands = []
        for server, wanted in self.wanted.items():
            weight = self.weights.get(server, wanted)
            if weight != wanted:
                commands.append(f"set weight {server} {wanted}")
            if wanted == 0 and server.partition("/")[0] in self.tcp:
                self.away_since.setdefault(server, boottime())
                if weight or (server in self.drained and self.sessions.get(server)):
                    commands.append(f"shutdown sessions server {server}")  # after the weight, or they would come back
        return commands

    def _bring_home(self) -> None:
        """Where a server takes connections again, let whoever came meanwhile reconnect: who belongs there goes there.

        Not only those that this balancer had seen on it: a client that was thrown off comes back through any balancer
        of the zone. Sessions older than that stay; so does everybody whose connection is not known from the log.
        """
        since, now = self.away_since, boottime()
        up = [s for s in since if self.wanted.get(s) and self.weights.get(s) and self.servers_up.get(s)]
        risen = [s for s in up if now >= self.not_before.get(s, 0.0)]
        for server in risen:
            self.not_before.pop(server, None)
        sources = {source for server in risen for source in self.events.elsewhere(server, since.pop(server))}
        if not sources:
            return

        def listed(answer: str | None) -> None:
            found = re.findall(r"^(0x[0-9a-f]+): .*?\bsrc=(\S+)", answer or "", re.MULTILINE)
            commands = [f"shutdown session {session}" for session, source in found if source in sources]
            for start in range(0, len(commands), 200):  # one line to HAProxy holds about 16 kB
                self.command(";".join(commands[start : start + 200]), lambda _: None)
            say("clients brought home", servers=risen, sessions=len(commands))

        self.command("show sess", listed)

    def status(self, leases: Iterable[Lease]) -> Json:
        def nested(flat: Mapping[str, Any]) -> Json:
            tree: Json = {}
            for key, value in flat.items():
                backend, _, server = key.partition("/")
                tree.setdefault(backend, {})[server] = value
            return tree

        held = [{"token": lease.token, "until": lease.until, "weights": dict(lease.weights)} for lease in leases]
        seen: dict[str, Mapping[str, Any]] = {
            "weights": self.weights,
            "sessions": self.sessions,
            "servers_up": self.servers_up,
        }
        return {"up": self.up, "since": self.since, "leases": held} | {key: nested(flat) for key, flat in seen.items()}


# ==== Observing: what the balancer logged, counted outside of the candidate =======================================


@dataclass(slots=True)
class Row:
    """Events of one server and path class since serve started."""

    total: int = 0
    bad: int = 0
    clients: int = 0  # sum over past seconds of the distinct clients in each
    bad_clients: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))
    second: int = 0
    seen: set[str] = field(default_factory=set)
    bad_seen: set[str] = field(default_factory=set)

    def note(self, second: int, client: str, bad: bool, ms: float) -> None:
        if second != self.second:
            self.clients, self.bad_clients = self.clients + len(self.seen), self.bad_clients + len(self.bad_seen)
            self.second, self.seen, self.bad_seen = second, set(), set()
        self.total += 1
        self.seen.add(client)
        if bad:
            self.bad += 1
            self.bad_seen.add(client)
        self.buckets[next((i for i, edge in enumerate(EDGES_MS) if ms <= edge), len(EDGES_MS))] += 1


class Events:
    """Counts the balancer's log lines, and knows which tcp client is connected from where."""

    KNOWN_CLIENTS = 50_000

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.ended: dict[str, int] = {}  # backend/server → tcp sessions that ended since somebody asked
        self.samples: deque[Json] = deque(maxlen=40)
        self.connected: dict[str, tuple[str, str, float]] = {}  # client → (backend/server, source, since)
        self.drained: Callable[[str], bool] = lambda server: False
        self.patterns: tuple[str, ...] = ()
        self._classes: dict[str, str] = {}
        self.unread = 0

    def use(self, patterns: Iterable[str]) -> None:
        if (patterns := tuple(dict.fromkeys(patterns))) != self.patterns:
            self.patterns, self._classes = patterns, {}

    def class_of(self, path: str) -> str:
        path = path.partition("?")[0]
        if (known := self._classes.get(path)) is None:
            known = next((pattern for pattern in self.patterns if matches(path, pattern)), "other")
            if len(self._classes) < 10_000:
                self._classes[path] = known
        return known

    def note(self, line: bytes, at: float) -> None:
        """Count one line; what cannot be read is counted as unread, nothing more."""
        try:
            kind, backend, server, code, ms, termination, client, how, path = (
                line.decode("utf-8", "replace").strip("\r\n\0").split("|", 8)
            )
            took = float(ms)  # "+12" when HAProxy logged before the end
            if kind == "http":
                bad = int(code) >= 500 or int(code) == -1 or termination.startswith("S")
                self._count(backend, server, self.class_of(path), client, bad, took, at, int(code), path)
            elif kind == "tcp":
                self._session(f"{backend}/{server}", code, client, how.strip() == "start", at)
                if how.strip() == "end":
                    bad = termination.startswith("S") and not self.drained(f"{backend}/{server}")
                    self._count(backend, server, "other", client, bad, took, at, termination, path)
            else:
                self.unread += 1
        except ValueError:
            self.unread += 1

    def _count(
        self,
        backend: str,
        server: str,
        kind: str,
        client: str,
        bad: bool,
        ms: float,
        at: float,
        status: object,
        path: str,
    ) -> None:
        self.rows.setdefault((backend, server, kind), Row()).note(int(at), client, bad, ms)
        if bad:
            self.samples.append(
                {"at": round(at, 3), "server": server, "path": path, "status": status, "client": client, "ms": ms}
            )

    def _session(self, server: str, source: str, client: str, begins: bool, at: float) -> None:
        known = self.connected.get(client)
        if begins and (known or len(self.connected) < self.KNOWN_CLIENTS):
            self.connected[client] = (server, source, at)
        elif not begins and known and known[1] == source:
            del self.connected[client]
            self.ended[server] = self.ended.get(server, 0) + 1

    def elsewhere(self, server: str, since: float) -> list[str]:
        """Where those come from that connected since then to another server of the same backend."""
        backend = server.partition("/")[0]
        return [
            source
            for where, source, began in self.connected.values()
            if began >= since and where != server and where.partition("/")[0] == backend
        ]

    def listed(self) -> list[Json]:
        return [
            {"backend": backend, "server": server, "class": kind, "total": row.total, "bad": row.bad}
            | {"clients": row.clients + len(row.seen), "bad_clients": row.bad_clients + len(row.bad_seen)}
            | {"buckets": row.buckets}
            for (backend, server, kind), row in sorted(self.rows.items())
        ]


def matches(path: str, pattern: str) -> bool:
    """fnmatch, segment by segment: a * never crosses a slash."""
    parts, wanted_parts = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted_parts) and all(map(fnmatchcase, parts, wanted_parts))


# ==== Serving: the state on disk, the process that follows from it, and everyone who asks =========================


@dataclass(slots=True)
class Running:
    """The application's present process."""

    digest: str
    pid: int
    stop_seconds: float
    ready_at: tuple[str, int, str]  # host, port, path
    log_from: int  # where this process's words begin in the log
    started: float
    ready: bool = False
    was_ready: bool = False
    failures: int = 0
    failing_since: float = 0.0
    kill_at: float | None = None  # being stopped; killed at this time


class Serve:
    """One node's loop. Monotonic time for processes, boottime for promises."""

    def __init__(self, node: Node, heartbeat: int | None) -> None:
        self.node, self.heartbeat, self.parent = node, heartbeat, os.getppid()
        self.loop, self.events, self.boot, self.since = Loop(), Events(), node.boot_id(), boottime()
        self.states = node.load_states()
        self.state = self.states.get(node.app, AppState())
        facts = node.facts.get("balancer")
        self.balancer = Balancer(self.loop, facts, self.events) if facts else None
        self.running: Running | None = None
        self.leftover = False  # processes of the last application may still live
        self.leaving = False
        self.unsaved = self.asking_ready = False
        self.restarts, self.pause = 0, 0.0
        self.start_at = self.save_at = self.beat_at = self.ready_at = self.look_at = self.rotate_at = 0.0
        self.metrics_waiters: list[Callable[[str | None], None]] = []
        self.web: socket.socket | None = None
        self.events.drained = lambda server: self.balancer is not None and server in self.balancer.drained

    # ---- the state

    def commit(self, state: AppState) -> None:
        """Forward: on disk first, or not at all."""
        if state == self.state:
            return
        try:
            self.node.save_states(self.states | {self.node.app: state})
        except OSError as problem:
            self.unsaved = True  # the disk may hold either; it must hold what is remembered here
            why = f"The promise could not be written ({problem.strerror}): nothing was begun. Free the disk, ask again."
            raise Failed("disk", why) from None
        self._follow(state)

    def adopt(self, state: AppState) -> bool:
        """Toward last good, and what a refusal taught: it holds now, and is written as soon as the disk lets us."""
        if state != self.state:
            try:
                self.node.save_states(self.states | {self.node.app: state})
                self.unsaved = False
            except OSError as problem:
                self.unsaved = True
                say("state not written", why=str(problem))
            self._follow(state)
        return not self.unsaved

    def _follow(self, state: AppState) -> None:
        before, self.state = self.state, state
        self.states[self.node.app] = state
        if state.went_back and state.went_back != before.went_back:
            left = state.went_back
            say("went back", digest=left.digest, good=state.good, token=left.token, why=left.reason, harm=left.harm)
        if wanted(before) != wanted(state):
            self.pause, self.start_at = 0.0, 0.0
            say("wanted", digest=wanted(state), good=state.good, generation=state.generation)
        self._balance()
        self._watch_classes()

    def _balance(self) -> None:
        if self.balancer:
            self.balancer.wanted = weights_in_force(self.node.base_weights(), self.state.leases)
            leased = {server for lease in self.state.leases for server, _ in lease.weights}
            self.balancer.drained = frozenset(
                s for s, weight in self.balancer.wanted.items() if weight == 0 and s in leased
            )
            self.look_at = 0.0

    def _watch_classes(self) -> None:
        patterns: list[str] = []
        for digest in (self.state.good, self.state.pending.digest if self.state.pending else None):
            if digest:
                with contextlib.suppress(OSError, ValueError):
                    checks = self.node.manifest(digest)["checks"]
                    patterns += [path for check in checks for path in check.get("paths", ())]
        self.events.use(patterns)

    # ---- the process

    def reap(self) -> None:
        for pid, code in reaped():
            if self.running and pid == self.running.pid:
                self._exited(self.running, code)

    def _exited(self, app: Running, code: int) -> None:
        self.running, self.leftover = None, True
        if app.kill_at is not None or self.leaving:  # whoever ends a whole control group ends it too: no crash
            say("stopped", digest=app.digest, code=code)
            return
        how = f"ended by signal {-code}" if code < 0 else f"exited with code {code}"
        words = self._last_words(app)
        say("exited", digest=app.digest, code=code, last=words[-200:])
        self.restarts += 1
        self.pause = min(5.0, max(0.2, self.pause * 2)) if time.monotonic() - app.started < 10 else 0.2
        self.start_at = time.monotonic() + self.pause
        if self.state.pending and app.digest == self.state.pending.digest:
            self._give_up(f"the candidate {how}" + (f": {words}" if words else ""))

    def _give_up(self, reason: str, harm: bool = True) -> None:
        self.adopt(candidate_failed(self.state, boottime(), reason, harm))

    def _last_words(self, app: Running) -> str:
        """The end of what this process wrote, in one line."""
        with contextlib.suppress(OSError), self.node.log.open("rb") as file:
            file.seek(max(app.log_from, file.seek(0, os.SEEK_END) - 1500))
            lines = file.read().decode("utf-8", "replace").splitlines()
            return " / ".join(line.strip() for line in lines[-6:] if line.strip())[-800:]
        return ""

    def drive(self) -> None:
        """Bring the process nearer to what is wanted. The old one is wholly gone before the new one opens the data."""
        now, app = time.monotonic(), self.running
        want = None if self.leaving else wanted(self.state)
        if app and app.digest != want and app.kill_at is None:
            say("stopping", digest=app.digest, pid=app.pid)
            app.kill_at, app.ready = now + app.stop_seconds, False
            with contextlib.suppress(ProcessLookupError):
                os.kill(app.pid, signal.SIGTERM)
        if app and app.kill_at is not None and now >= app.kill_at:
            kill_descendants(os.getpid())
        if not app and self.leftover:  # what the first process leaves behind has no right to stay
            self.leftover = not kill_descendants(os.getpid())
        if not app and not self.leftover and want and now >= self.start_at:
            self._start(want)

    def _start(self, digest: str) -> None:
        try:
            self.running = self._spawn(self.node.manifest(digest))
            self.ready_at = 0.0
            say("started", digest=digest, pid=self.running.pid)
        except (OSError, ValueError, KeyError, Refused) as problem:
            say("not started", digest=digest, why=str(problem))
            self.pause = min(5.0, max(0.2, self.pause * 2))
            self.start_at = time.monotonic() + self.pause
            if self.state.pending and digest == self.state.pending.digest:
                self._give_up(f"the candidate could not be started: {problem}", harm=False)

    def _spawn(self, manifest: Json) -> Running:
        node, place = self.node, self.node.release(manifest["release"])
        for directory in (node.root / "data" / manifest["data"], node.log.parent):
            directory.mkdir(parents=True, exist_ok=True)
        config, content = place / "config.json", node.app_config(manifest)
        if not config.exists() or config.read_bytes() != content:
            with contextlib.suppress(OSError):  # on a full disk the one from stage time must do
                write_whole(config, content, 0o600)
        url = urlsplit(node.fill(manifest["ready"], manifest))
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        out = os.open(node.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            begin = os.lseek(out, 0, os.SEEK_END)
            argv, env = node.argv(manifest["start"], manifest), node.surroundings(manifest)
            pid = spawn(argv, out, env=env, cwd=place / "tree")
        finally:
            os.close(out)
        stop, where = float(manifest["stop_seconds"]), (url.hostname or node.facts["bind"], url.port or 80, path)
        return Running(manifest["release"], pid, stop, where, begin, time.monotonic())

    def ask_ready(self) -> None:
        app = self.running
        if app is None or app.kill_at is not None or self.asking_ready or time.monotonic() < self.ready_at:
            return
        host, port, path = app.ready_at
        self.asking_ready = True

        def answered(answer: bytes | None) -> None:
            self.asking_ready = False
            now = time.monotonic()
            status, headers, _ = http_answer(answer)
            ready = status == 200 and headers.get("x-release", app.digest) == app.digest
            starting = not app.was_ready and now - app.started < 60
            self.ready_at = now + (0.1 if starting and not ready else 1.0)
            if app is self.running and app.kill_at is None:
                self._ready(app, ready, now)

        self.loop.ask((host, port), http_get(path, host), 1.0, answered)

    def _ready(self, app: Running, ready: bool, now: float) -> None:
        if ready != app.ready:
            say("ready" if ready else "unready", digest=app.digest, pid=app.pid)
        app.ready = ready
        app.was_ready = app.was_ready or ready
        app.failures = 0 if ready else app.failures + 1
        if app.failures == 1:
            app.failing_since = now
        deaf = app.was_ready and app.failures >= 3 and now - app.failing_since >= 5
        if deaf and self.state.pending and app.digest == self.state.pending.digest:
            self._give_up(f"the candidate had been ready and was not for {now - app.failing_since:.0f} s")

    def rotate_log(self) -> None:
        """Copy and truncate (the application appends to the very file): two files of at most about 8 MB each."""
        with contextlib.suppress(OSError):
            if self.node.log.stat().st_size > 8 << 20:
                with contextlib.suppress(OSError):
                    shutil.copyfile(self.node.log, self.node.log.with_suffix(".log.1"))
                os.truncate(self.node.log, 0)
                if self.running:
                    self.running.log_from = 0

    # ---- what is seen

    def status(self) -> Json:
        state, app = self.state, self.running
        pending = (
            {key: value for key, value in asdict(state.pending).items() if key != "freeze"} if state.pending else None
        )
        running = app.digest if app else None
        switching = running != wanted(state) or bool(app and app.kill_at is not None)
        left = asdict(state.went_back) if state.went_back else None
        known = {
            "running": running, "good": state.good, "previous": state.previous, "pending": pending,
            "frozen": state.frozen, "ready": bool(app and app.ready), "switching": switching,
            "restarts": self.restarts, "pid": app.pid if app else None, "generation": state.generation,
            "ended": list(state.ended), "harmful": list(state.harmful), "staged": self.node.staged(), "went_back": left,
        }  # fmt: skip
        facts = {key: self.node.facts.get(key) for key in ("node", "zone", "environment")}
        clocks = {"boot_id": self.boot, "boottime": boottime(), "node_program": VERSION, "since": self.since}
        balancer = self.balancer.status(state.leases) if self.balancer else None
        return facts | clocks | {"apps": {self.node.app: known}, "balancer": balancer}

    def observe(self, done: Callable[[Json], None]) -> None:
        """Status, counts and the application's own metrics in one answer."""
        asked = self.running

        def answer(metrics: str | None) -> None:
            same = asked is not None and asked is self.running and metrics is not None
            dropped = self.balancer.dropped if self.balancer else 0
            counts = {"edges_ms": list(EDGES_MS), "rows": self.events.listed()}
            counts |= {"dropped": dropped, "unread": self.events.unread}
            mine = {"metrics": metrics if same else None, "metrics_of": asked.digest if same and asked else None}
            done(self.status() | {"events": counts, "samples": list(self.events.samples)} | mine)

        if asked is None or asked.kill_at is not None:
            answer(None)
            return
        self.metrics_waiters.append(answer)
        if len(self.metrics_waiters) > 1:
            return

        def fetched(reply: bytes | None) -> None:
            status, _, body = http_answer(reply)
            waiters, self.metrics_waiters = self.metrics_waiters, []
            for waiter in waiters:
                waiter(body.decode("utf-8", "replace") if status == 200 else None)

        host, port, _ = asked.ready_at
        self.loop.ask((host, port), http_get("/metrics", host), 1.0, fetched)

    # ---- who asks

    def answer_command(self, wire: Wire, line: bytes) -> None:
        def reply(error: Json | None = None, **fields: object) -> None:
            answer = {"ok": error is None, "error": error} | fields | {"status": self.status()}
            wire.send(json.dumps(answer).encode() + b"\n", last=True)

        try:
            request = json.loads(line)
            verb = request.pop("verb")
            if verb == "status":
                reply()
            elif verb == "observe":
                self.observe(lambda seen: wire.send(json.dumps({"ok": True, "error": None} | seen).encode(), last=True))
            else:
                weights = tuple((server, weight) for server, weight in request.pop("weights", ()))
                self.obey(Command(verb, weights=weights, **request))
                if verb == "traffic" and self.balancer:
                    self.balancer.look(lambda: reply(applied=self._applied()))
                else:
                    reply()
        except (Refused, Failed) as refusal:
            reply({"kind": refusal.kind, "sentence": refusal.sentence})
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            reply({"kind": "usage", "sentence": f"The node program does not understand this: {problem!r}."})

    def _applied(self) -> bool:
        """Whether the balancer has every leased weight (it may be down; serve keeps trying)."""
        balancer = self.balancer
        return bool(balancer and all(balancer.weights.get(s) == weight for s, weight in balancer.wanted.items()))

    def obey(self, command: Command) -> None:
        self.reap()  # a candidate that is dead already must not be confirmed
        try:
            with lock(self.node.store / ".choice", "gc is choosing what to remove; ask again."):
                facts = self.node.promise_facts((self.state.good, self.state.previous))
                state = receive(self.state, command, boottime(), self.boot, facts)
                back = command.verb in ("revert", "return")
                if not back:
                    self.commit(state)
        except Refused as refusal:
            if refusal.state:
                self.adopt(refusal.state)
            say("refused", verb=command.verb, token=command.token, kind=refusal.kind, why=refusal.sentence)
            raise
        if back and not self.adopt(state):
            why = "The node goes back, but its disk does not take the record yet; it keeps trying. Ask again."
            raise Failed("disk", why)
        say("obeyed", verb=command.verb, token=command.token, generation=command.generation)
        self.drive()

    def answer_http(self, wire: Wire, head: bytes) -> None:
        def reply(status: str, body: bytes) -> None:
            headers = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            wire.send(headers.encode() + b"Connection: close\r\n\r\n" + body, last=True)

        lines = head.decode("latin-1").split("\r\n")
        given = next(
            (line.partition(":")[2].strip() for line in lines if line.lower().startswith("authorization:")), ""
        )
        expected = f"Bearer {self.node.facts['observe']['token']}"
        if not hmac.compare_digest(given.encode("latin-1"), expected.encode()):
            reply("401 Unauthorized", b'{"error":"observe needs this node\'s bearer token"}')
        elif lines[0].split()[:2] != ["GET", "/observe"]:
            reply("404 Not Found", b'{"error":"only GET /observe is answered here"}')
        else:
            self.observe(lambda seen: reply("200 OK", json.dumps(seen).encode()))

    def read_log(self, sock: socket.socket) -> None:
        now = boottime()
        with contextlib.suppress(BlockingIOError):
            for _ in range(500):  # then others have their turn
                self.events.note(sock.recv(1 << 16), now)

    # ---- the loop

    def listen(self) -> list[socket.socket]:
        run = self.node.run
        run.mkdir(parents=True, exist_ok=True)
        control, log = (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        )
        for sock, path, mode in ((control, run / "control.sock", 0o600), (log, run / "log.sock", 0o666)):
            path.unlink(missing_ok=True)
            sock.bind(str(path))
            path.chmod(mode)
        log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        log.setblocking(False)
        self.loop.serve(control, b"\n", self.answer_command)
        self.loop.watch(log, selectors.EVENT_READ, lambda: self.read_log(log))
        return [control, log]

    def listen_http(self) -> None:
        """Serve observe; if its port is taken, the application runs nevertheless, and this is tried again."""
        observe = self.node.facts.get("observe")
        if not observe or self.web:
            return
        web = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        web.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            web.bind((self.node.facts["bind"], observe["port"]))
            self.loop.serve(web, b"\r\n\r\n", self.answer_http)
            self.web = web
        except OSError as problem:
            web.close()
            say("observe not served", port=observe["port"], why=str(problem))

    def run(self) -> None:
        adopt_orphans()
        kill_strangers(self.node.root)
        wake, signals = socket.socketpair()
        for sock in (wake, signals):
            sock.setblocking(False)
        signal.set_wakeup_fd(signals.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: self._orphaned())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "leaving", True))

        def woken() -> None:
            with contextlib.suppress(BlockingIOError):
                wake.recv(4096)

        self.loop.watch(wake, selectors.EVENT_READ, woken)
        self.adopt(restart(self.state, boottime(), self.boot))
        self.node.promise_facts()  # verifies what is staged now, so that no command waits for it
        self._balance()
        self._watch_classes()
        sockets = self.listen()
        say("serving", node=self.node.facts["node"], good=self.state.good, boot=self.boot)
        while not (self.leaving and not self.running and not self.leftover):
            self.loop.turn(self.tick())
        for sock in sockets:
            sock.close()

    def tick(self) -> float:
        """Everything that is due; returns how long to wait for the next thing."""
        now = time.monotonic()
        if self.heartbeat is not None:
            if os.getppid() != self.parent:
                self._orphaned()
            if now >= self.beat_at:
                self.beat_at = now + float(self.node.facts.get("watchdog_seconds", 5)) / 8
                with contextlib.suppress(OSError):
                    os.write(self.heartbeat, b".")
        self.reap()
        state = timers(self.state, boottime())
        if state != self.state:
            self.adopt(state)
        if self.unsaved and now >= self.save_at:
            self.save_at = now + 1.0
            with contextlib.suppress(OSError):
                self.node.save_states(self.states)
                self.unsaved = False
        self.drive()
        self.ask_ready()
        if self.balancer and now >= self.look_at:
            self.look_at = now + (1.0 if self.balancer.up else 0.2)
            self.balancer.look()
        if now >= self.rotate_at:
            self.rotate_at = now + 2.0
            self.rotate_log()
            self.listen_http()
        return self._patience()

    def _patience(self) -> float:
        """Short while something moves, up to the next end of a promise, a quarter of a second at most."""
        app = self.running
        if self.leftover or (app and app.kill_at is not None):
            return 0.03
        ends = [lease.until for lease in self.state.leases]
        if self.state.pending and not self.state.frozen:
            ends.append(self.state.pending.until)
        starting = app is not None and not app.was_ready
        return max(0.001, min([0.1 if starting else 0.25, *(end - boottime() for end in ends)]))

    def _orphaned(self) -> NoReturn:
        """The supervisor is gone: nothing of this node may go on without one."""
        say("orphaned", why="the supervisor died; the application is killed with it")
        for _ in range(200):
            if kill_descendants(os.getpid()):
                break
            for _ in reaped():
                pass
            time.sleep(0.01)
        os._exit(1)


# ==== Supervising: the parent that needs nothing but its children =================================================


@dataclass(slots=True)
class Child:
    """A process that is started again whenever it ends."""

    name: str
    pid: int = 0
    started: float = 0.0
    start_at: float = 0.0
    pause: float = 0.0

    def ended(self, now: float, code: int) -> None:
        self.pause = min(5.0, max(0.2, self.pause * 2)) if now - self.started < 10 else 0.2
        say("child ended", child=self.name, pid=self.pid, code=code, again_in=self.pause)
        self.pid, self.start_at = 0, now + self.pause


class Supervise:
    """Starts the balancer and serve, and kills serve with all it started when it dies or falls silent."""

    def __init__(self, node: Node) -> None:
        self.node, self.balancer, self.serve = node, Child("balancer"), Child("serve")
        self.silence = float(node.facts.get("watchdog_seconds", 5))
        self.pulse: int | None = None  # reading end of serve's heartbeat
        self.heard = self.leave_by = 0.0
        self.leaving = self.sweeping = False

    def run(self) -> None:
        adopt_orphans()
        self.node.run.mkdir(parents=True, exist_ok=True)
        (self.node.root / "logs").mkdir(parents=True, exist_ok=True)
        wake, signals = os.pipe()
        for handle in (wake, signals):
            os.set_blocking(handle, False)
        signal.set_wakeup_fd(signals, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._leave())
        last = time.monotonic()
        while self.step(time.monotonic() - last > 2.0):
            last = time.monotonic()
            watched = [wake] + ([self.pulse] if self.pulse is not None else [])
            for handle in select.select(watched, [], [], 0.05 if self.sweeping else self.silence / 8)[0]:
                with contextlib.suppress(BlockingIOError):
                    if os.read(handle, 4096) and handle == self.pulse:
                        self.heard = time.monotonic()
        self._stop_balancer()

    def step(self, slept: bool) -> bool:
        """One look at the children; False when all is over. ``slept``: we were stopped, so silence means nothing."""
        now = time.monotonic()
        self.heard = now if slept else self.heard
        for pid, code in reaped():
            if pid == self.balancer.pid:
                self.balancer.ended(now, code)
            elif pid == self.serve.pid:
                self.serve.ended(now, code)
                self.sweeping = True
        if self.serve.pid and (now - self.heard > self.silence or (self.leaving and now > self.leave_by)):
            say("watchdog", why=f"serve has been silent for {now - self.heard:.1f} s; it is killed with all it started")
            os.kill(self.serve.pid, signal.SIGKILL)
            self.heard, self.sweeping = now, True
        if self.sweeping and kill_descendants(os.getpid(), {self.balancer.pid}):
            self.sweeping = False
        if (
            not self.balancer.pid
            and self.node.facts.get("balancer")
            and now >= self.balancer.start_at
            and not self.leaving
        ):
            self._start_balancer(now)
        if not self.serve.pid and not self.sweeping:
            if self.leaving:
                return False
            if now >= self.serve.start_at:
                self._start_serve(now)
        return True

    def _start_balancer(self, now: float) -> None:
        out = os.open(
            self.node.root / "logs" / "balancer.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
        self.balancer.pid, self.balancer.started = spawn(self.node.facts["balancer"]["argv"], out), now
        os.close(out)

    def _start_serve(self, now: float) -> None:
        if self.pulse is not None:
            os.close(self.pulse)
        self.pulse, beat = os.pipe()
        for handle in (self.pulse, beat):
            os.set_blocking(handle, False)
        argv = [sys.executable, "-I", "-S", __file__, str(self.node.root), "serve", "--heartbeat", str(beat)]
        self.serve.pid, self.serve.started = spawn(argv, 2, death=signal.SIGUSR1, keep=(beat,)), now
        self.heard = now
        os.close(beat)

    def _leave(self) -> None:
        if not self.leaving:
            self.leaving, self.leave_by = True, time.monotonic() + 60
            if self.serve.pid:
                os.kill(self.serve.pid, signal.SIGTERM)

    def _stop_balancer(self) -> None:
        for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            end = time.monotonic() + patience
            while self.balancer.pid and time.monotonic() < end:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.balancer.pid, number)
                if any(pid == self.balancer.pid for pid, _ in reaped()):
                    return
                time.sleep(0.02)


# ==== Command line: JSON on stdout, and what the exit code means ==================================================

_EXIT = {"usage": 2, "silent": 4} | dict.fromkeys(
    ("disk", "cut off", "busy", "io"), 1
)  # everything else was refused: 3


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused("usage", f"{self.prog}: {message}.")


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not sha256:<64 hex digits>")
    return text


def _digest_or_none(text: str) -> str | None:
    return None if text == "none" else _digest(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _weight(text: str) -> tuple[str, int]:
    server, _, weight = text.partition("=")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", server) or not weight.isdigit() or int(weight) > 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not BACKEND/SERVER=WEIGHT with a weight of 0 to 256")
    return server, int(weight)


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="node", description="The node program: one node's promises.")
    top.add_argument("root", type=Path)
    verbs = top.add_subparsers(dest="verb", required=True, parser_class=_Parser)

    def verb(name: str, about: str, *options: str, times: bool = False) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=about)
        for option in options:
            kind = int if option == "generation" else str
            one.add_argument(f"--{option}", required=True, type=kind)
        if times:
            one.add_argument("--boot", required=True, help="the boot id that the times belong to")
            one.add_argument("--until", required=True, type=_seconds, help="the promise's end, in this boot's boottime")
            one.add_argument("--expires", required=True, type=_seconds, help="later than this the order is refused")
        return one

    verb("stage", "take a release from a tar on stdin").add_argument("digest", type=_digest)
    activate = verb("activate", "run a staged release until a deadline", "token", "generation", times=True)
    activate.add_argument("digest", type=_digest)
    activate.add_argument(
        "--base", required=True, type=_digest_or_none, help="the last good that is expected here, or none"
    )
    verb("confirm", "the pending release becomes last good", "generation").add_argument("token")
    revert = verb("revert", "end a token; back to last good", "generation", "reason")
    revert.add_argument("token")
    revert.add_argument("--harm", action="store_true", help="remember its digest as harmful")
    back = verb("return", "after a promotion: back to the release before", "generation", "token")
    back.add_argument("--from", required=True, type=_digest, dest="digest")
    back.add_argument("--to", required=True, type=_digest_or_none, dest="base")
    traffic = verb("traffic", "lease weights until a deadline", "token", "generation", times=True)
    traffic.add_argument("weights", nargs="+", type=_weight, metavar="BACKEND/SERVER=WEIGHT")
    verb("status", "what runs, what is promised")
    verb("observe", "status, counts and metrics in one answer")
    verb("probe", "try the application's round trip from outside it")
    verb("logs", "the last lines of the application").add_argument("--lines", type=int, default=50)
    verb("gc", "remove releases nobody can need")
    verb("serve", "hold the promises (started by supervise)").add_argument("--heartbeat", type=int, default=None)
    verb("supervise", "start the balancer and serve, and watch over them")
    return top


def ask_serve(node: Node, request: Json, seconds: float = 10.0) -> Json:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(seconds)
            sock.connect(str(node.run / "control.sock"))
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as file:
                answer: Json = json.loads(file.read())
                return answer
    except (OSError, ValueError) as problem:
        why = f"The node program of {node.root} does not answer ({problem}): is `supervise` running?"
        raise Failed("silent", why) from None


def last_lines(node: Node, lines: int) -> list[str]:
    found: list[str] = []
    for path in (node.log.with_suffix(".log.1"), node.log):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - (1 << 20)))
            found += file.read().decode("utf-8", "replace").splitlines()
    return found[-lines:] if lines > 0 else []


def probe(node: Node) -> Json:
    """Try the application's round trip from outside it. Last good's probe tries the candidate too: a candidate that
    brings its own does not grade itself; only a first release has nothing else."""
    state = node.load_states().get(node.app, AppState())
    digest = state.good or (state.pending.digest if state.pending else None)
    if digest is None:
        raise Refused("nothing runs", "There is no release on this node to probe.")
    manifest = node.manifest(digest)
    try:
        tried = subprocess.run(
            node.argv(manifest["probe"], manifest), cwd=node.release(digest) / "tree", env=node.surroundings(manifest),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=6,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"probe": {"works": False, "said": "no answer within 6 s"}}
    said = (tried.stdout or tried.stderr).decode("utf-8", "replace").strip()
    return {"probe": {"works": tried.returncode == 0, "said": said[-500:]}}


def run_verb(node: Node, verb: str, given: Json) -> Json:
    if verb == "probe":
        return probe(node)
    if verb == "stage":
        os.nice(5)  # copying bits must not take the processor from what serves
        return stage(node, given["digest"], sys.stdin.buffer)
    if verb == "gc":
        return gc(node)
    if verb == "logs":
        return {"lines": last_lines(node, given["lines"])}
    if verb in ("serve", "supervise"):
        with lock(node.root / f".{verb}.lock", f"{node.root} has a node program already ({verb} is running)."):
            (Serve(node, given["heartbeat"]) if verb == "serve" else Supervise(node)).run()
        return {}
    return ask_serve(node, {"verb": verb} | given)


def main(arguments: list[str] | None = None) -> int:
    try:
        given = vars(parser().parse_args(arguments))
        answer: Json = {"ok": True, "error": None} | run_verb(Node(given.pop("root")), given.pop("verb"), given)
    except (Refused, Failed) as problem:
        answer = {"ok": False, "error": {"kind": problem.kind, "sentence": problem.sentence}}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        answer = {"ok": False, "error": {"kind": "io", "sentence": f"It could not be done: {problem!r}."}}
    print(json.dumps(answer))
    return 0 if answer["ok"] else _EXIT.get(answer["error"]["kind"], 3)


if __name__ == "__main__":
    sys.exit(main())
