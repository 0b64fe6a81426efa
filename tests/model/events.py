"""What can happen next in the model's world, by name: work, time, faults, people.

An event is a tuple of words; ``happen`` makes it happen if it can just now, so that a walk with events left out can be
walked again. Odds favour what a healthy day is made of; scenarios multiply them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from controller.node import promises as program
from tests.model.nodes import Node
from tests.model.world import Message, World

Event = tuple[str, ...]


def possible(world: World) -> Iterator[tuple[float, Event]]:
    """(odds, event) of everything that can happen now."""
    yield 6.0, ("a second passes",)
    for name, controller in world.controllers.items():
        if controller.runs:
            yield from turns(world, name)
        if controller.frozen:
            yield 1.0, ("wakes", name)
        if not controller.up:
            led = any(other.runs for other in world.controllers.values())
            yield (0.15 if led else 3.0), ("starts", name)
        if controller.link.away:
            yield 0.6, ("ledger back", name)
        for slow in controller.slow:
            yield 0.5, ("slow answer arrives", name, slow)
    for message in world.messages:
        late = 1.0 if world.now - message.sent < 3 else 0.3
        yield late, ("delivers", str(message))
        yield 0.15 * late, ("delivers, answer lost", str(message))
        yield 0.15 * late, ("delivers, and keeps a copy", str(message))
        yield 0.1 * late, ("loses", str(message))
    for name, node in world.nodes.items():
        if not node.powered:
            yield 1.0, ("boots", name)
        elif node.answers and node.running != program.wanted(node.state):
            yield 0.5, ("process moves on", name)
    for controller_name, node_name in sorted(world.cut):
        yield 0.6, ("mends the link", controller_name, node_name)
    if world.faults > 0:
        yield from faults(world)
    for verb in dict.fromkeys(world.orders):
        yield 0.15, ("orders", verb)
    if world.commits:
        yield (1.5 if world.now < 3 else 0.1), ("a newer commit",)


def turns(world: World, name: str) -> Iterator[tuple[float, Event]]:
    controller = world.controllers[name]
    if controller.intent is None:
        yield 8.0, ("turn, all goes well", name, "PASS")
        yield 2.0, ("turn", name, "PASS")
        yield 0.8, ("decides", name, "PASS")
        rollout = controller.record.standing.open_rollout
        if rollout is not None and rollout.phase in ("DEPLOYING", "WATCHING"):
            yield 0.4, ("turn", name, "FAIL")
            yield 0.15, ("turn, all goes well", name, "FAIL")
            yield 0.1, ("decides", name, "FAIL")
            yield 0.1, ("turn", name, "ERROR")
            yield (1.0 if rollout.phase == "WATCHING" else 0.1), ("turn, all goes well", name, "WAIT")
    else:
        yield 3.0, ("acts", name)


def faults(world: World) -> Iterator[tuple[float, Event]]:
    for name, controller in world.controllers.items():
        if controller.runs:
            yield 0.15, ("crashes", name)
            yield 0.1, ("freezes", name)
        yield 0.03, ("machine reboots", name)
        if not controller.link.away:
            yield 0.12, ("ledger away", name)
            yield 0.12, ("ledger loses an answer", name)
            yield 0.06, ("ledger goes away with an answer", name)
        for other in world.nodes:
            if controller.runs and world.reaches(name, other):
                yield 0.06, ("cuts the link", name, other)
                if other not in controller.slow:
                    yield 0.06, ("answers slowly", name, other)
    for name, node in world.nodes.items():
        if node.powered:
            yield 0.06, ("program dies", name)
            yield 0.04, ("reboots", name)
            yield 0.03, ("loses power", name)
        if node.answers:
            yield 0.05, ("program stops", name)
        if node.answers and node.state.pending and node.running == node.state.pending.digest:
            yield 0.08, ("candidate dies", name)
            yield 0.04, ("candidate falls unready", name)


# ---- making it happen ---------------------------------------------------------------------------------------------


def happen(world: World, event: Event) -> bool:
    """Make ``event`` happen; False if it cannot just now."""
    return HAPPENINGS[event[0]](world, *event[1:])


def second(world: World) -> bool:
    world.now += 1.0
    for node in world.nodes.values():
        node.second(world.now)
        if node.answers:
            node.work(world.now)
    return True


def turn(world: World, name: str, outcome: str) -> bool:
    return decides(world, name, outcome) and acts(world, name)


def turn_well(world: World, name: str, outcome: str) -> bool:
    """A turn whose commands all arrive at once, and are answered."""
    before = len(world.messages)
    if not turn(world, name, outcome):
        return False
    for message in world.messages[before:]:
        delivers(world, str(message))
    return True


def decides(world: World, name: str, outcome: str) -> bool:
    controller = world.controllers[name]
    if not controller.runs or controller.intent is not None:
        return False
    controller.decide(outcome)
    return True


def acts(world: World, name: str) -> bool:
    controller = world.controllers[name]
    if controller.runs:
        controller.act()
    return controller.runs


def starts(world: World, name: str) -> bool:
    controller = world.controllers[name]
    if controller.up:
        return False
    controller.start()
    return True


def crashes(world: World, name: str) -> bool:
    if not world.controllers[name].up:
        return False
    world.controllers[name].stop()
    return True


def freezes(world: World, name: str) -> bool:
    controller = world.controllers[name]
    if not controller.runs:
        return False
    controller.frozen = True
    return True


def wakes(world: World, name: str) -> bool:
    controller = world.controllers[name]
    was, controller.frozen = controller.frozen, False
    return was


def machine_reboots(world: World, name: str) -> bool:
    controller = world.controllers[name]
    controller.stop()
    controller.machine.boots += 1
    controller.machine.offset = -world.now
    return True


def link_to_ledger(away: bool) -> Callable[[World, str], bool]:
    def change(world: World, name: str) -> bool:
        link = world.controllers[name].link
        was, link.away = link.away, away
        return was is not away

    return change


def loses_an_answer(away: bool) -> Callable[[World, str], bool]:
    def change(world: World, name: str) -> bool:
        link = world.controllers[name].link
        link.loses_answer, link.goes_with_it = True, away
        return True

    return change


def answers_slowly(world: World, name: str, node: str) -> bool:
    controller = world.controllers[name]
    if node in controller.slow or not controller.runs or not world.reaches(name, node):
        return False
    controller.slow[node] = (world.now, world.nodes[node].view(world.now, controller.now))
    return True


def slow_answer(world: World, name: str, node: str) -> bool:
    controller = world.controllers[name]
    if node not in controller.slow:
        return False
    asked, view = controller.slow.pop(node)
    if world.now - asked <= 2.0:
        controller.answered(replace(view, received_at=controller.now))
    return True


def found(world: World, label: str) -> Message | None:
    return next((message for message in world.messages if str(message) == label), None)


def delivers(world: World, label: str, heard: bool = True, copy: bool = False) -> bool:
    message = found(world, label)
    if message is None or not world.nodes[message.action.node].answers:
        return False
    node = world.nodes[message.action.node]
    if not copy:
        world.messages.remove(message)
    world.arrives(message, node)
    sender = world.controllers[message.sender]
    if heard and sender.up and world.reaches(message.sender, node.name):
        sender.answered(node.view(world.now, sender.now))
    return True


def loses(world: World, label: str) -> bool:
    message = found(world, label)
    if message is None:
        return False
    world.messages.remove(message)
    return True


def cuts(world: World, name: str, node: str) -> bool:
    if (name, node) in world.cut:
        return False
    world.cut.add((name, node))
    return True


def mends(world: World, name: str, node: str) -> bool:
    if (name, node) not in world.cut:
        return False
    world.cut.discard((name, node))
    return True


def process_moves(world: World, name: str) -> bool:
    node = world.nodes[name]
    if not node.answers or node.running == program.wanted(node.state):
        return False
    node.work(world.now)
    return True


def program_dies(world: World, name: str) -> bool:
    node = world.nodes[name]
    if not node.powered:
        return False
    node.program_dies(world.now)
    return True


def program_stops(world: World, name: str) -> bool:
    node = world.nodes[name]
    if not node.answers:
        return False
    node.stopped_at = world.now
    return True


def reboots(world: World, name: str) -> bool:
    node = world.nodes[name]
    if not node.powered:
        return False
    node.loses_power()
    node.boots_again(world.now)
    return True


def loses_power(world: World, name: str) -> bool:
    node = world.nodes[name]
    if not node.powered:
        return False
    node.loses_power()
    return True


def boots(world: World, name: str) -> bool:
    node = world.nodes[name]
    if node.powered:
        return False
    node.boots_again(world.now)
    return True


def candidate_fails(how: Callable[[Node, float], None]) -> Callable[[World, str], bool]:
    def fail(world: World, name: str) -> bool:
        node = world.nodes[name]
        if not node.answers or not node.state.pending or node.running != node.state.pending.digest:
            return False
        how(node, world.now)
        return True

    return fail


def orders(world: World, verb: str) -> bool:
    if verb not in world.orders:
        return False
    world.orders.remove(verb)
    world.order(verb)
    return True


def newer_commit(world: World) -> bool:
    if not world.commits:
        return False
    world.push(world.commits.pop(0))
    return True


HAPPENINGS: dict[str, Callable[..., bool]] = {
    "a second passes": second,
    "turn, all goes well": turn_well,
    "turn": turn,
    "decides": decides,
    "acts": acts,
    "starts": starts,
    "crashes": crashes,
    "freezes": freezes,
    "wakes": wakes,
    "machine reboots": machine_reboots,
    "ledger away": link_to_ledger(True),
    "ledger back": link_to_ledger(False),
    "ledger loses an answer": loses_an_answer(False),
    "ledger goes away with an answer": loses_an_answer(True),
    "answers slowly": answers_slowly,
    "slow answer arrives": slow_answer,
    "delivers": delivers,
    "delivers, answer lost": lambda world, label: delivers(world, label, heard=False),
    "delivers, and keeps a copy": lambda world, label: delivers(world, label, copy=True),
    "loses": loses,
    "cuts the link": cuts,
    "mends the link": mends,
    "boots": boots,
    "process moves on": process_moves,
    "program dies": program_dies,
    "program stops": program_stops,
    "reboots": reboots,
    "loses power": loses_power,
    "candidate dies": candidate_fails(Node.candidate_dies),
    "candidate falls unready": candidate_fails(Node.candidate_falls_unready),
    "orders": orders,
    "a newer commit": newer_commit,
}
FAULTS = frozenset(
    {
        "crashes", "freezes", "machine reboots", "ledger away", "ledger loses an answer", "cuts the link",
        "ledger goes away with an answer", "answers slowly", "program dies", "program stops", "reboots", "loses power",
        "candidate dies", "candidate falls unready",
    }
)  # fmt: skip
