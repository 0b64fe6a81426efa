"""Whether this process can serve: asked of MongoDB twice a second, answered at once to whoever asks here.

Here: the watch and its last finding. Not here: what is asked (``customers``), the endpoint (``web``). A readiness
check that itself waited for MongoDB would time out exactly when its reason matters.
"""

import asyncio
import logging

from apps.c360.customers import Customers, StoreAway, UnreadableData

LOOK_EVERY_SECONDS = 0.5

log = logging.getLogger("c360.readiness")


class Readiness:
    """The last finding: ``why`` is None when ready, otherwise one sentence."""

    def __init__(self) -> None:
        self.why: str | None = "MongoDB has not been asked yet."
        self._ended = False

    @property
    def ready(self) -> bool:
        return self.why is None

    async def watch(self, customers: Customers) -> None:
        """Look until ``end``. The database is prepared at first, and again whenever it cannot be read as it is."""
        prepared = False
        while not self._ended:
            try:
                await (customers.check() if prepared else customers.prepare())
                prepared, why = True, None
            except UnreadableData as error:
                prepared, why = False, str(error)
            except StoreAway as error:
                why = str(error)
            except Exception as error:  # a watch that ends would leave its last finding standing for ever
                log.exception("could not look at MongoDB")
                why = f"MongoDB refuses to be used ({type(error).__name__}: {str(error)[:160]})."
            self._found(why)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def end(self) -> None:
        """Let the watch end with its present look.

        Cancelling its task is not enough: in Python 3.11 ``asyncio.wait_for``, which pymongo reads and writes with,
        loses a cancellation that comes in the moment in which the answer does.
        """
        self._ended = True

    def _found(self, why: str | None) -> None:
        if (why is None) != self.ready or self.why == "MongoDB has not been asked yet.":
            log.info("ready" if why is None else "not ready", extra={"fields": {"ready": why is None, "why": why}})
        self.why = why
