"""What every HTML report shares: colours for light and dark, type, the page around it. One file, nothing fetched.

The page forbids itself every request by its own content policy, and reads as well without its script: that only copies
commands, switches the colours and shows numbers under the pointer.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from controller.model import Outcome, Phase

LIGHT = {
    "page": "#f5f6f8", "card": "#ffffff", "ink": "#1b2026", "soft": "#59626e", "faint": "#dde1e6", "track": "#e9ecf0",
    "good": "#0b57d0", "cand": "#8a2fc0", "harm": "#c62828", "fine": "#14713d", "warn": "#855600", "on": "#ffffff",
    "good-bg": "#e5eefc", "cand-bg": "#f4e8fb", "harm-bg": "#fdeaea", "fine-bg": "#e4f4ea", "warn-bg": "#fdf2dc",
    "shadow": "0 1px 2px #0f172a12",
}  # fmt: skip
DARK = {
    "page": "#131519", "card": "#1a1d23", "ink": "#e5e8ed", "soft": "#9aa3b0", "faint": "#323842", "track": "#282d36",
    "good": "#7ab0ff", "cand": "#d49bf5", "harm": "#ff8080", "fine": "#6bd39a", "warn": "#e6b450", "on": "#131519",
    "good-bg": "#1d2c45", "cand-bg": "#33233f", "harm-bg": "#43242a", "fine-bg": "#1c3529", "warn-bg": "#3a2f1a",
    "shadow": "none",
}  # fmt: skip

PHASE_KIND = {
    Phase.PENDING: "none",
    Phase.DEPLOYING: "good",
    Phase.WATCHING: "cand",
    Phase.REVERTING: "harm",
    Phase.RETURNING: "harm",
    Phase.PROMOTED: "fine",
    Phase.REVERTED: "harm",
    Phase.HELD: "warn",
    Phase.STUCK: "harm",
    Phase.SUPERSEDED: "none",
}
PHASE_SIGN = {"fine": "✓ ", "harm": "✗ ", "warn": "◷ ", "cand": "◆ ", "good": "", "none": ""}
OUTCOME_KIND = {
    Outcome.PASS: "fine",
    Outcome.WAIT: "none",
    Outcome.INCONCLUSIVE: "warn",
    Outcome.ERROR: "warn",
    Outcome.INCIDENT: "warn",
    Outcome.FAIL: "harm",
}


def variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


def colours() -> str:
    """The custom properties: light, dark where the system or the reader wants it, and light again on paper."""
    dark = f"{{ color-scheme: dark; {variables(DARK)} }}"
    light = f"{{ color-scheme: light; {variables(LIGHT)} }}"
    return f""":root {light}
@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {dark} }}
:root[data-theme=dark] {dark}
@media print {{ :root, :root[data-theme=dark], :root:not([data-theme=light]) {light} }}
"""


def asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def command(text: str) -> str:
    """A command to run, with a button that copies it."""
    copy = f'<button class="noscript-hides" data-copy="{escape(text, quote=True)}">copy</button>'
    return f'<div class="cmd"><code>{escape(text)}</code>{copy}</div>'


def badge(kind: str, text: str) -> str:
    return f'<span class="badge {kind}">{escape(text)}</span>'


def phase_badge(phase: Phase) -> str:
    kind = PHASE_KIND[phase]
    return badge(kind, f"{PHASE_SIGN[kind]}{phase}")


def bar(left: str) -> str:
    """The line above the first card: what this is, and the switch between light and dark."""
    switch = '<span class="right"><button id="theme" class="noscript-hides">light / dark</button></span>'
    return f'<div class="top"><span class="soft">{escape(left)}</span>{switch}</div>'


def page(title: str, body: str, style: str = "", script: str = "") -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{colours()}{asset("page.css")}{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{asset("page.js")}{script}</script>
</body>
</html>
"""
