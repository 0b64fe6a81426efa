"""What a node promises: pure rules, values in and values out. ``now`` is boottime in seconds.

Everything that decides which release may run, and until when, stands here; nothing here reads or writes anything. The
state that these functions hand on is on disk before the application is touched (``record``); what runs then follows
from it (``application``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import Refused, short

REMEMBERED = 256  # ended tokens and harmful digests; older ones are covered by boot id and expiry


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
    kind: str = ""  # deadline, restart, exit, unready, start, asked or return


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
        state = _back(state, now, "nobody confirmed it by the deadline", "deadline")
    if any(now >= lease.until for lease in state.leases):
        state = replace(state, leases=tuple(lease for lease in state.leases if now < lease.until))
    return state


def restart(state: AppState, now: float, boot: str) -> AppState:
    """The node program starts: a promise it finds is broken towards last good; times of another boot mean nothing."""
    rebooted = state.boot != boot
    if rebooted:
        state = replace(state, boot=boot, leases=())
    if state.pending and not state.frozen:
        state = _back(state, now, "the machine restarted" if rebooted else "the node program restarted", "restart")
    return timers(state, now)


def candidate_failed(state: AppState, now: float, reason: str, kind: str = "exit") -> AppState:
    """The candidate died or went deaf on this node: back at once.

    Only a death is remembered as harmful. What is away for everybody makes a candidate unready too, and last good
    beside it: this node cannot tell, the controller sees both.
    """
    return _back(state, now, reason, kind, harm=kind == "exit")


def _back(state: AppState, now: float, reason: str, kind: str, harm: bool = False) -> AppState:
    """End the pending promise towards last good, or stay where the one-way door was passed."""
    promise = state.pending
    if promise is None:
        return state
    state = _end(state, promise.token)
    if harm:
        state = replace(state, harmful=_remember(state.harmful, promise.digest))
    if promise.freeze:
        return replace(state, frozen=True)
    left = WentBack(promise.token, promise.digest, reason, harm, now, kind)
    return replace(state, pending=None, frozen=False, went_back=left)


def _end(state: AppState, token: str) -> AppState:
    """A token ends once: nothing can be activated or leased under it any more, and its leases are gone."""
    leases = tuple(lease for lease in state.leases if lease.token != token)
    return replace(state, ended=_remember(state.ended, token), leases=leases)


def _remember(known: tuple[str, ...], one: str) -> tuple[str, ...]:
    return known if one in known else (*known, one)[-REMEMBERED:]


def _belongs(state: AppState, command: Command, boot: str) -> None:
    if command.boot != boot:
        raise Refused("other boot", f"The times are of boot {command.boot}; this is boot {boot}: read status.", state)
    if command.token in state.ended:
        raise Refused("ended token", f"Token {command.token} has ended here; last good is {short(state.good)}.", state)


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
        why = f"{short(pending.digest)} is pending under {pending.token}: end that one first."
        raise Refused("pending", why, state)
    if digest not in facts.staged:
        raise Refused("not staged", f"{short(digest)} is not staged and verified here: stage it first.", state)
    if state.good != command.base:
        raise Refused("wrong base", f"Last good is {short(state.good)}, not {short(command.base)}.", state)
    if state.good == digest:
        raise Refused("already good", f"{short(digest)} is last good already; there is nothing to try.", state)
    candidate = facts.staged[digest]
    if command.base is not None and not candidate.freeze:
        base = facts.staged.get(command.base)
        if base is None:
            why = (
                f"Last good {short(command.base)} is damaged in the store: there would be no way back. Stage it again."
            )
            raise Refused("no way back", why, state)
        if candidate.writes not in base.reads:
            why = f"{short(digest)} writes data version {candidate.writes}, which {short(command.base)} cannot read:"
            raise Refused(
                "one-way door", f"{why} a base that cannot read what the candidate writes is no way back.", state
            )
    promise = Promise(command.token, digest, command.base, command.until, command.generation, candidate.freeze)
    return replace(state, pending=promise, frozen=False, boot=boot)


def _confirm(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
    promise = state.pending
    if promise is None or promise.token != command.token:
        why = f"Nothing is pending under {command.token}; last good is {short(state.good)}."
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
    state = _back(state, now, command.reason, "asked", command.harm)
    if promise.freeze:
        raise _behind_the_door(promise.digest, state)
    return state


def _return(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
    leaving, to, pending = command.digest, command.base, state.pending
    done = f"{command.token} returned"
    if done in state.ended:
        return state  # said twice, meant once, however late: the same bits may have been promoted again since
    if pending and pending.token == command.token and pending.digest != leaving:
        what = f"{command.token} is the promise of {short(pending.digest)}, not of {short(leaving)}"
        raise Refused("wrong token", f"{what}: nothing was changed.", state)
    state = _end(state, command.token)
    if pending and pending.digest == leaving:
        state = _back(state, now, f"return to {short(to)}", "return")
        if pending.freeze:
            raise _behind_the_door(leaving, state)
        return _end(state, done)
    if state.good == to:
        return _end(state, done)
    if state.good != leaving or state.previous != to:
        was = f"Last good is {short(state.good)} and the one before {short(state.previous)}"
        raise Refused("wrong base", f"{was}, not {short(leaving)} and {short(to)}: nothing to return from.", state)
    left = facts.staged.get(leaving)
    if left and left.freeze:
        raise _behind_the_door(leaving, state)
    if to is not None and to not in facts.staged:
        raise Refused("not staged", f"{short(to)} is not in the store: stage it, then return.", state)
    if pending:
        state = _back(state, now, f"return to {short(to)}", "return")
    return replace(_end(state, done), good=to, previous=leaving, pending=None, frozen=False)


def _behind_the_door(digest: str, state: AppState) -> Refused:
    why = f"{short(digest)} has on_deadline = freeze: behind its one-way door no node goes back. It stays and serves;"
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


def state_from_json(known: dict[str, Any]) -> AppState:
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
