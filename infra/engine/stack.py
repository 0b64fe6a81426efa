"""An environment's stack, run by Pulumi's engine through its Automation API.

The program is the one that ``pulumi up`` runs, ``infra/__main__.py``; here it runs in this process, so that the engine
needs no language host. What the engine says is read as events, of which no value is printed.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pulumi import automation
from pulumi.automation._stack import StackInitMode  # the SDK shows the class, and not the word that it is made with
from pulumi.automation.errors import CommandError, StackNotFoundError
from pulumi.automation.events import EngineEvent, StepEventMetadata

from infra.engine.binary import find
from infra.engine.reviewed import digest, hold
from infra.engine.steps import ENGINES, Step, look
from infra.engine.trouble import (
    SAFE,
    Complaint,
    Failed,
    Interrupted,
    missing_atlas,
    only_protected,
    sentence,
    unfinished,
)

Told = Callable[[Step], None]


class Brief(automation.Stack):
    """Without what the SDK asks of the engine after each run and nobody here reads: outputs, twice, and the history."""

    def outputs(self) -> automation.OutputMap:
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:
        return automation.UpdateSummary("", datetime.now(UTC), "", {}, {}, "")


class Stack:
    """One environment's stack in the checkout ``house``. Every verb returns its steps, or raises Failed."""

    def __init__(self, environment: str, house: Path, surroundings: Mapping[str, str] | None = None) -> None:
        self.environment, self.house = environment, house.absolute()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Of the program, since it ran first."""
        self._surroundings = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", **(surroundings or {})}
        root = find(self.house, self._surroundings.get("PATH"))
        with self._failing([]):
            workspace = automation.LocalWorkspace(
                work_dir=str(self.house),
                program=self._program,
                pulumi_command=automation.PulumiCommand(root=str(root)),
                env_vars=self._surroundings,
            )
            self._stack = Brief(environment, workspace, StackInitMode.SELECT)

    def _program(self) -> None:
        self._loop = asyncio.get_running_loop()
        runpy.run_path(str(self.house / "infra" / "__main__.py"), run_name="__main__")

    def preview(self) -> list[Step]:
        """What ``up`` would do, with what was changed by hand, and with what the engine refuses as protected."""
        return self._preview()[0]

    def _preview(self) -> tuple[list[Step], bool]:
        """That, and whether there is nothing to do at all, not even to write down in the state."""
        self._need_atlas()
        events: list[EngineEvent] = []
        try:
            with self._failing(events):
                self._stack.preview(refresh=True, on_event=events.append)
        except Failed:
            if not only_protected(complaints(events)):
                raise
        return in_order(planned(events)), all(map(stays, events))

    def up(
        self,
        allowed: int,
        unprotected: Collection[str] = (),
        told: Told = lambda step: None,
        reviewed: Sequence[Step] | None = None,
    ) -> list[Step]:
        """Do it, unless the guard says no (NotAllowed). ``told`` hears of each step when it is done.

        With ``reviewed`` exactly that is done or nothing.
        """
        if left := self._unfinished():
            raise Failed(unfinished(self.environment, left))
        steps, quiet = self._preview()
        if reviewed is not None:
            hold(self.environment, steps, reviewed)
        look(self.environment, steps, allowed, unprotected)
        if quiet:
            return steps
        for step in steps:
            if step.protected and step.deed in ("delete", "replace"):
                self._command("state", "unprotect", step.urn, "--yes")
        events: list[EngineEvent] = []

        def hear(event: EngineEvent) -> None:
            events.append(event)
            if (step := done(event)) and step.in_cloud and step.deed != "same":
                told(step)

        with self._failing(events), _ctrl_c_is_the_engine_s(self.environment):
            self._stack.up(refresh=True, on_event=hear)
        return [step for step in map(done, events) if step is not None and step.in_cloud]

    def refresh(self, adopt: bool = False) -> list[Step]:
        """Where the cloud is not what the state says. ``adopt`` lets the state say what the cloud has from then on."""
        self._need_atlas()
        events: list[EngineEvent] = []
        with self._failing(events):
            call = self._stack.refresh if adopt else self._stack.preview_refresh
            call(on_event=events.append)
        return in_order(step for step in map(done, events) if step is not None)

    def _unfinished(self) -> list[Step]:
        """What a run that was killed had begun to make: nobody wrote down whether it is there."""
        with self._failing([]):
            pending = (self._stack.export_stack().deployment or {}).get("pending_operations") or ()
        return [Step("create", one["resource"]["urn"]) for one in pending if one["type"] == "creating"]

    def _command(self, *args: str) -> None:
        workspace = self._stack.workspace
        with self._failing([]):
            workspace.pulumi_command.run([*args, "--stack", self.environment], str(self.house), workspace.env_vars)

    def _need_atlas(self) -> None:
        if said := missing_atlas(self._surroundings):
            raise Failed(said)

    @contextmanager
    def _failing(self, events: list[EngineEvent]) -> Iterator[None]:
        """What the engine complains of, as Failed."""
        try:
            yield
        except StackNotFoundError:
            raise Failed(sentence(self.environment, [Complaint("", "StackNotFound")])) from None
        except (CommandError, RuntimeError) as error:
            heard = [*complaints(events)]
            raise Failed(sentence(self.environment, heard or [Complaint("", last_words(error))])) from None
        finally:
            self._end_program()

    def _end_program(self) -> None:
        """When the engine is gone, nobody answers its program any more, and the SDK does not tell it so.

        A program that waits for a provider that was refused would wait forever, and this process with it.
        """
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # it is closed: the program came to its end
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])


@contextmanager
def _ctrl_c_is_the_engine_s(environment: str) -> Iterator[None]:
    """The terminal tells the engine as well, which ends in order; leaving before it would cut off its program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    except (CommandError, RuntimeError):
        if pressed:
            raise Interrupted(f"{environment}: interrupted. {SAFE}") from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def planned(events: list[EngineEvent]) -> list[Step]:
    """What a preview said it would do: each resource once."""
    steps: dict[str, Step] = {}
    for event in events:
        if event.resource_pre_event and (step := _step(event.resource_pre_event.metadata)):
            known = steps.get(step.urn)
            if known is None or known.deed in ("same", "create"):
                steps[step.urn] = step
    return [*steps.values()]


