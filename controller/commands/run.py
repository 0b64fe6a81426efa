"""``turnabout run``: the controller. One loop for each environment of the site, until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from controller import assemble
from controller.commands.ending import wind_up
from controller.commands.exits import DONE, ERROR
from controller.errors import Trouble
from controller.glass.glancing import Glances
from controller.ledgers.sqlite import Leadership
from controller.loop.loop import EnvironmentLoop
from controller.notifiers.log import LogNotifier
from controller.site import BadSite, Site
from controller.sources.webhook import Webhook
from infra.outputs import BadOutputs

WORKERS = 24
"""I/O at once in one environment: enough for every node of a large one to be slow together."""


def run(args: argparse.Namespace, site: Site) -> int:
    """Lead every environment of the site. Raises Conflict when another controller leads one of them."""
    if wrong := unreadable(site):
        print("\n".join(wrong), file=sys.stderr)
        return ERROR
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    failed: list[str] = []
    with ExitStack() as stack:
        for name in site.environments:
            stack.enter_context(Leadership(site.leader(name)))
        parts = assemble.shared(site)
        notifier = LogNotifier(parts.clock.utc, sys.stderr, as_json=not sys.stderr.isatty())
        pools: dict[str, ThreadPoolExecutor] = {}
        stack.callback(wind_up, pools)
        loops = []
        for name in site.environments:
            pool = pools[name] = ThreadPoolExecutor(WORKERS, name)
            loops.append((name, assemble.loop(site, name, parts, notifier, pool)))
        if site.webhook is not None:
            address, secret = (site.webhook.host, site.webhook.port), site.webhook.secret.encode()
            webhook = Webhook(address, secret, lambda branch: hint(loops, branch))
            stack.callback(webhook.stop)
        glances = Glances(
            site,
            lambda: {name: each.drift_every for name, each in loops},
            lambda: any(each.rolling for _, each in loops),
            notifier,
        )
        threads = [threading.Thread(target=lead, args=(name, each, stop, failed), name=name) for name, each in loops]
        threads.append(threading.Thread(target=glances.run, args=(stop,), name="drift"))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for sentence in failed:
        print(sentence, file=sys.stderr)
    return ERROR if failed else DONE


def unreadable(site: Site) -> list[str]:
    """What is wrong with the platforms' outputs, all of it: looked at before anything is made, locked or asked."""
    wrong = []
    for name in site.environments:
        try:
            site.outputs(name)
        except (BadOutputs, BadSite) as error:
            wrong.append(str(error))
    return wrong


def hint(loops: list[tuple[str, EnvironmentLoop]], branch: str | None) -> None:
    """Tell the loops that something was pushed; a hint that names no branch is for all."""
    for _, loop in loops:
        if branch in (None, loop.branch):
            loop.hint()


def lead(name: str, loop: EnvironmentLoop, stop: threading.Event, failed: list[str]) -> None:
    """One environment's thread. Whatever ends it ends the process: the nodes keep their own deadlines."""
    try:
        loop.run(stop)
    except Trouble as trouble:
        failed.append(f"{name}: {trouble}")
    except Exception as error:
        failed.append(f"{name}: the loop broke: {error!r}")
        raise
    finally:
        stop.set()
