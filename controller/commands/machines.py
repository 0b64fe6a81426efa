"""``node replace``: another machine for one node, without a client noticing and without anything left behind on it.

On one machine the platform is asked for it and does it; in the cloud a person runs the two commands that are shown,
while the node stays out of its balancers. Whatever goes wrong before the machine goes is undone; the leased weights end
by themselves even if this process dies.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from controller import assemble
from controller.clock import BootClock
from controller.commands.exits import DONE, NO, PERSON
from controller.commands.orders import who
from controller.errors import Refused, Trouble, Unreachable
from controller.judge.samples import Telemetry
from controller.rollout import replacing, rows
from controller.rollout.standing import Standing, fold
from controller.site import Site
from infra.outputs import REPLACE, NodeOutput

LOOK_SECONDS, ASKED_SECONDS, SILENT_SECONDS = 0.3, 15.0, 6.0


def node(args: argparse.Namespace, site: Site) -> int:
    """``node replace SLOT``: exit 2 when it may not be now, 3 when the node did not come back."""
    environment, name = slot(args.slot, site)
    return Replacement(args, site, environment, name).run()


def slot(wanted: str, site: Site, attempt: str = "replacing") -> tuple[str, str]:
    """The environment and node that ``bos-a`` or ``prod/bos-a`` names. Raises Refused, BadSite, BadOutputs."""
    environment, _, name = wanted.rpartition("/")
    names = [site.require(environment)] if environment else list(site.environments)
    have = [each for each in names if any(one.name == name for one in site.outputs(each).nodes)]
    if len(have) == 1:
        return have[0], name
    attempt = f"{attempt} {wanted}"
    if have:
        which = " or ".join(f"{each}/{name}" for each in have)
        raise Refused(attempt, f"{' and '.join(have)} each have a node {name}", f"Ask for {which}.")
    known = ", ".join(one.name for one in site.outputs(names[0]).nodes)
    of = names[0] if len(names) == 1 else f"none of {', '.join(names)}"
    said = f"{of} has no such node" if len(names) == 1 else f"{of} has such a node"
    raise Refused(attempt, said, f"{names[0]} has {known}.")


class Replacement:
    """One node's way from its balancers to another machine and back."""

    def __init__(self, args: argparse.Namespace, site: Site, environment: str, name: str) -> None:
        self.args, self.environment = args, environment
        self.outputs = site.outputs(environment)
        self.node: NodeOutput = next(one for one in self.outputs.nodes if one.name == name)
        self.zone = replacing.zone_of(self.outputs, self.node)
        self.clock = BootClock()
        self.fleet = assemble.fleet(site, environment)
        if not site.ledger(environment).exists():
            said = "nothing was ever led there, so no node has anything to come back to"
            raise Refused(f"replacing {name}", said, "Start a controller first (turnabout run).")
        self.ledger = assemble.open_ledger(site, environment)
        self.begun = False
        """Whether the machine may be going already."""
        self.token = replacing.token_of(name, self.clock.utc())

    # ---- the way --------------------------------------------------------------------------------------------------

    def run(self) -> int:
        seen = self.answering()
        no = replacing.kept_by(self.standing()) or replacing.refusal(self.node, self.zone, seen, self.token)
        if no:
            return self.answer(NO, "refused", no)
        self.hold()
        back = False
        try:
            no = replacing.kept_by(self.standing()) or self.out_of_balancers(seen) or self.drained()
            if no:
                return self.answer(NO, "refused", no)
            before = seen[self.node.name].view
            good = before.apps[self.node.app].good
            back = self.machine(before.boot) and self.waited(lambda: replacing.is_back(self.node, good, self.look()))
        finally:
            self.give_back(resume=back or not self.begun)
        if not back:
            held = f"{self.environment} stays on hold until `turnabout resume {self.environment}`"
            return self.answer(PERSON, "away", f"it has not come back within {self.args.within:.0f} s; {held}")
        return self.answer(DONE, "replaced", "it serves last good on another machine, with all its weights")

    def hold(self) -> None:
        """Nothing starts here meanwhile; somebody's own hold is left as it is."""
        standing = self.standing()
        if standing.hold is None:
            body = {"verb": "hold", "who": who(), "subject": replacing.SUBJECT}
            body["reason"] = f"replacing {self.node.name}: {self.args.reason}"
            self.ledger.append(rows.ORDER, body, standing.generation)

    def out_of_balancers(self, seen: replacing.Seen) -> str | None:
        until = self.clock.now() + self.args.drain + self.args.within
        generation = max(one.view.apps[self.node.app].generation for one in seen.values())
        for action in replacing.take_out(self.node, self.token, seen, until):
            self.fleet.act(action, generation)
        self.say(f"{self.node.name} is taken out of the balancers of {self.node.zone}")
        for rival in replacing.rivals(self.look(), self.token):  # who began at the same moment goes no further either
            return f"{rival.removeprefix(replacing.PREFIX).rpartition('-')[0]} is being replaced: one for each zone"
        return None

    def drained(self) -> str | None:
        """Wait until nobody is on the node and it has handed on what it took; why it did not, or None."""
        until, told, left = self.clock.now() + self.args.drain, "", "nobody looked"
        while self.clock.now() < until:
            left = replacing.remains(self.node, self.look())
            if not left:
                self.say(f"{self.node.name} is drained: nobody is on it, and it has handed on what it took")
                return None
            if left != told:
                self.say(f"{self.node.name}: {left}")
            told = left
            time.sleep(LOOK_SECONDS)
        return f"after {self.args.drain:.0f} s {left}: nothing was replaced"

    def machine(self, boot: str) -> bool:
        """Have the machine replaced; whether it was, within the time there is for it."""
        self.begun = True
        if self.node.transport != "local":
            self.say("Now give it another machine; this command waits for it:")
            for command in replacing.commands(self.outputs, self.node):
                self.say(f"  {command}")
            name = self.node.name
            return self.waited(lambda: name in (seen := self.look()) and seen[name].view.boot != boot)
        asked = Path(self.node.root, REPLACE)
        asked.touch()
        if not self.waited(lambda: not asked.exists(), ASKED_SECONDS):
            asked.unlink(missing_ok=True)
            self.begun = False
            remedy = "Is `python -m infra.local up` running?"
            raise Unreachable(f"replacing {self.node.name}", "the platform did not take the request up", remedy)
        return True

    def give_back(self, resume: bool) -> None:
        generation = max((one.view.apps[self.node.app].generation for one in self.look().values()), default=0)
        for action in replacing.give_back(self.node, self.token, [one.name for one in self.zone]):
            with suppress(Trouble):  # a lease that cannot be ended now ends by itself
                self.fleet.act(action, generation)
        standing = self.standing()
        if resume and standing.hold is not None and standing.hold.subject == replacing.SUBJECT and not self.others():
            body = {"verb": "resume", "who": who(), "reason": f"{self.node.name} is done", "subject": ""}
            self.ledger.append(rows.ORDER, body, standing.generation)

    # ---- looking and telling --------------------------------------------------------------------------------------

    def look(self, nodes: tuple[NodeOutput, ...] | None = None) -> dict[str, Telemetry]:
        seen = {}
        for one in self.zone if nodes is None else nodes:
            with suppress(Unreachable):
                seen[one.name] = self.fleet.observe(one.name)
        return seen

    def answering(self) -> dict[str, Telemetry]:
        """What all nodes of the zone say; one is given a few seconds before it counts as one that does not answer."""
        seen: dict[str, Telemetry] = {}

        def all_of_them() -> bool:
            seen.update(self.look())
            return len(seen) == len(self.zone)

        self.waited(all_of_them, SILENT_SECONDS)
        return seen

    def others(self) -> bool:
        """Whether another zone replaces a node: then the hold is its to end."""
        return any(replacing.rivals(self.look(self.outputs.nodes), self.token))

    def standing(self) -> Standing:
        return fold(self.ledger.rows())

    def waited(self, there: Callable[[], bool], seconds: float | None = None) -> bool:
        until = self.clock.now() + (self.args.within if seconds is None else seconds)
        while not (found := there()) and self.clock.now() < until:
            time.sleep(LOOK_SECONDS)
        return found

    def say(self, line: str) -> None:
        if not self.args.json:
            print(line, flush=True)

    def answer(self, code: int, outcome: str, why: str) -> int:
        if self.args.json:
            told = {"environment": self.environment, "node": self.node.name, "outcome": outcome, "why": why}
            print(json.dumps({"schema": "turnabout/replacement/1", **told}))
        else:
            print(f"{self.environment}/{self.node.name}: {why}.")
        return code
