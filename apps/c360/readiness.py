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

    @property
    def ready(self) -> bool:
        return self.why is None

    async def watch(self, customers: Customers) -> None:
        """Look for ever. The database is prepared at first, and again whenever it cannot be read as it is."""
        prepared = False
        while True:
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

    def _found(self, why: str | None) -> None:
        if (why is None) != self.ready or self.why == "MongoDB has not been asked yet.":
            log.info("ready" if why is None else "not ready", extra={"fields": {"ready": why is None, "why": why}})
        self.why = why
