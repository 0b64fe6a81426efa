"""Each rule, taken out: small changes to the real code that must each break a promise in the model.

A mutation replaces one seam of the code under test for a while. ``scenarios`` are where its loss shows soonest; the
test looks in each of them for a bounded number of walks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from controller.errors import Unreachable
from controller.loop import record
from controller.model import Action, AppView, Confirm, Lane, NodeView, Observation, Outcome, Phase, Rollout
from controller.node import promises as program
from controller.node.errors import Refused
from controller.node.promises import AppState, Command, Facts
from controller.rollout import asking, decide, plan, rows, steps, turning
from controller.rollout.standing import fold
from tests.model.ledgers import MemoryLedger

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Mutation:
    """``rule`` is the sentence that no longer holds."""

    rule: str
    patch: Patch
    scenarios: tuple[str, ...]


MUTATIONS: list[Mutation] = []


def without(rule: str, *scenarios: str) -> Callable[[Patch], Patch]:
    def keep(patch: Patch) -> Patch:
        MUTATIONS.append(Mutation(rule, patch, scenarios))
        return patch

    return keep


# ---- the node program ---------------------------------------------------------------------------------------------


@without("a node refuses an older generation", "controllers and their ledger")
def generation(patch: pytest.MonkeyPatch) -> None:
    real = program.receive

    def receive(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
        command = replace(command, generation=max(command.generation, state.generation))
        return real(state, command, now, boot, facts)

    patch.setattr(program, "receive", receive)


@without("a command's times belong to the boot that it names", "messages late, twice or never")
def boot(patch: pytest.MonkeyPatch) -> None:
    real = program._belongs
    patch.setattr(program, "_belongs", lambda state, command, boot: real(state, replace(command, boot=boot), boot))


@without("a token ends once: nothing can be activated under it any more", "messages late, twice or never")
def ended_tokens(patch: pytest.MonkeyPatch) -> None:
    def belongs(state: AppState, command: Command, boot: str) -> None:
        if command.boot != boot:
            raise Refused("other boot", "", state)

    patch.setattr(program, "_belongs", belongs)


@without("a lease whose end has passed is not taken", "messages late, twice or never")
def expiry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(program, "_in_time", lambda state, command, now: None)


@without("an activation names the last good that it leaves", "controllers and their ledger", "promoted")
def base(patch: pytest.MonkeyPatch) -> None:
    real = program._activate

    def activate(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
        return real(replace(state, good=command.base), command, now, boot, facts)

    patch.setitem(program._RECEIVERS, "activate", activate)


@without("a node keeps its deadline alone", "nodes fail", "controllers and their ledger")
def deadline(patch: pytest.MonkeyPatch) -> None:
    real = program.timers

    def timers(state: AppState, now: float) -> AppState:
        return replace(real(replace(state, pending=None), now), pending=state.pending)

    patch.setattr(program, "timers", timers)


@without("a lease ends at its deadline", "controllers and their ledger")
def lease_end(patch: pytest.MonkeyPatch) -> None:
    real = program.timers
    patch.setattr(program, "timers", lambda state, now: replace(real(state, now), leases=state.leases))


@without("another boot breaks a promise towards last good", "nodes fail")
def restart(patch: pytest.MonkeyPatch) -> None:
    def restarted(state: AppState, now: float, boot: str) -> AppState:
        return program.timers(replace(state, boot=boot, leases=() if state.boot != boot else state.leases), now)

    patch.setattr(program, "restart", restarted)


@without("another boot ends every lease", "nodes fail")
def leases_of_another_boot(patch: pytest.MonkeyPatch) -> None:
    real = program.restart

    def restarted(state: AppState, now: float, boot: str) -> AppState:
        return replace(real(state, now, boot), leases=state.leases)

    patch.setattr(program, "restart", restarted)


@without("a revert ends a token that the node never saw", "two nodes")
def end_everywhere(patch: pytest.MonkeyPatch) -> None:
    real = program._revert

    def revert(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
        mine = state.pending is not None and state.pending.token == command.token
        return real(state, command, now, boot, facts) if mine else state

    patch.setitem(program._RECEIVERS, "revert", revert)


@without("behind a one-way door a broken promise means stay", "a one-way door")
def freeze(patch: pytest.MonkeyPatch) -> None:
    real = program._activate

    def activate(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
        state = real(state, command, now, boot, facts)
        return replace(state, pending=replace(state.pending, freeze=False)) if state.pending else state

    patch.setitem(program._RECEIVERS, "activate", activate)


@without("a node frozen at its deadline still takes its token's confirm", "a one-way door")
def confirm_thaws(patch: pytest.MonkeyPatch) -> None:
    real = program._confirm

    def confirm(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
        if state.frozen:
            raise Refused("frozen", "", state)
        return real(state, command, now, boot, facts)

    patch.setitem(program._RECEIVERS, "confirm", confirm)


@without("a node goes back only when it is told by a return", "promoted", "controllers and their ledger")
def confirmed_stays(patch: pytest.MonkeyPatch) -> None:
    real = program._revert

    def revert(state: AppState, command: Command, now: float, boot: str, facts: Facts) -> AppState:
        state = real(state, command, now, boot, facts)
        return replace(state, good=state.previous) if state.pending is None and state.previous else state

    patch.setitem(program._RECEIVERS, "revert", revert)


# ---- deciding -----------------------------------------------------------------------------------------------------


@without("nobody confirms before the PROMOTED row", "two nodes")
def promoted_first(patch: pytest.MonkeyPatch) -> None:
    real = asking.asks

    def asks(rollout: Rollout, seen: Observation, now: float) -> Iterator[Action]:
        yield from real(rollout, seen, now)
        if rollout.phase is Phase.WATCHING:
            yield from (Confirm(node, lane.app, rollout.token) for lane in rollout.lanes for node in lane.canaries)

    patch.setattr(asking, "asks", asks)


@without("WAIT is no PASS", "watching")
def wait_is_no_pass(patch: pytest.MonkeyPatch) -> None:
    real = decide.watching

    def watching(rollout: Rollout, seen: Observation, now: float) -> Rollout:
        verdict = seen.verdict
        if verdict is not None and verdict.outcome in (Outcome.WAIT, Outcome.INCONCLUSIVE):
            seen = replace(seen, verdict=replace(verdict, outcome=Outcome.PASS))
        return real(rollout, seen, now)

    patch.setitem(decide.PHASES, Phase.WATCHING, watching)


@without("a PASS needs a control node on last good", "watching")
def control(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "beside_control", lambda rollout, seen, now: None)


@without("a rollout closes only when every node said so", "nodes fail", "controllers and their ledger")
def every_node_says_so(patch: pytest.MonkeyPatch) -> None:
    real = steps.back

    def back(lane: Lane, node: str, tokens: tuple[str, ...], seen: Observation, now: float) -> bool:
        return seen.answers(node, now) is None or real(lane, node, tokens, seen, now)

    patch.setattr(steps, "back", back)
    patch.setattr(steps, "leases_ended", lambda rollout, seen, now: True)


@without("going back ends every token before it closes", "messages late, twice or never")
def every_token_ends(patch: pytest.MonkeyPatch) -> None:
    real = steps.back
    patch.setattr(steps, "back", lambda lane, node, tokens, seen, now: real(lane, node, (), seen, now))


@without("weights come back after the nodes, not before", "two nodes")
def leases_outlive_the_way_back(patch: pytest.MonkeyPatch) -> None:
    real = asking.going_back

    def going_back(rollout: Rollout, lane: Lane, promoted: bool, seen: Observation, now: float) -> Iterator[Action]:
        yield from steps.end_leases(rollout, lane, seen, now)
        yield from real(rollout, lane, promoted, seen, now)

    patch.setattr(asking, "going_back", going_back)


@without("a closed rollout leases nothing", "messages late, twice or never", "promoted", "people")
def leases_end_before_closing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "leases_ended", lambda rollout, seen, now: True)


@without("a return ends the leases of the way there as well", "promoted")
def both_leases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rollout, "lease_tokens", property(lambda rollout: (rollout.lease_token,)))


@without("a return ends the settle tokens as well", "promoted", "promoted, and controllers fail")
def settle_tokens(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rollout, "tokens", property(lambda rollout: (rollout.token,)))


@without("every node gets the same absolute end", "two zones in two waves")
def absolute_end(patch: pytest.MonkeyPatch) -> None:
    real = steps.lead

    def lead(rollout: Rollout, lane: Lane, nodes: Any, token: str, started: float, *others: Any) -> Iterator[Action]:
        return real(rollout, lane, nodes, token, others[2], *others)

    patch.setattr(steps, "lead", lead)


@without("a node's deadline counts from when its answer was received", "two nodes")
def receive_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NodeView, "local", lambda view, at: at - view.received_at + view.boottime + 3.0)


@without("on another clock what is in flight goes back", "controllers and their ledger")
def another_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        decide, "take_over", lambda rollout, generation, clock, now: replace(rollout, generation=generation)
    )  # fmt: skip


@without("a rollout starts only from last good everywhere", "nodes fail", "two nodes")
def base_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decide, "waiting_for", lambda rollout, seen, now: iter(()))


@without("a fresh settle attempt has a fresh token", "promoted, and nodes fail")
def fresh_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rollout, "settle_token", property(lambda rollout: f"{rollout.token}.settle1"))


@without("a silent node holds up nobody else's settling", "promoted, and nodes fail")
def one_that_gave_up_waits(patch: pytest.MonkeyPatch) -> None:
    real = steps.settled

    def settled(lane: Lane, node: str, seen: Observation, now: float) -> bool:
        return real(lane, node, seen, now) and all(seen.answers(peer, now) for peer in lane.nodes if peer < node)

    patch.setattr(steps, "next_to_settle", lambda rollout, lane, seen, now: ())
    patch.setattr(steps, "settled", settled)


@without("an abort behind a one-way door is refused", "a one-way door")
def abort_behind_the_door(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rollout, "stays", property(lambda rollout: False))


@without("what nodes remember of a harm counts as quarantine", "nodes fail", "controllers and their ledger")
def harm_on_nodes(patch: pytest.MonkeyPatch) -> None:
    real = turning.harmed

    def harmed(rollout: Rollout, seen: Observation, now: float) -> Rollout | None:
        nodes = {
            name: replace(view, apps={app: forgetful(said) for app, said in view.apps.items()})
            for name, view in seen.nodes.items()
        }
        return real(rollout, replace(seen, nodes=nodes), now)

    patch.setattr(turning, "harmed", harmed)


def forgetful(app: AppView) -> AppView:
    return replace(app, harmful=frozenset())


@without("a node that went back by itself learns that it was harm", "nodes fail", "controllers and their ledger")
def harm_is_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "knows_of_harm", lambda rollout, lane, app: True)


# ---- plan, record, ledger -----------------------------------------------------------------------------------------


@without("a quarantined digest is not planned again", "applied again")
def quarantine(patch: pytest.MonkeyPatch) -> None:
    real = plan.held
    patch.setattr(plan, "held", lambda standing, *about: real(replace(standing, quarantine={}), *about))
    patch.setattr(turning, "harmed", forgiving(turning.harmed))


def forgiving(real: Callable[[Rollout, Observation, float], Rollout | None]) -> Any:
    def harmed(rollout: Rollout, seen: Observation, now: float) -> Rollout | None:
        return None if rollout.phase is Phase.PENDING else real(rollout, seen, now)

    return harmed


@without("a forward decision waits for its row", "controllers and their ledger")
def row_first(patch: pytest.MonkeyPatch) -> None:
    real = record.Record.rollout

    def rollout(self: record.Record, decided: Rollout, event: str) -> str | None:
        try:
            return real(self, decided, event)
        except Unreachable:
            return None

    patch.setattr(record.Record, "rollout", rollout)


@without("a leader that reads of a higher generation steps down", "controllers and their ledger")
def steps_down(patch: pytest.MonkeyPatch) -> None:
    def read(self: record.Record) -> list[Any]:
        new = self._ledger.rows(self._kept.last_row)
        self._kept = fold(new, self._kept)
        return list(new)

    patch.setattr(record.Record, "read", read)


@without("a spooled row of an older generation is evidence", "spooled rows", "controllers and their ledger")
def spool_is_evidence(patch: pytest.MonkeyPatch) -> None:
    real = record.Record._append

    def append(self: record.Record, kind: str, body: Any) -> None:
        real(self, body["kind"], body["spooled"]) if kind == rows.EVIDENCE else real(self, kind, body)

    patch.setattr(record.Record, "_append", append)


@without("what was spooled comes to the ledger before anything newer", "spooled rows")
def spool_first(patch: pytest.MonkeyPatch) -> None:
    real = record.Record.rollout

    def rollout(self: record.Record, decided: Rollout, event: str) -> str | None:
        self._ahead = None
        return real(self, decided, event)

    patch.setattr(record.Record, "rollout", rollout)


@without("a row follows the row that its writer read", "controllers and their ledger")
def row_follows(patch: pytest.MonkeyPatch) -> None:
    real = MemoryLedger.append
    patch.setattr(
        MemoryLedger, "append", lambda self, kind, body, generation, follows=None: real(self, kind, body, generation)
    )  # fmt: skip


@without("what was decided without knowing of a kept row is reconciled with it", "spooled promotions")
def reconciling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(record, "reconciled", lambda kept, decided: decided)
