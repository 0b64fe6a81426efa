"""The changes that the bench merges: each a new release of the edge application, harmless or bad in one of five ways.

Every one replaces the same lines of the sources as they are now, so that any of them may follow any other: a number in
it makes it a release that was never there before.
"""

from __future__ import annotations

from controller.demo.changes import Change

WEB, MAIN = "apps/mqtt/reads/web.py", "apps/mqtt/__main__.py"
LATEST = "        latest = self._reader.latest(device)\n        if latest is None:\n"
READY = "        why = self._ingest.not_ready()\n"
SIZE = "PAGE_DEFAULT, PAGE_MAX = {}, 1000"
MAIN_LINE = "def main(argv: list[str]) -> int:\n"

SOME, ALL, SLOW, EXIT, UNREADY = "a sixth fails", "every read fails", "reads are slow", "it exits", "never ready"
KINDS = (SOME, EXIT, ALL, UNREADY, SLOW)
"""The ways to be bad, in the order in which the bench tries them."""
NEVER_SERVES = (EXIT, UNREADY)


def good(number: int, size_now: int = 100) -> Change:
    """A page of another default size."""
    size = 100 + number
    return Change("mqtt", f"Make a page {size} readings long", WEB, SIZE.format(size_now), SIZE.format(size))


def bad(kind: str, number: int) -> Change:
    """A release that does harm; ``number`` only makes it a new one."""
    mark = f"        page = {number}\n"
    broken = {
        SOME: LATEST.replace(
            "        if latest", f"{mark}        if latest and latest.reading > 24.2:\n"
            "            return _json(HTTPStatus.OK, asdict(page))\n        if latest"
        ),
        ALL: f"{mark}        return _json(HTTPStatus.OK, asdict(page))\n{LATEST}",
        SLOW: f"{mark}        time.sleep(0.04)\n{LATEST}",
    }  # fmt: skip
    subject = f"Try {number}: {kind}"
    if kind in broken:
        return Change("mqtt", subject, WEB, LATEST, broken[kind])
    if kind == UNREADY:
        return Change("mqtt", subject, WEB, READY, f'        why: str | None = "It waits for page {number}."\n')
    return Change("mqtt", subject, MAIN, MAIN_LINE, f'{MAIN_LINE}    sys.exit("It lacks page {number}.")\n')