def in_order(steps: Iterable[Step]) -> list[Step]:
    """What exists in a cloud, by name: the engine's own order is another each time."""
    return sorted((step for step in steps if step.in_cloud), key=lambda step: (step.name, step.kind))


def done(event: EngineEvent) -> Step | None:
    return _step(event.res_outputs_event.metadata) if event.res_outputs_event else None


def _step(metadata: StepEventMetadata) -> Step | None:
    deed = str(metadata.op.value)
    if deed in ("refresh", "read", "discard") or deed in ENGINES:
        return None
    paths = tuple(sorted(metadata.detailed_diff or metadata.diffs or ()))
    becomes = digest(metadata.new.inputs) if metadata.new and deed != "same" else ""
    return Step(deed, metadata.urn, paths, bool(metadata.old and metadata.old.protect), becomes)


def stays(event: EngineEvent) -> bool:
    """Whether what the engine says of a resource leaves both the cloud and the state as they are."""
    metadata = event.resource_pre_event.metadata if event.resource_pre_event else None
    if metadata is None or metadata.op.value in ("refresh", "read"):
        return True
    old, new = metadata.old, metadata.new
    if metadata.op.value != "same" or old is None or new is None:
        return False
    return all(getattr(old, name) == getattr(new, name) for name in ("urn", "parent", "provider", "protect", "inputs"))


def complaints(events: list[EngineEvent]) -> Iterator[Complaint]:
    for event in events:
        said = event.diagnostic_event
        if said and said.severity == "error":
            yield Complaint((said.urn or "").rpartition("::")[2] if "$" in (said.urn or "") else "", said.message)


def last_words(error: Exception) -> str:
    """What the command wrote on stderr, without the frame that the SDK puts around it."""
    text = str(error).partition("stderr:")[2] or str(error)
    return text.replace("error: ", "").strip()
