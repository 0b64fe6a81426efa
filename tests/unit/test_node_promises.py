"""The node's promises, one test per rule: values in, values out. Disks and processes are tested elsewhere."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.node.errors import Refused
from controller.node.manifest import canonical
from controller.node.promises import (
    REMEMBERED,
    AppState,
    Command,
    Facts,
    Lease,
    Promise,
    Release,
    candidate_failed,
    receive,
    restart,
    state_from_json,
    timers,
    wanted,
    weights_in_force,
)

OLD, NEW, DOOR, ODD = (f"sha256:{letter * 64}" for letter in "abcd")
FACTS = Facts(
    {
        OLD: Release(frozenset({1}), 1),
        NEW: Release(frozenset({1, 2}), 1),
        DOOR: Release(frozenset({1, 2}), 2, freeze=True),
        ODD: Release(frozenset({1, 2}), 2),  # writes what OLD cannot read, without saying what to do then
    },
    frozenset({"mqtt/bos-a", "mqtt/bos-b"}),
)
BASE = {"mqtt/bos-a": 100, "mqtt/bos-b": 100}
GOOD = AppState(good=OLD, previous=ODD, generation=5, boot="b1")


def activate(digest: str = NEW, token: str = "t1", base: str | None = OLD, **more: object) -> Command:
    command = Command("activate", 5, token, digest, base, boot="b1", until=160.0, expires=110.0)
    return replace(command, **more)  # type: ignore[arg-type] # the fields differ in type


def traffic(token: str = "t1", *weights: tuple[str, int], until: float = 160.0) -> Command:
    held = weights or (("mqtt/bos-a", 0),)
    return Command("traffic", 5, token, boot="b1", until=until, expires=110.0, weights=held)


def told(state: AppState, command: Command, now: float = 100.0) -> AppState:
    return receive(state, command, now, "b1", FACTS)


def refused(state: AppState, command: Command, now: float = 100.0) -> Refused:
    """The refusal, which must have changed nothing that could run."""
    with pytest.raises(Refused) as caught:
        told(state, command, now)
    after = caught.value.state
    assert after is not None
    assert caught.value.sentence.endswith((".", ";"))
    assert wanted(after) == wanted(timers(state, now))
    return caught.value


PENDING = told(GOOD, activate())
FROZEN = timers(told(GOOD, activate(DOOR)), 160.0)


# ---- generations and times


def test_a_stale_generation_does_nothing() -> None:
    for command in (activate(), Command("confirm", 0, "t1"), Command("revert", 0, "t1", reason="r"), traffic()):
        refusal = refused(PENDING, replace(command, generation=4))
        assert (refusal.kind, refusal.state) == ("stale generation", PENDING)


def test_the_newest_generation_is_remembered_even_by_a_refusal() -> None:
    assert told(GOOD, replace(traffic(), generation=9)).generation == 9
    seen = refused(GOOD, activate(base=NEW, generation=9)).state
    assert seen is not None and seen.generation == 9
    assert refused(seen, activate(generation=8)).kind == "stale generation"


@pytest.mark.parametrize("order", [activate(), traffic()], ids=["activate", "traffic"])
def test_times_of_another_boot_or_of_the_past_are_refused(order: Command) -> None:
    assert refused(GOOD, replace(order, boot="b0")).kind == "other boot"
    assert refused(GOOD, order, now=110.5).kind == "expired"
    assert refused(GOOD, replace(order, expires=500.0), now=160.0).kind == "past"
    assert refused(replace(GOOD, ended=("t1",)), order).kind == "ended token"


# ---- activate


def test_an_activate_is_pending_until_its_end() -> None:
    assert PENDING.pending == Promise("t1", NEW, OLD, 160.0, 5)
    assert (wanted(PENDING), PENDING.good) == (NEW, OLD)


def test_the_same_activate_twice_does_not_move_the_end() -> None:
    assert told(PENDING, activate(until=900.0)) == PENDING
    assert told(PENDING, activate(expires=1.0)) == PENDING  # it is in force, whenever the second one arrives


@pytest.mark.parametrize(
    ("state", "command", "kind"),
    [
        (GOOD, activate("sha256:" + "9" * 64), "not staged"),
        (GOOD, activate(base=NEW), "wrong base"),
        (GOOD, activate(base=None), "wrong base"),
        (GOOD, activate(OLD), "already good"),
        (PENDING, activate(token="t2"), "pending"),
        (PENDING, activate(DOOR), "pending"),
        (FROZEN, activate(token="t2", expires=990.0, until=999.0), "pending"),
        (GOOD, activate(ODD), "one-way door"),
        (replace(GOOD, good="sha256:" + "9" * 64), activate(base="sha256:" + "9" * 64), "no way back"),
    ],
)
def test_an_activate_that_could_not_be_taken_back_is_refused(state: AppState, command: Command, kind: str) -> None:
    assert refused(state, command).kind == kind


def test_behind_a_declared_one_way_door_the_base_need_not_read() -> None:
    assert wanted(told(GOOD, activate(DOOR))) == DOOR


def test_the_first_release_goes_back_to_stopped() -> None:
    first = told(AppState(boot="b1"), activate(base=None))
    assert wanted(first) == NEW
    assert wanted(timers(first, 160.0)) is None


# ---- how a promise ends


def test_confirm_makes_the_candidate_good_and_ends_the_token() -> None:
    after = told(PENDING, Command("confirm", 5, "t1"))
    assert (after.good, after.previous, after.pending, after.ended) == (NEW, OLD, None, ("t1",))
    assert refused(after, activate()).kind == "ended token"


def test_a_confirm_of_another_token_or_after_the_end_is_refused() -> None:
    assert refused(PENDING, Command("confirm", 5, "t2")).kind == "not pending"
    late = refused(PENDING, Command("confirm", 5, "t1"), now=160.0)
    assert late.kind == "not pending" and late.state is not None
    assert (late.state.good, late.state.pending) == (OLD, None)  # the deadline came first, whoever spoke first


def test_the_deadline_goes_back_alone_and_ends_the_token() -> None:
    assert timers(PENDING, 159.9) == PENDING
    after = timers(PENDING, 160.0)
    assert (wanted(after), after.good, after.ended, after.harmful) == (OLD, OLD, ("t1",), ())
    assert after.went_back is not None and "deadline" in after.went_back.reason


def test_revert_goes_back_and_remembers_harm() -> None:
    after = told(PENDING, Command("revert", 5, "t1", reason="errors", harm=True))
    assert (wanted(after), after.ended, after.harmful) == (OLD, ("t1",), (NEW,))
    assert told(PENDING, Command("revert", 5, "t1", reason="blind")).harmful == ()


def test_revert_ends_a_token_that_never_came_so_that_its_activate_is_refused() -> None:
    after = told(GOOD, Command("revert", 5, "t1", reason="r"))
    assert refused(after, activate()).kind == "ended token"
    assert told(PENDING, Command("revert", 5, "t2", reason="r")).pending == PENDING.pending


def test_harm_found_after_the_node_went_back_by_itself_is_still_remembered() -> None:
    assert told(timers(PENDING, 160.0), Command("revert", 5, "t1", reason="r", harm=True), 170.0).harmful == (NEW,)


def test_revert_of_a_confirmed_token_changes_nothing() -> None:
    good = told(PENDING, Command("confirm", 5, "t1"))
    assert told(good, Command("revert", 5, "t1", reason="r")) == good


def test_a_crash_goes_back_at_once_and_is_harm_but_a_reboot_is_none() -> None:
    assert candidate_failed(PENDING, 120.0, "exit 1", "exit").harmful == (NEW,)
    assert wanted(candidate_failed(PENDING, 120.0, "exit 1")) == OLD
    for boot in ("b1", "b2"):
        after = restart(PENDING, 120.0, boot)
        assert (wanted(after), after.harmful, after.ended, after.boot) == (OLD, (), ("t1",), boot)


def test_a_candidate_that_is_unready_goes_back_at_once_and_is_no_harm_yet() -> None:
    after = candidate_failed(PENDING, 120.0, "not ready for 6 s", "unready")
    assert (wanted(after), after.harmful, after.ended) == (OLD, (), ("t1",))
    assert told(after, Command("revert", 5, "t1", reason="r", harm=True), 121.0).harmful == (NEW,)


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (timers(PENDING, 160.0), "deadline"),
        (restart(PENDING, 120.0, "b1"), "restart"),
        (restart(PENDING, 120.0, "b2"), "restart"),
        (candidate_failed(PENDING, 120.0, "exited with code 1"), "exit"),
        (candidate_failed(PENDING, 120.0, "not ready", "unready"), "unready"),
        (candidate_failed(PENDING, 120.0, "no such file", "start"), "start"),
        (told(PENDING, Command("revert", 5, "t1", reason="r")), "asked"),
        (told(PENDING, Command("return", 5, "x", NEW, OLD)), "return"),
    ],
)
def test_a_node_says_in_a_word_why_it_went_back(after: AppState, kind: str) -> None:
    assert after.went_back is not None
    assert (after.went_back.kind, after.went_back.harm) == (kind, kind == "exit")


def test_only_the_last_tokens_are_remembered() -> None:
    state = GOOD
    for number in range(REMEMBERED + 10):
        state = told(state, Command("revert", 5, f"r{number}", reason="r"))
    assert (len(state.ended), state.ended[-1]) == (REMEMBERED, f"r{REMEMBERED + 9}")


# ---- freeze wins


def test_at_a_frozen_deadline_the_node_stays_and_its_confirm_thaws() -> None:
    assert (FROZEN.frozen, wanted(FROZEN), FROZEN.good, FROZEN.ended) == (True, DOOR, OLD, ("t1",))
    assert timers(FROZEN, 999.0) == FROZEN
    after = told(FROZEN, Command("confirm", 5, "t1"), 999.0)
    assert (after.good, after.previous, after.frozen, after.pending) == (DOOR, OLD, False, None)


def test_revert_restart_and_crash_behind_the_door_mean_stay() -> None:
    pending = told(GOOD, activate(DOOR))
    refusal = refused(pending, Command("revert", 5, "t1", reason="errors", harm=True))
    assert refusal.kind == "one-way door" and refusal.state is not None
    assert (refusal.state.harmful, refusal.state.frozen, wanted(refusal.state)) == ((DOOR,), True, DOOR)
    for after in (
        restart(pending, 120.0, "b2"),
        restart(pending, 120.0, "b1"),
        candidate_failed(pending, 120.0, "exit"),
    ):
        assert (wanted(after), after.frozen) == (DOOR, True)


def test_return_behind_the_door_is_refused_before_and_after_promotion() -> None:
    order = Command("return", 5, "x", DOOR, OLD)
    assert refused(told(GOOD, activate(DOOR)), order).kind == "one-way door"
    assert refused(told(FROZEN, Command("confirm", 5, "t1")), order).kind == "one-way door"


# ---- return


def test_return_goes_to_the_release_before_and_ends_the_named_token() -> None:
    promoted = told(PENDING, Command("confirm", 5, "t1"))
    after = told(promoted, Command("return", 5, "t2", NEW, OLD))
    assert (after.good, after.previous, after.ended) == (OLD, NEW, ("t1", "t2", "t2 returned"))
    assert told(after, Command("return", 5, "t2", NEW, OLD)) == after
    assert refused(after, activate(token="t2", base=OLD)).kind == "ended token"


def test_a_return_that_comes_again_does_not_leave_what_was_promoted_anew() -> None:
    promoted = told(PENDING, Command("confirm", 5, "t1"))
    order = Command("return", 5, "t1.settle1", NEW, OLD)
    again = told(told(told(promoted, order), activate(token="t2")), Command("confirm", 5, "t2"))
    assert again.good == NEW
    assert told(again, order) == again
    assert told(again, Command("return", 5, "t2.settle1", NEW, OLD)).good == OLD


def test_return_beats_a_pending_promise_of_what_it_leaves_and_its_late_confirm() -> None:
    after = told(PENDING, Command("return", 5, "t9", NEW, OLD))
    assert (wanted(after), after.good, after.ended) == (OLD, OLD, ("t9", "t1", "t9 returned"))
    assert refused(after, Command("confirm", 5, "t1")).kind == "not pending"


def test_return_ends_a_promise_that_stands_on_what_it_leaves() -> None:
    promoted = told(PENDING, Command("confirm", 5, "t1"))
    trying = told(promoted, activate(DOOR, "t2", NEW))
    after = told(replace(trying, pending=replace(trying.pending, freeze=False)), Command("return", 5, "x", NEW, OLD))  # type: ignore[type-var] # pending is set
    assert (wanted(after), after.good, after.pending) == (OLD, OLD, None)


def test_return_from_something_else_is_refused_but_its_token_ends() -> None:
    refusal = refused(GOOD, Command("return", 5, "x", NEW, OLD[:-1] + "0"))
    assert refusal.kind == "wrong base" and refusal.state is not None and "x" in refusal.state.ended
    gone = replace(GOOD, previous="sha256:" + "9" * 64)
    assert refused(gone, Command("return", 5, "x", OLD, "sha256:" + "9" * 64)).kind == "not staged"


# ---- leases


def test_leases_overlay_the_base_in_order_of_arrival() -> None:
    state = told(told(GOOD, traffic("t1", ("mqtt/bos-a", 10))), traffic("t2", ("mqtt/bos-a", 0), ("mqtt/bos-b", 50)))
    assert weights_in_force(BASE, state.leases) == {"mqtt/bos-a": 0, "mqtt/bos-b": 50}
    state = told(state, traffic("t1", ("mqtt/bos-a", 30)))  # a word said later counts
    assert weights_in_force(BASE, state.leases) == {"mqtt/bos-a": 30, "mqtt/bos-b": 50}
    assert weights_in_force(BASE, ()) == BASE


def test_one_token_can_lease_server_by_server() -> None:
    state = told(told(GOOD, traffic("t1", ("mqtt/bos-a", 0))), traffic("t1", ("mqtt/bos-b", 7)))
    assert state.leases == (Lease("t1", 160.0, 5, (("mqtt/bos-a", 0), ("mqtt/bos-b", 7))),)


def test_a_lease_ends_at_its_time_or_with_its_token_or_with_the_boot() -> None:
    leased = told(PENDING, traffic("t1"))
    assert leased.leases and told(leased, traffic("t2")).leases[1:]
    on_control = told(GOOD, traffic("t1", until=130.0))
    assert timers(on_control, 129.9).leases and timers(on_control, 130.0).leases == ()
    for order in (Command("confirm", 5, "t1"), Command("revert", 5, "t1", reason="r")):
        assert told(leased, order).leases == ()
    assert restart(on_control, 120.0, "b1").leases == on_control.leases
    assert restart(on_control, 1.0, "b2").leases == ()


def test_a_server_that_the_balancer_does_not_have_is_refused() -> None:
    assert refused(GOOD, traffic("t1", ("mqtt/bos-z", 0))).kind == "unknown server"


def test_the_state_survives_its_json() -> None:
    import json

    full = timers(told(told(FROZEN, traffic("t7")), Command("revert", 5, "t8", reason="r")), 101.0)
    for state in (AppState(), PENDING, full, timers(PENDING, 160.0)):
        assert state_from_json(json.loads(canonical(asdict(state)))) == state


# ---- every order of events

DIGESTS = st.sampled_from([OLD, NEW, DOOR, ODD])
TOKENS = st.sampled_from(["t1", "t2", "t3", "t4"])
GENERATIONS = st.integers(1, 4)


class NodeLife(RuleBasedStateMachine):
    """Commands, deadlines, restarts and crashes in every order; what must hold after each of them."""

    @initialize(first=st.sampled_from([None, OLD, NEW]))
    def born(self, first: str | None) -> None:
        self.state = AppState(good=first, boot="b1")
        self.now, self.boot = 100.0, "b1"

    def step(self, after: AppState, may_change_good: bool = False) -> None:
        before, self.state = self.state, after
        assert set(before.ended) <= set(after.ended), "a token that ended stays ended"
        assert len(set(after.ended)) == len(after.ended), "a token ends once"
        assert after.generation >= before.generation
        if not may_change_good:
            assert (after.good, after.previous) == (before.good, before.previous)
        if after.good == before.good and before.pending and after.pending != before.pending:
            assert before.pending.token in after.ended, "a promise is never replaced, only ended"
            assert not before.pending.freeze, "behind the door nothing but a confirm ends a promise"

    def tell(self, command: Command) -> None:
        alone = timers(self.state, self.now)
        try:
            after = receive(self.state, command, self.now, self.boot, FACTS)
        except Refused as refusal:
            assert refusal.state is not None
            if command.generation < self.state.generation:
                assert refusal.state == alone, "a stale generation does nothing"
            if command.verb in ("activate", "traffic", "confirm"):
                assert replace(refusal.state, generation=0) == replace(alone, generation=0)
            self.step(refusal.state)
            return
        assert command.generation >= self.state.generation
        if command.verb in ("activate", "traffic"):
            assert command.token not in alone.ended and command.boot == self.boot
        if command.verb == "confirm" and alone.pending:
            assert (after.good, after.previous) == (alone.pending.digest, alone.good)
        self.step(after, may_change_good=command.verb in ("confirm", "return"))

    @rule(digest=DIGESTS, token=TOKENS, generation=GENERATIONS, base=st.none() | DIGESTS, ends=st.integers(-2, 60))
    def activate(self, digest: str, token: str, generation: int, base: str | None, ends: int) -> None:
        until = self.now + ends
        self.tell(Command("activate", generation, token, digest, base, self.boot, until, self.now + 1))

    @rule(digest=DIGESTS, token=TOKENS, generation=GENERATIONS)
    def activate_rightly(self, digest: str, token: str, generation: int) -> None:
        until = self.now + 60
        self.tell(Command("activate", generation, token, digest, self.state.good, self.boot, until, self.now + 1))

    @rule(token=TOKENS, generation=GENERATIONS)
    def confirm(self, token: str, generation: int) -> None:
        self.tell(Command("confirm", generation, token))

    @rule(token=TOKENS, generation=GENERATIONS, harm=st.booleans())
    def revert(self, token: str, generation: int, harm: bool) -> None:
        self.tell(Command("revert", generation, token, reason="r", harm=harm))

    @rule(token=TOKENS, generation=GENERATIONS, leaving=DIGESTS, to=DIGESTS)
    def go_back(self, token: str, generation: int, leaving: str, to: str) -> None:
        self.tell(Command("return", generation, token, leaving, to))

    @rule(token=TOKENS, generation=GENERATIONS, ends=st.integers(1, 60), weight=st.integers(0, 256))
    def traffic(self, token: str, generation: int, ends: int, weight: int) -> None:
        weights = (("mqtt/bos-a", weight),)
        until = self.now + ends
        self.tell(Command("traffic", generation, token, "", None, self.boot, until, self.now + 1, weights=weights))

    @rule(seconds=st.integers(1, 70))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.step(timers(self.state, self.now))

    @rule(reboots=st.booleans())
    def restarts(self, reboots: bool) -> None:
        if reboots:
            self.boot, self.now = self.boot + "'", 1.0
        self.step(restart(self.state, self.now, self.boot))
        assert self.state.pending is None or self.state.frozen

    @rule()
    def candidate_crashes(self) -> None:
        pending = self.state.pending
        self.step(candidate_failed(self.state, self.now, "exit 1"))
        assert pending is None or pending.digest in self.state.harmful

    @invariant()
    def holds(self) -> None:
        state = timers(self.state, self.now)
        pending = state.pending
        assert pending is None or state.frozen or (self.now < pending.until and pending.token not in state.ended)
        assert not state.frozen or (pending is not None and pending.freeze)
        assert wanted(state) in ((pending.digest,) if pending else (state.good,))
        assert all(lease.token not in state.ended and self.now < lease.until for lease in state.leases)


TestNodeLife = NodeLife.TestCase
TestNodeLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
