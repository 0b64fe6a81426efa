"""The command line: one verb, JSON on stdout, and an exit code that says what it means.

Each verb imports only what it needs: a controller asks by the thousand, and on a small processor a start is what a call
costs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from . import verbs
from .errors import EXIT, Failed, Json, Refused


def run_verb(root: str, verb: str, given: Json) -> Json:
    if verb in verbs.ORDERS:
        from .client import ask_serve

        return ask_serve(os.path.abspath(root), {"verb": verb} | given)  # noqa: PTH100 - without pathlib, see client
    return ON_DISK[verb](root, given)


def stage(root: str, given: Json) -> Json:
    import signal

    from . import store
    from .node import Node

    os.nice(5)  # copying bits must not take the processor from what serves
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT["io"]))  # what came so far is removed on the way out
    return store.stage(Node(root), given["digest"], sys.stdin.buffer, given["anew"])


def adopt(root: str, given: Json) -> Json:
    from .adopt import adopt
    from .node import Node

    return adopt(Node(root), given["digest"], given["previous"])


def gc(root: str, given: Json) -> Json:
    from . import store
    from .node import Node

    return store.gc(Node(root))


def probe(root: str, given: Json) -> Json:
    from .node import Node
    from .probe import probe

    return probe(Node(root))


def logs(root: str, given: Json) -> Json:
    from .logs import last_lines, lines_of
    from .node import Node

    log, lines = Node(root).log, given["lines"]
    return {"lines": last_lines(log, lines) if given["of"] is None else lines_of(log, given["of"], lines)}


def inspect(root: str, given: Json) -> Json:
    from .inspecting import inspect
    from .node import Node

    return inspect(Node(root), given["mend"])


def serve(root: str, given: Json) -> Json:
    from .disk import lock
    from .node import Node
    from .serve import Serve

    node = Node(root)
    with lock(node.root / ".serve.lock", f"{node.root} has a node program already (serve is running)."):
        Serve(node, given["heartbeat"]).run()
    return {}


def supervise(root: str, given: Json) -> Json:
    from .disk import lock
    from .node import Node
    from .supervise import Supervise

    node = Node(root)
    program = os.path.abspath(sys.argv[0])  # noqa: PTH100
    with lock(node.root / ".supervise.lock", f"{node.root} has a node program already (supervise is running)."):
        Supervise(node, program).run()
    return {}


ON_DISK = {
    "stage": stage,
    "adopt": adopt,
    "gc": gc,
    "inspect": inspect,
    "probe": probe,
    "logs": logs,
    "serve": serve,
    "supervise": supervise,
}
"""The verbs that do not ask serve, or are it."""


def read(words: Sequence[str]) -> tuple[str, str, Json]:
    plain = verbs.quick(words)
    if plain is not None:
        return plain
    from . import usage

    return usage.read(words)


def main(words: Sequence[str] | None = None) -> int:
    try:
        answer: Json = {"ok": True, "error": None} | run_verb(*read(sys.argv[1:] if words is None else words))
    except (Refused, Failed) as problem:
        answer = {"ok": False, "error": {"kind": problem.kind, "sentence": problem.sentence}}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        answer = {"ok": False, "error": {"kind": "io", "sentence": f"It could not be done: {problem!r}."}}
    print(json.dumps(answer))
    return 0 if answer["ok"] else EXIT.get(answer["error"]["kind"], 3)


if __name__ == "__main__":
    sys.exit(main())
