"""The application's round trip, tried from outside it."""

from __future__ import annotations

import subprocess

from .errors import Json, Refused
from .node import Node
from .promises import AppState


def probe(node: Node) -> Json:
    """Last good's probe tries the candidate too: a candidate that brings its own does not grade itself; only a first
    release has nothing else."""
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
