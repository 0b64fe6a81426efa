"""Who may do what: which topics a client may publish on, which filters it may subscribe to, who is shut out.

A device has its own topics and no others: it publishes ``f/{zone}/{device}/t`` (readings) and ``…/s`` (state), and
hears ``f/{zone}/{device}/#``. A watcher hears the whole zone and publishes nothing unless it is a device too.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from apps.mqtt.log import log
from apps.mqtt.wire.topics import LEVELS, within

CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")
DENIED_FILE = "denied"  # in the data directory: one client id in a line, # begins a remark
SHARED = "$share/"


class Access:
    def __init__(self, zone: str, watchers: str, data: Path) -> None:
        """``watchers`` are patterns of client ids, with ``*``, separated by spaces."""
        self._zone = zone
        self._watchers = tuple(watchers.split())
        self._file = data / DENIED_FILE
        self._seen: tuple[int, int] | None = None  # the file's time and size, None: it is not there
        self._denied: frozenset[str] = frozenset()
        self.reload()

    def readings_topic(self, client: str) -> str:
        return f"f/{self._zone}/{client}/t"

    def may_publish(self, client: str, topic: str) -> bool:
        return topic in (self.readings_topic(client), f"f/{self._zone}/{client}/s")

    def may_subscribe(self, client: str, pattern: str) -> bool:
        if pattern.count("/") >= LEVELS:
            return False
        allowed = f"f/{self._zone}/#" if self.is_watcher(client) else f"f/{self._zone}/{client}/#"
        return within(pattern, allowed)

    def is_watcher(self, client: str) -> bool:
        return any(fnmatchcase(client, pattern) for pattern in self._watchers)

    def is_denied(self, client: str) -> bool:
        return client in self._denied

    def reload(self) -> bool:
        """Read the file of denied clients again, if it changed: whether it did. An unreadable one changes nothing."""
        try:
            state = self._file.stat()
            seen = (state.st_mtime_ns, state.st_size)
            if seen == self._seen:
                return False
            lines = self._file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            seen, lines = None, []
            if self._seen is None:
                return False
        except (OSError, UnicodeDecodeError) as error:
            log("denied_unreadable", why=f"{self._file} cannot be read ({error}); the list stays as it was")
            return False
        self._seen = seen
        self._denied = frozenset(name for line in lines if (name := line.partition("#")[0].strip()))
        log("denied_reloaded", clients=len(self._denied))
        return True
